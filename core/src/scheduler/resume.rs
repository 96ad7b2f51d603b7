//! What a lane takes up when the process starts again, and what it suspects of having ended the process before.
//!
//! A span found `executing` was in hand when the process ended. It is loaded again, and mostly that is all. But a job can
//! be what ends the process: it takes all memory, or makes a library abort. So what was in hand at [`CRASHES_MAX`] ends
//! in a row is tried with nothing beside it, in halves, until a single job is left; that one is held for an operator,
//! and the others go on. An ordered action is not treated so: its batches may not be cut.
//!
//! What was in hand for the last time that `max_retries` allows is not loaded once more: its outcome is unknown, and that is
//! what it becomes, or whatever the action's policy makes of that. A batch of an ordered action is loaded again all the same:
//! its effect depends only on what is in it, and nothing behind it may go first.

use std::collections::BTreeMap;

use super::filing::Filing;
use super::retries::Retry;
use super::runner::Runner;
use super::timing::Timing;
use crate::clock::{Now, Timestamp};
use crate::destination::{OnUnknown, Ordering};
use crate::error::Result;
use crate::job::{Status, Transition};
use crate::operate::is_held;
use crate::planted;
use crate::position::{Position, Span};
use crate::spans::Spans;
use crate::store::{Lane, OpenSpan};

/// Ends of the process, in a row, during the execution of a batch, after which it is suspected.
const CRASHES_MAX: u32 = 3;

/// Why jobs are left as they are.
const SPENT: &str = "the process ended during the last attempt that max_retries allows";

/// What the spans of one batch have in common: the attempt and the moment, which no two batches in hand share.
type Batch = (u32, Option<Timestamp>);

impl Runner {
    /// Takes up where the lane stood. What failed is tried at once: a restart often is what mends the cause.
    pub(super) async fn resume(&mut self, lane: &Lane) -> Result<Filing> {
        let now = Now::of(&*self.clock);
        let mut next = lane.settled_upto.next();
        let mut claimed = Spans::default();
        let mut executing: BTreeMap<Batch, Vec<Span>> = BTreeMap::new();
        let (mut found, mut given_back) = (Vec::new(), Vec::new());
        for open in lane.open() {
            planted!(ExecutingForgotten, continue);
            if open.span.first <= next {
                next = next.max(open.span.last.next());
            } else if self.has_its_turn(&open) {
                continue;
            } else {
                claimed.add(open.span);
            }
            match open.status {
                Status::Executing => {
                    let batch = executing.entry((open.attempt, open.at));
                    batch.or_default().push(open.span);
                }
                Status::Awaiting if is_held(&open) => self.held.add(open.span),
                // What an operator gave back was perhaps never in one batch.
                Status::Awaiting => given_back.push(waiting(open.span, open.attempt, now)),
                Status::Failed => found.push(waiting(open.span, open.attempt, now)),
                Status::Unknown => self.hold_unknown(&open),
                Status::Succeeded | Status::Discarded | Status::Acknowledged => {}
            }
        }
        found.extend(self.take_up(executing, now).await?);
        found.sort_unstable_by_key(|retry| retry.span.first);
        self.retries.fill(found);
        given_back
            .into_iter()
            .for_each(|retry| self.retries.push_pieces(retry));
        let schedule = &self.rules.schedule;
        self.timing = Timing::after(schedule, now);
        let store = &self.loader.store;
        Ok(Filing::new(store, next, claimed, self.limits))
    }

    /// Whether an operator gave jobs back to an ordered lane that had not come to them yet.
    fn has_its_turn(&self, open: &OpenSpan) -> bool {
        let is_ordered = self.rules.ordering == Ordering::Ordered;
        is_ordered && open.status == Status::Awaiting && open.attempt == 0
    }

    fn hold_unknown(&mut self, open: &OpenSpan) {
        tracing::warn!(lane = %self.name, span = %open.span, "jobs of unknown outcome are held for an operator");
        self.unknown.add(open.span);
    }

    /// What becomes of what was in hand, by batch: what of it is to be loaded again.
    async fn take_up(
        &mut self,
        executing: BTreeMap<Batch, Vec<Span>>,
        now: Now,
    ) -> Result<Vec<Retry>> {
        let mut sizes = BTreeMap::new();
        let mut again = Vec::new();
        let crashes = self.crashes(&executing, &mut sizes)?;
        for ((batch, spans), number) in executing.into_iter().zip(0..) {
            let attempts = batch.0;
            if self.is_spent(attempts) {
                self.leave(&spans, attempts).await?;
                continue;
            }
            let is_suspect = spans.iter().any(|span| {
                crashes
                    .get(&span.first)
                    .is_some_and(|crashes| *crashes >= CRASHES_MAX)
            });
            if is_suspect {
                let jobs = sizes.get(&batch).copied().unwrap_or_default();
                again.extend(self.suspect(&spans, jobs, attempts, now).await?);
            } else {
                again.extend(spans.into_iter().map(|span| Retry {
                    batch: Some(number),
                    ..waiting(span, attempts, now)
                }));
            }
        }
        Ok(again)
    }

