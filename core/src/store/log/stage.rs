//! A transaction of which nobody knows yet whether it will be committed: its chunks go to a file of their own.

use bytes::Bytes;

use super::super::Stage;
use super::super::catalog::Catalog;
use super::super::record::{Encoder, EventsHead, Record};
use super::{event_count, refuse};
use crate::error::Result;
use crate::event::{Commit, Refusal, SourceId, Tally};
use crate::log::{self, AppendError, Log, Receipt};

/// A transaction that is being staged.
#[derive(Debug)]
pub(super) struct LogStage {
    pub(super) log: Log<Catalog>,
    pub(super) source: SourceId,
    pub(super) stage: log::Stage,
    /// What was pushed, chunk after chunk. Not merged: a transaction can have millions of groups,
    /// and to look each of them up would take the square of that.
    pub(super) tally: Vec<Tally>,
}

impl Stage for LogStage {
    fn push(&mut self, tally: &[Tally], body: Vec<Bytes>) -> Result<(), Refusal<Vec<Bytes>>> {
        if self.log.is_short() {
            return Err(Refusal::Full(Box::new(body)));
        }
        let mut head = Encoder::default();
        head.u32(0);
        head.tally(tally);
        let count = tally.iter().map(|tally| tally.count).sum();
        let mut parts = Vec::with_capacity(1 + body.len());
        parts.push(head.finish());
        parts.extend_from_slice(&body);
        let pushed = self.stage.push(count, &parts);
        pushed.map_err(|error| refuse(error, body))?;
        self.tally.extend_from_slice(tally);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.stage.bytes()
    }

    fn commit(
        mut self: Box<Self>,
        commit: Commit,
    ) -> Result<Receipt, Refusal<(Box<dyn Stage>, Commit)>> {
        let kept: Vec<Tally> = commit.excluded.kept(&self.tally).copied().collect();
        let count = event_count(commit.excluded.remaining(&self.tally))?;
        let record = Record::Commit {
            events: EventsHead {
                source: self.source,
                format: commit.format,
                received_at: commit.received_at,
                tally: by_schema(&kept),
                envelope: commit.envelope.clone(),
                state: commit.state.clone(),
            },
            excluded: commit.excluded.clone(),
        };
        let committed = self
            .log
            .commit(&mut self.stage, record.kind(), count, &[record.encode()]);
        committed.map_err(|error| match error {
            AppendError::Full => Refusal::Full(Box::new((self as Box<dyn Stage>, commit))),
            other => Refusal::Failed(other.into()),
        })
    }
}

/// Groups matter inside the chunks only: the commit says how many events of which schema.
fn by_schema(tally: &[Tally]) -> Vec<Tally> {
    let mut merged: Vec<Tally> = Vec::new();
    for part in tally {
        match merged.iter_mut().find(|own| own.schema == part.schema) {
            Some(own) => own.count += part.count,
            None => merged.push(Tally { group: 0, ..*part }),
        }
    }
    merged
}
