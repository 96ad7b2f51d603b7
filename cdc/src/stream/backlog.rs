//! How a backlog is cut into batches, and when there is none.
//!
//! For each batch the server reads its log again from where the slot's oldest open transaction began, or a
//! little before, `restart`: it decodes and sends only what lies behind `confirmed`, but the way there takes
//! about a third of the time. So a batch has at least half the length of the way to it. Where the way is
//! longer than two of the largest batches, behind a transaction that is open for hours, the stream reads on,
//! which goes the way only once.

use crate::connection::SlotStanding;

/// How many times the least backlog that counts a batch has, if there is so much.
const BATCH_FACTOR: u64 = 4;
/// Log that a batch covers at most, in bytes, but for a rest that is not worth one of its own. The answer of the
/// server is about as large, unless values were stored compressed.
const BATCH_BYTES_MAX: u64 = 512 << 20;

/// The longest way to a batch, in bytes of log.
const WAY_BYTES_MAX: u64 = 2 * BATCH_BYTES_MAX;

/// From how far behind a slot is read in batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backlog {
    least_bytes: u64,
}

impl Backlog {
    /// Less than `least_bytes` of log is none.
    pub(super) fn from(least_bytes: u64) -> Backlog {
        Backlog {
            least_bytes: least_bytes.max(1),
        }
    }

    /// Whether a stream that has `lag_bytes` before it should give way.
    pub(super) fn outgrew_the_stream(self, lag_bytes: u64) -> bool {
        lag_bytes >= self.least_bytes.saturating_mul(BATCH_FACTOR)
    }

    /// Up to where the next batch goes; `None` when the stream is to go on.
    pub(super) fn batch(self, at: &SlotStanding) -> Option<u64> {
        let (reached, end) = (at.confirmed.0, at.log_end.0);
        let lag = end.saturating_sub(reached);
        let way = reached.saturating_sub(at.restart.0);
        if lag < self.least_bytes || way > WAY_BYTES_MAX {
            return None;
        }
        let usual = self.least_bytes.saturating_mul(BATCH_FACTOR);
        let batch = usual.max(way / 2).min(BATCH_BYTES_MAX);
        match lag <= batch + batch / 2 {
            true => Some(end),
            false => Some(reached + batch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Lsn;

    const MIB: u64 = 1 << 20;

    fn at(restart: u64, confirmed: u64, log_end: u64) -> SlotStanding {
        SlotStanding {
            restart: Lsn(restart * MIB),
            confirmed: Lsn(confirmed * MIB),
            log_end: Lsn(log_end * MIB),
        }
    }

    fn batch(at: &SlotStanding) -> Option<u64> {
        Backlog::from(64 * MIB).batch(at).map(|upto| upto / MIB)
    }

    #[test]
    fn a_slot_that_is_near_the_end_of_the_log_is_streamed() {
        assert_eq!(batch(&at(1000, 1000, 1063)), None);
        assert_eq!(batch(&at(1000, 1000, 1064)), Some(1064));
        assert_eq!(batch(&at(1000, 1000, 900)), None); // another server's figures do no harm
    }

    #[test]
    fn a_large_backlog_is_cut_and_a_small_rest_belongs_to_the_last_batch() {
        assert_eq!(batch(&at(1000, 1000, 9000)), Some(1256));
        assert_eq!(batch(&at(1000, 1000, 1385)), Some(1256));
        assert_eq!(batch(&at(1000, 1000, 1384)), Some(1384));
    }

    #[test]
    fn a_batch_has_half_the_length_of_the_way_to_it_and_is_bounded() {
        assert_eq!(batch(&at(1400, 2000, 9000)), Some(2300));
        assert_eq!(batch(&at(976, 2000, 9000)), Some(2512));
        assert_eq!(batch(&at(975, 2000, 9000)), None);
    }

    #[test]
    fn a_backlog_is_followed_to_its_end_in_batches_that_leave_nothing_out() {
        let mut slot = at(1000, 1000, 9000);
        let mut batches = 0;
        while let Some(upto) = Backlog::from(64 * MIB).batch(&slot) {
            assert!(upto > slot.confirmed.0 && upto <= slot.log_end.0);
            // The server keeps the beginning of an open transaction a little behind.
            slot.restart.0 = slot.confirmed.0;
            slot.confirmed.0 = upto;
            batches += 1;
        }
        assert_eq!(slot.confirmed, slot.log_end);
        assert!(batches < 40, "{batches}");
    }

    #[test]
    fn a_stream_gives_way_only_to_a_backlog_of_several_batches() {
        let backlog = Backlog::from(64 * MIB);
        assert!(!backlog.outgrew_the_stream(255 * MIB));
        assert!(backlog.outgrew_the_stream(256 * MIB));
    }
}
