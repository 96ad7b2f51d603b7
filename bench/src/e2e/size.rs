//! How much is measured: the short form for CI, the default for a desk, the full one for the record.

use serde::Serialize;

/// Rows and rounds of a run. Scenarios take parts of `rows` where theirs are slower.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Size {
    /// Its name.
    pub name: &'static str,
    /// How often each contender runs.
    pub rounds: usize,
    /// Rows of a table, and changes of a backlog.
    pub rows: u64,
    /// How long a fixed rate is held, in seconds.
    pub steady_seconds: u64,
}

impl Size {
    /// About 3 minutes.
    pub const SHORT: Size = Size {
        name: "short",
        rounds: 1,
        rows: 250_000,
        steady_seconds: 3,
    };
    /// About 15 minutes.
    pub const DEFAULT: Size = Size {
        name: "default",
        rounds: 3,
        rows: 500_000,
        steady_seconds: 8,
    };
    /// Everything, five times.
    pub const FULL: Size = Size {
        name: "full",
        rounds: 5,
        rows: 1_000_000,
        steady_seconds: 20,
    };
}
