//! What an action says about the jobs it was given.

use std::sync::Mutex;

use crate::error::Error;
use crate::position::{Position, Span};

/// Which jobs of the queue a [`Then`] speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Jobs {
    /// Every job of the queue that has not been reported yet.
    All,
    /// The jobs of the events in these spans.
    Spans(Vec<Span>),
}

impl From<Position> for Jobs {
    fn from(position: Position) -> Jobs {
        Jobs::Spans(vec![Span::new(position, position)])
    }
}

/// One report: these jobs came out like this.
#[derive(Debug)]
pub struct Then {
    /// The jobs.
    pub jobs: Jobs,
    /// `None`: they succeeded. `Some`: they failed, and are retried while retries are left.
    pub error: Option<Error>,
    /// With an error: discard at once, whatever retries are left.
    pub force_discard: bool,
}

impl Then {
    /// The jobs succeeded.
    #[must_use]
    pub fn succeeded(jobs: impl Into<Jobs>) -> Then {
        Then {
            jobs: jobs.into(),
            error: None,
            force_discard: false,
        }
    }

    /// The jobs failed and wait for a retry.
    #[must_use]
    pub fn failed(jobs: impl Into<Jobs>, error: Error) -> Then {
        Then {
            jobs: jobs.into(),
            error: Some(error),
            force_discard: false,
        }
    }

    /// The jobs are given up.
    #[must_use]
    pub fn discarded(jobs: impl Into<Jobs>, error: Error) -> Then {
        Then {
            jobs: jobs.into(),
            error: Some(error),
            force_discard: true,
        }
    }
}

/// Where an action sends its reports: as many as it likes, at any time during `load`.
#[derive(Debug, Default)]
pub struct Thens {
    sent: Mutex<Vec<Then>>,
}

impl Thens {
    /// Sends one report.
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
