//! Ends another thread's wait for the network, once.
//!
//! A pipe of which at most one byte is ever in flight: the waiting side polls its reading end beside the
//! socket. A wake that comes before the wait ends the next one at once, so none is ever missed.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use blacksmith_core::error::{Error, Result};

/// A handle that makes the current or the next wait of its connection return early.
///
/// Cheap to clone, usable from any thread. What the woken thread then does is its own affair: look at a
/// stop flag, send a status, or wait again.
#[derive(Debug, Clone)]
pub struct Waker(Arc<Pipe>);

#[derive(Debug)]
struct Pipe {
    pending: AtomicBool,
    reader: PipeReader,
    writer: PipeWriter,
}

impl Waker {
    /// A waker for one or more connections of one thread.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> Result<Self> {
        let (reader, writer) = io::pipe().map_err(|error| {
            Error::unavailable("the system gives no pipe")
                .because(error)
                .help("raise ulimit -n")
        })?;
        let pending = AtomicBool::new(false);
        Ok(Waker(Arc::new(Pipe {
            pending,
            reader,
            writer,
        })))
    }

    /// Ends the wait.
    pub fn wake(&self) {
        // Acquire and release: what the waker wrote before is seen by the woken thread, and the byte is
        // written once until it has been taken.
        if !self.0.pending.swap(true, Ordering::AcqRel) {
            // One byte into an empty pipe neither blocks nor fails while the reader lives, as it does here.
            let _written = (&self.0.writer).write(&[1]);
        }
    }

    /// Waits for a wake, until `until` at the latest.
    pub(crate) fn wait(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(&self.0.reader, PollFlags::IN)];
        // An interrupted wait only ends early; the caller looks at its clock.
        poll(&mut fds, Some(&timeout)).ok();
        self.take();
    }

    /// Takes a wake that has come; false when none has.
    pub(crate) fn take(&self) -> bool {
        if !self.0.pending.load(Ordering::Acquire) {
            return false;
        }
        // The byte is there or about to be: `wake` writes it right after setting the flag.
        let _read = (&self.0.reader).read(&mut [0]);
        self.0.pending.store(false, Ordering::Release);
        true
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_wakes_before_a_wait_end_it_once() {
        let waker = Waker::new().unwrap();
        assert!(!waker.take());
        for _ in 0..100_000 {
            waker.wake(); // more than a pipe holds: must not block
        }
        assert!(waker.take());
        assert!(!waker.take());
        waker.wake();
        assert!(waker.take());
    }
}
