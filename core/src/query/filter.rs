//! What a question lets through. An empty filter lets everything through.

use crate::clock::Timestamp;
use crate::event::LaneId;
use crate::flow::Pattern;
use crate::job::Status;
use crate::position::{Position, Span};
use crate::store::JobState;

use super::list::Cursor;

/// Names that are wanted and names that are not; `*` in one stands for any text.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Only these; all, when empty.
    pub only: Vec<Pattern>,
    /// Not these.
    pub not: Vec<Pattern>,
}

impl Names {
    /// Whether `name` is wanted.
    #[must_use]
    pub fn allow(&self, name: &str) -> bool {
        let matches = |patterns: &[Pattern]| patterns.iter().any(|own| own.matches(name));
        (self.only.is_empty() || matches(&self.only)) && !matches(&self.not)
    }

    /// Whether every name is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.only.is_empty() && self.not.is_empty()
    }
}

/// From a moment on, and before another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// At or after this.
    pub since: Option<Timestamp>,
    /// Before this.
    pub before: Option<Timestamp>,
}

impl Times {
    /// Whether `at` is inside.
    #[must_use]
    pub fn contain(self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.before.is_none_or(|before| at < before)
    }

    /// What is inside of both.
    #[must_use]
    pub fn and(self, other: Times) -> Times {
        Times {
            since: self.since.max(other.since),
            before: match (self.before, other.before) {
                (Some(own), Some(other)) => Some(own.min(other)),
                (own, other) => own.or(other),
            },
        }
    }
}

/// Statuses that are wanted and statuses that are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statuses {
    /// Only these; all, when empty.
    pub only: Vec<Status>,
    /// Not these.
    pub not: Vec<Status>,
}

impl Statuses {
    /// Whether jobs in this state are wanted.
    #[must_use]
    pub fn allow(&self, status: Status) -> bool {
        (self.only.is_empty() || self.only.contains(&status)) && !self.not.contains(&status)
    }
}

/// How many attempts a job may have had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attempts {
    /// At least so many.
    pub min: u32,
    /// At most so many.
    pub max: Option<u32>,
}

impl Attempts {
    /// Whether jobs with this number are wanted.
    #[must_use]
    pub fn allow(self, attempts: u32) -> bool {
        attempts >= self.min && self.max.is_none_or(|max| attempts <= max)
    }
}

/// All that can be asked for. What is said of jobs applies to where they stand now; events are listed
/// when some job of theirs fits.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// One event alone, or its jobs: everything else that is asked for does not count then.
    pub event: Option<Position>,
    /// One job's transitions alone: everything else that is asked for does not count then.
    pub job: Option<(LaneId, Position)>,
    /// Names of sources.
    pub sources: Names,
    /// Names of triggers.
    pub triggers: Names,
    /// Versions of sources; an event without one has the version "".
    pub versions: Names,
    /// When events were received.
    pub received: Times,
    /// Only these positions.
    pub positions: Option<Span>,
    /// Names of destinations.
    pub destinations: Names,
    /// Names of actions.
    pub actions: Names,
    /// Versions of jobs; one without has the version "". Asked for, jobs are read one by one to be counted.
    pub job_versions: Names,
    /// When jobs were made, or transitions.
    pub created: Times,
    /// Where jobs stand, or what transitions lead to.
    pub statuses: Statuses,
    /// How many attempts jobs have had.
    pub attempts: Attempts,
}

impl Filter {
    /// What really counts of it.
    #[must_use]
    pub fn applied(&self) -> Filter {
        match (self.event, self.job) {
            (None, None) => self.clone(),
            (event, job) => Filter {
                event,
                job,
                ..Filter::default()
            },
        }
    }

    pub(super) fn wants_event(&self, source: &str, trigger: &str, version: Option<&str>) -> bool {
        self.sources.allow(source)
            && self.triggers.allow(trigger)
            && self.versions.allow(version.unwrap_or_default())
    }

    pub(super) fn wants_action(&self, lane: &str) -> bool {
        let (destination, action) = lane.split_once('/').unwrap_or((lane, ""));
        self.destinations.allow(destination) && self.actions.allow(action)
    }

    pub(super) fn wants_state(&self, state: &JobState) -> bool {
        self.statuses.allow(state.status) && self.attempts.allow(state.attempt)
    }

    /// Whether it asks about jobs and not only about events.
    pub(super) fn is_about_jobs(&self) -> bool {
        let any = self.destinations.is_empty()
            && self.actions.is_empty()
            && self.job_versions.is_empty()
            && self.created == Times::default()
            && self.statuses == Statuses::default()
            && self.attempts == Attempts::default();
        !any
    }

    /// What of `kept` it looks at.
    pub(super) fn within(&self, kept: Span) -> Option<Span> {
        let whole = match (self.event, self.positions) {
            (Some(position), _) => Span::new(position, position),
            (None, Some(span)) => span,
            (None, None) => kept,
        };
        whole.intersection(kept)
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// How many are passed over, counted from the newest.
    pub offset: u64,
    /// How many are wanted, at most.
    pub limit: usize,
    /// Only what comes behind the row with this cursor: cheaper than an offset, and new events do
    /// not shift it.
    pub after: Option<Cursor>,
}

impl Default for Page {
    /// The newest 100.
    fn default() -> Page {
        Page {
            offset: 0,
            limit: 100,
            after: None,
        }
    }
}
