//! From what an action said to transitions of its jobs. Pure.
//!
//! Every job of the batch gets exactly one transition: the first report of it, else what `load`
//! returned. An event that could not be decoded is discarded with its own reason, whatever the action
//! said of it, unless its part of the batch failed: then that part is loaded again as it was, and
//! the event is met again. So a span that failed as a whole is tried again as a whole, under the
//! name that an earlier attempt may have published.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::destination::{Jobs, Ordering, Outcome as Reported, Then};
use crate::error::Error;
use crate::event::LaneId;
use crate::job::{Status, Transition};
use crate::position::{Position, Span};
use crate::schedule::Schedule;

/// Bytes of an error that are kept in a transition.
const ERROR_BYTES_MAX: usize = 4_096;
/// Bytes of errors that are kept of one batch: with them, its transitions fit into one record.
const ERRORS_BYTES_MAX: usize = 16 << 20;

/// A load that has come to its end.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    pub(super) lane: LaneId,
    pub(super) span: Span,
    pub(super) attempt: u32,
    pub(super) thens: &'a [Then],
    /// Events that could not be decoded, and why.
    pub(super) parked: &'a BTreeMap<Position, Error>,
    /// What `load` returned; a panic is an error like any other.
    pub(super) result: &'a Result<(), Error>,
    pub(super) at: Timestamp,
}

/// What has to be recorded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// In order of position, each job in exactly one.
    pub(super) transitions: Vec<Transition>,
    /// Reports that named jobs outside the batch: refused, to be logged.
    pub(super) foreign: Vec<Span>,
    /// Reports that contradict an earlier one of the same job: refused, to be logged.
    pub(super) contradicting: Vec<Span>,
}

/// Decides what becomes of each job of the batch.
pub(super) fn settle(ended: &Ended<'_>, ordering: Ordering, schedule: &Schedule) -> Settled {
    let judge = Judge {
        attempt: ended.attempt,
        ordering,
        schedule,
    };
    let mut settled = Settled::default();
    let mut parts = Parts::of(ended.span);
    for then in ended.thens {
        let outcome = match &then.outcome {
            Reported::Succeeded => judge.outcome(None, false),
            Reported::Failed(error) => judge.outcome(Some(error), false),
            Reported::Discarded(error) => judge.outcome(Some(error), true),
        };
        match &then.jobs {
            Jobs::All => parts.decide_rest(&outcome),
            Jobs::Spans(spans) => {
                for span in spans {
                    report(&mut parts, *span, &outcome, ended.span, &mut settled);
                }
            }
            Jobs::Ids(ids) => {
                for id in ids {
                    let own = id.position().filter(|_| id.lane() == Some(ended.lane));
                    let at = own.unwrap_or(Position::ZERO);
                    report(
                        &mut parts,
                        Span::new(at, at),
                        &outcome,
                        ended.span,
                        &mut settled,
                    );
                }
            }
        }
    }
    parts.decide_rest(&match ended.result {
        Ok(()) => Outcome {
            status: Status::Unknown,
            error: Some("the action returned without reporting the job".into()),
        },
        Err(error) => judge.outcome(Some(error), false),
    });
    parts.park(ended.parked);
    settled.transitions = parts.into_transitions(ended);
    settled
}

fn report(parts: &mut Parts, span: Span, outcome: &Outcome, whole: Span, settled: &mut Settled) {
    if span.intersection(whole) != Some(span) {
        settled.foreign.push(span);
    } else if !parts.decide(span, outcome) {
        settled.contradicting.push(span);
    }
}

/// What becomes of jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    status: Status,
    error: Option<Arc<str>>,
}

impl Outcome {
    fn because(status: Status, error: &Error) -> Outcome {
        let mut text = error.report();
        text.truncate(text.floor_char_boundary(ERROR_BYTES_MAX));
        Outcome {
            status,
            error: Some(text.into()),
        }
    }
}

/// Says whether a failure is the last one.
struct Judge<'a> {
    attempt: u32,
    ordering: Ordering,
    schedule: &'a Schedule,
}

impl Judge<'_> {
    fn outcome(&self, error: Option<&Error>, force_discard: bool) -> Outcome {
        match error {
            None => Outcome {
                status: Status::Succeeded,
                error: None,
            },
            Some(error) if force_discard || self.is_exhausted() => {
                Outcome::because(Status::Discarded, error)
            }
            Some(error) => Outcome::because(Status::Failed, error),
        }
    }

    /// An ordered range is given up only when somebody said after how many attempts.
    fn is_exhausted(&self) -> bool {
        let gives_up = match self.ordering {
            Ordering::Unordered => true,
            Ordering::Ordered => self.schedule.max_retries_explicit,
        };
        gives_up && !self.schedule.may_retry(self.attempt)
    }
}

