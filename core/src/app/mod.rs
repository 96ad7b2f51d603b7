//! The application: components in, services started in order, stopped in reverse.
//!
//! [`Application::builder`] takes the components and names every problem with them at once. [`Application::run`] is the whole
//! life of a process. A store has one owner, so gateway and scheduler run in one process, or one after the other on
//! the same store: the gateway now, the scheduler later.

mod bridge;
mod builder;
mod gateway;
mod hooks;
#[cfg(feature = "http")]
mod census;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod standing;
mod scheduler;
mod validate;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::destination::Action;
use crate::error::{Error, Result};
use crate::flow::Route;
use crate::gateway::{Deprecations, Registry};
use crate::id::Id;
use crate::operate::Operator;
use crate::position::Position;
use crate::pubsub::PubSub;
use crate::query::Query;
use crate::schedule::Interval;
use crate::service::Service as ServiceInfo;
use crate::source::{Listening, SourceProgress};
use crate::store::{Lane, Purge, Store};
use crate::watermark::Watermark;

pub use builder::{ActionSettings, Builder, DestinationSettings, SourceSettings, actions, plans};

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

/// Everything an application is made of.
#[derive(Debug)]
pub struct Application {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    pubsub: Option<Arc<dyn PubSub>>,
    sources: Vec<SourceSettings>,
    destinations: Vec<DestinationSettings>,
    routes: Vec<Route>,
    memory_bytes: usize,
    purges: Vec<(Interval, Purge)>,
    operator: Operator,
    deprecations: Arc<Deprecations>,
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
    /// An application with nothing in it yet.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Whoever has jobs retried, discarded, cancelled, paused and resumed, before, while and after it runs.
    #[must_use]
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// Whoever looks into the store.
    #[must_use]
    pub fn query(&self) -> &Query {
        self.operator.query()
    }

    /// How far everything has come. Waits for nothing.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let sources = self.sources.iter();
        Progress {
            sources: sources
                .map(|own| (own.source.name().to_owned(), own.source.progress()))
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
            served = Box::pin(self.serve(&run)) => {
                self.let_go_of_pubsub().await;
                served
            }
        }
    }

    /// Runs the gateway alone: events are taken in and kept for a scheduler, now in another process or later.
    ///
    /// # Errors
    /// As [`Application::run`].
    pub async fn run_gateway(&self, run: Run) -> Result<()> {
        let service = Service::Gateway;
        self.run(Run { service, ..run }).await
    }

    /// Runs the scheduler alone: what the store has is loaded, and nothing is taken in.
    ///
    /// # Errors
    /// As [`Application::run`].
    pub async fn run_scheduler(&self, run: Run) -> Result<()> {
        let service = Service::Scheduler;
        self.run(Run { service, ..run }).await
    }

    async fn let_go_of_pubsub(&self) {
        if let Some(pubsub) = &self.pubsub
            && let Err(error) = pubsub.shutdown().await
        {
            tracing::error!(pubsub = pubsub.name(), error = %error.report(), "shutdown failed");
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
                true => scheduler.flush(self.taken_in().await?).await,
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

    /// Up to where events were taken in, once all of it is durable. The watermark alone does not say: what was appended last
    /// may still be on its way to the disk, and is to be loaded as well.
    async fn taken_in(&self) -> Result<Position> {
        let behind_all = self.store.record(&[])?;
        let watermark = Watermark::new(self.store.durable());
        watermark.reached(&behind_all).await?;
        Ok(behind_all.last)
    }

    /// All actions with their lanes, which the store knows from now on.
    fn registry(&self) -> Result<Registry> {
        let destinations = self.destinations.iter();
        let destinations: Vec<_> = destinations
            .map(|own| (Arc::clone(&own.destination), own.versions()))
            .collect();
        let registry = Registry::new(&*self.store, &destinations, &self.routes)?;
        Ok(registry.counting(&self.deprecations))
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
