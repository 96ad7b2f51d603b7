//! What waits for the writer: accepted work in order, bounded in bytes.
//!
//! Bytes count from acceptance until they are written. The bound admits one piece of work whatever
//! its size when nothing else waits, so the largest frame always passes.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::Sender;

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::log::accepted::{Accepted, Added, Piece};
use crate::log::durable::{Fence, lock};
use crate::log::snapshot::Snapshot;
use crate::position::Position;

/// When this much waits, a sync costs little beside writing it.
const CROWD_BYTES_MAX: usize = 1 << 20;

/// Why something was not accepted. Nothing of it is in the log, and the caller still has its data.
#[derive(Debug)]
pub enum AppendError {
    /// As much as allowed is waiting for the disk; try again when [`super::Durable::register`] calls
    /// or after [`super::Log::wait_for_room`].
    Full,
    /// The body is longer than [`super::BODY_BYTES_MAX`]; this many bytes.
    TooLarge(usize),
    /// The log is closed or stopped after an I/O error; nothing more is accepted until it is opened again.
    Fenced(Error),
    /// The caller's own code (its fold, its closure) said no.
    Declined(Error),
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::Full => f.write_str("the log's queue is full"),
            AppendError::TooLarge(bytes) => write!(f, "a body of {bytes} bytes is too large"),
            AppendError::Fenced(error) | AppendError::Declined(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AppendError {}

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Error {
        match error {
            AppendError::Full => Error::unavailable("the log's queue is full")
                .help("the disk is slower than the sources; try again"),
            AppendError::TooLarge(bytes) => Error::invalid(format!(
                "{bytes} bytes are more than one frame of the log holds"
            ))
            .help("split it into smaller blocks"),
            AppendError::Fenced(error) | AppendError::Declined(error) => error,
        }
    }
}

/// The next segment is to begin.
#[derive(Debug)]
pub(super) struct Roll {
    pub(super) id: u64,
    pub(super) first: Position,
    pub(super) snapshot: Snapshot,
    pub(super) created_at: Timestamp,
}

/// What happens to a staged file.
#[derive(Debug)]
pub(super) enum StageWork {
    /// Bytes go to its end, which is at `offset`.
    Write { offset: u64, parts: Vec<Bytes> },
    /// It is cut to this length.
    Truncate(u64),
    /// It goes away.
    Abort,
}

/// Segments and staged files that are no longer needed, oldest first.
#[derive(Debug)]
pub(super) struct Retire {
    pub(super) segments: Vec<u64>,
    pub(super) stages: Vec<u64>,
    /// Gets word when they are gone; nobody does when the log stops first.
    pub(super) done: Sender<()>,
}

/// One piece of work for the writer.
#[derive(Debug)]
pub(super) enum Work {
    Frame(Accepted),
    Roll(Roll),
    Stage(u64, StageWork),
    Retire(Retire),
}

/// What the writer gets when it asks.
#[derive(Debug)]
pub(super) enum Taken {
    /// Everything that waited, in order.
    Work(Vec<Work>),
    /// Nothing came in time.
    Idle,
    /// Nothing waits and nothing will come.
    Closed,
}

#[derive(Debug, Default)]
struct State {
    work: Vec<Work>,
    pending_bytes: usize,
    writer_waits: bool,
    /// Threads that wait for room, or for the end: with none, nobody has to be woken, which costs a system call.
    waiting: usize,
    fence: Option<Arc<Fence>>,
}

/// The queue between the callers and the writer.
#[derive(Debug)]
pub(super) struct Hopper {
    state: Mutex<State>,
    arrived: Condvar,
    left: Condvar,
    pending_bytes_max: usize,
}

impl Hopper {
    pub(super) fn new(pending_bytes_max: usize) -> Hopper {
        Hopper {
            state: Mutex::default(),
            arrived: Condvar::new(),
            left: Condvar::new(),
            pending_bytes_max,
        }
    }

    /// Whether `bytes` more would be accepted.
    pub(super) fn check(&self, bytes: usize) -> Result<(), AppendError> {
        self.check_state(&lock(&self.state), bytes)
    }

    fn check_state(&self, state: &State, bytes: usize) -> Result<(), AppendError> {
        if let Some(fence) = &state.fence {
            return Err(AppendError::Fenced(fence.error()));
        }
        let fits = state.pending_bytes.saturating_add(bytes) <= self.pending_bytes_max;
        match fits || state.pending_bytes == 0 {
            true => Ok(()),
            false => Err(AppendError::Full),
        }
    }

    /// Hands `work` of `bytes` to the writer if there is room.
    pub(super) fn offer(&self, work: Work, bytes: usize) -> Result<(), AppendError> {
        let mut state = lock(&self.state);
        self.check_state(&state, bytes)?;
        self.admit(&mut state, [work], bytes);
        Ok(())
    }

    /// Hands `work` of `bytes` to the writer, room or not. Under a fence it is dropped: nobody will
    /// be told that it is durable.
    pub(super) fn push(&self, work: impl IntoIterator<Item = Work>, bytes: usize) {
        let mut state = lock(&self.state);
        if state.fence.is_none() {
            self.admit(&mut state, work, bytes);
        }
    }

