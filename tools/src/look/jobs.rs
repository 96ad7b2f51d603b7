//! Jobs: one per event and action that it is routed to, computed and never stored.

use std::sync::Arc;

use blacksmith_core::clock::Timestamp;
use blacksmith_core::error::Result;
use blacksmith_core::id::Id;
use blacksmith_core::job::{Status, Transition};
use blacksmith_core::position::{Position, Span};
use blacksmith_core::store::Lane;
use serde_json::{Value, json};

use super::filter::Filter;
use super::scan::Event;
use super::{Address, Look, time};
use crate::table::Table;

/// One job and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Job {
    event: Event,
    lane: Lane,
    standing: Standing,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    status: Status,
    /// Known from the lane for what is open, else from the history.
    attempts: Option<u32>,
    since: Option<Timestamp>,
    error: Option<Arc<str>>,
}

impl Look {
    pub(super) fn list_jobs(&self, filter: &Filter) -> Result<Table> {
        let mut jobs = Vec::new();
        for lane in self.store.lanes() {
            for span in spans(&lane, filter, self.store.durable().upto()) {
                let keep = |event: &Event| self.job(event, &lane, filter).is_some();
                let events = self.newest(span, filter, &keep)?;
                jobs.extend(
                    events
                        .iter()
                        .filter_map(|event| self.job(event, &lane, filter)),
                );
            }
        }
        jobs.sort_by_key(|job| std::cmp::Reverse(job.event.position));
        jobs.truncate(filter.limit);
        self.recall(&mut jobs)?;
        let columns = [
            "id",
            "position",
            "source",
            "trigger",
            "destination",
            "action",
            "status",
            "attempts",
            "since",
            "error",
        ];
        let mut table = Table::new(&columns);
        for job in &jobs {
            let (destination, action) = Look::lane_names(&job.lane.name);
            table.row([
                json!(job.id(self).to_string()),
                json!(job.event.position.0),
                json!(*job.event.source),
                json!(*job.event.trigger),
                json!(destination),
                json!(action),
                json!(job.standing.status.name()),
                json!(job.standing.attempts),
                json!(job.standing.since.map(time)),
                json!(job.standing.error.as_deref()),
            ]);
        }
        Ok(table)
    }

    pub(super) fn show_jobs(&self, address: &Address) -> Result<Vec<Value>> {
        let event = self.event(address)?;
        let mut jobs = self.jobs_of(&event, &Filter::everything());
        jobs.retain(|job| address.lane.is_none_or(|lane| job.lane.id == lane));
        self.recall(&mut jobs)?;
        jobs.iter()
            .map(|job| {
                let history = self.history(&job.lane, job.event.position)?;
                let mut shown = job.json(self);
                shown["source"] = json!(*event.source);
                shown["trigger"] = json!(*event.trigger);
                shown["event_id"] = json!(self.event_id(&event).to_string());
                shown["rows"] = json!(event.rows);
                shown["transitions"] = history.iter().map(super::transitions::json).collect();
                Ok(shown)
            })
            .collect()
    }

    /// The jobs of `event` that pass `filter`.
    pub(super) fn jobs_of(&self, event: &Event, filter: &Filter) -> Vec<Job> {
        let lanes = self.store.lanes();
        lanes
            .iter()
            .filter_map(|lane| self.job(event, lane, filter))
            .collect()
    }

    /// The job that `lane` has for `event`, when there is one and it passes `filter`.
    fn job(&self, event: &Event, lane: &Lane, filter: &Filter) -> Option<Job> {
        let (destination, action) = Look::lane_names(&lane.name);
        let leads = |route: &blacksmith_core::flow::Route| {
            route.leads(&event.source, &event.trigger, destination, action)
        };
        let exists = event.position >= lane.start && self.routes.iter().any(leads);
        let standing = Standing::of(lane, event.position);
        let wanted =
            filter.wants_action(destination, action) && filter.wants_status(standing.status);
        (exists && wanted).then(|| Job {
            event: event.clone(),
            lane: lane.clone(),
            standing,
        })
    }

