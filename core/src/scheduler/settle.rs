//! From what an action said to transitions of its jobs. Pure.
//!
//! Every job of the batch gets exactly one transition: the first report of it, else what `load`
//! returned. An event that could not be decoded was never in the queue that reports speak of: it is discarded with its own
//! reason, whatever the action said, and nothing follows it. Only what failed of an ordered action is loaded again as it
//! was, and the event is met again: so a span that failed as a whole is tried again as a whole, under the name that an
//! earlier attempt may have published.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::call::Call;
use crate::clock::Timestamp;
use crate::destination::{Jobs, OnUnknown, Ordering, Outcome as Reported, Then};
use crate::error::Error;
use crate::event::LaneId;
use crate::job::{Command, Status, Transition};
use crate::position::{Position, Span};
use crate::schedule::Schedule;
use crate::spans::Spans;

/// Bytes of an error that are kept in a transition.
const ERROR_BYTES_MAX: usize = 4_096;
/// Bytes of errors that are kept of one batch: with them, its transitions fit into one record.
const ERRORS_BYTES_MAX: usize = 16 << 20;
/// Why jobs are unknown.
const UNREPORTED: &str = "the action returned without reporting the job";

/// A load that has come to its end.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    pub(super) lane: LaneId,
    /// What was loaded.
    pub(super) spans: &'a Spans,
    /// Jobs that an operator decided meanwhile: nothing more is said of them.
    pub(super) decided: &'a Spans,
    pub(super) attempt: u32,
    pub(super) thens: &'a [Then],
    /// Events that could not be decoded, and why.
    pub(super) parked: &'a BTreeMap<Position, Error>,
    /// Where jobs were, when that is known: elsewhere nothing is routed to the action.
    pub(super) jobs: Option<&'a Spans>,
    pub(super) close: &'a Close,
    pub(super) at: Timestamp,
}

/// How a load ended: what becomes of jobs that were not reported.
#[derive(Debug)]
pub(super) enum Close {
    /// `load` returned.
    Returned,
    /// `load` returned an error, or panicked.
    Failed(Error),
    /// `load` took too long.
    TimedOut(Error),
    /// An operator had it dropped: what it had not reported waits again.
    Cancelled,
}

/// What an action's failures and silences mean.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) ordering: Ordering,
    pub(super) on_unknown: OnUnknown,
    pub(super) schedule: Schedule,
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
    /// What follows whom, in order of position.
    pub(super) follows: Vec<Follow>,
}

/// Jobs that came out so by one report that has something follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Follow {
    pub(super) span: Span,
    /// The index of the report.
    pub(super) then: usize,
    pub(super) status: Status,
}

/// What `then` has follow for jobs that came out as `status`.
pub(super) fn calls(then: &Then, status: Status) -> &[Call] {
    match status {
        Status::Succeeded => &then.on_succeeded,
        Status::Failed => &then.on_failed,
        Status::Discarded => &then.on_discarded,
        _ => &[],
    }
}

/// Decides what becomes of each job of the batch.
pub(super) fn settle(ended: &Ended<'_>, rules: &Rules) -> Settled {
    let judge = Judge {
        attempt: ended.attempt,
        rules,
    };
    let mut settled = Settled::default();
    let mut parts = Parts::of(&ended.spans.minus(ended.decided));
    for (index, then) in ended.thens.iter().enumerate() {
        let outcome = judge.reported(&then.outcome).by(index);
        match &then.jobs {
            Jobs::All => parts.decide_rest(&outcome),
            Jobs::Spans(spans) => {
                for span in spans {
                    let own = ended.spans.hull().is_some_and(|own| {
                        own.intersection(*span) == Some(*span) && ended.spans.intersects(*span)
                    });
                    report(&mut parts, *span, &outcome, own, &mut settled);
                }
            }
            Jobs::Ids(ids) => {
                for id in ids {
                    let at = id.position().filter(|_| id.lane() == Some(ended.lane));
                    let at = at.unwrap_or(Position::ZERO);
                    let own = ended.spans.contains(at);
                    report(&mut parts, Span::new(at, at), &outcome, own, &mut settled);
                }
            }
        }
    }
    // What an ordered action failed with has to come back as the same span, with what is no job in it.
    let whole = rules.ordering == Ordering::Ordered && !matches!(ended.close, Close::Returned);
    if let Some(jobs) = ended.jobs.filter(|_| !whole) {
        let none = Outcome::new(Status::Succeeded, None);
        for span in ended.spans.minus(jobs).iter() {
            parts.decide_open(span, &none);
        }
    }
    parts.decide_rest(&judge.unreported(ended.close));
    parts.park(ended.parked, rules.ordering);
    settled.follows = parts.follows(ended.thens);
    settled.transitions = parts.into_transitions(ended);
    settled
}

