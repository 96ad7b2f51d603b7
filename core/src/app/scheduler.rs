//! The scheduler as a running service: hooks of destinations and actions, lanes, retention.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::bridge::hear;
use super::builder::formats;
use super::hooks::{HookedAction, HookedDestination, Ready, Step};
use super::{Application, DestinationSettings, address};
use crate::clock::{Clock, Now, Timestamp};
use crate::destination::{Action, Toolkit};
use crate::error::Result;
use crate::gateway::Registry;
use crate::position::Position;
use crate::schedule::{Interval, Slots};
use crate::scheduler::{LaneHandle, LaneSettings, Routing, start_lane};
use crate::source::Limits;
use crate::store::{Purge, Purged, Store};

/// How often settled segments are looked for.
const RETENTION_EVERY: Duration = Duration::from_secs(30);
/// How often while the store's disk is full.
const RETENTION_WHEN_FULL: Duration = Duration::from_secs(1);

/// The scheduler, running. Dropping it drops the loads in hand, as a crash would.
#[derive(Debug)]
pub(super) struct Scheduler {
    lanes: Vec<LaneHandle>,
    /// What goes on beside the lanes: retention, and hearing of the gateway over a pubsub. Dropped with this.
    beside: JoinSet<()>,
    ready: Ready,
}

impl Scheduler {
    /// Prepares destinations and actions, and begins to load. What uses `abort` ends at once with it.
    ///
    /// # Errors
    /// What could not be prepared or started; everything before it was let go.
    pub(super) async fn start(app: &Application, abort: &CancellationToken) -> Result<Scheduler> {
        let ready = Ready::of(steps(app, abort)).await?;
        match start_lanes(app, abort) {
            Ok(lanes) => Ok(Scheduler {
                lanes,
                beside: beside(app),
                ready,
            }),
            Err(error) => {
                ready.let_go().await;
                Err(error)
            }
        }
    }

    /// Loads everything up to `position` whatever the schedules, and returns when it is settled.
    ///
    /// # Errors
    /// As [`LaneHandle::flush`].
    pub(super) async fn flush(&self, position: Position) -> Result<()> {
        for lane in &self.lanes {
            lane.flush(position).await?;
        }
        Ok(())
    }

    /// Returns when the first lane has ended, which happens by itself only when the store does; never
    /// when there is none.
    pub(super) async fn ended(&self) {
        if self.lanes.is_empty() {
            return std::future::pending().await;
        }
        let ended = self.lanes.iter().map(|lane| Box::pin(lane.ended()));
        futures_util::future::select_all(ended).await;
    }

    /// Begins no load any more, lets those in hand come to their end, and lets go.
    ///
    /// # Errors
    /// That of the lane that ended by itself.
    pub(super) async fn stop(self) -> Result<()> {
        let Scheduler {
            lanes,
            beside,
            ready,
        } = self;
        drop(beside);
        lanes.iter().for_each(LaneHandle::ask_to_stop);
        let mut first = Ok(());
        for lane in lanes {
            first = first.and(lane.stop().await);
        }
        ready.let_go().await;
        first
    }
}

fn beside(app: &Application) -> JoinSet<()> {
    let mut beside = JoinSet::new();
    beside.spawn(retain(
        Arc::clone(&app.store),
        Arc::clone(&app.clock),
        app.purges.clone(),
    ));
    if let Some(pubsub) = &app.pubsub {
        beside.spawn(hear(Arc::clone(&app.store), Arc::clone(pubsub)));
    }
    beside
}

/// Destinations before their actions.
fn steps(app: &Application, abort: &CancellationToken) -> Vec<Step> {
    let mut steps = Vec::new();
    for settings in &app.destinations {
        let destination = &settings.destination;
        let own = toolkit(app, destination.name(), abort);
        steps.push(Step {
            name: format!("destination {}", destination.name()),
            hooked: Box::new(HookedDestination(Arc::clone(destination), own)),
        });
        for action in destination.actions() {
            let name = address(settings, &action);
            let own = toolkit(app, &name, abort);
            steps.push(Step {
                name: format!("action {name}"),
                hooked: Box::new(HookedAction(action, own)),
            });
        }
    }
    steps
}

fn toolkit(app: &Application, action: &str, abort: &CancellationToken) -> Toolkit {
    Toolkit {
        action: Arc::from(action),
        logger: tracing::info_span!("load", action).into(),
        service: Arc::clone(&app.scheduler),
        store: app.store.id(),
        head: app.store.durable().upto(),
        clock: Arc::clone(&app.clock),
        memory_bytes: app.memory_bytes / 4,
        stop: abort.clone(),
    }
}

