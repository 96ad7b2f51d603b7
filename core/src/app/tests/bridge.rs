//! A pubsub between gateway and scheduler: there, away, and not there at all.

use super::hooks::{Diary, Noted};
use super::*;
use crate::error::Kind;
use crate::pubsub::memory::MemoryPubSub;
use crate::pubsub::{Deliveries, NOTICES, Notice, PubSub};
use crate::source::{Message, Subscription};

/// A broker that never answers.
#[derive(Debug)]
struct Away;

fn away() -> Error {
    Error::new(Kind::Unavailable, "the broker is away")
}

#[async_trait]
impl PubSub for Away {
    fn name(&self) -> &str {
        "away"
    }

    async fn publish(&self, _: &str, _: Message) -> Result<()> {
        Err(away())
    }

    async fn subscribe(&self, _: &Subscription, _: usize) -> Result<Box<dyn Deliveries>> {
        Err(away())
    }

    async fn shutdown(&self) -> Result<()> {
        Err(away())
    }
}

/// Runs ticks through an action of each kind of schedule until both were loaded.
async fn loads(pubsub: Option<Arc<dyn PubSub>>, store: &Arc<dyn Store>) {
    let diary = Diary::failing(&[]);
    let mut builder = Application::builder()
        .store(Arc::clone(store))
        .source(Noted::new("ticks", &["one"], &diary))
        .destination(realtime(Arc::new(Noted::new("crm", &["now"], &diary))))
        .destination(DestinationSettings {
            schedule: PartialSchedule {
                interval: Some(crate::schedule::Interval::parse("@every 2s").unwrap()),
                ..PartialSchedule::default()
            },
            ..DestinationSettings::of(Arc::new(Noted::new("lake", &["later"], &diary)))
        })
        .flow("ticks", "crm")
        .flow("ticks", "lake");
    if let Some(pubsub) = pubsub {
        builder = builder.pubsub(pubsub);
    }
    let (application, run) = (Arc::new(builder.build().unwrap()), Run::default());
    let running = start(&application, &run);
    diary.has(|entry| entry.starts_with("now of")).await;
    diary.has(|entry| entry.starts_with("later of")).await;
    run.stop.cancel();
    running.await.unwrap().unwrap();
}

fn empty_store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new(Retention::default()).unwrap())
}

/// PUB-00 PUB-01 PUB-02
#[tokio::test]
async fn notices_name_only_what_is_durable_and_the_scheduler_loads_it() {
    let (broker, store) = (Arc::new(MemoryPubSub::default()), empty_store());
    let tap = Subscription {
        topic: NOTICES.to_owned(),
        subscription: "tap".to_owned(),
    };
    let mut tapped = broker.subscribe(&tap, 1).await.unwrap();
    let durable = Arc::clone(&store);
    let tapping = tokio::spawn(async move {
        let mut upto = Vec::new();
        // The application shuts the broker down at its end.
        while let Ok(delivery) = tapped.next().await {
            let notice = Notice::read(&delivery.message).unwrap();
            assert_eq!(notice.store, durable.id().0);
            assert!(notice.upto() <= durable.durable().upto());
            upto.push(notice.upto());
            delivery.acknowledge().await.unwrap();
        }
        upto
    });
    loads(Some(broker), &store).await;
    let upto = tapping.await.unwrap();
    assert!(!upto.is_empty() && upto.is_sorted(), "{upto:?}");
}

/// SCH-06
#[tokio::test]
async fn without_a_pubsub_and_with_one_that_is_away_everything_is_loaded_all_the_same() {
    loads(None, &empty_store()).await;
    loads(Some(Arc::new(Away)), &empty_store()).await;
}
