//! The batch that an action is given.

use std::sync::Arc;

use arrow_array::RecordBatch;
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::event::SchemaId;
use crate::position::Span;
use crate::source::Completed;

/// Rows of one schema version, in order of position.
#[derive(Debug)]
pub struct Rows {
    /// The schema version; another number means another version or another trigger.
    pub schema: SchemaId,
    /// The trigger they belong to, for a table `schema.table`.
    pub trigger: Arc<str>,
    /// The rows; the Arrow schema's metadata describes the table.
    pub rows: RecordBatch,
    /// Positions of the first and the last row.
    pub span: Span,
}

/// One batch of one action: a span of positions, and the events in it that are routed to it.
///
/// Rows are decoded while the action takes them; [`Queue::next`] waits for the decoder, and the
/// decoder waits for the action, so neither runs ahead by more than a few record batches.
#[derive(Debug)]
pub struct Queue {
    span: Span,
    events: u64,
    attempt: u32,
    rows: mpsc::Receiver<Result<Rows>>,
    completed: tokio::sync::oneshot::Receiver<Option<Completed>>,
    at_end: Option<Option<Completed>>,
}

/// The decoder's end of a [`Queue`].
#[derive(Debug)]
pub struct QueueFeed {
    rows: mpsc::Sender<Result<Rows>>,
    completed: tokio::sync::oneshot::Sender<Option<Completed>>,
}

/// Record batches that may wait between decoder and action.
const WAITING_BATCHES: usize = 2;

impl Queue {
    /// A queue over `span` with `events` routed events, and the end that feeds it.
    #[must_use]
    pub fn new(span: Span, events: u64, attempt: u32) -> (Queue, QueueFeed) {
        let (rows_in, rows) = mpsc::channel(WAITING_BATCHES);
        let (completed_in, completed) = tokio::sync::oneshot::channel();
        let queue = Queue {
            span,
            events,
            attempt,
            rows,
            completed,
            at_end: None,
        };
        (
            queue,
            QueueFeed {
                rows: rows_in,
                completed: completed_in,
            },
        )
    }

    /// The positions of the batch. Positions that are not routed to this action have no job.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// How many events, that is jobs, are in it, at most: where blocks of several routes were cut,
    /// and in a retry after a restart, others are counted too.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Which attempt this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The next rows; none when the batch is at its end.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn next(&mut self) -> Result<Option<Rows>> {
        if let Some(rows) = self.rows.recv().await {
            return rows.map(Some);
        }
        if self.at_end.is_none() {
            let completed = (&mut self.completed).await;
            self.at_end = Some(
                completed
                    .map_err(|_| Error::stopped("decoding of the batch stopped before its end"))?,
            );
        }
        Ok(None)
    }

    /// After the end: the last transaction of the source that is complete with this batch.
    #[must_use]
    pub fn completed(&self) -> Option<Completed> {
        self.at_end.flatten()
    }
}

impl QueueFeed {
    /// Hands rows to the action, from a thread that may wait. False when the action has gone.
    #[must_use]
    pub fn push(&self, rows: Result<Rows>) -> bool {
        self.rows.blocking_send(rows).is_ok()
    }

    /// Ends the batch.
    pub fn finish(self, completed: Option<Completed>) {
        let QueueFeed {
            rows,
            completed: completed_in,
        } = self;
        drop(rows);
        // When the action returned without reading to the end, nobody asks.
        completed_in.send(completed).ok();
    }
}
