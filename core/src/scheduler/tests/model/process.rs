//! One process over a store: the lanes and everything around them, as an application starts them.

use std::path::Path;
use std::sync::Condvar;

use super::actor::Actor;
use super::life::{Life, PATIENCE};
use super::*;
use crate::destination::Destination;
use crate::gateway::Intake;
use crate::log::sim::SimDisk;
use crate::log::{LogOptions, Registration};
use crate::service::Service;
use crate::store::log::LogStore;
use crate::version::Versions;

/// What ends with the process.
pub(super) struct Process {
    pub(super) lanes: Vec<LaneHandle>,
    pub(super) intake: Intake,
    pub(super) operator: Operator,
    pub(super) query: Query,
    pub(super) pulse: Pulse,
}

/// Says when everybody was woken by what became durable.
pub(super) struct Pulse {
    heard: Arc<(Mutex<u64>, Condvar)>,
    _registration: Registration,
}

impl Pulse {
    /// Hears after all who registered before.
    fn of(store: &dyn Store) -> Pulse {
        let durable = store.durable();
        let heard = Arc::new((Mutex::new(durable.frames()), Condvar::new()));
        let (own, frames) = (Arc::clone(&heard), durable.clone());
        let registration = durable.register(Arc::new(move || {
            let frames = frames.frames();
            let mut heard = own.0.lock().unwrap();
            *heard = frames.max(*heard);
            own.1.notify_all();
        }));
        Pulse {
            heard,
            _registration: registration,
        }
    }

    pub(super) fn wait(&self, frames: u64) {
        let heard = self.heard.0.lock().unwrap();
        let waited = self
            .heard
            .1
            .wait_timeout_while(heard, PATIENCE, |heard| *heard < frames);
        assert!(!waited.unwrap().1.timed_out(), "nobody was woken");
    }
}

#[derive(Debug)]
struct Crm(Vec<Arc<dyn Action>>);

impl Destination for Crm {
    fn name(&self) -> &str {
        "crm"
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        self.0.clone()
    }
}

pub(super) fn open(disk: Option<&SimDisk>) -> Arc<dyn Store> {
    let Some(disk) = disk else {
        return Arc::new(MemoryStore::new(Retention::default()).unwrap());
    };
    let options = LogOptions {
        segment_bytes: 1 << 20,
        snapshot_frame_bytes: 400,
        ..LogOptions::default()
    };
    let retention = Retention::default();
    let opened = LogStore::open(Path::new("/store"), options, disk.shared(), retention);
    Arc::new(opened.unwrap().0)
}

fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    for (trigger, leads) in TRIGGERS.iter().zip(LEADS) {
        let led = NAMES.iter().zip(leads).filter(|(_, leads)| *leads);
        routes.extend(
            led.map(|(name, _)| Route::between(&format!("web/{trigger}"), &format!("crm/{name}"))),
        );
    }
    routes
}

impl Life {
    /// Starts a process over the store.
    pub(super) fn start(&mut self) {
        let store = Arc::clone(&self.store);
        let clock: Arc<dyn Clock> = Arc::clone(&self.time) as _;
        let address = |name: &&str| format!("crm/{name}");
        let ids = NAMES.iter().map(address);
        self.lane_ids = ids
            .map(|name| store.register_lane(&name).unwrap())
            .collect();
        let actors: Vec<Arc<dyn Action>> = (0..NAMES.len()).map(|lane| self.actor(lane)).collect();
        let crm: Arc<dyn Destination> = Arc::new(Crm(actors.clone()));
        let registry = Registry::new(&*store, &[(crm, Versions::default())], &routes()).unwrap();
        let registry = Arc::new(registry);
        let formats: Formats = [(FormatId::JSON, Arc::new(Torn) as Arc<dyn Format>)].into();
        let formats = Arc::new(formats);
        let actions = Actions::routed(routes());
        let query = Query::new(Arc::clone(&store), (*formats).clone(), actions);
        let plans = self.plans.iter().zip(NAMES).map(|(plan, name)| {
            let plan = crate::operate::Plan {
                schedule: plan.schedule.clone(),
                ordering: plan.rules.ordering,
            };
            (Arc::from(address(&name)), plan)
        });
        let operator = Operator::new(query.clone(), plans.collect(), Arc::clone(&clock));
        let mut lanes = Vec::new();
        for (plan, action) in self.plans.iter().zip(actors) {
            let name = address(&action.name());
            let routing = Routing::new(Arc::clone(&store), &routes(), "crm", action.as_ref());
            let settings = LaneSettings {
                toolkit: Toolkit::by_hand(&name, store.id(), Arc::clone(&clock)),
                name: Arc::from(name),
                schedule: plan.schedule.clone(),
                batch: plan.batch,
                load: plan.limits.settle(plan.rules.ordering),
                registry: Arc::clone(&registry),
                operator: operator.clone(),
                routing: Arc::new(routing),
                limits: Limits::default(),
                default_version: None,
                action,
            };
            lanes.push(start_lane(&store, &formats, &clock, settings).unwrap());
        }
        let service = Arc::new(Service::new("test".into(), Service::GATEWAY));
        let versions = Versions::default();
        let intake = Intake::new(
            Arc::clone(&store),
            "web",
            versions,
            registry,
            service,
            clock,
        );
        self.process = Some(Process {
            lanes,
            intake: intake.unwrap(),
            operator,
            query,
            pulse: Pulse::of(&*store),
        });
    }

    fn actor(&self, lane: usize) -> Arc<dyn Action> {
        let plan = &self.plans[lane];
        let ordering = plan.rules.ordering;
        Arc::new(Actor {
            lane,
            id: self.lane_ids[lane],
            ordering,
            has_timeout: plan.limits.settle(ordering).timeout.is_some(),
            seed: self.seed,
            ledger: Arc::clone(&self.ledger),
        })
    }
}
