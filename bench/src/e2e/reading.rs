//! What one run of one contender came to.

use std::collections::BTreeMap;

use serde::Serialize;

use super::meter::Usage;

/// One run of one contender.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Reading {
    /// Rows, events or jobs that it handled.
    pub rows: u64,
    /// From its start, as a process where it is one, to its end.
    pub seconds: f64,
    /// What the contender's own process took.
    pub own: Usage,
    /// Processor time of all of Postgres's processes meanwhile, in seconds.
    pub server_cpu_seconds: f64,
    /// Bytes of the lake afterwards.
    pub lake_bytes: u64,
    /// Whatever else it saw, by name with unit.
    pub more: BTreeMap<&'static str, f64>,
}

impl Reading {
    /// Rows in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rows as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// Processor seconds of the contender's process for a million rows.
    #[must_use]
    pub fn cpu_per_million(&self) -> f64 {
        per_million(self.own.cpu_seconds, self.rows)
    }

    /// Processor seconds of Postgres for a million rows.
    #[must_use]
    pub fn server_cpu_per_million(&self) -> f64 {
        per_million(self.server_cpu_seconds, self.rows)
    }
}

fn per_million(seconds: f64, rows: u64) -> f64 {
    seconds * 1e6 / rows.max(1) as f64
}
