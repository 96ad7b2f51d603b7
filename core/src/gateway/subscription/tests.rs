//! Messages of a broker as events, over the broker in memory.

use std::sync::Mutex;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc};

use super::*;
use crate::clock::SystemClock;
use crate::gateway::Registry;
use crate::json::Json;
use crate::log::Retention;
use crate::position::Position;
use crate::pubsub::conformance::{message, subscription};
use crate::pubsub::memory::MemoryPubSub;
use crate::service::{Service, Toolkit};
use crate::source::{Event, Message};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::version::Versions;

/// Tells each call, and answers by what the message says.
#[derive(Debug)]
struct Read {
    told: mpsc::UnboundedSender<String>,
    /// A call of `wait` returns when it gets one.
    go: Semaphore,
    /// How often `later` fails yet.
    later: Mutex<u32>,
}

#[async_trait]
impl ExtractMessage for Read {
    async fn extract(&self, toolkit: &Toolkit, message: Message) -> Result<Option<Event>> {
        assert!(toolkit.event_id.is_some());
        let said = String::from_utf8_lossy(&message.body).into_owned();
        self.told.send(said.clone()).unwrap();
        match &*said {
            "nothing" => return Ok(None),
            "garbage" => return Err(Error::invalid("not JSON")),
            "wait" => self.go.acquire().await.unwrap().forget(),
            "later" => {
                let mut later = self.later.lock().unwrap();
                if *later > 0 {
                    *later -= 1;
                    return Err(Error::unavailable("the other side is away"));
                }
            }
            _ => {}
        }
        Ok(Some(Event::of(Json::of(&said)?)))
    }
}

/// A broker, a store, and the subscription trigger between them.
struct House {
    broker: Arc<dyn PubSub>,
    store: Arc<dyn Store>,
    read: Arc<Read>,
    told: mpsc::UnboundedReceiver<String>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<Result<()>>,
}

impl House {
    async fn open() -> House {
        let broker = Arc::new(MemoryPubSub::default());
        // What is published before the trigger runs is kept for it.
        let made = broker.subscribe(&subscription("orders", "lake"), 1).await;
        drop(made.unwrap());
        House::over(broker)
    }

    fn over(broker: Arc<dyn PubSub>) -> House {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Retention::default()).unwrap());
        let (told_in, told) = mpsc::unbounded_channel();
        let read = Arc::new(Read {
            told: told_in,
            go: Semaphore::new(0),
            later: Mutex::new(2),
        });
        let intake = Intake::new(
            Arc::clone(&store),
            "broker",
            Versions::default(),
            Arc::new(Registry::default()),
            Arc::new(Service::new("test".into(), Service::GATEWAY)),
            SystemClock::shared(),
        );
        let trigger = SubscriptionTrigger {
            intake: Arc::new(intake.unwrap()),
            trigger: Arc::from("orders"),
            pubsub: Arc::clone(&broker),
            subscription: subscription("orders", "lake"),
            extract: Arc::clone(&read) as Arc<dyn ExtractMessage>,
        };
        let stop = CancellationToken::new();
        House {
            running: tokio::spawn(trigger.run(stop.clone())),
            broker,
            store,
            read,
            told,
            stop,
        }
    }

    async fn publish(&self, bodies: &[&str]) {
        for body in bodies {
            self.broker.publish("orders", message(body)).await.unwrap();
        }
    }

    /// The next `count` calls.
    async fn told(&mut self, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..count {
            told.push(self.told.recv().await.unwrap());
        }
        told
    }

    /// Stops, and returns how many events there are and which messages the broker still has.
    async fn stopped(self) -> (Position, Vec<String>) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        (self.store.durable().upto(), left(&*self.broker).await)
    }
}

async fn left(broker: &dyn PubSub) -> Vec<String> {
    use futures_util::FutureExt;
    let opened = broker.subscribe(&subscription("orders", "lake"), 100).await;
    let (mut deliveries, mut held) = (opened.unwrap(), Vec::new());
    while let Some(delivery) = deliveries.next().now_or_never() {
        held.push(delivery.unwrap());
    }
    let left = held.iter();
    left.map(|delivery| String::from_utf8_lossy(&delivery.message.body).into_owned())
        .collect()
}

/// TRG-08 TRG-09
#[tokio::test]
async fn each_message_is_one_call_and_one_event_and_is_acknowledged() {
    let mut house = House::open().await;
    house.publish(&["a", "nothing", "b"]).await;
    assert_eq!(house.told(3).await, ["a", "nothing", "b"]);
    assert_eq!(house.stopped().await, (Position(2), Vec::new()));
}

#[tokio::test]
async fn a_message_that_can_never_be_used_is_passed_over() {
    let mut house = House::open().await;
    house.publish(&["garbage", "a"]).await;
    assert_eq!(house.told(2).await, ["garbage", "a"]);
    assert_eq!(house.stopped().await, (Position(1), Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_used_now_comes_again_after_a_pause() {
    let mut house = House::open().await;
    house.publish(&["later"]).await;
    assert_eq!(house.told(3).await, ["later"; 3]);
    assert_eq!(house.stopped().await, (Position(1), Vec::new()));
}

/// Scenario 47: redelivery, and answers out of order.
#[tokio::test]
async fn what_was_in_hand_at_a_crash_comes_again_and_what_was_acknowledged_does_not() {
    let mut house = House::open().await;
    house.publish(&["a", "wait", "b"]).await;
    assert_eq!(house.told(2).await, ["a", "wait"]);
    // Answered before its elder.
    let opened = house
        .broker
        .subscribe(&subscription("orders", "lake"), 1)
        .await;
    let younger = opened.unwrap().next().await.unwrap();
    assert_eq!(younger.message, message("b"));
    younger.acknowledge().await.unwrap();
    house.running.abort();
    house.running.await.unwrap_err();
    let broker = Arc::clone(&house.broker);
    let mut house = House::over(broker);
    house.read.go.add_permits(1);
    assert_eq!(house.told(1).await, ["wait"]);
    assert_eq!(house.stopped().await, (Position(1), Vec::new()));
}

#[tokio::test]
async fn a_stop_lets_the_message_in_hand_become_an_event() {
    let mut house = House::open().await;
    house.publish(&["wait", "a"]).await;
    assert_eq!(house.told(1).await, ["wait"]);
    house.stop.cancel();
    house.read.go.add_permits(1);
    assert_eq!(house.stopped().await, (Position(1), vec!["a".to_owned()]));
}

#[tokio::test]
async fn a_store_that_takes_nothing_any_more_gives_the_message_back_and_ends_the_trigger() {
    let house = House::open().await;
    house.store.close().unwrap();
    house.publish(&["a"]).await;
    let error = house.running.await.unwrap().unwrap_err();
    assert!(
        error.report().contains("trigger broker/orders"),
        "{error:?}"
    );
    assert_eq!(left(&*house.broker).await, ["a"]);
}
