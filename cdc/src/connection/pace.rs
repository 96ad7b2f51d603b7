//! When to wake for the next bytes: at the first one, or when a lump has gathered.
//!
//! The walsender sends one message per row. A reader that wakes for each of them costs the server a wake-up
//! per row too, and measured a fifth to a half more time. So: while every slice of a few milliseconds brings
//! something, sleep until a lump waits or the slice is over; as soon as a slice brought nothing, wake at the
//! first byte again, so that a lone transaction is not kept waiting.

use std::time::{Duration, Instant};

/// Bytes that end a slice early.
const LUMP_BYTES: usize = 128 << 10;
/// Longest delay that gathering adds to a row.
pub(super) const SLICE: Duration = Duration::from_millis(4);
/// A read of this many bytes is a stream by itself.
const STREAM_BYTES: usize = 16 << 10;

#[derive(Debug, Default)]
pub(super) struct Pace {
    busy: bool,
    last_arrival: Option<Instant>,
}

/// How to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nap {
    /// Bytes that end it.
    pub(super) low_mark_bytes: usize,
    /// When it ends anyway.
    pub(super) until: Instant,
}

impl Pace {
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// How to wait at `now` for a caller that wants to be back at `deadline`.
    pub(super) fn nap(&self, now: Instant, deadline: Instant) -> Nap {
        if self.busy {
            Nap {
                low_mark_bytes: LUMP_BYTES,
                until: deadline.min(now + SLICE),
            }
        } else {
            Nap {
                low_mark_bytes: 1,
                until: deadline,
            }
        }
    }

    /// Learns that a wait which ended at `now` brought `bytes`.
    pub(super) fn brought(&mut self, bytes: usize, now: Instant) {
        let followed = self
            .last_arrival
            .is_some_and(|last| now.duration_since(last) < SLICE);
        self.busy = bytes > 0 && (self.busy || followed || bytes >= STREAM_BYTES);
        if bytes > 0 {
            self.last_arrival = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_message_wakes_at_once_and_a_stream_is_gathered() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let deadline = start + ms(1000);
        let mut pace = Pace::default();
        assert_eq!(pace.nap(start, deadline).low_mark_bytes, 1);
        pace.brought(200, start);
        assert_eq!(
            pace.nap(start, deadline),
            Nap {
                low_mark_bytes: 1,
                until: deadline
            }
        );
        pace.brought(200, start + ms(100)); // long after: still alone
        assert!(!pace.is_busy());
        pace.brought(200, start + ms(102)); // right after: a stream
        let nap = pace.nap(start + ms(102), deadline);
        assert_eq!(
            nap,
            Nap {
                low_mark_bytes: LUMP_BYTES,
                until: start + ms(102) + SLICE
            }
        );
        pace.brought(10, start + ms(106)); // any bytes keep it going
        assert!(pace.is_busy());
        pace.brought(0, start + ms(110)); // a slice without any ends it
        assert!(!pace.is_busy());
        pace.brought(STREAM_BYTES, start + ms(500)); // much at once is a stream too
        assert!(pace.is_busy());
        assert_eq!(pace.nap(start + ms(999), deadline).until, deadline); // never past the deadline
    }
}