/// Takes one report of `span` into account, of which `own` says whether it lies in the batch. Gaps of the batch
/// inside it are no jobs.
fn report(parts: &mut Parts, span: Span, outcome: &Outcome, own: bool, settled: &mut Settled) {
    if !own {
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
    command: Option<Command>,
    /// The index of the report that says so.
    then: Option<usize>,
}

impl Outcome {
    fn new(status: Status, error: Option<Arc<str>>) -> Outcome {
        Outcome {
            status,
            error,
            command: None,
            then: None,
        }
    }

    fn because(status: Status, error: &Error) -> Outcome {
        let mut text = error.report();
        text.truncate(text.floor_char_boundary(ERROR_BYTES_MAX));
        Outcome::new(status, Some(text.into()))
    }

    /// The same, said by the report with this index.
    fn by(self, then: usize) -> Outcome {
        let then = Some(then);
        Outcome { then, ..self }
    }
}

/// Says whether a failure is the last one.
struct Judge<'a> {
    attempt: u32,
    rules: &'a Rules,
}

impl Judge<'_> {
    fn reported(&self, outcome: &Reported) -> Outcome {
        match outcome {
            Reported::Succeeded => Outcome::new(Status::Succeeded, None),
            Reported::Failed(error) => self.failed(error),
            Reported::Discarded(error) => Outcome::because(Status::Discarded, error),
        }
    }

    fn unreported(&self, close: &Close) -> Outcome {
        match (close, self.rules.on_unknown) {
            (Close::Failed(error) | Close::TimedOut(error), _) => self.failed(error),
            (Close::Cancelled, _) => Outcome {
                command: Some(Command::Cancel),
                ..Outcome::new(Status::Awaiting, None)
            },
            (Close::Returned, OnUnknown::Hold) => {
                Outcome::new(Status::Unknown, Some(UNREPORTED.into()))
            }
            (Close::Returned, OnUnknown::Retry) => self.failed(&Error::unavailable(UNREPORTED)),
        }
    }

    fn failed(&self, error: &Error) -> Outcome {
        match self.is_exhausted() {
            true => Outcome::because(Status::Discarded, error),
            false => Outcome::because(Status::Failed, error),
        }
    }

    /// An ordered range is given up only when somebody said after how many attempts.
    fn is_exhausted(&self) -> bool {
        let schedule = &self.rules.schedule;
        let gives_up = match self.rules.ordering {
            Ordering::Unordered => true,
            Ordering::Ordered => schedule.max_retries_explicit,
        };
        gives_up && !schedule.may_retry(self.attempt)
    }
}

/// The batch cut into spans by outcome, each under its first position; none: not reported yet.
struct Parts(BTreeMap<Position, (Position, Option<Outcome>)>);

