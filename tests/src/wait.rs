//! Waiting for a condition outside this process, by a bounded poll.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// Polls `look` until it yields a value, or gives up after `timeout`.
pub fn poll<T>(timeout: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(POLL_EVERY);
    }
}

/// Polls `look` until it yields a value.
///
/// # Panics
/// When `timeout` passes first, naming `what` was waited for.
#[track_caller]
pub fn until<T>(timeout: Duration, what: &str, look: impl FnMut() -> Option<T>) -> T {
    match poll(timeout, look) {
        Some(found) => found,
        None => panic!("waited {timeout:?} in vain for {what}"),
    }
}
