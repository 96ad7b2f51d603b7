//! How far the log is durable: a watermark that threads wait for and async code is woken by.
//!
//! The writer moves it after each sync; everything up to it survives a power cut. It never goes
//! back. When the writer meets an error it puts up a [`Fence`] instead: the watermark stands still
//! for good and every waiter learns why.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::position::Position;

/// Why the log stopped; kept so that everyone who asks gets the whole story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fence {
    pub(super) what: String,
    pub(super) help: String,
}

impl Fence {
    pub(super) fn error(&self) -> Error {
        Error::new(Kind::Stopped, self.what.clone()).help(self.help.clone())
    }
}

#[cfg(feature = "failpoints")]
impl From<Error> for Fence {
    fn from(error: Error) -> Fence {
        Fence {
            what: error.to_string(),
            help: "a test let it fail".to_owned(),
        }
    }
}

/// Locks, and goes on with the value when a panic left it locked: what is kept under these locks
/// is consistent after every statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far the log is durable at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// The highest durable position; 0 when there is none.
    pub upto: Position,
    /// How many appended frames became durable since the log was opened.
    pub frames: u64,
}

/// Mark and place of the durable end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct End {
    pub(super) mark: Mark,
    pub(super) segment: u64,
    pub(super) offset: u64,
}

#[derive(Debug, Default)]
struct State {
    end: End,
    fence: Option<Arc<Fence>>,
    /// Threads that wait for the watermark to move: with none, nobody has to be woken, which costs a system call.
    waiting: usize,
}

type Callback = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Watermark {
    state: Mutex<State>,
    moved: Condvar,
    /// Copies of the mark for those who only look.
    upto: AtomicU64,
    frames: AtomicU64,
    callbacks: Mutex<(u64, Vec<(u64, Callback)>)>,
}

/// The durable watermark; cheap to clone.
#[derive(Clone, Default)]
pub struct Durable(Arc<Watermark>);

impl Durable {
    /// The highest durable position; 0 when there is none.
    #[must_use]
    pub fn upto(&self) -> Position {
        Position(self.0.upto.load(Ordering::Acquire))
    }

    /// How many appended frames became durable since the log was opened; counts those that take no
    /// position too.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.0.frames.load(Ordering::Acquire)
    }

    /// Both at one moment.
    #[must_use]
    pub fn mark(&self) -> Mark {
        lock(&self.0.state).end.mark
    }

    /// Waits until a position after `position` is durable, or for `timeout`; returns the highest
    /// durable one then.
    ///
    /// # Errors
    /// Stopped, when the log is closed or fenced.
    pub fn wait_past(&self, position: Position, timeout: Duration) -> Result<Position> {
        self.wait_for(timeout, |mark| mark.upto > position)
            .map(|mark| mark.upto)
    }

    /// Waits until more than `frames` frames are durable, or for `timeout`; returns how many are.
    ///
    /// # Errors
    /// Stopped, when the log is closed or fenced.
    pub fn wait_frames(&self, frames: u64, timeout: Duration) -> Result<u64> {
        self.wait_for(timeout, |mark| mark.frames > frames)
            .map(|mark| mark.frames)
    }

    /// Has `callback` called after each move of the watermark, when room for more was made, and when
    /// the log stops: on the writer's thread, so it must only wake somebody. It ends with the
    /// returned value.
    #[must_use = "the callback ends when this is dropped"]
    pub fn register(&self, callback: Callback) -> Registration {
        let mut callbacks = lock(&self.0.callbacks);
        callbacks.0 += 1;
        let id = callbacks.0;
        callbacks.1.push((id, callback));
        Registration {
            id,
            durable: self.clone(),
        }
    }

    fn wait_for(&self, timeout: Duration, reached: impl Fn(&Mark) -> bool) -> Result<Mark> {
        let until = Instant::now().checked_add(timeout);
        let mut state = lock(&self.0.state);
        loop {
            if reached(&state.end.mark) {
                return Ok(state.end.mark);
            }
            if let Some(fence) = &state.fence {
                return Err(fence.error());
            }
            let left = match until {
                Some(until) => until.saturating_duration_since(Instant::now()),
                None => timeout,
            };
            if left.is_zero() {
                return Ok(state.end.mark);
            }
            state.waiting += 1;
            state = match self.0.moved.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
            state.waiting -= 1;
        }
    }

    pub(super) fn at(end: End) -> Durable {
        let durable = Durable::default();
        durable.advance(end);
        durable
    }

    pub(super) fn end(&self) -> End {
        lock(&self.0.state).end
    }

    /// Moves the watermark; called by the writer after its sync.
    pub(super) fn advance(&self, end: End) {
        let mut state = lock(&self.0.state);
        state.end = end;
        self.0.upto.store(end.mark.upto.0, Ordering::Release);
        self.0.frames.store(end.mark.frames, Ordering::Release);
        self.wake(state);
    }

    /// Stops the watermark; the first reason stays.
    pub(super) fn fence(&self, fence: &Arc<Fence>) {
        let mut state = lock(&self.0.state);
        if state.fence.is_none() {
            state.fence = Some(Arc::clone(fence));
        }
        self.wake(state);
    }

    /// Wakes the threads that wait.
    fn wake(&self, state: MutexGuard<'_, State>) {
        let waiting = state.waiting > 0;
        drop(state);
        if waiting {
            self.0.moved.notify_all();
        }
    }

    /// Calls everybody who registered.
    pub(super) fn notify(&self) {
        let callbacks: Vec<Callback> = lock(&self.0.callbacks)
            .1
            .iter()
            .map(|(_, callback)| Arc::clone(callback))
            .collect();
        for callback in callbacks {
            callback();
        }
    }
}

