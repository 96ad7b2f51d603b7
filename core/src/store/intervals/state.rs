//! The state of one job.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::job::Status;

/// The state of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobState {
    /// Where it stands.
    pub status: Status,
    /// The attempt it belongs to; 0 before the first.
    pub attempt: u32,
    /// Since when. Not kept for what succeeded, and there is none before the first transition: the
    /// history knows.
    pub at: Option<Timestamp>,
    /// Why, when it failed, was discarded, or is unknown.
    pub error: Option<Arc<str>>,
}

impl JobState {
    /// The state of a job that nothing has happened to.
    pub(in crate::store) const UNTOUCHED: JobState = JobState {
        status: Status::Acknowledged,
        attempt: 0,
        at: None,
        error: None,
    };
}

pub(super) fn impossible() -> Error {
    Error::damaged("the store's catalog holds impossible states of jobs")
}