fn start_lanes(app: &Application, abort: &CancellationToken) -> Result<Vec<LaneHandle>> {
    let formats = Arc::new(formats(&app.sources));
    let registry = Arc::new(app.registry()?);
    let mut lanes = Vec::new();
    for settings in &app.destinations {
        for action in settings.destination.actions() {
            let lane = lane(app, settings, action, &registry, abort);
            let lane = start_lane(&app.store, &formats, &app.clock, lane)?;
            #[cfg(feature = "http")]
            app.http.census.add(&lane);
            lanes.push(lane);
        }
    }
    warn_of_unserved(app.store.as_ref(), &lanes);
    Ok(lanes)
}

/// A lane whose action is not configured any more holds what it has not loaded: said at every start.
fn warn_of_unserved(store: &dyn Store, served: &[LaneHandle]) {
    let head = store.durable().upto();
    let is_served = |id| served.iter().any(|own| own.id == id);
    for lane in store.lanes() {
        let kept = head.since(lane.settled_upto);
        if kept > 0 && !lane.forgotten && !is_served(lane.id) {
            tracing::warn!(
                lane = %lane.name,
                events = kept,
                "no such action is configured, and its events are kept for it: configure it again, or let go of it with `store forget`"
            );
        }
    }
}

fn lane(
    app: &Application,
    settings: &DestinationSettings,
    action: Arc<dyn Action>,
    registry: &Arc<Registry>,
    abort: &CancellationToken,
) -> LaneSettings {
    let name = address(settings, &action);
    let destination = settings.destination.name();
    let routing = Routing::new(
        Arc::clone(&app.store),
        &app.routes,
        destination,
        action.as_ref(),
    );
    let own = settings.actions.get(action.name());
    let limits = action.limits().over(&settings.limits);
    let limits = own.map_or(limits, |own| own.limits.over(&limits));
    LaneSettings {
        load: limits.settle(action.ordering()),
        registry: Arc::clone(registry),
        operator: app.operator.clone(),
        toolkit: toolkit(app, &name, abort),
        name: Arc::from(name),
        schedule: settings.schedule_of(action.as_ref()),
        batch: own.map_or(settings.batch, |own| own.batch),
        routing: Arc::new(routing),
        limits: Limits {
            held_bytes: app.memory_bytes / 16,
            ..Limits::default()
        },
        default_version: settings.versions().default,
        action,
    }
}

/// Drops settled segments for as long as the scheduler runs.
async fn retain(store: Arc<dyn Store>, clock: Arc<dyn Clock>, purges: Vec<(Interval, Purge)>) {
    let begin = Now::of(&*clock);
    let purges = purges.into_iter();
    let mut purges: Vec<_> = purges
        .map(|(interval, policy)| (Slots::after(&interval, begin), policy))
        .collect();
    loop {
        retention_due(store.as_ref()).await;
        for (slots, policy) in &mut purges {
            if slots.take(Now::of(&*clock)).is_some() {
                purge(&store, policy.clone(), clock.now()).await;
            }
        }
        let (store, now) = (Arc::clone(&store), clock.now());
        let retained = tokio::task::spawn_blocking(move || store.retain(now)).await;
        match retained {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(span))) => tracing::info!(%span, "settled events dropped from the store"),
            Ok(Err(error)) => {
                tracing::error!(error = %error.report(), "cannot drop settled events");
            }
            Err(error) => tracing::error!(%error, "retention panicked"),
        }
    }
}

/// Waits until it is time to look what may be dropped: soon when the disk is full.
async fn retention_due(store: &dyn Store) {
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < RETENTION_EVERY {
        tokio::time::sleep(RETENTION_WHEN_FULL).await;
        if store.is_short() {
            return;
        }
    }
}

/// Lets go what one policy says.
async fn purge(store: &Arc<dyn Store>, policy: Purge, now: Timestamp) {
    let store = Arc::clone(store);
    let purged = tokio::task::spawn_blocking(move || store.purge(&policy, now)).await;
    match purged {
        Ok(Ok(Purged {
            span: Some(span),
            segments,
            bytes,
        })) => {
            tracing::info!(%span, segments, bytes, "purged from the store");
        }
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::error!(error = %error.report(), "cannot purge the store"),
        Err(error) => tracing::error!(%error, "purging panicked"),
    }
}