    /// Hands the writer a small frame that begins at `first`: within the frame that waits last, when that
    /// grows and is alike, and otherwise as one of its own, which may grow. Room or not, as
    /// [`Hopper::push`].
    pub(super) fn push_piece(&self, piece: Piece<'_>, first: Position) -> Added {
        let mut state = lock(&self.state);
        let joined = match state.work.last_mut() {
            Some(Work::Frame(last)) => last.join(piece),
            _ => None,
        };
        if let Some(added) = joined {
            state.pending_bytes += added.bytes as usize;
            return added;
        }
        let added = Added {
            frames: 1,
            bytes: piece.frame_bytes(),
        };
        if state.fence.is_none() {
            let work = [Work::Frame(Accepted::growing(piece, first))];
            self.admit(&mut state, work, added.bytes as usize);
        }
        added
    }

    fn admit(&self, state: &mut State, work: impl IntoIterator<Item = Work>, bytes: usize) {
        state.work.extend(work);
        state.pending_bytes += bytes;
        // Waking costs a system call; a writer that is busy will look again by itself.
        if std::mem::take(&mut state.writer_waits) {
            self.arrived.notify_one();
        }
    }

    /// Everything that waits; waits for it, at most `patience` when given.
    pub(super) fn take(&self, patience: Option<Duration>) -> Taken {
        let mut state = self.let_others_append(lock(&self.state));
        let mut idle = false;
        loop {
            if !state.work.is_empty() {
                return Taken::Work(std::mem::take(&mut state.work));
            }
            if state.fence.is_some() {
                return Taken::Closed;
            }
            if idle {
                return Taken::Idle;
            }
            state.writer_waits = true;
            (state, idle) = self.await_arrival(state, patience);
            state.writer_waits = false;
        }
    }

    /// A writer that finds work as soon as it has synced is in a crowd. On a machine with nothing to spare its wake-up by the
    /// disk has just put off whoever would append next, so it gives way once, and syncs more at a time. A processor that
    /// nobody else wants is given back at once, and whoever is alone finds the writer waiting.
    fn let_others_append<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.work.is_empty() || state.pending_bytes >= CROWD_BYTES_MAX {
            return state;
        }
        drop(state);
        std::thread::yield_now();
        lock(&self.state)
    }

    fn await_arrival<'a>(
        &self,
        state: MutexGuard<'a, State>,
        patience: Option<Duration>,
    ) -> (MutexGuard<'a, State>, bool) {
        match patience {
            None => {
                let woken = self.arrived.wait(state);
                (woken.unwrap_or_else(PoisonError::into_inner), false)
            }
            Some(patience) => {
                let woken = self.arrived.wait_timeout(state, patience);
                let (state, result) = woken.unwrap_or_else(PoisonError::into_inner);
                (state, result.timed_out())
            }
        }
    }

    /// Waits for `timeout`, or until the log is closed; whether it is.
    pub(super) fn is_closed_within(&self, timeout: Duration) -> bool {
        let state = lock(&self.state);
        let (state, _) = self.await_leaving(state, timeout, |state| state.fence.is_none());
        state.fence.is_some()
    }

    /// Gives back the room of `bytes` that were written.
    pub(super) fn release(&self, bytes: usize) {
        let mut state = lock(&self.state);
        state.pending_bytes = state.pending_bytes.saturating_sub(bytes);
        let waiting = state.waiting > 0;
        drop(state);
        if waiting {
            self.left.notify_all();
        }
    }

    /// Waits while `unfit`, for at most `timeout`; says whether it ran out.
    fn await_leaving<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        timeout: Duration,
        unfit: impl FnMut(&mut State) -> bool,
    ) -> (MutexGuard<'a, State>, bool) {
        state.waiting += 1;
        let waited = self.left.wait_timeout_while(state, timeout, unfit);
        let (mut state, result) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        (state, result.timed_out())
    }

    /// Waits until `bytes` would be accepted; false when they would not after `timeout`.
    pub(super) fn wait_for_room(&self, bytes: usize, timeout: Duration) -> Result<bool> {
        let state = lock(&self.state);
        let full =
            |state: &mut State| matches!(self.check_state(state, bytes), Err(AppendError::Full));
        let (state, timed_out) = self.await_leaving(state, timeout, full);
        match self.check_state(&state, bytes) {
            Err(AppendError::Fenced(error)) => Err(error),
            _ => Ok(!timed_out),
        }
    }

    /// Accepts nothing from now on. What was accepted is still handed to the writer, unless it is
    /// `lost`. The first reason stays.
    pub(super) fn close(&self, fence: Arc<Fence>, lost: bool) {
        let mut state = lock(&self.state);
        if lost {
            state.work.clear();
        }
        if state.fence.is_none() {
            state.fence = Some(fence);
        }
        drop(state);
        self.arrived.notify_all();
        self.left.notify_all();
    }
}
