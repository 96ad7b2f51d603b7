//! What the lanes of this process have done, for whoever scrapes it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::scheduler::{Counter, LaneCounters, LaneHandle};
use crate::server::Exposition;

/// The counters of every lane that ran in this process, by action: those of the last start.
#[derive(Debug, Default)]
pub(super) struct Census(Mutex<BTreeMap<Arc<str>, Arc<LaneCounters>>>);

impl Census {
    /// Takes up a lane that begins to run.
    pub(super) fn add(&self, lane: &LaneHandle) {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.insert(Arc::clone(&lane.name), Arc::clone(&lane.counters));
    }

    /// Writes what they count.
    pub(super) fn expose(&self, page: &mut Exposition) {
        let lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (action, counters) in lanes.iter() {
            expose(action, counters, page);
        }
    }
}

fn expose(action: &str, counters: &LaneCounters, page: &mut Exposition) {
    let action = ("action", action);
    let mut by_outcome = |name, help, counts: &[(&str, &Counter)]| {
        for (outcome, counter) in counts {
            let labels = [action, ("outcome", *outcome)];
            page.counter(name, help, &labels, counter.get());
        }
    };
    by_outcome(
        "blacksmith_loads_total",
        "Loads that came to their end, by how they did.",
        &[
            ("succeeded", &counters.loads_succeeded),
            ("partly", &counters.loads_partly),
            ("failed", &counters.loads_failed),
            ("timed_out", &counters.timeouts),
            ("cancelled", &counters.loads_cancelled),
        ],
    );
    by_outcome(
        "blacksmith_jobs_total",
        "Executions of jobs, by how they ended.",
        &[
            ("succeeded", &counters.succeeded),
            ("failed", &counters.failed),
            ("discarded", &counters.discarded),
            ("unknown", &counters.unknown),
            ("quarantined", &counters.quarantined),
        ],
    );
    by_outcome(
        "blacksmith_follow_ups_total",
        "Jobs made by reports that have something follow.",
        &[
            ("made", &counters.follow_ups),
            ("refused", &counters.refused_follow_ups),
        ],
    );
    by_outcome(
        "blacksmith_refused_reports_total",
        "Reports of an action that were refused: a mistake in the action.",
        &[
            ("foreign", &counters.foreign_reports),
            ("contradicting", &counters.contradicting_reports),
        ],
    );
    page.counter(
        "blacksmith_load_microseconds_total",
        "Microseconds that all loads took together.",
        &[action],
        counters.load_us.get(),
    );
    page.counter(
        "blacksmith_commands_total",
        "Orders of operators that the running action carried out.",
        &[action],
        counters.commands.get(),
    );
}
