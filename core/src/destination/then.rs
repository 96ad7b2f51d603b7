//! What an action says about the jobs it was given.
//!
//! Reports may come in any order and speak of any part of the queue. The first report of a job wins: one that contradicts it is
//! logged and counted, and so is one that names a job outside of the queue. So an action may report what is special as it meets it,
//! and end with [`Then::succeeded`] of [`Jobs::All`].

use std::sync::Mutex;
use std::time::Duration;

use crate::call::Call;
use crate::error::Error;
use crate::id::Id;
use crate::job::QueuedJob;
use crate::position::{Position, Span};

/// Which jobs of the queue a [`Then`] speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Jobs {
    /// Every job of the queue that has not been reported yet.
    All,
    /// The jobs of the events in these spans.
    Spans(Vec<Span>),
    /// The jobs with these ids.
    Ids(Vec<Id>),
}

impl From<Position> for Jobs {
    fn from(position: Position) -> Jobs {
        Jobs::Spans(vec![Span::new(position, position)])
    }
}

impl From<Id> for Jobs {
    fn from(id: Id) -> Jobs {
        Jobs::Ids(vec![id])
    }
}

impl From<&QueuedJob> for Jobs {
    fn from(job: &QueuedJob) -> Jobs {
        Jobs::from(job.position)
    }
}

/// No ids means every job, as Blacksmith has it.
impl From<Vec<Id>> for Jobs {
    fn from(ids: Vec<Id>) -> Jobs {
        if ids.is_empty() {
            Jobs::All
        } else {
            Jobs::Ids(ids)
        }
    }
}

/// One report: these jobs came out like this.
///
/// Follow-ups are calls of actions of the same destination: one child job for each job that came out so,
/// created exactly once, together with the change of state, and loaded on the schedule of its own action.
#[derive(Debug)]
pub struct Then {
    /// The jobs.
    pub jobs: Jobs,
    /// How they came out.
    pub outcome: Outcome,
    /// What follows for each of these jobs that succeeded.
    pub on_succeeded: Vec<Call>,
    /// What follows for each of these jobs that failed, at each failed attempt that is not the last.
    pub on_failed: Vec<Call>,
    /// What follows for each of these jobs that is given up.
    pub on_discarded: Vec<Call>,
    /// How long the other side asked to be left alone: nothing that failed in this load is tried again
    /// sooner, even when the schedule says so.
    pub retry_after: Option<Duration>,
}

/// How jobs came out. A job is given up at once only with a reason.
#[derive(Debug)]
pub enum Outcome {
    /// They were loaded.
    Succeeded,
    /// They were not, and are tried again while retries are left.
    Failed(Error),
    /// They were not, and are given up whatever retries are left.
    Discarded(Error),
}

impl Then {
    /// The jobs succeeded.
    #[must_use]
    pub fn succeeded(jobs: impl Into<Jobs>) -> Then {
        Then::new(jobs, Outcome::Succeeded)
    }

    /// The jobs failed and wait for a retry.
    #[must_use]
    pub fn failed(jobs: impl Into<Jobs>, error: Error) -> Then {
        Then::new(jobs, Outcome::Failed(error))
    }

    /// The jobs are given up.
    #[must_use]
    pub fn discarded(jobs: impl Into<Jobs>, error: Error) -> Then {
        Then::new(jobs, Outcome::Discarded(error))
    }

    fn new(jobs: impl Into<Jobs>, outcome: Outcome) -> Then {
        Then {
            jobs: jobs.into(),
            outcome,
            on_succeeded: Vec::new(),
            on_failed: Vec::new(),
            on_discarded: Vec::new(),
            retry_after: None,
        }
    }

    /// The same report; what failed in this load is not tried again before `pause` has passed.
    #[must_use]
    pub fn retry_after(mut self, pause: Duration) -> Then {
        self.retry_after = Some(pause);
        self
    }

    /// The same report; each of its jobs that succeeds is followed by `call`.
    #[must_use]
    pub fn on_succeeded(mut self, call: Call) -> Then {
        self.on_succeeded.push(call);
        self
    }

    /// The same report; each of its jobs that fails and will be tried again is followed by `call`.
    #[must_use]
    pub fn on_failed(mut self, call: Call) -> Then {
        self.on_failed.push(call);
        self
    }

    /// The same report; each of its jobs that is given up is followed by `call`.
    #[must_use]
    pub fn on_discarded(mut self, call: Call) -> Then {
        self.on_discarded.push(call);
        self
    }
}

/// Where an action sends its reports: as many as it likes, at any time during `load`.
#[derive(Debug, Default)]
pub struct Thens {
    sent: Mutex<Vec<Then>>,
}

impl Thens {
    /// Sends one report. Does not wait; what was sent is recorded when the load ends, in one record with the follow-ups.
    pub fn send(&self, then: Then) {
        self.sent
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(then);
    }

    /// Takes what was sent so far, in order.
    #[must_use]
    pub fn take(&self) -> Vec<Then> {
        std::mem::take(
            &mut self
                .sent
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }
}