/// The batch cut into spans by outcome, each under its first position; none: not reported yet.
struct Parts(BTreeMap<Position, (Position, Option<Outcome>)>);

impl Parts {
    fn of(span: Span) -> Parts {
        Parts(BTreeMap::from([(span.first, (span.last, None))]))
    }

    /// Cuts so that a part begins at `position`, if it is in the batch.
    fn cut(&mut self, position: Position) {
        let Some((_, (last, outcome))) = self.0.range_mut(..position).next_back() else {
            return;
        };
        if *last < position {
            return;
        }
        let behind = (*last, outcome.clone());
        *last = position.previous();
        self.0.insert(position, behind);
    }

    /// Decides what of `span` is not decided; says whether the rest had come out the same.
    fn decide(&mut self, span: Span, outcome: &Outcome) -> bool {
        self.cut(span.first);
        self.cut(span.last.next());
        let mut agrees = true;
        for (_, (_, decided)) in self.0.range_mut(span.first..=span.last) {
            let decided = decided.get_or_insert_with(|| outcome.clone());
            agrees &= decided.status == outcome.status;
        }
        agrees
    }

    fn decide_rest(&mut self, outcome: &Outcome) {
        for (_, decided) in self.0.values_mut() {
            decided.get_or_insert_with(|| outcome.clone());
        }
    }

    /// Discards what is parked, except in what failed.
    fn park(&mut self, parked: &BTreeMap<Position, Error>) {
        for (position, reason) in parked {
            let part = self.0.range_mut(..=*position).next_back();
            let Some((_, (last, Some(decided)))) = part else {
                continue;
            };
            if *last < *position || decided.status == Status::Failed {
                continue;
            }
            self.cut(*position);
            self.cut(position.next());
            if let Some((_, decided)) = self.0.get_mut(position) {
                *decided = Some(Outcome::because(Status::Discarded, reason));
            }
        }
    }

