//! How actions stand: what waits, what goes on, and what stands in the way.

use std::sync::Arc;

use serde::Serialize;

use super::memory::{Pause, paused};
use super::plan::{Plan, Plans};
use crate::clock::Timestamp;
use crate::destination::Ordering;
use crate::error::Result;
use crate::job::Status;
use crate::position::{Position, Span};
use crate::query::Query;
use crate::spans::Spans;
use crate::store::Lane;

/// How one action stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// `destination/action`.
    pub action: Arc<str>,
    /// In a word.
    pub state: State,
    /// What is configured; none when the action is not any more.
    pub plan: Option<Plan>,
    /// Jobs that wait for a load: acknowledged, awaiting, and not paused.
    pub pending: u64,
    /// Jobs in hand.
    pub executing: u64,
    /// Jobs that wait for their next attempt.
    pub failed: u64,
    /// Jobs that wait for an operator: paused one by one, or of unknown outcome.
    pub held: u64,
    /// Jobs given up whose events are still in the store.
    pub discarded: u64,
    /// How it came to be paused as a whole, if it is.
    pub paused: Option<Pause>,
    /// When the event of the oldest job that is not settled was received; none when every job is.
    pub oldest: Option<Timestamp>,
    /// What was said last of a job that is not settled, or given up, and when.
    pub last_error: Option<(Timestamp, Arc<str>)>,
}

/// How an action stands, in a word. The first that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// `store forget` let go of it, and it was not configured since.
    Forgotten,
    /// No such action is configured: its events are kept for it.
    Unconfigured,
    /// An operator paused it: it begins no load.
    Paused,
    /// It waits for an operator, or, when it loads in order, for the end of what fails.
    Held,
    /// Loads are in hand.
    Executing,
    /// Some jobs failed and wait for their next attempt.
    Failing,
    /// Jobs wait for a load.
    Waiting,
    /// Everything is settled.
    Settled,
}

impl State {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Forgotten => "forgotten",
            State::Unconfigured => "unconfigured",
            State::Paused => "paused",
            State::Held => "held",
            State::Executing => "executing",
            State::Failing => "failing",
            State::Waiting => "waiting",
            State::Settled => "settled",
        }
    }
}

/// How every action stands.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn of_all(query: &Query, plans: &Plans, how: Counted) -> Result<Vec<Standing>> {
    let lanes = query.store().lanes().into_iter();
    let standings = lanes.map(|lane| {
        let plan = plans.get(&lane.name).cloned();
        of(query, &lane, plan, how)
    });
    standings.collect()
}

/// How jobs are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// One by one where it has to be.
    Exactly,
    /// From statistics alone: see [`Query::jobs_in_at_most`].
    AtMost,
}

fn of(query: &Query, lane: &Lane, plan: Option<Plan>, how: Counted) -> Result<Standing> {
    let piles = Piles::of(lane, query.store().durable().upto());
    let paused = paused(query.store().as_ref(), &lane.name);
    let count = |spans: &Spans| match how {
        Counted::Exactly => query.jobs_in(lane, spans),
        Counted::AtMost => Ok(query.jobs_in_at_most(lane, spans)),
    };
    let mut standing = Standing {
        action: Arc::clone(&lane.name),
        state: State::Settled,
        plan,
        pending: count(&piles.pending)?,
        executing: count(&piles.executing)?,
        failed: count(&piles.failed)?,
        held: count(&piles.held)?,
        discarded: count(&piles.discarded)?,
        paused,
        oldest: None,
        last_error: piles.last_error.clone(),
    };
    if standing.unsettled() > 0
        && let Some(first) = piles.first()
    {
        standing.oldest = query.received_at(first)?;
    }
    standing.state = standing.judge(lane);
    Ok(standing)
}

impl Standing {
    /// Jobs that are not settled.
    #[must_use]
    pub fn unsettled(&self) -> u64 {
        self.pending + self.executing + self.failed + self.held
    }

    fn judge(&self, lane: &Lane) -> State {
        let ordered = |plan: &Plan| plan.ordering == Ordering::Ordered;
        let Some(plan) = &self.plan else {
            return match lane.forgotten {
                true => State::Forgotten,
                false => State::Unconfigured,
            };
        };
        match () {
            () if self.paused.is_some() => State::Paused,
            () if self.held > 0 || (self.failed > 0 && ordered(plan)) => State::Held,
            () if self.executing > 0 => State::Executing,
            () if self.failed > 0 => State::Failing,
            () if self.pending > 0 => State::Waiting,
            () => State::Settled,
        }
    }
}

/// Positions of one lane by where their jobs stand.
#[derive(Debug, Default)]
struct Piles {
    pending: Spans,
    executing: Spans,
    failed: Spans,
    held: Spans,
    discarded: Spans,
    last_error: Option<(Timestamp, Arc<str>)>,
}

impl Piles {
    fn of(lane: &Lane, head: Position) -> Piles {
        let mut piles = Piles::default();
        let behind = Span::new(lane.settled_upto.next(), head);
        let unsettled = Some(behind).filter(|span| !span.is_empty());
        for open in unsettled.into_iter().flat_map(|span| lane.all(span)) {
            let held = super::order::is_held(&open);
            let pile = match open.status {
                Status::Acknowledged => &mut piles.pending,
                Status::Awaiting if !held => &mut piles.pending,
                Status::Executing => &mut piles.executing,
                Status::Failed => &mut piles.failed,
                Status::Awaiting | Status::Unknown => &mut piles.held,
                Status::Succeeded | Status::Discarded => continue,
            };
            pile.add(open.span);
            piles.hear(open.at, open.error.as_ref());
        }
        for open in lane.discarded() {
            piles.discarded.add(open.span);
            piles.hear(open.at, open.error.as_ref());
        }
        piles
    }

    /// The first position that is not settled.
    fn first(&self) -> Option<Position> {
        let piles = [&self.pending, &self.executing, &self.failed, &self.held];
        let hulls = piles.iter().filter_map(|pile| pile.hull());
        hulls.map(|hull| hull.first).min()
    }

    fn hear(&mut self, at: Option<Timestamp>, error: Option<&Arc<str>>) {
        let (Some(at), Some(error)) = (at, error) else {
            return;
        };
        if self.last_error.as_ref().is_none_or(|(last, _)| *last <= at) {
            self.last_error = Some((at, Arc::clone(error)));
        }
    }
}
