//! Everything that happened, as simply as it can be kept: one row per job.

use std::collections::BTreeMap;

use super::super::house::KINDS;
use crate::clock::Timestamp;
use crate::job::{Status, Transition};
use crate::position::Position;

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) status: Status,
    pub(super) attempts: u32,
    pub(super) error: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Event {
    /// Of [`KINDS`]; behind them, a follow-up.
    pub(super) kind: usize,
    pub(super) received_at: Timestamp,
}

/// Everything that happened, as simply as it can be kept.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) events: BTreeMap<u64, Event>,
    /// By lane (0 or 1) and position; whatever the lane was told of, be it a job or not.
    pub(super) rows: BTreeMap<(usize, u64), Row>,
    pub(super) transitions: Vec<Transition>,
    /// How far each lane has read.
    pub(super) read: [u64; 2],
    pub(super) at: Timestamp,
}

impl Model {
    pub(super) fn append(&mut self, first: Position, kinds: &[usize]) {
        for (position, kind) in (first.0..).zip(kinds) {
            let (kind, received_at) = (*kind, self.at);
            self.events.insert(position, Event { kind, received_at });
        }
    }

    pub(super) fn row(&self, lane: usize, position: u64) -> Row {
        let untouched = Row {
            status: Status::Acknowledged,
            attempts: 0,
            error: None,
        };
        self.rows
            .get(&(lane, position))
            .cloned()
            .unwrap_or(untouched)
    }

    pub(super) fn apply(&mut self, lane: usize, transition: &Transition) {
        self.transitions.push(transition.clone());
        for position in transition.span.first.0..=transition.span.last.0 {
            let settled = self.row(lane, position).status.is_settled();
            let reopens = transition.command.is_some() && !transition.status.is_settled();
            if !settled || reopens {
                let row = Row {
                    status: transition.status,
                    attempts: transition.attempt,
                    error: transition.error.clone(),
                };
                self.rows.insert((lane, position), row);
            }
        }
    }

    fn is_job(&self, lane: usize, event: &Event) -> bool {
        match (KINDS.get(event.kind), lane) {
            (Some((_, routed, _)), 0) => *routed,
            (Some((_, _, calls)), _) => *calls,
            (None, lane) => lane == 1,
        }
    }

    pub(super) fn trigger(event: &Event) -> &'static str {
        KINDS.get(event.kind).map_or("signup", |kind| kind.0)
    }

    /// Newest first, and in the order of lanes.
    pub(super) fn jobs(
        &self,
        wanted: impl Fn(usize, u64, &Event, &Row) -> bool,
    ) -> Vec<(u64, usize, Row)> {
        let mut found = Vec::new();
        for (position, event) in self.events.iter().rev() {
            for lane in 0..2 {
                let row = self.row(lane, *position);
                if self.is_job(lane, event) && wanted(lane, *position, event, &row) {
                    found.push((*position, lane, row));
                }
            }
        }
        found
    }
}