    /// Neighbours that came out the same become one.
    fn into_transitions(self, ended: &Ended<'_>) -> Vec<Transition> {
        let mut transitions: Vec<Transition> = Vec::new();
        let mut errors_bytes = 0;
        for (first, (last, decided)) in self.0 {
            let Some(outcome) = decided else { continue };
            let error = outcome.error.as_deref();
            if let Some(before) = transitions.last_mut()
                && before.status == outcome.status
                && before.error.as_deref() == error
            {
                before.span.last = last;
                continue;
            }
            errors_bytes += error.map_or(0, str::len);
            transitions.push(Transition {
                lane: ended.lane,
                span: Span::new(first, last),
                status: outcome.status,
                attempt: ended.attempt,
                at: ended.at,
                error: error
                    .filter(|_| errors_bytes <= ERRORS_BYTES_MAX)
                    .map(str::to_owned),
                command: None,
            });
        }
        transitions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::PartialSchedule;

    fn span(first: u64, last: u64) -> Span {
        Span::new(Position(first), Position(last))
    }

    struct Load {
        thens: Vec<Then>,
        parked: Vec<u64>,
        result: Result<(), Error>,
        attempt: u32,
        ordering: Ordering,
        max_retries: Option<u32>,
    }

    impl Default for Load {
        fn default() -> Load {
            Load {
                thens: Vec::new(),
                parked: Vec::new(),
                result: Ok(()),
                attempt: 1,
                ordering: Ordering::Ordered,
                max_retries: None,
            }
        }
    }

    impl Load {
        fn settle(&self) -> Settled {
            let schedule = PartialSchedule {
                max_retries: self.max_retries,
                ..PartialSchedule::default()
            };
            let parked = self.parked.iter();
            let parked =
                parked.map(|position| (Position(*position), Error::invalid("column total")));
            let ended = Ended {
                lane: LaneId(1),
                span: span(1, 10),
                attempt: self.attempt,
                thens: &self.thens,
                parked: &parked.collect(),
                result: &self.result,
                at: Timestamp(0),
            };
            settle(&ended, self.ordering, &schedule.settle())
        }

        fn parts(&self) -> Vec<(Span, Status)> {
            let transitions = self.settle().transitions.into_iter();
            transitions
                .map(|transition| (transition.span, transition.status))
                .collect()
        }
    }

    fn disk_full() -> Error {
        Error::unavailable("disk full")
    }

    #[test]
    fn a_report_without_jobs_speaks_of_every_job_not_reported_yet() {
        let load = Load {
            thens: vec![
                Then::discarded(Position(4), disk_full()),
                Then::succeeded(Jobs::All),
            ],
            ..Load::default()
        };
        let expected = [
            (span(1, 3), Status::Succeeded),
            (span(4, 4), Status::Discarded),
            (span(5, 10), Status::Succeeded),
        ];
        assert_eq!(load.parts(), expected);
    }

    #[test]
    fn a_job_that_is_not_reported_is_unknown_or_failed_by_the_error() {
        let half = || vec![Then::succeeded(Jobs::Spans(vec![span(1, 5)]))];
        for (result, rest) in [
            (Ok(()), Status::Unknown),
            (Err(disk_full()), Status::Failed),
        ] {
            let load = Load {
                thens: half(),
                result,
                ..Load::default()
            };
            let expected = [(span(1, 5), Status::Succeeded), (span(6, 10), rest)];
            assert_eq!(load.parts(), expected);
        }
    }

    #[test]
    fn jobs_reported_one_by_one_in_any_order_become_one_span_again() {
        let order = [7, 2, 9, 1, 10, 3, 8, 5, 4, 6];
        let load = Load {
            thens: order
                .map(|position| Then::succeeded(Position(position)))
                .into(),
            ..Load::default()
        };
        assert_eq!(load.parts(), [(span(1, 10), Status::Succeeded)]);
    }

    #[test]
    fn an_ordered_range_is_given_up_only_when_max_retries_was_set() {
        let status = |attempt, ordering, max_retries| {
            let load = Load {
                result: Err(disk_full()),
                attempt,
                ordering,
                max_retries,
                ..Load::default()
            };
            load.parts()[0].1
        };
        assert_eq!(status(1_000, Ordering::Ordered, None), Status::Failed);
        assert_eq!(status(2, Ordering::Ordered, Some(2)), Status::Failed);
        assert_eq!(status(3, Ordering::Ordered, Some(2)), Status::Discarded);
        assert_eq!(status(73, Ordering::Unordered, None), Status::Discarded);
        assert_eq!(status(1, Ordering::Unordered, Some(0)), Status::Discarded);
    }

    #[test]
    fn jobs_outside_the_batch_are_refused() {
        let load = Load {
            thens: vec![Then::succeeded(Position(11)), Then::succeeded(Jobs::All)],
            ..Load::default()
        };
        assert_eq!(load.settle().foreign, [span(11, 11)]);
        assert_eq!(load.parts(), [(span(1, 10), Status::Succeeded)]);
    }

    #[test]
    fn the_first_report_of_a_job_wins_and_one_that_contradicts_it_is_named() {
        let load = Load {
            thens: vec![
                Then::succeeded(Jobs::Spans(vec![span(1, 5)])),
                Then::succeeded(Position(2)),
                Then::failed(Jobs::Spans(vec![span(5, 6)]), disk_full()),
                Then::succeeded(Jobs::All),
            ],
            ..Load::default()
        };
        assert_eq!(load.settle().contradicting, [span(5, 6)]);
        let expected = [
            (span(1, 5), Status::Succeeded),
            (span(6, 6), Status::Failed),
            (span(7, 10), Status::Succeeded),
        ];
        assert_eq!(load.parts(), expected);
    }

    #[test]
    fn what_cannot_be_decoded_is_discarded_although_the_action_said_all_is_well() {
        let load = Load {
            thens: vec![Then::succeeded(Jobs::All)],
            parked: vec![4, 5, 10, 11],
            ..Load::default()
        };
        let expected = [
            (span(1, 3), Status::Succeeded),
            (span(4, 5), Status::Discarded),
            (span(6, 9), Status::Succeeded),
            (span(10, 10), Status::Discarded),
        ];
        assert_eq!(load.parts(), expected);
    }

    #[test]
    fn a_batch_that_failed_stays_whole_although_something_in_it_cannot_be_decoded() {
        let load = Load {
            parked: vec![4],
            result: Err(disk_full()),
            ..Load::default()
        };
        assert_eq!(load.parts(), [(span(1, 10), Status::Failed)]);
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let load = Load {
            result: Err(Error::unavailable("é".repeat(5_000))),
            ..Load::default()
        };
        let error = load.settle().transitions.remove(0).error.unwrap();
        assert!((4_000..=ERROR_BYTES_MAX).contains(&error.len()));
    }
}
