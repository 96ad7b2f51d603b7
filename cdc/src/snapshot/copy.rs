//! One range: `COPY … TO STDOUT` into the store, whole or not at all.

use blacksmith_core::door::{Door, Staging};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::{Commit, Draft, Excluded, FormatId, Refusal, StateChange, Tally};
use blacksmith_core::{failpoint, planted};
use bytes::Bytes;

use super::plan::Task;
use super::reader::{CHUNK_BYTES, Chunk, Reader};
use crate::connection::{Row, server_error};
use crate::envelope::{Envelope, Moment};
use crate::protocol::CopyFormat;
use crate::state;

/// Copies ranges over one connection.
#[derive(Debug)]
pub(super) struct Copier<'a> {
    pub(super) door: &'a Door,
    pub(super) reader: &'a Reader,
    pub(super) moment: Moment,
}

/// How a copy came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copied {
    /// So many rows.
    Rows(u64),
    /// The table is not the one that the snapshot sees. It was written anew (a type changed, a
    /// VACUUM FULL, a TRUNCATE), so that to the snapshot it looks empty; or a column that the
    /// snapshot sees, or the table itself, is gone. Nothing was copied.
    Changed,
}

/// What the server answers when a table or column is not there any more.
const GONE: [&str; 3] = ["42703", "42P01", "42704"];

fn is_changed(error: &Error) -> bool {
    server_error(error).is_some_and(|error| GONE.contains(&error.code.as_str()))
}

/// Rows on their way.
#[derive(Debug, Default)]
struct Rows {
    total: u64,
    staging: Option<Staging>,
    /// What is not staged, because little came or little was left.
    last: Chunk,
}

impl Copier<'_> {
    /// Copies what `task` says.
    ///
    /// # Errors
    /// What interrupted it; nothing of the range is in the store then.
    pub(super) async fn copy(&self, task: &Task) -> Result<Copied> {
        planted!(RangeNotedFirst, self.note(task).await?);
        // So that a refused statement does not end the transaction, and with it the snapshot.
        self.run("savepoint range".to_owned()).await?;
        let rows = match self.read(task).await {
            Ok(rows) => rows,
            Err(error) if is_changed(&error) => {
                self.run("rollback to savepoint range".to_owned()).await?;
                return Ok(Copied::Changed);
            }
            Err(error) => return Err(error),
        };
        if self.is_rewritten(task).await? {
            return Ok(Copied::Changed);
        }
        let total = rows.total;
        failpoint!(CopyRead?);
        self.finish(task, rows).await?;
        failpoint!(CopyTaken?);
        Ok(Copied::Rows(total))
    }

    async fn run(&self, sql: String) -> Result<Vec<Row>> {
        self.reader.run("copying a table", sql).await
    }

    /// Reads the rows; what is large is staged meanwhile.
    async fn read(&self, task: &Task) -> Result<Rows> {
        let mut chunks = self.reader.copy(task.format, task.sql.clone()).await?;
        let mut rows = Rows::default();
        while let Some(chunk) = chunks.next().await? {
            rows.total += u64::from(chunk.rows);
            match chunk.body.len() >= CHUNK_BYTES {
                true => self.stage(task, &mut rows.staging, chunk).await?,
                false => rows.last = chunk,
            }
        }
        Ok(rows)
    }

    /// Whether the pages that were copied are not those of the snapshot. Asked behind the copy,
    /// whose lock keeps everybody from writing the table anew until our transaction ends.
    async fn is_rewritten(&self, task: &Task) -> Result<bool> {
        let sql = format!("select pg_relation_filenode({}::oid)", task.relation);
        let rows = self.run(sql).await?;
        let now = rows.first().and_then(|row| row.get(0));
        Ok(now.and_then(|now| now.parse().ok()) != Some(task.filenode))
    }

    async fn stage(
        &self,
        task: &Task,
        staging: &mut Option<Staging>,
        mut chunk: Chunk,
    ) -> Result<()> {
        let staging = match staging {
            Some(staging) => staging,
            none => none.insert(self.door.stage()?),
        };
        let tally = [tally(task, chunk.rows)];
        let mut body = chunk.body.take();
        while let Err(refusal) = staging.push(&tally, body) {
            body = self.wait(refusal).await?;
        }
        Ok(())
    }

    /// The rows become visible together with the note that the range is done.
    async fn finish(&self, task: &Task, mut rows: Rows) -> Result<()> {
        if rows.staging.is_some() && rows.last.rows > 0 {
            let last = std::mem::take(&mut rows.last);
            self.stage(task, &mut rows.staging, last).await?;
        }
        match rows.staging.take() {
            Some(staging) => self.commit(task, staging).await,
            None => self.append(task, rows.last).await,
        }
    }

    async fn commit(&self, task: &Task, staging: Staging) -> Result<()> {
        let commit = Commit {
            format: format(task.format),
            received_at: self.door.now(),
            envelope: self.envelope(),
            excluded: Excluded::default(),
            state: done(task),
        };
        let mut next = (staging, commit);
        while let Err(refusal) = next.0.commit(next.1) {
            next = self.wait(refusal).await?;
        }
        Ok(())
    }

    async fn append(&self, task: &Task, mut chunk: Chunk) -> Result<()> {
        if chunk.rows == 0 {
            return self.note(task).await;
        }
        let mut draft = Draft {
            format: format(task.format),
            received_at: self.door.now(),
            tally: vec![tally(task, chunk.rows)],
            envelope: self.envelope(),
            body: chunk.body.take_whole(),
            state: done(task),
        };
        while let Err(refusal) = self.door.append(draft) {
            draft = self.wait(refusal).await?;
        }
        Ok(())
    }

    async fn note(&self, task: &Task) -> Result<()> {
        let mut changes = done(task);
        while let Err(refusal) = self.door.remember(changes) {
            changes = self.wait(refusal).await?;
        }
        Ok(())
    }

    /// Waits until the store has room again, and gives back what it did not take.
    async fn wait<T>(&self, refusal: Refusal<T>) -> Result<T> {
        match refusal {
            Refusal::Failed(error) => Err(error),
            Refusal::Full(back) => {
                self.door.room().await?;
                Ok(*back)
            }
        }
    }

    fn envelope(&self) -> Bytes {
        Envelope {
            streamed: false,
            moment: Some(self.moment),
        }
        .encode()
    }
}

fn tally(task: &Task, count: u32) -> Tally {
    Tally {
        schema: task.schema,
        group: 0,
        count,
    }
}

fn done(task: &Task) -> Vec<StateChange> {
    task.range
        .map(|range| state::range_done(task.oid, range))
        .into_iter()
        .collect()
}

fn format(format: CopyFormat) -> FormatId {
    match format {
        CopyFormat::Text => FormatId::PGCOPY_TEXT,
        CopyFormat::Binary => FormatId::PGCOPY_BINARY,
    }
}
