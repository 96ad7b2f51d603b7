//! From an extracted event to the jobs that actions are given.

use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::mpsc;

use super::*;
use crate::call::{Actions, Call};
use crate::clock::{Clock, SystemClock};
use crate::destination::{Action, Destination, Jobs, Queue, Then, Thens, Toolkit as LoadToolkit};
use crate::document::Documents;
use crate::error::{Error, Result};
use crate::event::{FormatId, Refusal};
use crate::flow::{Flow, FlowOptions, Route};
use crate::job::{Job, QueuedJob};
use crate::json::Json;
use crate::log::Retention;
use crate::operate::{Operator, Plans};
use crate::query::{self, Query};
use crate::queue::BatchLimits;
use crate::schedule::PartialSchedule;
use crate::scheduler::{LaneHandle, LaneSettings, Routing, start_lane};
use crate::service::{Service, Toolkit};
use crate::source::{Event, Format, Formats, Limits, SubEvent};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::version::Versions;

/// A destination that tells the test every job it is given.
#[derive(Debug)]
struct Crm(Vec<Arc<Tell>>);

#[derive(Debug)]
struct Tell {
    name: &'static str,
    marshals: bool,
    told: mpsc::UnboundedSender<QueuedJob>,
}

impl Destination for Crm {
    fn name(&self) -> &str {
        "crm"
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        let actions = self.0.iter();
        actions
            .map(|own| Arc::clone(own) as Arc<dyn Action>)
            .collect()
    }
}

#[async_trait]
impl Action for Tell {
    fn name(&self) -> &str {
        self.name
    }

    fn marshals(&self) -> bool {
        self.marshals
    }

    /// Takes what has a name, passes over what is `null`, and rejects the rest.
    fn marshal(&self, _: &Toolkit, event: &Event) -> Result<Option<Job>> {
        match event.data.read::<serde_json::Value>()? {
            serde_json::Value::Null => Ok(None),
            serde_json::Value::String(name) => Ok(Some(Job {
                data: Some(Json::of(&format!("marshalled {name}"))?),
                ..Job::default()
            })),
            _ => Err(Error::invalid("no name")),
        }
    }

    async fn load(&self, _: &LoadToolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        while let Some(jobs) = queue.next_jobs().await? {
            for job in jobs {
                self.told.send(job).ok();
            }
        }
        then.send(Then::succeeded(Jobs::All));
        Ok(())
    }
}

/// An intake of the source `web`, and lanes of `crm` with the actions `register` and `notify`.
struct House {
    store: Arc<dyn Store>,
    intake: Intake,
    lanes: Vec<LaneHandle>,
    told: mpsc::UnboundedReceiver<QueuedJob>,
}

impl House {
    /// `register` marshals what `routes` lead to it when `marshals` says so.
    fn open(routes: &[Route], marshals: bool, versions: Versions) -> House {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Retention::default()).unwrap());
        let clock = SystemClock::shared();
        let (told_in, told) = mpsc::unbounded_channel();
        let action = |name, marshals| {
            Arc::new(Tell {
                name,
                marshals,
                told: told_in.clone(),
            })
        };
        let crm: Arc<dyn Destination> = Arc::new(Crm(vec![
            action("register", marshals),
            action("notify", false),
        ]));
        let registry =
            Registry::new(&*store, &[(Arc::clone(&crm), Versions::default())], routes).unwrap();
        let service = Arc::new(Service::new("test".into(), Service::GATEWAY));
        let intake = Intake::new(
            Arc::clone(&store),
            "web",
            versions,
            Arc::new(registry),
            service,
            Arc::clone(&clock),
        );
        House {
            lanes: lanes(&store, crm.as_ref(), routes, &clock),
            intake: intake.unwrap(),
            store,
            told,
        }
    }

    fn take(&self, event: Event) -> Result<Taken> {
        let toolkit = self.intake.begin(&"signup".into());
        let prepared = self.intake.prepare(&"signup".into(), &toolkit, event)?;
        match self.intake.offer(prepared) {
            Ok(taken) => Ok(taken),
            Err(Refusal::Full(_)) => Err(Error::unavailable("full")),
            Err(Refusal::Failed(error)) => Err(error),
        }
    }

    /// Everything told until all lanes are through.
    async fn told(mut self) -> Vec<QueuedJob> {
        let head = self.store.durable().upto();
        for lane in &self.lanes {
            lane.flush(head).await.unwrap();
        }
        drop(self.lanes);
        let mut told = Vec::new();
        while let Ok(job) = self.told.try_recv() {
            told.push(job);
        }
        told.sort_by_key(|job| (job.id.lane(), job.position));
        told
    }
}