    /// Fills in attempts and times that only the history knows, with one look at it.
    pub(super) fn recall(&self, jobs: &mut [Job]) -> Result<()> {
        let positions = || jobs.iter().map(|job| job.event.position);
        let Some(span) = positions().min().zip(positions().max()) else {
            return Ok(());
        };
        let (first, last) = span;
        let history = self
            .store
            .transitions(None, Span { first, last }, usize::MAX)?;
        for job in jobs.iter_mut().filter(|job| job.standing.since.is_none()) {
            let last = history.iter().rev().find(|transition| {
                transition.lane == job.lane.id
                    && transition.span.contains(job.event.position)
                    && transition.status == job.standing.status
            });
            job.standing.since = last.map(|transition| transition.at);
        }
        Ok(())
    }

    fn history(&self, lane: &Lane, position: Position) -> Result<Vec<Transition>> {
        let span = Span {
            first: position,
            last: position,
        };
        self.store.transitions(Some(lane.id), span, usize::MAX)
    }
}

impl Job {
    fn id(&self, look: &Look) -> Id {
        Id::of_job(
            look.store.id(),
            self.lane.id,
            self.event.position,
            self.event.received_at,
        )
    }

    pub(super) fn json(&self, look: &Look) -> Value {
        let (destination, action) = Look::lane_names(&self.lane.name);
        json!({
            "id": self.id(look).to_string(),
            "position": self.event.position.0,
            "destination": destination,
            "action": action,
            "status": self.standing.status.name(),
            "attempts": self.standing.attempts,
            "since": self.standing.since.map(time),
            "error": self.standing.error.as_deref(),
        })
    }
}

impl Standing {
    fn of(lane: &Lane, position: Position) -> Standing {
        let state = lane.state(position);
        Standing {
            status: state.status,
            attempts: Some(state.attempt),
            since: state.at,
            error: state.error,
        }
    }
}

/// Where in `lane` jobs may be in a state that `filter` wants: a list of failures need not look at a
/// million successes.
fn spans(lane: &Lane, filter: &Filter, head: Position) -> Vec<Span> {
    let Some(whole) = filter.span else {
        return Vec::new();
    };
    let of_open = |status: &Status| !matches!(status, Status::Succeeded | Status::Acknowledged);
    let candidates = match !filter.statuses.is_empty() && filter.statuses.iter().all(of_open) {
        true => {
            let touched = lane.spans(whole, &filter.statuses);
            touched.map(|open| open.span).collect()
        }
        false => vec![Span {
            first: lane.start,
            last: head,
        }],
    };
    let within = |span: Span| {
        let (first, last) = (span.first.max(whole.first), span.last.min(whole.last));
        (first <= last).then_some(Span { first, last })
    };
    candidates.into_iter().filter_map(within).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use blacksmith_core::event::LaneId;

    fn change(first: u64, last: u64, status: Status) -> Transition {
        Transition {
            lane: LaneId(1),
            span: span(first, last),
            status,
            attempt: 2,
            at: Timestamp(5),
            error: Some("why".to_owned()),
            command: None,
        }
    }

    fn span(first: u64, last: u64) -> Span {
        Span {
            first: Position(first),
            last: Position(last),
        }
    }

    fn lane() -> Lane {
        let mut lane = Lane::new(LaneId(1), "lake/append", Position(5));
        lane.apply(&change(20, 21, Status::Discarded));
        lane.apply(&change(5, 50, Status::Succeeded));
        lane.apply(&change(61, 70, Status::Failed));
        lane
    }

    #[test]
    fn a_job_stands_where_its_lane_says() {
        let status = |position| Standing::of(&lane(), Position(position)).status;
        assert_eq!(status(10), Status::Succeeded);
        assert_eq!(status(20), Status::Discarded);
        assert_eq!(status(65), Status::Failed);
        assert_eq!(status(71), Status::Acknowledged);
        let failed = Standing::of(&lane(), Position(65));
        assert_eq!(
            (failed.attempts, failed.error.as_deref()),
            (Some(2), Some("why"))
        );
    }

    #[test]
    fn a_list_of_failures_looks_only_where_failures_are() {
        let mut filter = Filter::everything();
        filter.span = Some(span(21, 65));
        filter.statuses = vec![Status::Failed, Status::Discarded];
        assert_eq!(
            spans(&lane(), &filter, Position(100)),
            [span(21, 21), span(61, 65)]
        );
        filter.statuses = vec![Status::Succeeded];
        assert_eq!(spans(&lane(), &filter, Position(100)), [span(21, 65)]);
    }
}
