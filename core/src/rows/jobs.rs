//! Rows into jobs, for an action that takes jobs and a format that hands out rows.
//!
//! One change is one job. Its data is the row after the change, as an object by column; of a `delete` it is what
//! identified the row, of a `truncate` nothing. Its context says what happened:
//!
//! ```json
//! {"op": "update", "lsn": 26463192, "committed_at": "2026-11-21T08:00:00.123456Z", "before": {"id": 7}, "unchanged": ["photo"]}
//! ```
//! `op` is `read`, `insert`, `update`, `delete` or `truncate`. `before` is there when an update changed what identifies the row,
//! and holds what identified it; `unchanged` when the source did not send columns, which are then not in the data. A value that its
//! Arrow type cannot hold is in the data as the source's own text. `sent_at` of the job is when the change was committed.
//!
//! Jobs come in order of position, over all tables: the rows of all tables are taken from the decoder together, after a few
//! blocks at a time. All objects of one record batch lie in one buffer, and each job refers to its part.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;

use super::change::Changes;
use crate::clock::Timestamp;
use crate::document::Origins;
use crate::error::Result;
use crate::event::{Block, SchemaId};
use crate::id::Id;
use crate::job::{EventHead, QueuedJob};
use crate::json::Json;
use crate::position::{Position, Span};
use crate::source::{Asked, Completed, Decoded, Decoding, Format, Limits, Takes, Wanted};

/// Bytes of blocks whose rows are taken from the decoder together, unless one block is larger.
const BYTES_TOGETHER: usize = 1 << 20;
/// Events whose rows are taken together, unless one block has more.
const EVENTS_TOGETHER: u32 = 16_384;

/// Decodes rows, and hands out jobs.
pub(super) struct RowJobs {
    rows: Box<dyn Decoding>,
    asked: Asked,
    origins: Origins,
    /// What the decoder handed out and is not jobs yet.
    waiting: Vec<Decoded>,
    /// When the blocks that are being decoded were received.
    received: Vec<(Span, Timestamp)>,
    held_bytes: usize,
    held_events: u32,
}

impl std::fmt::Debug for RowJobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowJobs")
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

impl RowJobs {
    /// Starts decoding one batch of `format` into jobs.
    #[must_use]
    pub(super) fn decoding(format: &dyn Format, asked: Asked) -> Box<dyn Decoding> {
        // It hands out what it holds when it is told, so that tables stay together; blocks bound it.
        let whole = Limits {
            batch_rows: usize::MAX,
            held_bytes: usize::MAX,
        };
        let of_rows = Asked {
            limits: whole,
            takes: Takes::Rows,
            ..asked.clone()
        };
        Box::new(RowJobs {
            rows: format.decoding(of_rows),
            origins: Origins::new(asked.clone()),
            asked,
            waiting: Vec::new(),
            received: Vec::new(),
            held_bytes: 0,
            held_events: 0,
        })
    }

    fn received_at(&self, position: Position) -> Timestamp {
        let at = self
            .received
            .partition_point(|(span, _)| span.last < position);
        let found = self.received.get(at);
        found
            .map(|(_, received_at)| *received_at)
            .unwrap_or_default()
    }

    fn jobs_of(
        &mut self,
        schema: SchemaId,
        rows: &RecordBatch,
        jobs: &mut Vec<QueuedJob>,
    ) -> Result<()> {
        let origin = self.origins.of(schema)?;
        let changes = Changes::of(rows)?;
        let mut text = Vec::new();
        let mut written = Vec::with_capacity(rows.num_rows());
        for change in changes.each() {
            let start = text.len();
            changes.write_context(change, &mut text);
            let middle = text.len();
            changes.write_data(change, &mut text);
            written.push((change.row, start..middle, middle..text.len()));
        }
        let text = Bytes::from(text);
        let json = |range: Range<usize>| Json::trusted(text.slice(range));
        jobs.reserve(written.len());
        for (row, context, data) in written {
            let position = changes.position(row);
            let received_at = self.received_at(position);
            let sent_at = changes.committed_at(row);
            let (store, lane) = (self.asked.store, self.asked.lane);
            jobs.push(QueuedJob {
                id: Id::of_job(store, lane, position, received_at),
                position,
                parent: None,
                event: EventHead {
                    id: Id::of_event(store, position, received_at),
                    parent: None,
                    origin: Arc::clone(&origin),
                    received_at,
                    sent_at,
                },
                version: self.asked.default_version.clone(),
                context: json(context),
                data: json(data),
                sent_at,
            });
        }
        Ok(())
    }

    /// Turns what the decoder handed out into jobs, in order of position.
    fn hand_on(&mut self, out: &mut Vec<Decoded>) -> Result<()> {
        let mut jobs = Vec::new();
        for decoded in std::mem::take(&mut self.waiting) {
            match decoded {
                Decoded::Rows { schema, rows, .. } => self.jobs_of(schema, &rows, &mut jobs)?,
                Decoded::Jobs(own) => jobs.extend(own),
                parked @ Decoded::Parked(_) => out.push(parked),
            }
        }
        // The jobs of each table are in order already, which this sort makes use of.
        jobs.sort_by_key(|job| job.position);
        self.received.clear();
        (self.held_bytes, self.held_events) = (0, 0);
        let piece_max = self.asked.limits.batch_rows.max(1);
        while jobs.len() > piece_max {
            let rest = jobs.split_off(piece_max);
            out.push(Decoded::Jobs(std::mem::replace(&mut jobs, rest)));
        }
        if !jobs.is_empty() {
            out.push(Decoded::Jobs(jobs));
        }
        Ok(())
    }
}

impl Decoding for RowJobs {
    fn push(&mut self, block: &Block, wanted: &Wanted<'_>, out: &mut Vec<Decoded>) -> Result<()> {
        let received = block.span().map(|span| (span, block.received_at));
        self.received.extend(received);
        self.held_bytes += block.body.len();
        self.held_events = self.held_events.saturating_add(block.count);
        self.rows.push(block, wanted, &mut self.waiting)?;
        if self.held_bytes >= BYTES_TOGETHER || self.held_events >= EVENTS_TOGETHER {
            return self.finish(out);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Decoded>) -> Result<()> {
        self.rows.finish(&mut self.waiting)?;
        self.hand_on(out)
    }

    fn completed(&self) -> Option<Completed> {
        self.rows.completed()
    }
}

#[cfg(test)]
mod tests;
