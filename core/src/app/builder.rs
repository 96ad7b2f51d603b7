//! How an application is put together: everything is handed in, then everything is looked at.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::validate::validate;
use super::{Application, address, new_id};
use crate::clock::{Clock, SystemClock};
use crate::destination::{Action, Destination, PartialLoadLimits};
use crate::document::Documents;
use crate::error::{Error, Result};
use crate::flow::Route;
use crate::operate::{Operator, Plan, Plans};
use crate::pubsub::PubSub;
use crate::query::{Actions, Query};
use crate::queue::BatchLimits;
use crate::schedule::{Interval, PartialSchedule, Schedule};
use crate::service::Service;
use crate::settings::{MEMORY_BYTES_DEFAULT, Place, Problem, Problems};
use crate::source::{Format, Formats, Source, by_number};
use crate::store::{Purge, Store};
use crate::version::Versions;

/// A source, and what is settled about it from outside, such as by a configuration file.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// The source.
    pub source: Arc<dyn Source>,
    /// In place of the versions that the source says.
    pub versions: Option<Versions>,
    /// In place of the interval that the source says.
    pub interval: Option<Interval>,
}

/// A destination and how it is to be loaded.
#[derive(Debug, Clone)]
pub struct DestinationSettings {
    /// The destination.
    pub destination: Arc<dyn Destination>,
    /// In place of the versions that the destination says.
    pub versions: Option<Versions>,
    /// Its schedule, over what the destination says, and under what its actions say.
    pub schedule: PartialSchedule,
    /// What single actions do differently, by name.
    pub actions: HashMap<String, ActionSettings>,
    /// When batches close. Default: 1,000,000 rows, 128 MiB, or 10 s after the oldest event.
    pub batch: BatchLimits,
    /// How much goes on at a time, how long and how fast, over which its actions' own is laid.
    pub limits: PartialLoadLimits,
}

/// How one action is to be loaded.
#[derive(Debug, Clone)]
pub struct ActionSettings {
    /// Over everything else.
    pub schedule: PartialSchedule,
    /// In place of the destination's.
    pub batch: BatchLimits,
    /// Over everything else.
    pub limits: PartialLoadLimits,
}

impl SourceSettings {
    /// The source as it says itself.
    #[must_use]
    pub fn of(source: Arc<dyn Source>) -> SourceSettings {
        SourceSettings {
            source,
            versions: None,
            interval: None,
        }
    }

    /// The versions that hold.
    pub(super) fn versions(&self) -> Versions {
        let own = || self.source.options().versions;
        self.versions.clone().unwrap_or_else(own)
    }

    /// When cron triggers run that say nothing else.
    pub(super) fn interval(&self) -> Option<Interval> {
        let own = || self.source.options().interval;
        self.interval.clone().or_else(own)
    }
}

impl DestinationSettings {
    /// The destination as it says itself.
    #[must_use]
    pub fn of(destination: Arc<dyn Destination>) -> DestinationSettings {
        DestinationSettings {
            destination,
            versions: None,
            schedule: PartialSchedule::default(),
            actions: HashMap::new(),
            batch: BatchLimits::default(),
            limits: PartialLoadLimits::default(),
        }
    }

    /// The same destination, loading as events arrive: a batch closes when its oldest event has waited for `age_max`, if
    /// nothing else closes it before.
    #[must_use]
    pub fn realtime(mut self, age_max: Duration) -> DestinationSettings {
        self.schedule.realtime = Some(true);
        self.batch.age_max = age_max;
        self
    }

    /// The versions that hold.
    #[must_use]
    pub fn versions(&self) -> Versions {
        let own = || self.destination.options().versions;
        self.versions.clone().unwrap_or_else(own)
    }

    /// The schedule that holds for `action`, which is one of its own.
    #[must_use]
    pub fn schedule_of(&self, action: &dyn Action) -> Schedule {
        let below = self.schedule.over(&self.destination.options().schedule);
        let below = action.schedule().over(&below);
        let own = self.actions.get(action.name());
        own.map_or(below.clone(), |own| own.schedule.over(&below))
            .settle()
    }
}

/// Which events are whose jobs when routes lead to the actions of these destinations.
#[must_use]
pub fn actions(routes: Vec<Route>, destinations: &[DestinationSettings]) -> Actions {
    let routed = Actions::routed(routes);
    destinations.iter().fold(routed, |actions, own| {
        actions.of(own.destination.as_ref(), &own.versions())
    })
}

/// What is configured of the actions of these destinations.
#[must_use]
pub fn plans(destinations: &[DestinationSettings]) -> Plans {
    let mut plans = Plans::new();
    for settings in destinations {
        for action in settings.destination.actions() {
            let plan = Plan {
                schedule: settings.schedule_of(action.as_ref()),
                ordering: action.ordering(),
            };
            plans.insert(Arc::from(address(settings, &action)), plan);
        }
    }
    plans
}

