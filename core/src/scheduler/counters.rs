//! What a lane has done since the process began: plain numbers for whoever measures.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one lane. They only grow, and begin at 0 with the process.
#[derive(Debug, Default)]
pub struct LaneCounters {
    /// Loads that came to their end.
    pub loads: Counter,
    /// Microseconds that all loads took together.
    pub load_us: Counter,
    /// Of the loads, those of which every job succeeded.
    pub loads_succeeded: Counter,
    /// Those of which no job succeeded.
    pub loads_failed: Counter,
    /// Those of which some jobs succeeded.
    pub loads_partly: Counter,
    /// Those that took longer than their timeout.
    pub timeouts: Counter,
    /// Those that an operator had dropped.
    pub loads_cancelled: Counter,
    /// Jobs that succeeded. Here and below, where the action takes rows, positions in the batch that no route leads from are
    /// counted too.
    pub succeeded: Counter,
    /// Failed executions that another will follow.
    pub failed: Counter,
    /// Jobs given up.
    pub discarded: Counter,
    /// Jobs that an action did not report.
    pub unknown: Counter,
    /// Jobs held for an operator because the process ended again and again while they were executing.
    pub quarantined: Counter,
    /// Reports of jobs that were not in the batch: refused.
    pub foreign_reports: Counter,
    /// Reports that contradict an earlier one of the same job: refused.
    pub contradicting_reports: Counter,
    /// Jobs made by reports that have something follow.
    pub follow_ups: Counter,
    /// Calls of a report that could not be followed: of an unknown action, or not to be marshalled.
    pub refused_follow_ups: Counter,
    /// Commands of operators that were carried out.
    pub commands: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }
}
