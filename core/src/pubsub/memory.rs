//! The broker in memory: the simplest true one, of which nothing is left when the process ends.
//!
//! A subscription is a row of waiting messages behind one lock. What is delivered leaves the row and is held by its
//! delivery; given back it goes to the front, so that it comes again soon. A publisher waits while a
//! subscription of its topic has [`WAITING_MAX`] messages.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{Answer, Deliveries, Delivery, PubSub};
use crate::error::{Error, Result};
use crate::source::{Message, Subscription};

/// Messages that wait in one subscription, at most.
pub const WAITING_MAX: usize = 10_000;

/// A broker in memory. Cheap to clone: clones are the same broker.
#[derive(Debug, Clone, Default)]
pub struct MemoryPubSub(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    held: Mutex<Held>,
    /// Something was published, given back, acknowledged, taken, or the broker was shut down.
    moved: Notify,
}

#[derive(Debug, Default)]
struct Held {
    /// By topic, then by subscription.
    topics: HashMap<String, HashMap<String, VecDeque<Waiting>>>,
    closed: bool,
}

#[derive(Debug, Clone)]
struct Waiting {
    message: Message,
    again: bool,
}

impl Held {
    fn row(&mut self, of: &Subscription) -> &mut VecDeque<Waiting> {
        let topic = self.topics.entry(of.topic.clone()).or_default();
        topic.entry(of.subscription.clone()).or_default()
    }
}

impl Inner {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries until `make` has something, each time that anything moved.
    async fn until<T>(&self, mut make: impl FnMut(&mut Held) -> Option<T>) -> Result<T> {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            {
                let mut held = self.held();
                if held.closed {
                    return Err(Error::stopped("the broker in memory was shut down"));
                }
                if let Some(made) = make(&mut held) {
                    drop(held);
                    self.moved.notify_waiters();
                    return Ok(made);
                }
            }
            moved.await;
        }
    }
}

#[async_trait]
impl PubSub for MemoryPubSub {
    fn name(&self) -> &str {
        "memory"
    }

    async fn publish(&self, topic: &str, message: Message) -> Result<()> {
        let publish = |held: &mut Held| {
            let Some(rows) = held.topics.get_mut(topic) else {
                // Nobody ever subscribed: nobody misses it.
                return Some(());
            };
            if rows.values().any(|row| row.len() >= WAITING_MAX) {
                return None;
            }
            for row in rows.values_mut() {
                row.push_back(Waiting {
                    message: message.clone(),
                    again: false,
                });
            }
            Some(())
        };
        self.0.until(publish).await
    }

    async fn subscribe(
        &self,
        subscription: &Subscription,
        in_flight_max: usize,
    ) -> Result<Box<dyn Deliveries>> {
        let made = |held: &mut Held| {
            held.row(subscription);
            Some(())
        };
        self.0.until(made).await?;
        Ok(Box::new(MemoryDeliveries {
            broker: Arc::clone(&self.0),
            subscription: Arc::new(subscription.clone()),
            in_flight: Arc::default(),
            in_flight_max: in_flight_max.max(1),
        }))
    }

    async fn shutdown(&self) -> Result<()> {
        self.0.held().closed = true;
        self.0.moved.notify_waiters();
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryDeliveries {
    broker: Arc<Inner>,
    subscription: Arc<Subscription>,
    /// Counted by the deliveries that hold it.
    in_flight: Arc<()>,
    in_flight_max: usize,
}

#[async_trait]
impl Deliveries for MemoryDeliveries {
    async fn next(&mut self) -> Result<Delivery> {
        let take = |held: &mut Held| {
            let has_room = Arc::strong_count(&self.in_flight) <= self.in_flight_max;
            let waiting = has_room.then(|| held.row(&self.subscription).pop_front())?;
            waiting.map(|waiting| (waiting, Arc::clone(&self.in_flight)))
        };
        let (waiting, in_flight) = self.broker.until(take).await?;
        let answer = MemoryAnswer {
            broker: Arc::clone(&self.broker),
            subscription: Arc::clone(&self.subscription),
            message: waiting.message.clone(),
            in_flight: Mutex::new(Some(in_flight)),
        };
        Ok(Delivery::new(waiting.message, waiting.again, answer))
    }
}

#[derive(Debug)]
struct MemoryAnswer {
    broker: Arc<Inner>,
    subscription: Arc<Subscription>,
    message: Message,
    in_flight: Mutex<Option<Arc<()>>>,
}

impl MemoryAnswer {
    fn answered(&self) {
        let in_flight = self.in_flight.lock();
        drop(in_flight.unwrap_or_else(PoisonError::into_inner).take());
        self.broker.moved.notify_waiters();
    }
}

#[async_trait]
impl Answer for MemoryAnswer {
    async fn acknowledge(&self) -> Result<()> {
        self.answered();
        Ok(())
    }

    fn give_back(&self) {
        let message = self.message.clone();
        let waiting = Waiting {
            message,
            again: true,
        };
        self.broker
            .held()
            .row(&self.subscription)
            .push_front(waiting);
        self.answered();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::conformance;

    fn broker() -> Arc<dyn PubSub> {
        Arc::new(MemoryPubSub::default())
    }

    /// PUB-01
    #[tokio::test]
    async fn the_broker_in_memory_keeps_the_contract() {
        conformance::everything(&broker).await;
    }

    #[tokio::test]
    async fn a_publisher_waits_while_a_subscription_is_full() {
        let broker = broker();
        let subscription = conformance::subscription("orders", "lake");
        let mut deliveries = broker.subscribe(&subscription, 1).await.unwrap();
        for _ in 0..WAITING_MAX {
            broker
                .publish("orders", conformance::message("m"))
                .await
                .unwrap();
        }
        let further = broker.publish("orders", conformance::message("further"));
        tokio::pin!(further);
        assert!(futures_util::poll!(&mut further).is_pending());
        let delivery = deliveries.next().await.unwrap();
        delivery.acknowledge().await.unwrap();
        further.await.unwrap();
    }
}
