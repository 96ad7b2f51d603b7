//! What large messages take in memory, from their first byte until they are written.
//!
//! The store takes one of any size when nothing else waits, and bounds what waits. What arrives meanwhile would come on
//! top of that: so the next one is begun when the one before it has gone. The server waits that long.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

/// So many bytes are there at once; or those of one message, whatever its size.
const BYTES_MAX: usize = 32 << 20;

/// The memory of the large messages of one connection, or of several that share it.
#[derive(Debug, Clone, Default)]
pub struct LargeMemory(Arc<Taken>);

#[derive(Debug, Default)]
struct Taken {
    bytes: Mutex<usize>,
    less: Condvar,
}

impl LargeMemory {
    /// Takes `bytes`; none when there was no room until `until`.
    pub(super) fn take(&self, bytes: usize, until: Instant) -> Option<Share> {
        let taken = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |taken: &mut usize| *taken > 0 && taken.saturating_add(bytes) > BYTES_MAX;
        let patience = until.saturating_duration_since(Instant::now());
        let waited = self.0.less.wait_timeout_while(taken, patience, is_full);
        let (mut taken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            return None;
        }
        *taken += bytes;
        Some(Share {
            memory: self.clone(),
            bytes,
        })
    }
}

/// The memory of one message, taken until this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    memory: LargeMemory,
    bytes: usize,
}

impl Share {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let taken = &self.memory.0;
        *taken.bytes.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        taken.less.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_any_size_is_taken_and_several_only_as_far_as_they_are_small() {
        let memory = LargeMemory::default();
        let take = |bytes| memory.take(bytes, Instant::now());
        let huge = take(BYTES_MAX * 8).unwrap();
        assert!(take(1).is_none());
        drop(huge);
        let half = take(BYTES_MAX / 2).unwrap();
        let other = take(BYTES_MAX / 2).unwrap();
        assert!(take(1).is_none());
        drop(half);
        assert!(take(BYTES_MAX).is_none());
        drop(other);
        assert_eq!(take(BYTES_MAX).map(|share| share.bytes()), Some(BYTES_MAX));
    }

    #[test]
    fn who_waits_goes_on_when_the_other_has_gone() {
        let memory = LargeMemory::default();
        let share = memory.take(BYTES_MAX, Instant::now()).unwrap();
        let waiting = std::thread::spawn(move || {
            let soon = Instant::now() + std::time::Duration::from_secs(60);
            memory.take(BYTES_MAX, soon).is_some()
        });
        drop(share);
        assert!(waiting.join().unwrap());
    }
}
