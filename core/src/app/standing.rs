//! How the process stands, for whoever watches it: what makes it not ready, and what it counts.

use std::sync::Arc;
use std::time::Duration;

use super::census::Census;
use super::{Application, address};
use crate::clock::Timestamp;
use crate::destination::Ordering;
use crate::gateway::Deprecations;
use crate::job::Status;
use crate::operate::{Operator, Standing};
use crate::position::{Position, Span};
use crate::server::{Exposition, Reason};
use crate::source::Source;
use crate::store::{Lane, Store};

/// Has the process's health and metrics look at its store, its sources and its lanes.
pub(super) fn watch(app: &Application) {
    let sources = app.sources.iter();
    let watched = Watched {
        store: Arc::clone(&app.store),
        sources: sources.map(|own| Arc::clone(&own.source)).collect(),
        ordered: ordered(app),
        deprecations: Arc::clone(&app.deprecations),
        operator: app.operator.clone(),
        census: Arc::clone(&app.http.census),
    };
    let own = watched.clone();
    app.health().add(move |reasons| own.judge(reasons));
    app.metrics().add(move |page| watched.expose(page));
}

/// Lanes in which a failed job holds back what follows.
fn ordered(app: &Application) -> Vec<String> {
    let mut ordered = Vec::new();
    for settings in &app.destinations {
        for action in settings.destination.actions() {
            if action.ordering() != Ordering::Unordered {
                ordered.push(address(settings, &action));
            }
        }
    }
    ordered
}

#[derive(Clone)]
struct Watched {
    store: Arc<dyn Store>,
    sources: Vec<Arc<dyn Source>>,
    ordered: Vec<String>,
    deprecations: Arc<Deprecations>,
    operator: Operator,
    census: Arc<Census>,
}

impl Watched {
    fn judge(&self, reasons: &mut Vec<Reason>) {
        let durable = self.store.durable();
        if let Err(error) = durable.wait_past(Position::MAX, Duration::ZERO) {
            reasons.push(Reason::new(["store"], error.report()));
        }
        if self.store.is_short() {
            reasons.push(Reason::new(["store"], DISK_FULL));
        }
        for source in &self.sources {
            let phase = source.progress().phase;
            if NOT_CONNECTED.contains(&phase.as_str()) {
                reasons.push(Reason::new(["sources", source.name()], "not connected"));
            }
        }
        for lane in self.store.lanes() {
            if let Some(why) = self.held(&lane) {
                reasons.push(Reason::new(["actions", &*lane.name], why));
            }
        }
    }

    /// Why a lane does not go on by itself, if it does not.
    fn held(&self, lane: &Lane) -> Option<String> {
        let beyond = Span::new(lane.settled_upto.next(), Position::MAX);
        if let Some(open) = lane.spans(beyond, &[Status::Unknown]).next() {
            return Some(format!(
                "held: the outcome of jobs {} is unknown",
                open.span
            ));
        }
        let first = lane.open().next()?;
        let ordered = self.ordered.iter().any(|name| **name == *lane.name);
        (ordered && first.status == Status::Failed).then(|| {
            let why = first.error.as_deref().unwrap_or("no reason was given");
            format!(
                "held: jobs {} failed {} times: {why}",
                first.span, first.attempt
            )
        })
    }

