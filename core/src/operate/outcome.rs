//! What an order came to, as whoever gave it is told.

use serde::{Deserialize, Serialize};

/// What an order came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Jobs that the command was carried out on.
    pub taken: u64,
    /// Jobs that were selected, and that it was not carried out on.
    pub refused: u64,
    /// The same by action, in order of registration; actions of which no job was selected are left out.
    pub actions: Vec<LaneOutcome>,
    /// Ids that are no job.
    pub unknown: Vec<Unknown>,
}

/// What an order came to in one action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneOutcome {
    /// `destination/action`.
    pub action: String,
    /// Jobs that the command was carried out on.
    pub taken: u64,
    /// Those that it was not carried out on, by reason.
    pub refused: Vec<Refusal>,
}

/// Jobs that a command was not carried out on for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// How many.
    pub jobs: u64,
    /// Where they stand: the name of a status, `paused`, or `ordered`.
    pub status: String,
    /// Why, and what can be done instead.
    pub reason: String,
}

/// An id that is no job of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// The id.
    pub id: String,
    /// What is known of it.
    pub reason: String,
}

impl Outcome {
    /// Adds what it came to in one action.
    pub(super) fn add(&mut self, lane: LaneOutcome) {
        let refused: u64 = lane.refused.iter().map(|own| own.jobs).sum();
        if lane.taken + refused > 0 {
            self.taken += lane.taken;
            self.refused += refused;
            self.actions.push(lane);
        }
    }
}
