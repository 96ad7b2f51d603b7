//! What failed and waits to be tried again. Pure: time is handed in, as the clock has it that never goes back.
//!
//! An ordered lane tries its oldest span, as it was, and nothing else. In an unordered lane all that is due goes
//! together, as Blacksmith has it: spans that are due and at the same attempt make one batch, with gaps between them.
//! A batch that was in hand when the process ended goes by itself, as it was: whoever was loading it may know it again.
//! Everything costs the logarithm of what waits; neighbours that wait for the same become one, as far as a batch may.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::destination::Ordering;
use crate::position::{Position, Span};
use crate::spans::Spans;

/// Spans of one batch, at most: each is a transition of its own.
const SPANS_MAX: usize = 65_536;
/// When something is due that waits for the next time of a calendar: whoever looks at the calendar says when that is.
pub(super) const NEXT_TIME: Duration = Duration::MAX;

/// A span that failed, or that was in hand when the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retry {
    pub(super) span: Span,
    /// Attempts so far.
    pub(super) attempts: u32,
    pub(super) due: Duration,
    /// Whether it is to be loaded while nothing else is, because the process may end of it.
    pub(super) alone: bool,
    /// The batch that it was in when the process ended: it goes with nothing else, and its parts go together.
    pub(super) batch: Option<u32>,
}

/// A time on the clock that never goes back, in nanoseconds; the last one is [`NEXT_TIME`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

