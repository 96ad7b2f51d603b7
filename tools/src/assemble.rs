//! From a configuration file to an application: read everything, report everything, then build.

use std::collections::HashMap;
use std::sync::Arc;

use blacksmith_core::app::{self, Application, Builder, SourceSettings};
use blacksmith_core::destination::Destination;
use blacksmith_core::error::Result;
use blacksmith_core::log::{LogOptions, Retention, SyncMode, SystemDisk};
use blacksmith_core::operate::Plans;
use blacksmith_core::query::Actions;
use blacksmith_core::queue::BatchLimits;
use blacksmith_core::settings::{Batch, DestinationSettings, Settings, StoreDriver, StoreSettings};
use blacksmith_core::source::{Formats, by_number};
use blacksmith_core::store::Store;
use blacksmith_core::store::log::LogStore;
use blacksmith_core::store::memory::MemoryStore;

use crate::cli::Global;
use crate::drivers;
use crate::program::Program;

/// Everything that a configuration names and that the program brings, as far as it could be built; what is wrong is in
/// the problems of the settings.
#[derive(Debug)]
pub(crate) struct Components {
    pub(crate) settings: Settings,
    pub(crate) sources: Vec<SourceSettings>,
    pub(crate) destinations: Vec<app::DestinationSettings>,
}

impl Components {
    /// Reads the configuration, the drivers' own keys included. Nothing is opened or connected.
    pub(crate) fn read(program: &Program, global: &Global) -> Result<Components> {
        let settings = program.settings(&global.config)?;
        let components = Components {
            sources: sources(program, &settings),
            destinations: destinations(program, &settings),
            settings,
        };
        drivers::report_columns(&components.sources, &components.settings.destinations);
        // What could not be built would be missed by the flows that lead there; routes are what they are.
        let is_whole = components.settings.problems.is_empty();
        for problem in components.builder(program).problems().list() {
            let is_told = drivers::report_route(&components.settings.sources, &problem);
            if is_whole && !is_told {
                components.settings.problems.add(problem);
            }
        }
        Ok(components)
    }

    /// Opens the store and puts the application together, unless anything is wrong.
    pub(crate) fn assemble(self, program: &Program) -> Result<Assembled> {
        self.settings.problems.check()?;
        tracing::info!(
            application = self.settings.application,
            "configuration read"
        );
        let store = open_store(&self.settings.store, self.settings.memory_bytes)?;
        let builder = self.builder(program).store(Arc::clone(&store));
        let mut application = builder
            .build()?
            .gateway_settings(self.settings.gateway)
            .scheduler_settings(self.settings.scheduler);
        if self.settings.store.driver == StoreDriver::Log {
            application = application.admin_socket(self.settings.store.path.join(ADMIN_SOCKET));
        }
        let application = program.finished(application);
        Ok(Assembled { application, store })
    }

    /// The application, but for its store.
    fn builder(&self, program: &Program) -> Builder {
        let memory_bytes = usize::try_from(self.settings.memory_bytes).unwrap_or(usize::MAX);
        let mut builder = Application::builder().memory_bytes(memory_bytes);
        if let Some(pubsub) = program.broker() {
            builder = builder.pubsub(Arc::clone(pubsub));
        }
        for source in &self.sources {
            builder = builder.source(source.clone());
        }
        for destination in &self.destinations {
            builder = builder.destination(destination.clone());
        }
        for policy in &self.settings.store.purges {
            builder = builder.purge(policy.interval.clone(), policy.purge.clone());
        }
        for route in &self.settings.flows {
            builder = builder.route(route.clone());
        }
        builder
    }
}

/// What has to be known of what is configured to read its store.
#[derive(Debug)]
pub(crate) struct Known {
    /// How events are read.
    pub(crate) formats: Formats,
    /// Which events are whose jobs.
    pub(crate) actions: Actions,
    /// When and how actions load.
    pub(crate) plans: Plans,
}

impl Known {
    /// What `settings` and the program say. A destination that cannot be built is left out: what is wrong with it stands in
    /// the problems, and hinders nobody from looking.
    pub(crate) fn of(program: &Program, settings: &Settings) -> Known {
        let destinations = destinations(program, settings);
        Known {
            formats: by_number(drivers::formats(program, &settings.sources)),
            actions: app::actions(settings.flows.clone(), &destinations),
            plans: app::plans(&destinations),
        }
    }
}