impl<S: Source> From<S> for SourceSettings {
    fn from(source: S) -> SourceSettings {
        SourceSettings::of(Arc::new(source))
    }
}

impl<D: Destination> From<D> for DestinationSettings {
    fn from(destination: D) -> DestinationSettings {
        DestinationSettings::of(Arc::new(destination))
    }
}

/// Puts an [`Application`] together. Only the store has to be there.
#[derive(Debug)]
pub struct Builder {
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pubsub: Option<Arc<dyn PubSub>>,
    pub(super) sources: Vec<SourceSettings>,
    pub(super) destinations: Vec<DestinationSettings>,
    pub(super) routes: Vec<Route>,
    pub(super) memory_bytes: usize,
    pub(super) purges: Vec<(Interval, Purge)>,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            store: None,
            clock: SystemClock::shared(),
            pubsub: None,
            sources: Vec::new(),
            destinations: Vec::new(),
            routes: Vec::new(),
            memory_bytes: usize::try_from(MEMORY_BYTES_DEFAULT).unwrap_or(usize::MAX),
            purges: Vec::new(),
        }
    }
}

impl Builder {
    /// Where everything is kept.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Builder {
        self.store = Some(store);
        self
    }

    /// Adds a source.
    #[must_use]
    pub fn source(mut self, source: impl Into<SourceSettings>) -> Builder {
        self.sources.push(source.into());
        self
    }

    /// Adds a destination.
    #[must_use]
    pub fn destination(mut self, destination: impl Into<DestinationSettings>) -> Builder {
        self.destinations.push(destination.into());
        self
    }

    /// Lets events of `from`, a source or `source/trigger`, go to `to`, a destination or `destination/action`; `*` in
    /// the trigger or action stands for any text.
    #[must_use]
    pub fn flow(self, from: &str, to: &str) -> Builder {
        self.route(Route::between(from, to))
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: Route) -> Builder {
        self.routes.push(route);
        self
    }

    /// The broker of subscription triggers, and of what the gateway tells the scheduler. Default: none.
    #[must_use]
    pub fn pubsub(mut self, pubsub: Arc<dyn PubSub>) -> Builder {
        self.pubsub = Some(pubsub);
        self
    }

    /// Where time comes from. Default: the machine's clocks.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Builder {
        self.clock = clock;
        self
    }

    /// Lets settled events go earlier than retention would, looking for them at `interval`.
    #[must_use]
    pub fn purge(mut self, interval: Interval, purge: Purge) -> Builder {
        self.purges.push((interval, purge));
        self
    }

    /// How many bytes the process may hold, about. Default: 512 MiB; at least 64 MiB.
    #[must_use]
    pub fn memory_bytes(mut self, bytes: usize) -> Builder {
        self.memory_bytes = bytes;
        self
    }

    /// Everything that is wrong so far with sources, destinations and flows, each with its place, such as
    /// `sources/web/triggers/signup/route.path`.
    #[must_use]
    pub fn problems(&self) -> Problems {
        validate(self)
    }

    /// The application, if nothing is wrong with it. Nothing is started or connected.
    ///
    /// # Errors
    /// `Config` with all its [`Builder::problems`], and when there is no store.
    pub fn build(self) -> Result<Application> {
        let problems = self.problems();
        if self.store.is_none() {
            problems.add(Problem {
                place: Place::Code,
                key: "store".into(),
                what: "there is none".into(),
                fix: "hand one in with store()".into(),
            });
        }
        problems.check()?;
        let missing = || Error::config("an application needs a store");
        let store = self.store.ok_or_else(missing)?;
        let clock = self.clock;
        let formats = formats(&self.sources);
        let query = Query::new(
            Arc::clone(&store),
            formats,
            actions(self.routes.clone(), &self.destinations),
        );
        let plans = plans(&self.destinations);
        let service = |name| Arc::new(Service::new(new_id(&*store, &*clock), name));
        Ok(Application {
            gateway: service(Service::GATEWAY),
            scheduler: service(Service::SCHEDULER),
            pubsub: self.pubsub,
            sources: self.sources,
            destinations: self.destinations,
            routes: self.routes,
            memory_bytes: self.memory_bytes,
            purges: self.purges,
            #[cfg(feature = "http")]
            http: super::http::Http::default(),
            deprecations: Arc::default(),
            operator: Operator::new(query, plans, Arc::clone(&clock)),
            store,
            clock,
        })
    }
}

/// How the events of these sources are read, and documents.
pub(super) fn formats(sources: &[SourceSettings]) -> Formats {
    let documents: Arc<dyn Format> = Arc::new(Documents);
    let own = sources.iter().flat_map(|own| own.source.formats());
    by_number(std::iter::once(documents).chain(own))
}