    /// Whether the attempts so far are all there may be.
    fn is_spent(&self, attempts: u32) -> bool {
        self.rules.ordering == Ordering::Unordered && !self.rules.schedule.may_retry(attempts)
    }

    /// Records that the last attempt came to no end that anybody knows of.
    async fn leave(&mut self, spans: &[Span], attempts: u32) -> Result<()> {
        let status = match self.rules.on_unknown {
            OnUnknown::Hold => Status::Unknown,
            OnUnknown::Retry => Status::Discarded,
        };
        tracing::error!(lane = %self.name, spans = spans.len(), attempts, %status, "the process ended during the last attempt of these jobs");
        let mut left = self.transitions(&spans.iter().copied().collect(), status, attempts);
        for transition in &mut left {
            transition.error = Some(SPENT.to_owned());
            if status == Status::Unknown {
                self.unknown.add(transition.span);
            }
        }
        let receipt = self.follower.record(&left)?;
        self.until_durable(receipt).await
    }

    /// How often in a row the process ended while these spans were executing, by their first position. Only what has
    /// been executed often enough is looked up: that reads the history.
    fn crashes(
        &self,
        executing: &BTreeMap<Batch, Vec<Span>>,
        sizes: &mut BTreeMap<Batch, u64>,
    ) -> Result<BTreeMap<Position, u32>> {
        let often = executing
            .iter()
            .filter(|((attempts, _), _)| *attempts >= CRASHES_MAX);
        let often = often.flat_map(|(_, spans)| spans.iter().map(|span| span.first));
        let mut crashes: BTreeMap<Position, u32> = match self.rules.ordering {
            Ordering::Ordered => BTreeMap::new(),
            Ordering::Unordered => often.map(|first| (first, 0)).collect(),
        };
        if crashes.is_empty() {
            return Ok(crashes);
        }
        // What else was in the same batch may have been settled meanwhile, before or behind.
        let all = Span::new(Position::FIRST, Position::MAX);
        for transition in self
            .loader
            .store
            .transitions(Some(self.id), all, usize::MAX)?
        {
            let is_begun = transition.status == Status::Executing;
            if is_begun {
                let batch = (transition.attempt, Some(transition.at));
                *sizes.entry(batch).or_default() += transition.span.len();
            }
            let touched = crashes.range_mut(transition.span.first..=transition.span.last);
            for (_, crashes) in touched {
                *crashes = if is_begun { *crashes + 1 } else { 0 };
            }
        }
        Ok(crashes)
    }

    /// Has what is left of a suspected batch of so many `jobs` tried in halves, each alone; a job that was alone is held.
    async fn suspect(
        &mut self,
        spans: &[Span],
        jobs: u64,
        attempts: u32,
        now: Now,
    ) -> Result<Vec<Retry>> {
        if let [span] = spans
            && jobs == 1
        {
            self.quarantine(*span, attempts).await?;
            return Ok(Vec::new());
        }
        tracing::error!(lane = %self.name, spans = spans.len(), attempts, "the process ended again and again while this batch was executing: it is tried in parts, each alone");
        let parts = spans.iter().flat_map(|span| halves(*span, spans.len()));
        let parts = parts.map(|span| Retry {
            alone: true,
            ..waiting(span, attempts, now)
        });
        Ok(parts.collect())
    }

    async fn quarantine(&mut self, span: Span, attempts: u32) -> Result<()> {
        tracing::error!(lane = %self.name, %span, attempts, "the process ended again and again while this job was executing: it is held for an operator");
        let held = Transition {
            lane: self.id,
            span,
            status: Status::Unknown,
            attempt: attempts,
            at: self.clock.now(),
            error: Some(format!(
                "the process ended while the job was executing, {CRASHES_MAX} times or more in a row; it is held for an operator"
            )),
            command: None,
        };
        self.counters.quarantined.add(1);
        self.unknown.add(span);
        let receipt = self.follower.record(&[held])?;
        self.until_durable(receipt).await
    }
}

/// What is loaded again as soon as it may.
fn waiting(span: Span, attempts: u32, now: Now) -> Retry {
    Retry {
        span,
        attempts,
        due: now.elapsed,
        alone: false,
        batch: None,
    }
}

/// A batch of one span in two halves; the spans of others are parts already.
fn halves(span: Span, spans: usize) -> Vec<Span> {
    if spans > 1 || span.len() == 1 {
        return vec![span];
    }
    let middle = span.first.plus(span.len() / 2);
    vec![
        Span::new(span.first, middle.previous()),
        Span::new(middle, span.last),
    ]
}