    fn expose(&self, page: &mut Exposition) {
        let head = self.store.durable().upto();
        for (name, help, value) in [
            (
                "blacksmith_log_durable_position",
                "The last durable position.",
                head,
            ),
            (
                "blacksmith_log_oldest_position",
                "The oldest position still kept.",
                self.store.oldest(),
            ),
        ] {
            page.gauge(name, help, &[], value.0 as f64);
        }
        let help = "1 while the store's disk is full and sources wait.";
        let short = f64::from(u8::from(self.store.is_short()));
        page.gauge("blacksmith_store_disk_full", help, &[], short);
        for source in &self.sources {
            expose_source(source.as_ref(), page);
        }
        for lane in self.store.lanes() {
            expose_lane(&lane, head, page);
        }
        self.expose_actions(page);
        self.census.expose(page);
        let build = [("version", env!("CARGO_PKG_VERSION"))];
        page.gauge(
            "blacksmith_build_info",
            "The version that runs.",
            &build,
            1.0,
        );
        for (owner, version, uses) in self.deprecations.uses() {
            let labels = [
                ("kind", owner.kind()),
                ("name", owner.name()),
                ("version", &*version),
            ];
            let help = "Events and jobs of deprecated versions since the start.";
            page.counter("blacksmith_deprecated_uses_total", help, &labels, uses);
        }
    }
}

impl Watched {
    fn expose_actions(&self, page: &mut Exposition) {
        // A store that cannot be read makes the process not ready, which says why.
        for own in self.operator.glance().unwrap_or_default() {
            expose_action(&own, self.operator.clock().now(), page);
        }
    }
}

fn expose_action(own: &Standing, now: Timestamp, page: &mut Exposition) {
    let action = ("action", &*own.action);
    for (status, jobs) in [
        ("pending", own.pending),
        ("executing", own.executing),
        ("failed", own.failed),
        ("held", own.held),
        ("discarded", own.discarded),
    ] {
        let help = "Jobs by where they stand, but for those that succeeded.";
        let labels = [action, ("status", status)];
        page.gauge("blacksmith_jobs", help, &labels, jobs as f64);
    }
    let paused = f64::from(u8::from(own.paused.is_some()));
    let help = "1 while an operator has the action paused.";
    page.gauge("blacksmith_action_paused", help, &[action], paused);
    let waited = own.oldest.map_or(Duration::ZERO, |at| now.since(at));
    let help =
        "How long the oldest job that is not settled has waited since its event was received.";
    page.gauge(
        "blacksmith_oldest_job_seconds",
        help,
        &[action],
        waited.as_secs_f64(),
    );
}

/// What is said while sources wait for room.
const DISK_FULL: &str =
    "the disk is full: nothing new is taken until there is room; free some space";

/// What a source says it does while it has no connection.
const NOT_CONNECTED: [&str; 2] = ["connecting", "reconnecting"];

fn expose_source(source: &dyn Source, page: &mut Exposition) {
    let progress = source.progress();
    let labels = [("source", source.name())];
    page.counter(
        "blacksmith_source_events_total",
        "Events that a listening source handed in.",
        &labels,
        progress.events,
    );
    if let Some(lag) = progress.lag_bytes {
        let help = "Bytes of the source's own log that were not confirmed yet.";
        page.gauge("blacksmith_source_lag_bytes", help, &labels, lag as f64);
    }
}

fn expose_lane(lane: &Lane, head: Position, page: &mut Exposition) {
    let action = ("action", &*lane.name);
    let behind = head.0.saturating_sub(lane.settled_upto.0);
    let settled = lane.settled_upto.0 as f64;
    page.gauge(
        "blacksmith_lane_settled_position",
        "Every job up to here is settled.",
        &[action],
        settled,
    );
    let help = "Positions behind the last durable one.";
    page.gauge("blacksmith_lane_behind", help, &[action], behind as f64);
    let states = [
        Status::Awaiting,
        Status::Executing,
        Status::Failed,
        Status::Unknown,
    ];
    for state in states {
        let open = lane.open().filter(|open| open.status == state);
        let jobs: u64 = open.map(|open| open.span.len()).sum();
        let help = "Positions in each state beyond the settled ones.";
        let labels = [action, ("status", state.name())];
        page.gauge("blacksmith_lane_open", help, &labels, jobs as f64);
    }
    let discarded: u64 = lane.discarded().map(|open| open.span.len()).sum();
    let help = "Jobs given up whose events are still in the store.";
    page.gauge(
        "blacksmith_lane_discarded",
        help,
        &[action],
        discarded as f64,
    );
}
