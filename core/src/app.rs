//! The application: components in, services started in order, stopped in reverse.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::destination::{Action, Destination, Toolkit};
use crate::document::Documents;
use crate::door::Door;
use crate::error::{Error, Result};
use crate::flow::Route;
use crate::id::Id;
use crate::position::Position;
use crate::queue::BatchLimits;
use crate::schedule::PartialSchedule;
use crate::scheduler::{Formats, LaneHandle, LaneSettings, Routing, start_lane};
use crate::service::Service as ServiceInfo;
use crate::source::{Format, Limits, Listening, Mode, Source, SourceProgress};
use crate::store::{Lane, Store};

/// How often settled segments are looked for.
const RETENTION_EVERY: Duration = Duration::from_secs(30);

/// Which services to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Service {
    /// Both, in one process.
    #[default]
    All,
    /// Take events in; load nothing.
    Gateway,
    /// Load what is in the store; take nothing in.
    Scheduler,
}

/// A destination and how it is to be loaded.
#[derive(Debug)]
pub struct DestinationSettings {
    /// The destination.
    pub destination: Arc<dyn Destination>,
    /// Its schedule, over which its actions' own are laid.
    pub schedule: PartialSchedule,
    /// What single actions do differently, by name.
    pub actions: HashMap<String, ActionSettings>,
    /// When batches close.
    pub batch: BatchLimits,
}

/// How one action is to be loaded.
#[derive(Debug)]
pub struct ActionSettings {
    /// Over everything else.
    pub schedule: PartialSchedule,
    /// In place of the destination's.
    pub batch: BatchLimits,
}

/// Everything an application is made of.
#[derive(Debug)]
pub struct Application {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    sources: Vec<Arc<dyn Source>>,
    destinations: Vec<DestinationSettings>,
    routes: Vec<Route>,
    memory_bytes: usize,
    /// The scheduler, as actions see it.
    scheduler: Arc<ServiceInfo>,
}

/// How to run an [`Application`].
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Which services.
    pub service: Service,
    /// Load everything that the sources held at the start, whatever the schedule, and return.
    pub until_caught_up: bool,
    /// Cancelled to stop gracefully: what is executing comes to its end.
    pub stop: CancellationToken,
    /// Cancelled to stop at once.
    pub abort: CancellationToken,
}

/// How far everything has come, for people to watch.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Each source.
    pub sources: Vec<(String, SourceProgress)>,
    /// The last durable position.
    pub head: Position,
    /// Each lane.
    pub lanes: Vec<Lane>,
}

