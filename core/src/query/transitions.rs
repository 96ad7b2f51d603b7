//! The history of jobs, newest first.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Filter, Page, Query};
use crate::error::Result;
use crate::event::LaneId;
use crate::job::{Status, Transition};
use crate::position::Span;
use crate::store::Changes;

/// A change of state of a span of jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransitionRow {
    /// `destination/action`.
    pub action: Arc<str>,
    /// The change.
    pub transition: Transition,
}

/// Which transitions are asked for.
struct Wanted {
    names: HashMap<LaneId, Arc<str>>,
    span: Span,
    filter: Filter,
}

impl Query {
    /// Transitions, newest first. Of a filter, what it says of actions, statuses, attempts, positions, and
    /// when they were made (`created`); or of one job alone, or of one event's.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn transitions(&self, filter: &Filter, page: &Page) -> Result<Vec<TransitionRow>> {
        let Some(wanted) = self.wanted(filter) else {
            return Ok(Vec::new());
        };
        let mut skip = page.offset;
        let mut rows = Vec::new();
        for part in self.store.statistics().iter().rev() {
            if !part
                .lanes
                .iter()
                .any(|(lane, own)| wanted.meets(*lane, own))
            {
                continue;
            }
            for transition in self.store.transitions_in(part)?.into_iter().rev() {
                let Some(action) = wanted.name(&transition) else {
                    continue;
                };
                if skip > 0 {
                    skip -= 1;
                } else if rows.len() == page.limit {
                    return Ok(rows);
                } else {
                    rows.push(TransitionRow { action, transition });
                }
            }
        }
        Ok(rows)
    }

    /// How many transitions there are; one of many jobs counts once.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn count_transitions(&self, filter: &Filter) -> Result<u64> {
        let Some(wanted) = self.wanted(filter) else {
            return Ok(0);
        };
        let mut count = 0;
        for part in &self.store.statistics() {
            let met = || {
                part.lanes
                    .iter()
                    .filter(|(lane, own)| wanted.meets(**lane, own))
            };
            if met().all(|(_, own)| wanted.holds(own)) {
                count += met().map(|(_, own)| own.count).sum::<u64>();
                continue;
            }
            let transitions = self.store.transitions_in(part)?;
            count += transitions
                .iter()
                .filter_map(|own| wanted.name(own))
                .count() as u64;
        }
        Ok(count)
    }

    fn wanted(&self, filter: &Filter) -> Option<Wanted> {
        let filter = filter.applied();
        let view = self.look();
        let own = |lane: LaneId| filter.job.is_none_or(|(own, _)| own == lane);
        let lanes = view.lanes_of(&filter).into_iter();
        let names = lanes
            .filter(|lane| own(lane.id))
            .map(|lane| (lane.id, Arc::clone(&lane.name)));
        let job = filter
            .job
            .map(|(_, position)| Span::new(position, position));
        let span = job.or_else(|| filter.within(view.kept))?;
        Some(Wanted {
            names: names.collect(),
            span,
            filter,
        })
    }
}

impl Wanted {
    /// The name of the lane, when the transition is wanted.
    fn name(&self, transition: &Transition) -> Option<Arc<str>> {
        let name = self.names.get(&transition.lane)?;
        let wanted = transition.span.intersects(self.span)
            && self.filter.statuses.allow(transition.status)
            && self.filter.attempts.allow(transition.attempt)
            && self.filter.created.contain(transition.at);
        wanted.then(|| Arc::clone(name))
    }

    /// Whether some of these may be wanted.
    fn meets(&self, lane: LaneId, changes: &Changes) -> bool {
        let (since, before) = (self.filter.created.since, self.filter.created.before);
        self.names.contains_key(&lane)
            && changes.span.intersects(self.span)
            && changes.at.meets(since, before)
            && self
                .statuses(changes)
                .any(|status| self.filter.statuses.allow(status))
            && changes.attempts.1 >= self.filter.attempts.min
            && self
                .filter
                .attempts
                .max
                .is_none_or(|max| changes.attempts.0 <= max)
    }

    /// Whether all of these are wanted.
    fn holds(&self, changes: &Changes) -> bool {
        let (since, before) = (self.filter.created.since, self.filter.created.before);
        changes.span.intersection(self.span) == Some(changes.span)
            && changes.at.within(since, before)
            && self
                .statuses(changes)
                .all(|status| self.filter.statuses.allow(status))
            && self.filter.attempts.allow(changes.attempts.0)
            && self.filter.attempts.allow(changes.attempts.1)
    }

    fn statuses(&self, changes: &Changes) -> impl Iterator<Item = Status> + use<> {
        let bits = changes.statuses;
        Status::ALL
            .into_iter()
            .filter(move |status| bits & (1 << status.code()) != 0)
    }
}