impl From<Duration> for Moment {
    fn from(time: Duration) -> Moment {
        Moment(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Moment> for Duration {
    fn from(moment: Moment) -> Duration {
        match moment.0 {
            u64::MAX => NEXT_TIME,
            nanos => Duration::from_nanos(nanos),
        }
    }
}

/// What is kept of a [`Retry`] beside its first position: there may be millions.
#[derive(Debug, Clone, Copy)]
struct Waits {
    last: Position,
    due: Moment,
    attempts: u32,
    batch: Option<u32>,
    alone: bool,
}

impl Waits {
    fn of(retry: &Retry) -> (Position, Waits) {
        let waits = Waits {
            last: retry.span.last,
            due: retry.due.into(),
            attempts: retry.attempts,
            batch: retry.batch,
            alone: retry.alone,
        };
        (retry.span.first, waits)
    }

    fn from(self, first: Position) -> Retry {
        Retry {
            span: Span::new(first, self.last),
            attempts: self.attempts,
            due: self.due.into(),
            alone: self.alone,
            batch: self.batch,
        }
    }
}

/// What is tried again together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) spans: Spans,
    pub(super) attempts: u32,
    pub(super) alone: bool,
}

/// All that wait in one lane.
#[derive(Debug)]
pub(super) struct Retries {
    ordering: Ordering,
    /// Positions of a batch, at most, unless they are one span that was loaded as such before.
    rows_max: u64,
    /// By first position; none overlap.
    waiting: BTreeMap<Position, Waits>,
    /// First positions by what may go together, then by when.
    due: BTreeMap<Kin, BTreeSet<(Moment, Position)>>,
}

/// What may go together: alone or not, the attempts so far, and the batch that it has to be again.
type Kin = (bool, u32, Option<u32>);

impl Retry {
    fn kin(&self) -> Kin {
        (self.alone, self.attempts, self.batch)
    }

    /// Whether `next` lies right behind and waits for the same.
    fn joins(&self, next: &Retry) -> bool {
        self.span.last.next() == next.span.first
            && self.kin() == next.kin()
            && self.due == next.due
            && !self.alone
    }
}

impl Retries {
    pub(super) fn new(ordering: Ordering, rows_max: u64) -> Retries {
        Retries {
            ordering,
            rows_max,
            waiting: BTreeMap::new(),
            due: BTreeMap::new(),
        }
    }

    pub(super) fn push(&mut self, retry: Retry) {
        let joined = match self.ordering {
            // The next attempt has to be the same span.
            Ordering::Ordered => retry,
            Ordering::Unordered => self.joined(retry),
        };
        self.insert(joined);
    }

    /// Adds what was never loaded as one span, in pieces that a batch may have.
    pub(super) fn push_pieces(&mut self, retry: Retry) {
        let mut rest = retry.span;
        while !rest.is_empty() {
            let span = Span::starting(rest.first, rest.len().min(self.rows_max.max(1)));
            rest.first = span.last.next();
            self.push(Retry { span, ..retry });
        }
    }

    /// Adds all that a process finds when it begins, in order of position: so many at once cost little each.
    pub(super) fn fill(&mut self, mut found: Vec<Retry>) {
        if !self.waiting.is_empty() {
            found.into_iter().for_each(|retry| self.push(retry));
            return;
        }
        found.dedup_by(|next, last| {
            let joins = self.may_join(last, next);
            if joins {
                last.span.last = next.span.last;
            }
            joins
        });
        let mut due: BTreeMap<Kin, Vec<(Moment, Position)>> = BTreeMap::new();
        for retry in &found {
            let own = due.entry(retry.kin()).or_default();
            own.push((retry.due.into(), retry.span.first));
        }
        let due = due.into_iter();
        self.due = due
            .map(|(kin, own)| (kin, own.into_iter().collect()))
            .collect();
        self.waiting = found.into_iter().map(|retry| Waits::of(&retry)).collect();
    }

    /// What waits from this position on; none when nothing begins there.
    fn get(&self, first: Position) -> Option<Retry> {
        self.waiting.get(&first).map(|waits| waits.from(first))
    }

    /// All that wait, in order of position.
    fn all(&self) -> impl Iterator<Item = Retry> {
        self.waiting.iter().map(|(first, waits)| waits.from(*first))
    }

    fn oldest(&self) -> Option<Retry> {
        self.all().next()
    }

    fn may_join(&self, retry: &Retry, next: &Retry) -> bool {
        let rows = retry.span.len() + next.span.len();
        self.ordering == Ordering::Unordered && retry.joins(next) && rows <= self.rows_max
    }

    /// `retry` together with the neighbours that wait for the same, which are taken out.
    fn joined(&mut self, mut retry: Retry) -> Retry {
        let before = self.waiting.range(..retry.span.first).next_back();
        if let Some(before) = before.map(|(first, before)| before.from(*first))
            && self.may_join(&before, &retry)
        {
            self.remove(before.span.first);
            retry.span.first = before.span.first;
        }
        let after = self.get(retry.span.last.next());
        if let Some(after) = after.filter(|after| self.may_join(&retry, after)) {
            self.remove(after.span.first);
            retry.span.last = after.span.last;
        }
        retry
    }

    fn insert(&mut self, retry: Retry) {
        let (first, waits) = Waits::of(&retry);
        self.waiting.insert(first, waits);
        let due = self.due.entry(retry.kin()).or_default();
        due.insert((waits.due, first));
    }

    fn remove(&mut self, first: Position) -> Option<Retry> {
        let waits = self.waiting.remove(&first)?;
        let retry = waits.from(first);
        if let Some(due) = self.due.get_mut(&retry.kin()) {
            due.remove(&(waits.due, first));
            if due.is_empty() {
                self.due.remove(&retry.kin());
            }
        }
        Some(retry)
    }

    /// Takes what may be tried now, as many positions as a batch may have but for what is one span; what is to be
    /// loaded alone only when the lane is `idle`.
    pub(super) fn take_due(&mut self, now: Duration, idle: bool) -> Option<Due> {
        let kin = match self.ordering {
            Ordering::Ordered => {
                let oldest = self.oldest().filter(|oldest| oldest.due <= now)?;
                self.remove(oldest.span.first);
                return Some(Due {
                    spans: Spans::from(oldest.span),
                    attempts: oldest.attempts,
                    alone: false,
                });
            }
            Ordering::Unordered => self.earliest(now, idle)?,
        };
        let (alone, attempts, batch) = kin;
        let mut firsts = Vec::new();
        let mut rows = 0;
        for (due, first) in self.due.get(&kin).into_iter().flatten() {
            let own = self.get(*first).map_or(0, |retry| retry.span.len());
            let fits = rows + own <= self.rows_max && firsts.len() < SPANS_MAX;
            let fits = !alone && (fits || batch.is_some());
            if *due > Moment::from(now) || !(firsts.is_empty() || fits) {
                break;
            }
            rows += own;
            firsts.push(*first);
        }
        firsts.sort_unstable();
        let taken = firsts.into_iter().filter_map(|first| self.remove(first));
        let spans = taken.map(|retry| retry.span).collect();
        Some(Due {
            spans,
            attempts,
            alone,
        })
    }

    /// The kin of which one is due first, among those that may run now.
    fn earliest(&self, now: Duration, idle: bool) -> Option<Kin> {
        let firsts = self.due.iter().filter(|((alone, ..), _)| idle || !alone);
        let firsts = firsts.filter_map(|(kin, due)| Some((due.first()?.0, *kin)));
        let (due, kin) = firsts.min()?;
        (due <= Moment::from(now)).then_some(kin)
    }

    /// When the next may run, in a lane that is `idle` or not; [`NEXT_TIME`] when all wait for that.
    pub(super) fn next_due(&self, idle: bool) -> Option<Duration> {
        match self.ordering {
            Ordering::Ordered => self.oldest().map(|oldest| oldest.due),
            Ordering::Unordered => {
                let may = self.due.iter().filter(|((alone, ..), _)| idle || !alone);
                let firsts = may.filter_map(|(_, due)| due.first());
                firsts.map(|(due, _)| *due).min().map(Duration::from)
            }
        }
    }

    /// Whether nothing new may be loaded before these.
    pub(super) fn hold(&self) -> bool {
        let has_suspects = || self.due.keys().any(|(alone, ..)| *alone);
        match self.ordering {
            Ordering::Ordered => !self.waiting.is_empty(),
            // Whatever else were in hand would be suspected too if the process ended.
            Ordering::Unordered => has_suspects(),
        }
    }

    /// Whether nothing waits up to `position`.
    pub(super) fn is_empty_upto(&self, position: Position) -> bool {
        let first = self.waiting.first_key_value();
        first.is_none_or(|(first, _)| *first > position)
    }

    /// Lets what waits up to `position` run now.
    pub(super) fn hasten(&mut self, position: Position, now: Duration) {
        self.hasten_those(now, |retry| retry.span.first <= position && retry.due > now);
    }

    /// Lets what waits for the next time of a calendar run now: it has come.
    pub(super) fn time_has_come(&mut self, now: Duration) {
        self.hasten_those(now, |retry| retry.due == NEXT_TIME);
    }

    fn hasten_those(&mut self, now: Duration, is_meant: impl Fn(&Retry) -> bool) {
        let late = self.all().filter(|retry| is_meant(retry));
        let late: Vec<_> = late.map(|retry| retry.span.first).collect();
        for first in late {
            if let Some(retry) = self.remove(first) {
                self.insert(Retry { due: now, ..retry });
            }
        }
    }

    /// Takes the positions of `span` out; what waits beside them goes on to.
    pub(super) fn take_out(&mut self, span: Span) {
        let before = self.waiting.range(..span.first).next_back();
        let before = before.map(|(first, _)| *first);
        let inside = self.waiting.range(span.first..=span.last);
        let touched: Vec<_> = before
            .into_iter()
            .chain(inside.map(|(first, _)| *first))
            .collect();
        for first in touched {
            let whole = self.get(first);
            if whole.is_some_and(|retry| retry.span.intersects(span)) {
                self.remove(first);
                for left in whole.into_iter().flat_map(|retry| {
                    let left = Spans::from(retry.span).minus(&Spans::from(span));
                    let left: Vec<_> = left.iter().map(|span| Retry { span, ..retry }).collect();
                    left
                }) {
                    self.insert(left);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = u64::MAX;

    fn retry(first: u64, count: u64, due: u64) -> Retry {
        Retry {
            span: Span::starting(Position(first), count),
            attempts: 1,
            due: Duration::from_secs(due),
            alone: false,
            batch: None,
        }
    }

    fn retries(ordering: Ordering) -> Retries {
        let mut retries = Retries::new(ordering, ALL);
        retries.push(retry(11, 5, 10));
        retries.push(retry(1, 5, 30));
        retries
    }

    fn take(retries: &mut Retries, now: u64, rows_max: u64) -> Option<Vec<(u64, u64)>> {
        retries.rows_max = rows_max;
        let due = retries.take_due(Duration::from_secs(now), true)?;
        let spans = due.spans.iter().map(|span| (span.first.0, span.last.0));
        Some(spans.collect())
    }

    #[test]
    fn an_ordered_lane_tries_its_oldest_and_wakes_for_nothing_else() {
        let mut retries = retries(Ordering::Ordered);
        assert_eq!(retries.next_due(true), Some(Duration::from_secs(30)));
        assert_eq!(take(&mut retries, 29, ALL), None);
        assert!(retries.hold());
        assert_eq!(take(&mut retries, 30, ALL), Some(vec![(1, 5)]));
        assert_eq!(take(&mut retries, 30, ALL), Some(vec![(11, 15)]));
        assert!(!retries.hold());
    }

    #[test]
    fn an_unordered_lane_tries_whatever_is_due_and_is_never_held() {
        let mut retries = retries(Ordering::Unordered);
        assert!(!retries.hold());
        assert_eq!(retries.next_due(true), Some(Duration::from_secs(10)));
        assert_eq!(take(&mut retries, 10, ALL), Some(vec![(11, 15)]));
        assert_eq!(take(&mut retries, 10, ALL), None);
        assert_eq!(retries.next_due(true), Some(Duration::from_secs(30)));
    }

    #[test]
    fn all_that_is_due_at_the_same_attempt_goes_together_as_far_as_a_batch_may() {
        let mut retries = retries(Ordering::Unordered);
        retries.push(Retry {
            attempts: 2,
            ..retry(21, 1, 5)
        });
        assert_eq!(take(&mut retries, 30, ALL), Some(vec![(21, 21)]));
        retries.push(retry(31, 3, 30));
        assert_eq!(take(&mut retries, 30, 10), Some(vec![(1, 5), (11, 15)]));
        assert_eq!(
            take(&mut retries, 30, 1),
            Some(vec![(31, 33)]),
            "one span is never cut"
        );
    }

    #[test]
    fn neighbours_that_wait_for_the_same_become_one_unless_order_counts() {
        for (ordering, spans) in [(Ordering::Unordered, 1), (Ordering::Ordered, 3)] {
            let mut retries = Retries::new(ordering, ALL);
            for first in [1, 3, 2] {
                retries.push(retry(first, 1, 7));
            }
            assert_eq!(retries.waiting.len(), spans);
        }
    }

    #[test]
    fn neighbours_become_no_more_than_a_batch_may_have_and_what_never_was_one_is_cut() {
        for fills in [false, true] {
            let mut retries = Retries::new(Ordering::Unordered, 10);
            let found = (0..5).map(|at| retry(at * 4 + 1, 4, 0));
            match fills {
                true => retries.fill(found.collect()),
                false => found.for_each(|own| retries.push(own)),
            }
            retries.push_pieces(retry(21, 25, 0));
            let spans: Vec<_> = retries.all().map(|own| own.span.len()).collect();
            assert!(spans.iter().all(|rows| *rows <= 10), "{spans:?}");
            assert_eq!(spans.iter().sum::<u64>(), 45);
        }
    }

    #[test]
    fn a_batch_that_was_in_hand_goes_as_it_was_and_with_nothing_else() {
        let mut retries = Retries::new(Ordering::Unordered, 3);
        let of = |first, count, batch| Retry {
            batch,
            ..retry(first, count, 0)
        };
        retries.fill(vec![
            of(1, 2, Some(0)),
            of(3, 2, Some(1)),
            of(5, 2, Some(0)),
            of(7, 1, None),
        ]);
        assert_eq!(take(&mut retries, 0, 3), Some(vec![(7, 7)]));
        assert_eq!(take(&mut retries, 0, 3), Some(vec![(1, 2), (5, 6)]));
        assert_eq!(take(&mut retries, 0, 3), Some(vec![(3, 4)]));
    }

    #[test]
    fn what_is_suspected_is_tried_alone_and_lets_nothing_new_begin() {
        let mut retries = retries(Ordering::Unordered);
        retries.push(Retry {
            alone: true,
            ..retry(21, 2, 0)
        });
        assert!(retries.hold());
        let now = Duration::from_secs(10);
        let busy = retries.take_due(now, false).map(|due| due.spans);
        assert_eq!(busy, Some(Spans::from(Span::starting(Position(11), 5))));
        assert_eq!(take(&mut retries, 10, ALL), Some(vec![(21, 22)]));
    }

    #[test]
    fn what_waits_is_hastened_up_to_a_position() {
        let mut retries = retries(Ordering::Unordered);
        retries.hasten(Position(5), Duration::from_secs(3));
        assert_eq!(retries.next_due(true), Some(Duration::from_secs(3)));
        assert!(!retries.is_empty_upto(Position(1)) && retries.is_empty_upto(Position(0)));
        assert_eq!(take(&mut retries, 3, ALL), Some(vec![(1, 5)]));
        assert_eq!(retries.next_due(true), Some(Duration::from_secs(10)));
    }

    #[test]
    fn positions_are_taken_out_of_what_waits() {
        let mut retries = retries(Ordering::Unordered);
        retries.take_out(Span::new(Position(4), Position(12)));
        assert_eq!(take(&mut retries, 30, ALL), Some(vec![(1, 3), (13, 15)]));
        assert!(retries.is_empty_upto(Position::MAX) && retries.due.is_empty());
    }

    #[test]
    fn a_million_scattered_jobs_wait_and_go_together() {
        let mut retries = Retries::new(Ordering::Unordered, 100_000);
        retries.fill((0..1_000_000).map(|at| retry(at * 2 + 1, 1, 10)).collect());
        let mut jobs = 0;
        let mut batches = 0;
        while let Some(due) = retries.take_due(Duration::from_secs(10), true) {
            jobs += due.spans.positions();
            batches += 1;
        }
        assert_eq!((jobs, batches), (1_000_000, 16));
    }
}
