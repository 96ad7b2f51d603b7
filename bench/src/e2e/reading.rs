//! What one run of one contender came to.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};

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
    pub more: BTreeMap<String, f64>,
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

/// What a part of this program answers that runs as a process of its own.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Answer {
    /// Rows, events or jobs that it handled.
    pub rows: u64,
    /// How long that took, without what came before and after.
    pub seconds: f64,
    /// Whatever else it saw, by name with unit.
    pub more: BTreeMap<String, f64>,
}

impl Answer {
    /// Of `rows` handled since `started`.
    #[must_use]
    pub fn since(started: Instant, rows: u64) -> Answer {
        Answer {
            rows,
            seconds: started.elapsed().as_secs_f64(),
            more: BTreeMap::new(),
        }
    }

    /// The same with one more figure.
    #[must_use]
    pub fn with(mut self, name: &str, figure: f64) -> Answer {
        self.more.insert(name.into(), figure);
        self
    }
}

/// The percentiles of some times, as figures named `what_p50_ms` and so on; nothing of none.
#[must_use]
pub fn percentiles(what: &str, mut times_ms: Vec<f64>) -> Vec<(String, f64)> {
    times_ms.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| {
        let index = (times_ms.len() as f64 * part) as usize;
        times_ms
            .get(index.min(times_ms.len().saturating_sub(1)))
            .copied()
    };
    let parts = [("p50", 0.50), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)];
    let figures = parts
        .into_iter()
        .filter_map(|(name, part)| Some((format!("{what}_{name}_ms"), at(part)?)));
    figures.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_seen() {
        let figures = percentiles("durable", (1..=100).rev().map(f64::from).collect());
        let values: Vec<f64> = figures.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [51.0, 96.0, 100.0, 100.0]);
        assert_eq!(figures[0].0, "durable_p50_ms");
        assert!(percentiles("durable", Vec::new()).is_empty());
    }
}
