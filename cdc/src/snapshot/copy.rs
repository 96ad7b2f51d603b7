//! One range: `COPY … TO STDOUT` into the store, whole or not at all.

use std::pin::pin;

use blacksmith_core::door::{Door, Staging};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::{Commit, Draft, Excluded, FormatId, Refusal, StateChange, Tally};
use blacksmith_core::{failpoint, planted};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};

use super::plan::Task;
use crate::body::Body;
use crate::connection::{LARGE_MESSAGE_BYTES, SqlClient, server_error};
use crate::envelope::{Envelope, Moment};
use crate::protocol::{CopyFormat, CopyRows};
use crate::state;

/// A chunk is handed to the store at this size; a range that is smaller is one block.
const CHUNK_BYTES: usize = 1 << 20;

/// Copies ranges over one connection.
#[derive(Debug)]
pub(super) struct Copier<'a> {
    pub(super) door: &'a Door,
    pub(super) client: &'a SqlClient,
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
#[derive(Default)]
struct Rows {
    body: Body,
    count: u32,
    total: u64,
    staging: Option<Staging>,
}

impl Copier<'_> {
    /// Copies what `task` says.
    ///
    /// # Errors
    /// What interrupted it; nothing of the range is in the store then.
    pub(super) async fn copy(&self, task: &Task) -> Result<Copied> {
        planted!(RangeNotedFirst, self.note(task).await?);
        // So that a refused statement does not end the transaction, and with it the snapshot.
        self.client
            .execute("copying a table", "savepoint range")
            .await?;
        let rows = match self.read(task).await {
            Ok(rows) => rows,
            Err(error) if is_changed(&error) => {
                let sql = "rollback to savepoint range";
                self.client.execute("copying a table", sql).await?;
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

    /// Reads the rows; what is large is staged meanwhile.
    async fn read(&self, task: &Task) -> Result<Rows> {
        let explain = |error| self.client.explain("copying a table", error);
        let doing = "copying a table";
        let copied = self.client.client().copy_out(task.sql.as_str());
        let mut copied = pin!(self.client.hear(doing, copied).await?.map_err(explain)?);
        let mut rows = Rows::default();
        loop {
            // What is there is taken without a timer.
            let next = match copied.next().now_or_never() {
                Some(next) => next,
                None => self.client.hear(doing, copied.next()).await?,
            };
            let Some(payload) = next else { break };
            let payload = payload.map_err(explain)?;
            let count = CopyRows::count(task.format, &payload).map_err(|error| {
                Error::unavailable("the server sent a copy that cannot be read").because(error)
            })?;
            if count > 0 {
                match payload.len() >= LARGE_MESSAGE_BYTES {
                    true => rows.body.push_large(&[payload]),
                    false => rows.body.push(&payload),
                }
                rows.count += count;
                rows.total += u64::from(count);
            }
            if rows.body.len() >= CHUNK_BYTES {
                self.stage(task, &mut rows).await?;
            }
        }
        Ok(rows)
    }

    /// Whether the pages that were copied are not those of the snapshot. Asked behind the copy,
    /// whose lock keeps everybody from writing the table anew until our transaction ends.
    async fn is_rewritten(&self, task: &Task) -> Result<bool> {
        let sql = "select pg_relation_filenode($1::oid)";
        let rows = self
            .client
            .query("looking at the pages of a table", sql, &[&task.relation])
            .await?;
        let now: Option<u32> = rows.first().and_then(|row| row.get(0));
        Ok(now != Some(task.filenode))
    }

    async fn stage(&self, task: &Task, rows: &mut Rows) -> Result<()> {
        if rows.count == 0 {
            return Ok(());
        }
        let staging = match &mut rows.staging {
            Some(staging) => staging,
            none => none.insert(self.door.stage()?),
        };
        let tally = [Tally {
            schema: task.schema,
            group: 0,
            count: rows.count,
        }];
        let mut body = rows.body.take();
        rows.count = 0;
        while let Err(refusal) = staging.push(&tally, body) {
            body = self.wait(refusal).await?;
        }
        Ok(())
    }

    /// The rows become visible together with the note that the range is done.
    async fn finish(&self, task: &Task, mut rows: Rows) -> Result<()> {
        if rows.staging.is_some() {
            self.stage(task, &mut rows).await?;
        }
        match rows.staging.take() {
            Some(staging) => self.commit(task, staging).await,
            None => self.append(task, rows).await,
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

    async fn append(&self, task: &Task, mut rows: Rows) -> Result<()> {
        if rows.count == 0 {
            return self.note(task).await;
        }
        let mut draft = Draft {
            format: format(task.format),
            received_at: self.door.now(),
            tally: vec![Tally {
                schema: task.schema,
                group: 0,
                count: rows.count,
            }],
            envelope: self.envelope(),
            body: rows.body.take_whole(),
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
