//! `batch = { max_rows, max_bytes, max_age }`: when what has gathered becomes one load.

use std::time::Duration;

use super::section::Section;

/// A load closes when it reaches any of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// `max_rows`. Default: 1,000,000.
    pub rows_max: u64,
    /// `max_bytes`. Default: 128 MiB.
    pub bytes_max: u64,
    /// `max_age`: since its oldest event. Default: 10 s.
    pub age_max: Duration,
}

impl Default for Batch {
    fn default() -> Self {
        Batch {
            rows_max: 1_000_000,
            bytes_max: 128 << 20,
            age_max: Duration::from_secs(10),
        }
    }
}

impl Batch {
    /// Reads the table, field by field over `below`.
    pub(super) fn read(mut section: Section, below: Batch) -> Self {
        let batch = Batch {
            rows_max: section
                .take_u64("max_rows")
                .within(1, u64::MAX)
                .or(below.rows_max),
            bytes_max: section
                .take_size("max_bytes")
                .checked(|bytes| *bytes >= 1 << 10, "too small", "at least 1KiB")
                .or(below.bytes_max),
            age_max: section.take_duration("max_age").or(below.age_max),
        };
        section.finish();
        batch
    }
}
