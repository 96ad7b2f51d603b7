//! The batch that an action is given.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use arrow_array::RecordBatch;
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::event::SchemaId;
use crate::job::QueuedJob;
use crate::position::{Position, Span};
use crate::source::Completed;
use crate::spans::Spans;

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

/// What the decoder hands on at a time.
#[derive(Debug)]
pub enum Piece {
    /// Jobs, for an action that takes jobs.
    Jobs(Vec<QueuedJob>),
    /// Rows, for an action that takes rows.
    Rows(Rows),
}

/// One batch of one action: positions, and the events at them that are routed to it. Those of an ordered action are
/// one span; a retry of an unordered one may have gaps.
///
/// It is decoded while the action takes it; [`Queue::next`] and [`Queue::next_jobs`] wait for the decoder, and
/// the decoder waits for the action, so neither runs ahead by more than a few pieces. Behind a large event the decoder
/// rests until the action asks for what comes next: not before it has done with it, if it holds little at a time.
#[derive(Debug)]
pub struct Queue {
    spans: Spans,
    events: u64,
    attempt: u32,
    pieces: mpsc::Receiver<Result<Piece>>,
    completed: tokio::sync::oneshot::Receiver<Option<Completed>>,
    at_end: Option<Option<Completed>>,
    asking: Arc<Asking>,
    taken: u64,
}

/// What the decoder sees of the action's asking.
#[derive(Debug, Default)]
struct Asking {
    state: Mutex<Asked>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Asked {
    /// Pieces that the action took or waits for.
    pieces: u64,
    /// It asks no more.
    gone: bool,
}

impl Asking {
    fn tell(&self, change: impl FnOnce(&mut Asked)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.moved.notify_all();
    }

    /// Waits until more than `pieces` were asked for.
    fn beyond(&self, pieces: u64) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |asked: &mut Asked| !asked.gone && asked.pieces <= pieces;
        drop(self.moved.wait_while(state, waits));
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.asking.tell(|asked| asked.gone = true);
    }
}

/// The decoder's end of a [`Queue`].
#[derive(Debug)]
pub struct QueueFeed {
    pieces: mpsc::Sender<Result<Piece>>,
    completed: tokio::sync::oneshot::Sender<Option<Completed>>,
    asking: Arc<Asking>,
    pushed: AtomicU64,
}

/// Pieces that may wait between decoder and action.
const WAITING_PIECES: usize = 2;

impl Queue {
    /// A queue over `spans`, which are not empty, with `events` routed events, and the end that feeds it.
    #[must_use]
    pub fn new(spans: impl Into<Spans>, events: u64, attempt: u32) -> (Queue, QueueFeed) {
        let (pieces_in, pieces) = mpsc::channel(WAITING_PIECES);
        let (completed_in, completed) = tokio::sync::oneshot::channel();
        let asking = Arc::new(Asking::default());
        let queue = Queue {
            spans: spans.into(),
            events,
            attempt,
            pieces,
            completed,
            at_end: None,
            asking: Arc::clone(&asking),
            taken: 0,
        };
        (
            queue,
            QueueFeed {
                pieces: pieces_in,
                completed: completed_in,
                asking,
                pushed: AtomicU64::new(0),
            },
        )
    }

    /// From the first position of the batch to the last. Positions that are not routed to this action have no
    /// job, and those in the gaps of [`Queue::spans`] are not part of the batch.
    #[must_use]
    pub fn span(&self) -> Span {
        let none = Span::starting(Position::FIRST, 0);
        self.spans.hull().unwrap_or(none)
    }

    /// The positions of the batch, in order: exactly one span for an ordered action.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        self.spans.as_slice()
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

    /// The next rows; none when the batch is at its end. For actions that take rows.
    ///
    /// # Errors
    /// When the store cannot be read, or the action takes jobs: return it, and the batch is tried again.
    pub async fn next(&mut self) -> Result<Option<Rows>> {
        match self.piece().await? {
            Some(Piece::Rows(rows)) => Ok(Some(rows)),
            Some(Piece::Jobs(_)) => {
                Err(Error::stopped("the action takes jobs, and asked for rows")
                    .help("call next_jobs, or let the action's takes say rows"))
            }
            None => Ok(None),
        }
    }

    /// The next jobs, in order of position; none when the batch is at its end. For actions that take jobs.
    ///
    /// # Errors
    /// When the store cannot be read, or the action takes rows: return it, and the batch is tried again.
    pub async fn next_jobs(&mut self) -> Result<Option<Vec<QueuedJob>>> {
        match self.piece().await? {
            Some(Piece::Jobs(jobs)) => Ok(Some(jobs)),
            Some(Piece::Rows(_)) => {
                Err(Error::stopped("the action takes rows, and asked for jobs")
                    .help("call next, or let the action's takes say jobs"))
            }
            None => Ok(None),
        }
    }

    async fn piece(&mut self) -> Result<Option<Piece>> {
        let wanted = self.taken + 1;
        self.asking.tell(|asked| asked.pieces = wanted);
        if let Some(piece) = self.pieces.recv().await {
            self.taken = wanted;
            return piece.map(Some);
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
    /// Hands a piece to the action, from a thread that may wait. False when the action has gone.
    #[must_use]
    pub fn push(&self, piece: Result<Piece>) -> bool {
        self.pushed.fetch_add(1, Ordering::Relaxed);
        self.pieces.blocking_send(piece).is_ok()
    }

    /// Waits until the action has taken every piece and asks for another, on a thread that may wait. Returns at once
    /// when the action has gone.
    pub fn rest(&self) {
        self.asking.beyond(self.pushed.load(Ordering::Relaxed));
    }

    /// Ends the batch.
    pub fn finish(self, completed: Option<Completed>) {
        let QueueFeed {
            pieces,
            completed: completed_in,
            ..
        } = self;
        drop(pieces);
        // When the action returned without reading to the end, nobody asks.
        completed_in.send(completed).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{TryRecvError, channel};

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_decoder_that_rests_goes_on_when_more_is_asked_for_or_nobody_will_ask() {
        for asks in [true, false] {
            let (mut queue, feed) = Queue::new(Span::starting(Position(1), 2), 2, 1);
            let (said, rested) = channel();
            let decoder = std::thread::spawn(move || {
                assert!(feed.push(Ok(Piece::Jobs(Vec::new()))));
                said.send("pushed").unwrap();
                feed.rest();
                said.send("rested").unwrap();
                feed.finish(None);
            });
            assert!(queue.next_jobs().await.unwrap().is_some());
            assert_eq!(rested.recv(), Ok("pushed"));
            assert_eq!(rested.try_recv(), Err(TryRecvError::Empty));
            if asks {
                // One look is asking, and may be given up; the decoder may have gone on before it ends.
                let early = queue.next_jobs().now_or_never();
                assert_eq!(rested.recv(), Ok("rested"));
                let end = match early {
                    Some(end) => end,
                    None => queue.next_jobs().await,
                };
                assert!(end.unwrap().is_none());
            } else {
                drop(queue);
                assert_eq!(rested.recv(), Ok("rested"));
            }
            decoder.join().unwrap();
        }
    }
}
