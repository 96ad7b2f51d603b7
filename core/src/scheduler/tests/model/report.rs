//! What an action says of its jobs, and how its load ends: as the reference and the dice write it.

use std::time::Duration;

use crate::job::Status;

/// What an action says.
#[derive(Debug, Clone)]
pub(super) struct Report {
    /// Of whom; of all that are not reported yet when none.
    pub(super) about: Option<Vec<About>>,
    pub(super) said: Said,
    /// What follows those that came out so: the lane of the child.
    pub(super) follows: Vec<(Status, usize)>,
    /// Whether the other side asked for a pause.
    pub(super) pause: Duration,
}

/// Whom a report names.
#[derive(Debug, Clone, Copy)]
pub(super) enum About {
    /// The job at this position; of another lane, or at no position, when none.
    One(Option<u64>),
    /// All jobs from one position to another. Refused as a whole when it reaches beyond the batch.
    Many(u64, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Succeeded,
    Failed,
    Discarded,
}

/// How a load came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Returned,
    Errored,
    Panicked,
    /// It took too long, or an operator had it dropped.
    Dropped,
}