/// The sources in code, then those of the configuration.
fn sources(program: &Program, settings: &Settings) -> Vec<SourceSettings> {
    let own = program.sources().iter().cloned();
    let configured = settings.sources.iter().filter_map(|settings| {
        Some(SourceSettings {
            source: drivers::source(program, settings)?,
            versions: settings.versions.clone(),
            interval: Some(settings.interval.clone()),
        })
    });
    own.chain(configured).collect()
}

/// The destinations in code, then those of the configuration.
fn destinations(program: &Program, settings: &Settings) -> Vec<app::DestinationSettings> {
    let own = program.destinations().iter().cloned();
    let configured = settings.destinations.iter().filter_map(|settings| {
        let destination = drivers::destination(program, settings)?;
        Some(place(settings, destination))
    });
    own.chain(configured).collect()
}

/// Where, inside the folder of its store, a running process answers its own command line.
pub(crate) const ADMIN_SOCKET: &str = "admin.sock";

/// An application and the store under it.
#[derive(Debug)]
pub(crate) struct Assembled {
    pub(crate) application: Application,
    pub(crate) store: Arc<dyn Store>,
}

fn place(
    settings: &DestinationSettings,
    destination: Arc<dyn Destination>,
) -> app::DestinationSettings {
    let own = settings.actions.iter().map(|action| {
        let own = app::ActionSettings {
            schedule: action.schedule.clone(),
            batch: limits(action.batch),
            limits: action.limits,
        };
        (action.name.clone(), own)
    });
    app::DestinationSettings {
        schedule: settings.schedule.clone(),
        actions: own.collect::<HashMap<_, _>>(),
        batch: limits(settings.batch),
        limits: settings.limits,
        versions: settings.versions.clone(),
        ..app::DestinationSettings::of(destination)
    }
}

fn limits(batch: Batch) -> BatchLimits {
    BatchLimits {
        rows_max: batch.rows_max,
        bytes_max: batch.bytes_max,
        age_max: batch.age_max,
    }
}

/// Of the memory cap, one part in this many may hold the events of a store in memory.
const MEMORY_STORE_SHARE: u64 = 4;
/// What became durable last may take this part of the memory, for lanes that keep up.
const RECENT_SHARE: u64 = 16;

fn open_store(settings: &StoreSettings, memory_bytes: u64) -> Result<Arc<dyn Store>> {
    let retention = Retention {
        max_age: settings.retention.age_max,
        max_bytes: settings.retention.bytes_max,
    };
    match settings.driver {
        StoreDriver::Log => open_log(settings, retention, memory_bytes),
        StoreDriver::Memory => {
            tracing::warn!(
                "the store is in memory: what is not loaded when the process ends is lost"
            );
            let max_bytes = retention.max_bytes.min(memory_bytes / MEMORY_STORE_SHARE);
            Ok(Arc::new(MemoryStore::new(Retention {
                max_bytes,
                ..retention
            })?))
        }
    }
}

fn open_log(
    settings: &StoreSettings,
    retention: Retention,
    memory_bytes: u64,
) -> Result<Arc<dyn Store>> {
    let recent_bytes = memory_bytes / RECENT_SHARE;
    let options = LogOptions {
        recent_bytes_max: usize::try_from(recent_bytes).unwrap_or(usize::MAX),
        segment_bytes: settings.segment_bytes,
        reserve_bytes: settings.reserve_bytes,
        sync: if settings.sync {
            SyncMode::Always
        } else {
            SyncMode::Never
        },
        ..LogOptions::default()
    };
    let (store, recovery) =
        LogStore::open(&settings.path, options, SystemDisk::shared(), retention)?;
    tracing::info!(
        path = %settings.path.display(),
        created = recovery.created,
        events = recovery.span.len(),
        segments = recovery.segments,
        took_ms = recovery.took.as_millis() as u64,
        "store open"
    );
    if let Some(torn) = &recovery.torn {
        tracing::warn!(
            file = %torn.path.display(),
            offset = torn.offset,
            bytes = torn.bytes,
            "a write that had been cut off was removed from the end of the store; nothing acknowledged was in it"
        );
    }
    if recovery.stages_removed > 0 {
        tracing::info!(
            files = recovery.stages_removed,
            bytes = recovery.stage_bytes_removed,
            "staged transactions that were never committed were removed"
        );
    }
    Ok(Arc::new(store))
}