impl Parts {
    fn of(spans: &Spans) -> Parts {
        Parts(
            spans
                .iter()
                .map(|span| (span.first, (span.last, None)))
                .collect(),
        )
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

    /// Decides what of `span` is not decided.
    fn decide_open(&mut self, span: Span, outcome: &Outcome) {
        // Whether the rest had come out the same is of no interest: nobody reported this.
        let _agrees = self.decide(span, outcome);
    }

    fn decide_rest(&mut self, outcome: &Outcome) {
        for (_, decided) in self.0.values_mut() {
            decided.get_or_insert_with(|| outcome.clone());
        }
    }

    /// Discards what is parked, except in what failed in order. Nothing follows it.
    fn park(&mut self, parked: &BTreeMap<Position, Error>, ordering: Ordering) {
        for (position, reason) in parked {
            let part = self.0.range_mut(..=*position).next_back();
            if part.is_none_or(|(_, (last, _))| *last < *position) {
                continue;
            }
            self.cut(*position);
            self.cut(position.next());
            let Some((_, Some(decided))) = self.0.get_mut(position) else {
                continue;
            };
            decided.then = None;
            let comes_again = ordering == Ordering::Ordered && decided.status == Status::Failed;
            if !comes_again {
                *decided = Outcome::because(Status::Discarded, reason);
            }
        }
    }

    /// Jobs that others follow up, by the report that decided them.
    fn follows(&self, thens: &[Then]) -> Vec<Follow> {
        let parts = self.0.iter().filter_map(|(first, (last, decided))| {
            let decided = decided.as_ref()?;
            let (then, status) = (decided.then?, decided.status);
            let has_calls = thens
                .get(then)
                .is_some_and(|own| !calls(own, status).is_empty());
            let span = Span::new(*first, *last);
            has_calls.then_some(Follow { span, then, status })
        });
        parts.collect()
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
                && before.span.last.next() == first
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
                command: outcome.command,
            });
        }
        transitions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::StoreId;
    use crate::id::Id;
    use crate::schedule::PartialSchedule;

    fn span(first: u64, last: u64) -> Span {
        Span::new(Position(first), Position(last))
    }

    struct Load {
        thens: Vec<Then>,
        parked: Vec<u64>,
        close: Close,
        on_unknown: OnUnknown,
        spans: Vec<Span>,
        decided: Vec<Span>,
        jobs: Option<Spans>,
        attempt: u32,
        ordering: Ordering,
        max_retries: Option<u32>,
    }

    impl Default for Load {
        fn default() -> Load {
            Load {
                thens: Vec::new(),
                parked: Vec::new(),
                close: Close::Returned,
                on_unknown: OnUnknown::Hold,
                spans: vec![span(1, 10)],
                decided: Vec::new(),
                jobs: None,
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
                spans: &self.spans.iter().copied().collect(),
                decided: &self.decided.iter().copied().collect(),
                attempt: self.attempt,
                thens: &self.thens,
                parked: &parked.collect(),
                jobs: self.jobs.as_ref(),
                close: &self.close,
                at: Timestamp(0),
            };
            let rules = Rules {
                ordering: self.ordering,
                on_unknown: self.on_unknown,
                schedule: schedule.settle(),
            };
            settle(&ended, &rules)
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

    /// THN-01 THN-04
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
        for (close, rest) in [
            (Close::Returned, Status::Unknown),
            (Close::Failed(disk_full()), Status::Failed),
            (Close::Cancelled, Status::Awaiting),
        ] {
            let load = Load {
                thens: half(),
                close,
                ..Load::default()
            };
            let expected = [(span(1, 5), Status::Succeeded), (span(6, 10), rest)];
            assert_eq!(load.parts(), expected);
        }
    }

    /// THN-02 STA-04
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

    /// THN-03 SCH-03 STA-05 STA-06
    #[test]
    fn an_ordered_range_is_given_up_only_when_max_retries_was_set() {
        let status = |attempt, ordering, max_retries| {
            let load = Load {
                close: Close::Failed(disk_full()),
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
            close: Close::Failed(disk_full()),
            ..Load::default()
        };
        assert_eq!(load.parts(), [(span(1, 10), Status::Failed)]);
    }

    #[test]
    fn a_batch_with_gaps_settles_its_own_jobs_and_a_report_over_a_gap_is_no_foreign_one() {
        let spans = || vec![span(1, 2), span(5, 5), span(9, 10)];
        let load = Load {
            spans: spans(),
            thens: vec![
                Then::succeeded(Jobs::Spans(vec![span(1, 5)])),
                Then::succeeded(Id::of_job(StoreId(1), LaneId(1), Position(7), Timestamp(0))),
                Then::failed(Jobs::All, disk_full()),
            ],
            ..Load::default()
        };
        let expected = [
            (span(1, 2), Status::Succeeded),
            (span(5, 5), Status::Succeeded),
            (span(9, 10), Status::Failed),
        ];
        assert_eq!(load.parts(), expected);
        assert_eq!(load.settle().foreign, [span(7, 7)]);
    }

    #[test]
    fn a_position_without_a_job_is_neither_unknown_nor_failed() {
        for ordering in [Ordering::Unordered, Ordering::Ordered] {
            let load = Load {
                thens: vec![Then::succeeded(Position(4))],
                jobs: Some(Spans::from_iter([span(4, 4), span(6, 6)])),
                ordering,
                ..Load::default()
            };
            let expected = [
                (span(1, 5), Status::Succeeded),
                (span(6, 6), Status::Unknown),
                (span(7, 10), Status::Succeeded),
            ];
            assert_eq!(load.parts(), expected);
        }
    }

    #[test]
    fn nothing_more_is_said_of_jobs_that_an_operator_decided() {
        let load = Load {
            decided: vec![span(4, 4)],
            thens: vec![
                Then::failed(Position(4), disk_full()),
                Then::succeeded(Jobs::All),
            ],
            ..Load::default()
        };
        let expected = [
            (span(1, 3), Status::Succeeded),
            (span(5, 10), Status::Succeeded),
        ];
        assert_eq!(load.parts(), expected);
        assert!(load.settle().foreign.is_empty());
    }

    /// Scenario 25
    #[test]
    fn a_job_that_is_not_reported_is_tried_again_when_the_action_wants_it_so() {
        let status = |attempt| {
            let load = Load {
                on_unknown: OnUnknown::Retry,
                ordering: Ordering::Unordered,
                attempt,
                ..Load::default()
            };
            load.parts()[0].1
        };
        assert_eq!(status(1), Status::Failed);
        assert_eq!(
            status(73),
            Status::Discarded,
            "and its retries run out like others"
        );
    }

    #[test]
    fn what_follows_belongs_to_the_report_that_decided_the_job() {
        let call = || Call::pass("notify");
        let load = Load {
            thens: vec![
                Then::succeeded(Jobs::Spans(vec![span(1, 4)])),
                Then::failed(Jobs::Spans(vec![span(4, 6)]), disk_full()).on_failed(call()),
                Then::succeeded(Jobs::All)
                    .on_succeeded(call())
                    .on_discarded(call()),
            ],
            parked: vec![9],
            ..Load::default()
        };
        let follow = |first, last, then, status| Follow {
            span: span(first, last),
            then,
            status,
        };
        let expected = [
            follow(5, 6, 1, Status::Failed),
            follow(7, 8, 2, Status::Succeeded),
            follow(10, 10, 2, Status::Succeeded),
        ];
        assert_eq!(
            load.settle().follows,
            expected,
            "what is parked was never in the queue: no report is about it"
        );
    }

    /// Scenario 31
    #[test]
    fn the_last_attempt_is_never_followed_by_another() {
        for max_retries in 0..5 {
            let mut attempt = 0;
            loop {
                attempt += 1;
                let load = Load {
                    close: Close::Failed(disk_full()),
                    ordering: Ordering::Unordered,
                    max_retries: Some(max_retries),
                    attempt,
                    ..Load::default()
                };
                if load.parts()[0].1 == Status::Discarded {
                    break;
                }
            }
            assert_eq!(attempt, max_retries + 1);
        }
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let load = Load {
            close: Close::Failed(Error::unavailable("é".repeat(5_000))),
            ..Load::default()
        };
        let error = load.settle().transitions.remove(0).error.unwrap();
        assert!((4_000..=ERROR_BYTES_MAX).contains(&error.len()));
    }
}