fn lanes(
    store: &Arc<dyn Store>,
    crm: &dyn Destination,
    routes: &[Route],
    clock: &Arc<dyn Clock>,
) -> Vec<LaneHandle> {
    let documents: Arc<dyn Format> = Arc::new(Documents);
    let formats: Arc<Formats> = Arc::new([(FormatId::JSON, documents)].into());
    let registry = Arc::new(Registry::default());
    let start = |action: Arc<dyn Action>| {
        let name = format!("crm/{}", action.name());
        let routing = Routing::new(Arc::clone(store), routes, "crm", action.as_ref());
        let settings = LaneSettings {
            toolkit: LoadToolkit::by_hand(&name, store.id(), Arc::clone(clock)),
            name: Arc::from(name),
            schedule: PartialSchedule::default().settle(),
            batch: BatchLimits::default(),
            load: action.limits().settle(action.ordering()),
            registry: Arc::clone(&registry),
            operator: Operator::new(
                Query::new(
                    Arc::clone(store),
                    Formats::default(),
                    query::Actions::default(),
                ),
                Plans::new(),
                Arc::clone(clock),
            ),
            routing: Arc::new(routing),
            limits: Limits::default(),
            default_version: None,
            action,
        };
        start_lane(store, &formats, clock, settings).unwrap()
    };
    crm.actions().into_iter().map(start).collect()
}

fn said(jobs: &[QueuedJob]) -> Vec<(&str, &str)> {
    let said = jobs.iter();
    said.map(|job| (job.context.as_str(), job.data.as_str()))
        .collect()
}

fn json(text: &str) -> Json {
    Json::of(text).unwrap()
}

/// FLO-04 ACT-04 ACT-06
#[tokio::test]
async fn a_called_action_gets_its_own_data_and_the_events_context_and_no_other_action_gets_a_job() {
    let house = House::open(&[], false, Versions::default());
    let event = Event::of(json("raw"))
        .context(json("ip"))
        .call("crm", Call::with("register", "own").unwrap());
    let taken = house.take(event).unwrap();
    let job = taken.events[0].jobs[0].clone();
    let told = house.told().await;
    assert_eq!(said(&told), [("\"ip\"", "\"own\"")]);
    assert_eq!((told[0].id, &*job.name), (job.id, "crm/register"));
    assert_eq!(told[0].event.id, taken.events[0].id);
    assert_eq!(&*told[0].event.origin.trigger, "signup");
}

#[tokio::test]
async fn a_route_passes_the_event_through_and_a_call_of_the_same_action_wins_over_it() {
    let house = House::open(&[Route::between("web", "crm")], false, Versions::default());
    house.take(Event::of(json("a"))).unwrap();
    let call = Call::with("notify", "called").unwrap();
    house.take(Event::of(json("b")).call("crm", call)).unwrap();
    let told = house.told().await;
    let data: Vec<&str> = told.iter().map(|job| job.data.as_str()).collect();
    assert_eq!(data, ["\"a\"", "\"b\"", "\"a\"", "\"called\""]);
}

#[tokio::test]
async fn the_same_action_called_twice_makes_two_jobs_of_one_event() {
    let house = House::open(&[], false, Versions::default());
    let event = Event::of(json("raw"))
        .call("crm", Call::with("register", "one").unwrap())
        .call("crm", Call::with("register", "two").unwrap());
    let taken = house.take(event).unwrap();
    let told = house.told().await;
    assert_eq!(said(&told), [("null", "\"one\""), ("null", "\"two\"")]);
    assert_ne!(told[0].id, told[1].id);
    assert!(told.iter().all(|job| job.event.id == taken.events[0].id));
    assert_eq!(taken.events[0].jobs[1].id, told[1].id);
}

/// TRG-10
#[tokio::test]
async fn a_sub_event_has_its_own_jobs_and_names_its_parent() {
    let house = House::open(&[], false, Versions::default());
    let sub_event = SubEvent {
        trigger: Some("item".into()),
        data: json("item"),
        actions: Actions::new().call("crm", Call::pass("notify")),
        ..SubEvent::default()
    };
    let event = Event::of(json("batch"))
        .call("crm", Call::pass("register"))
        .sub_event(sub_event);
    let taken = house.take(event).unwrap();
    let told = house.told().await;
    assert_eq!(said(&told), [("null", "\"batch\""), ("null", "\"item\"")]);
    assert_eq!(
        (told[0].event.parent, &*told[0].event.origin.trigger),
        (None, "signup")
    );
    assert_eq!(told[1].event.parent, Some(taken.events[0].id));
    assert_eq!(
        (told[1].event.id, &*told[1].event.origin.trigger),
        (taken.events[1].id, "item")
    );
}

