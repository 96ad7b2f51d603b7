//! What failed and waits to be tried again. Pure: time is handed in.

use crate::clock::Timestamp;
use crate::destination::Ordering;
use crate::position::{Position, Span};

/// A span that failed, or that was in hand when the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retry {
    pub(super) span: Span,
    /// Events in it, at most.
    pub(super) events: u64,
    /// Attempts so far.
    pub(super) attempts: u32,
    pub(super) due: Timestamp,
}

/// All that wait in one lane.
#[derive(Debug)]
pub(super) struct Retries {
    ordering: Ordering,
    /// By position.
    waiting: Vec<Retry>,
}

impl Retries {
    pub(super) fn new(ordering: Ordering) -> Retries {
        Retries {
            ordering,
            waiting: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, retry: Retry) {
        let first = retry.span.first;
        let at = self
            .waiting
            .partition_point(|other| other.span.first < first);
        self.waiting.insert(at, retry);
    }

    /// Those that may run: all, or in an ordered lane the oldest only.
    fn eligible(&self) -> &[Retry] {
        match self.ordering {
            Ordering::Unordered => &self.waiting,
            Ordering::Ordered => &self.waiting[..self.waiting.len().min(1)],
        }
    }

    /// Takes the oldest that may run now.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Retry> {
        let at = self.eligible().iter().position(|retry| retry.due <= now)?;
        Some(self.waiting.remove(at))
    }

    /// When the next may run.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.eligible().iter().map(|retry| retry.due).min()
    }

    /// Whether nothing new may be loaded before these.
    pub(super) fn hold(&self) -> bool {
        self.ordering == Ordering::Ordered && !self.waiting.is_empty()
    }

    /// Whether nothing waits up to `position`.
    pub(super) fn is_empty_upto(&self, position: Position) -> bool {
        self.waiting
            .first()
            .is_none_or(|retry| retry.span.first > position)
    }

    /// Lets what waits up to `position` run now.
    pub(super) fn hasten(&mut self, position: Position, now: Timestamp) {
        let asked = |retry: &&mut Retry| retry.span.first <= position;
        for retry in self.waiting.iter_mut().take_while(asked) {
            retry.due = retry.due.min(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(first: u64, due: i64) -> Retry {
        Retry {
            span: Span::starting(Position(first), 5),
            events: 5,
            attempts: 1,
            due: Timestamp(due),
        }
    }

    fn retries(ordering: Ordering) -> Retries {
        let mut retries = Retries::new(ordering);
        retries.push(retry(11, 10));
        retries.push(retry(1, 30));
        retries
    }

    #[test]
    fn an_ordered_lane_tries_its_oldest_and_wakes_for_nothing_else() {
        let mut retries = retries(Ordering::Ordered);
        assert_eq!(retries.next_due(), Some(Timestamp(30)));
        assert_eq!(retries.take_due(Timestamp(29)), None);
        assert!(retries.hold());
        assert_eq!(retries.take_due(Timestamp(30)), Some(retry(1, 30)));
        assert_eq!(retries.take_due(Timestamp(30)), Some(retry(11, 10)));
        assert!(!retries.hold());
    }

    #[test]
    fn an_unordered_lane_tries_whatever_is_due_and_is_never_held() {
        let mut retries = retries(Ordering::Unordered);
        assert_eq!(retries.next_due(), Some(Timestamp(10)));
        assert_eq!(retries.take_due(Timestamp(10)), Some(retry(11, 10)));
        assert_eq!(retries.take_due(Timestamp(10)), None);
        assert!(!retries.hold());
    }

    #[test]
    fn what_is_asked_for_is_due_at_once_and_nothing_behind_it() {
        let mut retries = retries(Ordering::Ordered);
        retries.hasten(Position(10), Timestamp(2));
        assert_eq!(
            retries.take_due(Timestamp(2)).unwrap().span.first,
            Position(1)
        );
        assert_eq!(retries.take_due(Timestamp(2)), None);
        assert!(retries.is_empty_upto(Position(10)));
        assert!(!retries.is_empty_upto(Position(11)));
    }
}
