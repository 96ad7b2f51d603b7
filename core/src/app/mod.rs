//! The application: components in, services started in order, stopped in reverse.

mod gateway;
mod hooks;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod standing;
mod scheduler;

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::destination::{Action, Destination, PartialLoadLimits};
use crate::error::{Error, Result};
use crate::flow::Route;
use crate::gateway::Registry;
use crate::id::Id;
use crate::position::Position;
use crate::queue::BatchLimits;
use crate::schedule::{Interval, PartialSchedule};
use crate::service::Service as ServiceInfo;
use crate::source::{Listening, Source, SourceProgress};
use crate::store::{Lane, Purge, Store};

use gateway::Gateway;
use scheduler::Scheduler;

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
    /// How much goes on at a time, how long and how fast, over which its actions' own is laid.
    pub limits: PartialLoadLimits,
}

/// How one action is to be loaded.
#[derive(Debug)]
pub struct ActionSettings {
    /// Over everything else.
    pub schedule: PartialSchedule,
    /// In place of the destination's.
    pub batch: BatchLimits,
    /// Over everything else.
    pub limits: PartialLoadLimits,
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
    purges: Vec<(Interval, Purge)>,
    /// The gateway, as triggers see it.
    gateway: Arc<ServiceInfo>,
    /// The scheduler, as actions see it.
    scheduler: Arc<ServiceInfo>,
    /// Where and how the services answer.
    #[cfg(feature = "http")]
    http: http::Http,
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
        let service = |name| Arc::new(ServiceInfo::new(new_id(&*store, &*clock), name));
        Application {
            gateway: service(ServiceInfo::GATEWAY),
            scheduler: service(ServiceInfo::SCHEDULER),
            store,
            clock,
            sources: Vec::new(),
            destinations: Vec::new(),
            routes: Vec::new(),
            memory_bytes: 512 << 20,
            #[cfg(feature = "http")]
            http: http::Http::default(),
            purges: Vec::new(),
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

    /// Lets settled events go earlier than retention would, looking for them at `interval`.
    #[must_use]
    pub fn purge(mut self, interval: Interval, purge: Purge) -> Application {
        self.purges.push((interval, purge));
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

    /// Runs until stopped, until caught up, or until something fails that trying again cannot mend. The
    /// scheduler starts before the gateway and stops after it, so that what was taken in is loaded meanwhile.
    ///
    /// # Errors
    /// The first such failure, after everything else was stopped in order.
    pub async fn run(&self, run: Run) -> Result<()> {
        tokio::select! {
            biased;
            // A second signal: everything is dropped where it is, hooks included.
            () = run.abort.cancelled() => Err(aborted()),
            served = Box::pin(self.serve(&run)) => served,
        }
    }

    #[cfg(feature = "http")]
    async fn serve(&self, run: &Run) -> Result<()> {
        let admin = http::Admin::start(self, run.service != Service::Gateway).await?;
        let outcome = Box::pin(self.serve_events(run)).await;
        admin.stop().await;
        outcome
    }

    #[cfg(not(feature = "http"))]
    async fn serve(&self, run: &Run) -> Result<()> {
        self.serve_events(run).await
    }

    async fn serve_events(&self, run: &Run) -> Result<()> {
        if run.service == Service::Gateway {
            return self.take_in(run, None).await;
        }
        let scheduler = Scheduler::start(self, &run.abort).await?;
        let outcome = match run.service {
            Service::Scheduler => self.load(run, &scheduler).await,
            _ => self.take_in(run, Some(&scheduler)).await,
        };
        // What ended a lane explains what else failed with it.
        scheduler.stop().await.and(outcome)
    }

    /// Runs the gateway, above a scheduler when there is one.
    async fn take_in(&self, run: &Run, scheduler: Option<&Scheduler>) -> Result<()> {
        let listening = Listening {
            stop: run.stop.child_token(),
            until_end: run.until_caught_up,
        };
        let mut gateway = Gateway::start(self, listening).await?;
        let Some(scheduler) = scheduler else {
            let ended = gateway.ended().await;
            return gateway.stop().await.and(ended);
        };
        let outcome = tokio::select! {
            biased;
            () = scheduler.ended() => Ok(()),
            ended = gateway.ended() => ended,
        };
        let stopped = gateway.stop().await;
        outcome.and(stopped)?;
        match run.until_caught_up {
            true => self.load(run, scheduler).await,
            false => Ok(()),
        }
    }

    /// Loads what is in the store: all of it until caught up, else until stopped.
    async fn load(&self, run: &Run, scheduler: &Scheduler) -> Result<()> {
        let loading = async {
            match run.until_caught_up {
                true => scheduler.flush(self.store.durable().upto()).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = run.stop.cancelled() => Ok(()),
            () = scheduler.ended() => Ok(()),
            loaded = loading => loaded,
        }
    }

    /// All actions with their lanes, which the store knows from now on.
    fn registry(&self) -> Result<Registry> {
        let destinations = self.destinations.iter();
        let destinations: Vec<_> = destinations
            .map(|settings| Arc::clone(&settings.destination))
            .collect();
        Registry::new(&*self.store, &destinations, &self.routes)
    }
}

/// An id that no other service has.
fn new_id(store: &dyn Store, clock: &dyn Clock) -> String {
    // Without randomness the second of its start tells services apart.
    let number = getrandom::u64().unwrap_or_default();
    Id::ticket(store.id(), number, clock.now()).to_string()
}

fn address(settings: &DestinationSettings, action: &Arc<dyn Action>) -> String {
    format!("{}/{}", settings.destination.name(), action.name())
}

fn aborted() -> Error {
    Error::stopped("stopped at once, as asked").help("the next start takes up where this one was")
}

#[cfg(test)]
mod tests;