/// ACT-03 CON-10 CON-12
#[tokio::test]
async fn marshal_may_write_pass_over_or_reject_and_a_rejection_leaves_the_event_and_its_siblings() {
    let house = House::open(&[Route::between("web", "crm")], true, Versions::default());
    house.take(Event::of(json("Ada"))).unwrap();
    house.take(Event::default()).unwrap();
    let rejected = house.take(Event::of(Json::of(&7).unwrap())).unwrap();
    assert!(rejected.events[0].rejections[0].reason.contains("no name"));
    assert_eq!(house.intake.rejections(), 1);
    let told = house.told().await;
    let data: Vec<&str> = told.iter().map(|job| job.data.as_str()).collect();
    assert_eq!(data, ["\"marshalled Ada\"", "\"Ada\"", "null", "7"]);
}

#[derive(Debug)]
struct Fan {
    enabled: bool,
}

impl Flow for Fan {
    fn name(&self) -> &str {
        "fan"
    }

    fn options(&self) -> FlowOptions {
        FlowOptions {
            enabled: self.enabled,
            ..FlowOptions::default()
        }
    }

    fn transform(&self, toolkit: &Toolkit) -> Result<Actions> {
        assert!(toolkit.event_id.is_some() && toolkit.job_id.is_none());
        Ok(Actions::new()
            .call("crm", Call::with("register", "from flow")?)
            .call("elsewhere", Call::pass("identify")))
    }
}

/// FLO-01 FLO-02 FLO-03 FLO-05
#[tokio::test]
async fn a_flow_calls_what_is_registered_when_it_is_enabled() {
    let house = House::open(&[], false, Versions::default());
    house
        .take(Event::of(json("a")).flow(Fan { enabled: true }))
        .unwrap();
    house
        .take(Event::of(json("b")).flow(Fan { enabled: false }))
        .unwrap();
    assert_eq!(said(&house.told().await), [("null", "\"from flow\"")]);
}

#[tokio::test]
async fn a_trigger_that_calls_what_there_is_not_is_told_what_there_is() {
    let house = House::open(&[], false, Versions::default());
    let called = |destination, action| {
        let taken = house.take(Event::default().call(destination, Call::pass(action)));
        taken.unwrap_err().report()
    };
    assert!(called("crn", "register").contains("crm"));
    assert!(called("crm", "registre").contains("notify, register"));
}

/// OPT-06
#[tokio::test]
async fn an_event_takes_its_sources_default_version_and_one_of_an_unknown_version_is_refused() {
    let versions = Versions {
        known: [(Arc::from("v1"), None)].into(),
        default: Some(Arc::from("v1")),
    };
    let house = House::open(&[Route::between("web", "crm/notify")], false, versions);
    house.take(Event::of(json("a"))).unwrap();
    let version = Some(Arc::from("v2"));
    assert!(
        house
            .take(Event {
                version,
                ..Event::default()
            })
            .is_err()
    );
    let told = house.told().await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].event.origin.version.as_deref(), Some("v1"));
}

/// A payload that becomes what it is told by its toolkit.
#[derive(Debug)]
struct Curious;

impl crate::call::Marshal for Curious {
    fn marshal(&self, toolkit: &Toolkit) -> Result<Job> {
        let lane = toolkit.job_id.and_then(|id| id.lane());
        let ticket = |id: Option<crate::id::Id>| id.and_then(|id| id.ticket_number());
        let same = ticket(toolkit.job_id) == ticket(toolkit.event_id);
        toolkit.logger.in_scope(|| tracing::info!("looked"));
        Ok(Job {
            data: Some(Json::of(&(
                toolkit.service.name,
                lane.map(|lane| lane.0),
                same,
            ))?),
            ..Job::default()
        })
    }
}

/// TKT-01 TKT-02 TKT-03 TKT-04 LOG-01
#[tokio::test]
async fn a_payload_knows_its_service_its_event_and_its_job_while_it_is_marshalled() {
    let house = House::open(&[], false, Versions::default());
    let event = Event::default().call("crm", Call::new("notify", Curious));
    let taken = house.take(event).unwrap();
    let lane = taken.events[0].jobs[0].id.lane().unwrap().0;
    let expected = format!("[\"blacksmith-gateway\",{lane},true]");
    assert_eq!(said(&house.told().await), [("null", &*expected)]);
}

/// DST-05 DST-05b
#[test]
fn destinations_and_actions_are_called_as_the_model_calls_them() {
    use crate::destination::{INTERFACE_ACTION, INTERFACE_DESTINATION};
    assert_eq!(
        (INTERFACE_DESTINATION, INTERFACE_ACTION),
        ("destination", "destination/action")
    );
}
