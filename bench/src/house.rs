//! A store with its intake and lanes, put together by hand: what measurements drive without a program around it.

use std::path::Path;
use std::sync::Arc;

use blacksmith_core::clock::{Clock, SystemClock};
use blacksmith_core::destination::{Action, Destination, Toolkit};
use blacksmith_core::document::Documents;
use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::FormatId;
use blacksmith_core::flow::Route;
use blacksmith_core::gateway::{Intake, Registry};
use blacksmith_core::log::{LogOptions, Retention, SystemDisk};
use blacksmith_core::operate::{Operator, Plans};
use blacksmith_core::query::{Actions, Query};
use blacksmith_core::queue::BatchLimits;
use blacksmith_core::schedule::PartialSchedule;
use blacksmith_core::scheduler::{LaneHandle, LaneSettings, Routing, start_lane};
use blacksmith_core::service::Service;
use blacksmith_core::source::{Format, Formats, Limits};
use blacksmith_core::store::Store;
use blacksmith_core::store::log::LogStore;
use blacksmith_core::version::Versions;

/// A destination with one action.
#[derive(Debug)]
struct Only(&'static str, Arc<dyn Action>);

impl Destination for Only {
    fn name(&self) -> &str {
        self.0
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![Arc::clone(&self.1)]
    }
}

/// One source, one destination, and a log between them.
#[derive(Debug, Clone)]
pub struct House {
    /// The log in its folder.
    pub store: Arc<dyn Store>,
    source: &'static str,
    destination: &'static str,
    clock: Arc<dyn Clock>,
}

impl House {
    /// Opens the log in `folder`, or makes one. All events of `source` are routed to all actions of
    /// `destination`.
    ///
    /// # Errors
    /// When the folder is not a log's, or the disk fails.
    pub fn open(folder: &Path, source: &'static str, destination: &'static str) -> Result<House> {
        let options = LogOptions::default();
        let (store, _) =
            LogStore::open(folder, options, SystemDisk::shared(), Retention::default())?;
        Ok(House::of(Arc::new(store), source, destination))
    }

    /// The same around a log that is open.
    #[must_use]
    pub fn of(store: Arc<dyn Store>, source: &'static str, destination: &'static str) -> House {
        House {
            store,
            source,
            destination,
            clock: SystemClock::shared(),
        }
    }

    fn routes(&self) -> [Route; 1] {
        [Route::between(self.source, self.destination)]
    }

    /// The way in, which knows of `action`.
    ///
    /// # Errors
    /// When the store takes nothing any more.
    pub fn intake(&self, action: &Arc<dyn Action>) -> Result<Intake> {
        let only: Arc<dyn Destination> = Arc::new(Only(self.destination, Arc::clone(action)));
        let destinations = [(only, Versions::default())];
        let registry = Registry::new(&*self.store, &destinations, &self.routes())?;
        let service = Arc::new(Service::new("bench".into(), Service::GATEWAY));
        Intake::new(
            Arc::clone(&self.store),
            self.source,
            Versions::default(),
            Arc::new(registry),
            service,
            Arc::clone(&self.clock),
        )
    }

    /// Starts the lane of `action` on the runtime that this is called in.
    ///
    /// # Errors
    /// When the store takes nothing any more.
    pub fn lane(
        &self,
        action: Arc<dyn Action>,
        schedule: PartialSchedule,
        batch: BatchLimits,
    ) -> Result<LaneHandle> {
        let (store, clock) = (&self.store, &self.clock);
        let documents: Arc<dyn Format> = Arc::new(Documents);
        let formats: Arc<Formats> = Arc::new([(FormatId::JSON, documents)].into());
        let name = format!("{}/{}", self.destination, action.name());
        let query = Query::new(Arc::clone(store), Formats::default(), Actions::default());
        let routing = Routing::new(
            Arc::clone(store),
            &self.routes(),
            self.destination,
            &*action,
        );
        let settings = LaneSettings {
            toolkit: Toolkit::by_hand(&name, store.id(), Arc::clone(clock)),
            name: Arc::from(name),
            schedule: schedule.settle(),
            batch,
            operator: Operator::new(query, Plans::new(), Arc::clone(clock)),
            routing: Arc::new(routing),
            limits: Limits::default(),
            load: action.limits().settle(action.ordering()),
            registry: Arc::new(Registry::default()),
            default_version: None,
            action,
        };
        start_lane(store, &formats, clock, settings)
    }
}

/// A runtime as the stock binary's on two cores.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    built.map_err(|error| Error::unavailable("no runtime").because(error))
}
