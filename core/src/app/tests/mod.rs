//! What starts, what stops, and in which order.

mod bridge;
mod ending;
mod hooks;
#[cfg(feature = "http")]
mod http;
mod split;
mod validation;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;

use super::*;
use crate::destination::{Destination, Queue, Thens, Toolkit};
use crate::event::{About, Draft, FormatId, Tally};
use crate::finding::Finding;
use crate::log::Retention;
use crate::queue::BatchLimits;
use crate::schedule::PartialSchedule;
use crate::source::{Source, Trigger};
use crate::store::memory::MemoryStore;

/// A destination of one action whose loads end when they are told.
#[derive(Debug, Default)]
struct Harbour {
    name: String,
    begun: Arc<Notify>,
    told: Arc<Notify>,
}

#[async_trait]
impl Destination for Harbour {
    fn name(&self) -> &str {
        &self.name
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![Arc::new(Unload {
            begun: Arc::clone(&self.begun),
            told: Arc::clone(&self.told),
        })]
    }

    async fn check(&self) -> Vec<Finding> {
        Vec::new()
    }
}

#[derive(Debug)]
struct Unload {
    begun: Arc<Notify>,
    told: Arc<Notify>,
}

#[async_trait]
impl Action for Unload {
    fn name(&self) -> &str {
        "unload"
    }

    async fn load(&self, _: &Toolkit, _: &mut Queue, then: &Thens) -> Result<()> {
        self.begun.notify_one();
        self.told.notified().await;
        then.send(crate::destination::Then::succeeded(
            crate::destination::Jobs::All,
        ));
        Ok(())
    }
}

fn store_with_events() -> Arc<dyn Store> {
    let store = MemoryStore::new(Retention::default()).unwrap();
    let source = store.register_source("shop").unwrap();
    let schema = store
        .define(source, About::trigger("orders", Bytes::new()))
        .unwrap();
    let draft = Draft {
        format: FormatId::JSON,
        received_at: crate::clock::Timestamp(0),
        tally: vec![Tally {
            schema,
            group: 0,
            count: 3,
        }],
        envelope: Bytes::new(),
        body: Bytes::from_static(b"1"),
        state: Vec::new(),
    };
    store.append(source, draft).unwrap();
    Arc::new(store)
}

/// An application with harbours of these names, and what tells of their loads.
fn application(store: &Arc<dyn Store>, names: &[&str]) -> (Arc<Application>, Vec<Arc<Harbour>>) {
    let (builder, harbours) = builder(store, names);
    (Arc::new(builder.build().unwrap()), harbours)
}

/// The same before it is built.
fn builder(store: &Arc<dyn Store>, names: &[&str]) -> (Builder, Vec<Arc<Harbour>>) {
    let mut application = Application::builder().store(Arc::clone(store)).source(Shop);
    let mut harbours = Vec::new();
    for name in names {
        let harbour = Arc::new(Harbour {
            name: (*name).to_owned(),
            ..Harbour::default()
        });
        let settings = realtime(Arc::clone(&harbour) as Arc<dyn Destination>);
        application = application.destination(settings).flow("shop", name);
        harbours.push(harbour);
    }
    (application, harbours)
}

/// A source that has brought its events already.
#[derive(Debug)]
struct Shop;

impl Source for Shop {
    fn name(&self) -> &str {
        "shop"
    }

    fn triggers(&self) -> Vec<Arc<dyn Trigger>> {
        Vec::new()
    }
}

/// A destination that is loaded event by event, at once.
fn realtime(destination: Arc<dyn Destination>) -> DestinationSettings {
    DestinationSettings {
        schedule: PartialSchedule {
            realtime: Some(true),
            ..PartialSchedule::default()
        },
        batch: BatchLimits {
            rows_max: 1,
            ..BatchLimits::default()
        },
        ..DestinationSettings::of(destination)
    }
}

fn start(application: &Arc<Application>, run: &Run) -> tokio::task::JoinHandle<Result<()>> {
    let (application, run) = (Arc::clone(application), run.clone());
    tokio::spawn(async move { application.run(run).await })
}

#[tokio::test]
async fn a_stop_lets_loads_end_and_begins_none_in_any_lane() {
    let store = store_with_events();
    let (application, harbours) = application(&store, &["north", "south"]);
    let run = Run::default();
    let running = start(&application, &run);
    for harbour in &harbours {
        harbour.begun.notified().await;
    }
    run.stop.cancel();
    // The lanes are asked in order: the last ends its load first, and must begin no other.
    for harbour in harbours.iter().rev() {
        harbour.told.notify_one();
    }
    running.await.unwrap().unwrap();
    for lane in store.lanes() {
        assert_eq!(lane.settled_upto, Position(1), "{}", lane.name);
        assert_eq!(lane.open().count(), 0, "{}", lane.name);
    }
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_a_load_that_hangs() {
    let store = store_with_events();
    let (application, harbours) = application(&store, &["north"]);
    let run = Run::default();
    let running = start(&application, &run);
    harbours[0].begun.notified().await;
    run.stop.cancel();
    run.abort.cancel();
    let error = running.await.unwrap().unwrap_err();
    assert!(error.report().contains("at once"), "{error:?}");
    let lanes = store.lanes();
    let statuses = lanes[0].open().map(|open| open.status);
    assert_eq!(
        statuses.collect::<Vec<_>>(),
        [crate::job::Status::Executing]
    );
}

#[tokio::test]
async fn a_gateway_alone_owes_its_events_to_the_lanes() {
    let store = store_with_events();
    let (application, _) = application(&store, &["north"]);
    let run = Run {
        service: Service::Gateway,
        until_caught_up: true,
        ..Run::default()
    };
    assert_eq!(
        store.settled_upto(),
        Position(3),
        "nobody asks for them yet"
    );
    application.run(run).await.unwrap();
    assert_eq!(store.settled_upto(), Position::ZERO);
    let dropped = store.retain(crate::clock::Timestamp(i64::MAX)).unwrap();
    assert_eq!(dropped, None);
}

#[tokio::test]
async fn a_store_that_stops_ends_the_application_with_its_reason() {
    let store = store_with_events();
    let (application, harbours) = application(&store, &["north"]);
    let running = start(&application, &Run::default());
    harbours[0].begun.notified().await;
    store.close().unwrap();
    harbours[0].told.notify_one();
    let error = running.await.unwrap().unwrap_err();
    assert!(error.report().contains("the store is closed"), "{error:?}");
}