impl Application {
    /// An application over `store`, with nothing in it yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Application {
        let clock = SystemClock::shared();
        // Without randomness the second of its start tells services apart.
        let number = getrandom::u64().unwrap_or_default();
        let service_id = Id::ticket(store.id(), number, clock.now()).to_string();
        Application {
            store,
            clock,
            sources: Vec::new(),
            destinations: Vec::new(),
            routes: Vec::new(),
            memory_bytes: 512 << 20,
            scheduler: Arc::new(ServiceInfo::new(service_id, ServiceInfo::SCHEDULER)),
        }
    }

    /// Adds a source.
    #[must_use]
    pub fn source(mut self, source: Arc<dyn Source>) -> Application {
        self.sources.push(source);
        self
    }

    /// Adds a destination.
    #[must_use]
    pub fn destination(mut self, destination: DestinationSettings) -> Application {
        self.destinations.push(destination);
        self
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: Route) -> Application {
        self.routes.push(route);
        self
    }

    /// Sets how many bytes the process may hold, about. Default: 512 MiB.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: usize) -> Application {
        self.memory_bytes = bytes;
        self
    }

    /// How far everything has come. Waits for nothing.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let sources = self.sources.iter();
        Progress {
            sources: sources
                .map(|source| (source.name().to_owned(), source.progress()))
                .collect(),
            head: self.store.durable().upto(),
            lanes: self.store.lanes(),
        }
    }

    /// Runs until stopped, until caught up, or until something fails that trying again cannot mend.
    ///
    /// # Errors
    /// The first such failure, after everything else was stopped in order.
    pub async fn run(&self, run: Run) -> Result<()> {
        let actions = self.initialise(&run).await?;
        let outcome = self.serve(&run, &actions).await;
        self.shut_down(&actions).await;
        outcome
    }

    /// Destinations before their actions, in the order of registration.
    async fn initialise(&self, run: &Run) -> Result<Vec<Arc<dyn Action>>> {
        let mut ready: Vec<Arc<dyn Action>> = Vec::new();
        if run.service == Service::Gateway {
            return Ok(ready);
        }
        for settings in &self.destinations {
            let destination = &settings.destination;
            let mut outcome = destination
                .init(&self.toolkit(destination.name(), run))
                .await;
            for action in destination.actions() {
                if outcome.is_ok() {
                    outcome = action
                        .init(&self.toolkit(&address(settings, &action), run))
                        .await;
                    ready.push(action);
                }
            }
            if let Err(error) = outcome {
                self.shut_down(&ready).await;
                return Err(error.at(format!("destination {}", destination.name())));
            }
        }
        Ok(ready)
    }

    async fn shut_down(&self, actions: &[Arc<dyn Action>]) {
        for action in actions.iter().rev() {
            if let Err(error) = action.shutdown().await {
                tracing::error!(action = action.name(), error = %error.report(), "shutdown of an action failed");
            }
        }
        for settings in self
            .destinations
            .iter()
            .rev()
            .filter(|_| !actions.is_empty())
        {
            if let Err(error) = settings.destination.shutdown().await {
                tracing::error!(destination = settings.destination.name(), error = %error.report(), "shutdown of a destination failed");
            }
        }
    }

    async fn serve(&self, run: &Run, actions: &[Arc<dyn Action>]) -> Result<()> {
        self.register_lanes()?;
        let lanes = if actions.is_empty() {
            Vec::new()
        } else {
            self.start_lanes(run)?
        };
        let stop = run.stop.child_token();
        let outcome = tokio::select! {
            biased;
            // A second signal: everything is dropped where it is, lanes with their loads.
            () = run.abort.cancelled() => return Err(aborted()),
            outcome = self.extract_and_flush(run, &stop, &lanes) => outcome,
            // A lane ends by itself only when the store does.
            () = lane_ended(&lanes) => Ok(()),
            // Settled segments are dropped meanwhile.
            () = self.retain_for_ever() => Ok(()),
        };
        stop.cancel();
        tokio::select! {
            biased;
            // Stopping waits for the loads in hand; a second signal does not.
            () = run.abort.cancelled() => Err(aborted()),
            // What ended a lane explains what else failed with it.
            stopped = stop_lanes(lanes) => stopped.and(outcome),
        }
    }

    /// A gateway without a scheduler owes its events to the lanes all the same: known to the store,
    /// they keep retention from dropping what was never loaded.
    fn register_lanes(&self) -> Result<()> {
        for settings in &self.destinations {
            for action in settings.destination.actions() {
                self.store.register_lane(&address(settings, &action))?;
            }
        }
        Ok(())
    }

    async fn extract_and_flush(
        &self,
        run: &Run,
        stop: &CancellationToken,
        lanes: &[LaneHandle],
    ) -> Result<()> {
        if run.service == Service::Scheduler && !run.until_caught_up {
            stop.cancelled().await;
            return Ok(());
        }
        if run.service != Service::Scheduler {
            self.listen(stop, run.until_caught_up).await?;
        }
        if run.until_caught_up && !stop.is_cancelled() {
            let head = self.store.durable().upto();
            for lane in lanes {
                tokio::select! {
                    flushed = lane.flush(head) => flushed?,
                    () = stop.cancelled() => return Ok(()),
                }
            }
        }
        Ok(())
    }

    /// Runs all sources; the first that fails stops the others.
    async fn listen(&self, stop: &CancellationToken, until_end: bool) -> Result<()> {
        if self.sources.is_empty() && !until_end {
            stop.cancelled().await;
        }
        let stop = stop.child_token();
        let mut running = JoinSet::new();
        for (source, trigger) in self.sources.iter().flat_map(|source| {
            let triggers = source.triggers().into_iter();
            triggers.map(move |trigger| (source, trigger))
        }) {
            let Mode::Cdc(listen) = Arc::clone(&trigger).mode() else {
                return Err(Error::config(format!(
                    "trigger {}/{}: only CDC triggers are served so far",
                    source.name(),
                    trigger.name()
                )));
            };
            let source = Arc::clone(source);
            let door = Door::open(
                Arc::clone(&self.store),
                source.name(),
                Arc::clone(&self.clock),
            )?;
            let listening = Listening {
                stop: stop.clone(),
                until_end,
            };
            running.spawn(async move {
                let listened = listen.listen(door, listening).await;
                listened.map_err(|error| error.at(format!("source {}", source.name())))
            });
        }
        let mut first = Ok(());
        while let Some(ended) = running.join_next().await {
            let ended = ended
                .unwrap_or_else(|error| Err(Error::stopped("a source panicked").because(error)));
            if ended.is_err() {
                stop.cancel();
            }
            first = first.and(ended);
        }
        first
    }

    fn start_lanes(&self, run: &Run) -> Result<Vec<LaneHandle>> {
        let formats = Arc::new(self.formats());
        let mut lanes = Vec::new();
        for settings in &self.destinations {
            for action in settings.destination.actions() {
                let lane = self.lane(settings, action, run);
                lanes.push(start_lane(&self.store, &formats, &self.clock, lane)?);
            }
        }
        Ok(lanes)
    }

    fn lane(
        &self,
        settings: &DestinationSettings,
        action: Arc<dyn Action>,
        run: &Run,
    ) -> LaneSettings {
        let name = address(settings, &action);
        let destination = settings.destination.name();
        let routing = Routing::new(
            Arc::clone(&self.store),
            &self.routes,
            destination,
            action.as_ref(),
        );
        let own = settings.actions.get(action.name());
        let below = action.schedule().over(&settings.schedule);
        let schedule = own.map_or(below.clone(), |own| own.schedule.over(&below));
        LaneSettings {
            toolkit: self.toolkit(&name, run),
            name: Arc::from(name),
            schedule: schedule.settle(),
            batch: own.map_or(settings.batch, |own| own.batch),
            routing: Arc::new(routing),
            limits: Limits {
                held_bytes: self.memory_bytes / 16,
                ..Limits::default()
            },
            default_version: settings.destination.options().versions.default,
            action,
        }
    }

    fn formats(&self) -> Formats {
        let own = self.sources.iter().flat_map(|source| source.formats());
        let documents: Arc<dyn Format> = Arc::new(Documents);
        std::iter::once(documents)
            .chain(own)
            .flat_map(|format| {
                format
                    .ids()
                    .iter()
                    .map(move |id| (*id, Arc::clone(&format)))
            })
            .collect()
    }

    fn toolkit(&self, action: &str, run: &Run) -> Toolkit {
        Toolkit {
            action: Arc::from(action),
            logger: tracing::info_span!("action", name = action),
            service: Arc::clone(&self.scheduler),
            store: self.store.id(),
            head: self.store.durable().upto(),
            clock: Arc::clone(&self.clock),
            memory_bytes: self.memory_bytes / 4,
            stop: run.abort.clone(),
        }
    }

    async fn retain_for_ever(&self) {
        loop {
            tokio::time::sleep(RETENTION_EVERY).await;
            let store = Arc::clone(&self.store);
            let now = self.clock.now();
            let retained = tokio::task::spawn_blocking(move || store.retain(now)).await;
            match retained {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(span))) => {
                    tracing::info!(%span, "settled events dropped from the store")
                }
                Ok(Err(error)) => {
                    tracing::error!(error = %error.report(), "cannot drop settled events")
                }
                Err(error) => tracing::error!(%error, "retention panicked"),
            }
        }
    }
}

fn address(settings: &DestinationSettings, action: &Arc<dyn Action>) -> String {
    format!("{}/{}", settings.destination.name(), action.name())
}

fn aborted() -> Error {
    Error::stopped("stopped at once, as asked").help("the next start takes up where this one was")
}

/// Returns when the first lane has ended; never when there is none.
async fn lane_ended(lanes: &[LaneHandle]) {
    if lanes.is_empty() {
        return std::future::pending().await;
    }
    let ended = lanes.iter().map(|lane| Box::pin(lane.ended()));
    futures_util::future::select_all(ended).await;
}

/// Stops all lanes; the first error is that of the lane that ended by itself.
async fn stop_lanes(lanes: Vec<LaneHandle>) -> Result<()> {
    lanes.iter().for_each(LaneHandle::ask_to_stop);
    let mut first = Ok(());
    for lane in lanes {
        first = first.and(lane.stop().await);
    }
    first
}

#[cfg(test)]
mod tests;