/// The writing end, for stores that keep nothing on a disk.
impl Durable {
    /// Moves the mark. Callers that race do so under their own lock, so that it never goes back.
    pub(crate) fn place(&self, mark: Mark) {
        self.advance(End {
            mark,
            ..End::default()
        });
    }

    /// Calls everybody who registered: not under a lock that they may take.
    pub(crate) fn tell(&self) {
        self.notify();
    }

    /// Stops it for good: every waiter learns why.
    pub(crate) fn stop(&self, what: &str, help: &str) {
        self.fence(&Arc::new(Fence {
            what: what.to_owned(),
            help: help.to_owned(),
        }));
        self.notify();
    }
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Durable").field(&self.mark()).finish()
    }
}

/// A callback that is called as long as this lives.
#[derive(Debug)]
pub struct Registration {
    id: u64,
    durable: Durable,
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.durable.0.callbacks)
            .1
            .retain(|(id, _)| *id != self.id);
    }
}

/// The promise that an appended frame becomes durable.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// The first position given; with none given, the next one to be given.
    pub first: Position,
    /// The last position given; the one before `first` when none was.
    pub last: Position,
    frame: u64,
    durable: Durable,
}

impl Receipt {
    pub(crate) fn new(first: Position, count: u32, frame: u64, durable: Durable) -> Receipt {
        Receipt {
            first,
            last: first.plus(u64::from(count)).previous(),
            frame,
            durable,
        }
    }

    /// How many frames are durable when it is.
    pub(crate) fn frame(&self) -> u64 {
        self.frame
    }

    /// Whether it is durable now.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.durable.frames() >= self.frame
    }

    /// Waits until it is durable.
    ///
    /// # Errors
    /// Unavailable when it is not after `timeout`; stopped when the log was fenced before, in which
    /// case it may or may not be found after the next opening.
    pub fn wait(&self, timeout: Duration) -> Result<()> {
        // Many ask late: they need no lock.
        if self.is_durable() {
            return Ok(());
        }
        let before = self.frame.saturating_sub(1);
        let durable = self.durable.wait_frames(before, timeout)?;
        match durable >= self.frame {
            true => Ok(()),
            false => Err(Error::unavailable(format!(
                "position {} is not durable after {timeout:?}",
                self.last
            ))
            .help("the disk is slow; wait again")),
        }
    }
}
