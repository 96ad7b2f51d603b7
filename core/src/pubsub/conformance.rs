//! What every broker has to keep, as functions for the driver's own tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::{Deliveries, Delivery, PubSub};
use crate::source::{Message, Subscription};

/// A broker without topics, made anew at every call.
pub type Make<'a> = &'a dyn Fn() -> Arc<dyn PubSub>;

/// All of it.
///
/// # Panics
/// When the broker does not keep the contract.
pub async fn everything(make: Make<'_>) {
    a_subscription_gets_what_is_published_from_its_first_opening_on(make).await;
    each_subscription_of_a_topic_gets_every_message(make).await;
    holders_of_one_subscription_share_its_messages(make).await;
    what_is_acknowledged_does_not_come_again_in_whatever_order(make).await;
    what_is_given_back_or_dropped_comes_again_and_says_so(make).await;
    what_is_not_answered_comes_again_to_the_next_holder(make).await;
    no_more_is_in_flight_than_was_asked_for(make).await;
    a_wait_that_is_given_up_loses_nothing(make).await;
    after_a_shutdown_everything_fails(make).await;
}

/// The subscription `name` of `topic`.
#[must_use]
pub fn subscription(topic: &str, name: &str) -> Subscription {
    Subscription {
        topic: topic.to_owned(),
        subscription: name.to_owned(),
    }
}

/// A message that says `body`.
#[must_use]
pub fn message(body: &str) -> Message {
    Message {
        body: Bytes::copy_from_slice(body.as_bytes()),
        metadata: BTreeMap::from([("says".to_owned(), body.to_owned())]),
    }
}

async fn open(broker: &dyn PubSub, name: &str) -> Box<dyn Deliveries> {
    let opened = broker.subscribe(&subscription("orders", name), 10).await;
    opened.expect("a subscription opens")
}

async fn publish(broker: &dyn PubSub, bodies: &[&str]) {
    for body in bodies {
        let published = broker.publish("orders", message(body)).await;
        published.expect("a message is published");
    }
}

async fn next(deliveries: &mut Box<dyn Deliveries>) -> Delivery {
    deliveries.next().await.expect("a message is delivered")
}

async fn done(delivery: Delivery) {
    delivery.acknowledge().await.expect("it is acknowledged");
}

fn said(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.message.body).into_owned()
}

/// Takes and acknowledges `count` messages.
async fn all(deliveries: &mut Box<dyn Deliveries>, count: usize) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for _ in 0..count {
        let delivery = next(deliveries).await;
        all.insert(said(&delivery));
        done(delivery).await;
    }
    all
}

fn is_idle(deliveries: &mut Box<dyn Deliveries>) -> bool {
    use futures_util::FutureExt;
    deliveries.next().now_or_never().is_none()
}

fn set(bodies: &[&str]) -> BTreeSet<String> {
    bodies.iter().map(|body| (*body).to_owned()).collect()
}

async fn a_subscription_gets_what_is_published_from_its_first_opening_on(make: Make<'_>) {
    let broker = make();
    publish(&*broker, &["before"]).await;
    let mut deliveries = open(&*broker, "lake").await;
    publish(&*broker, &["a"]).await;
    let delivery = next(&mut deliveries).await;
    assert_eq!(delivery.message, message("a"), "body and metadata");
    assert!(!delivery.again);
    done(delivery).await;
    drop(deliveries);
    publish(&*broker, &["while nobody had it open"]).await;
    let mut deliveries = open(&*broker, "lake").await;
    let told = all(&mut deliveries, 1).await;
    assert_eq!(told, set(&["while nobody had it open"]));
}

async fn each_subscription_of_a_topic_gets_every_message(make: Make<'_>) {
    let broker = make();
    let mut lake = open(&*broker, "lake").await;
    let mut crm = open(&*broker, "crm").await;
    publish(&*broker, &["a", "b"]).await;
    assert_eq!(all(&mut lake, 2).await, set(&["a", "b"]));
    assert_eq!(all(&mut crm, 2).await, set(&["a", "b"]));
}

async fn holders_of_one_subscription_share_its_messages(make: Make<'_>) {
    let broker = make();
    let mut one = open(&*broker, "lake").await;
    let mut other = open(&*broker, "lake").await;
    publish(&*broker, &["a", "b"]).await;
    let (first, second) = (next(&mut one).await, next(&mut other).await);
    assert_eq!(
        BTreeSet::from([said(&first), said(&second)]),
        set(&["a", "b"])
    );
    done(first).await;
    done(second).await;
    assert!(is_idle(&mut one) && is_idle(&mut other));
}

async fn what_is_acknowledged_does_not_come_again_in_whatever_order(make: Make<'_>) {
    let broker = make();
    let mut deliveries = open(&*broker, "lake").await;
    publish(&*broker, &["a", "b", "c"]).await;
    let first = next(&mut deliveries).await;
    let second = next(&mut deliveries).await;
    let third = next(&mut deliveries).await;
    let middle = said(&second);
    done(third).await;
    done(first).await;
    second.give_back();
    let again = next(&mut deliveries).await;
    assert_eq!(said(&again), middle);
    done(again).await;
    drop(deliveries);
    assert!(is_idle(&mut open(&*broker, "lake").await));
}

async fn what_is_given_back_or_dropped_comes_again_and_says_so(make: Make<'_>) {
    let broker = make();
    let mut deliveries = open(&*broker, "lake").await;
    publish(&*broker, &["a"]).await;
    next(&mut deliveries).await.give_back();
    let again = next(&mut deliveries).await;
    assert!(again.again);
    assert_eq!(said(&again), "a");
    drop(again);
    assert_eq!(all(&mut deliveries, 1).await, set(&["a"]));
}

async fn what_is_not_answered_comes_again_to_the_next_holder(make: Make<'_>) {
    let broker = make();
    let mut deliveries = open(&*broker, "lake").await;
    publish(&*broker, &["a", "b"]).await;
    let taken = next(&mut deliveries).await;
    drop(deliveries);
    drop(taken);
    let mut deliveries = open(&*broker, "lake").await;
    assert_eq!(all(&mut deliveries, 2).await, set(&["a", "b"]));
}

async fn no_more_is_in_flight_than_was_asked_for(make: Make<'_>) {
    let broker = make();
    let two = broker.subscribe(&subscription("orders", "lake"), 2).await;
    let mut deliveries = two.expect("a subscription opens");
    publish(&*broker, &["a", "b", "c"]).await;
    let first = next(&mut deliveries).await;
    let _second = next(&mut deliveries).await;
    assert!(is_idle(&mut deliveries), "a third one in flight");
    done(first).await;
    drop(next(&mut deliveries).await);
}

async fn a_wait_that_is_given_up_loses_nothing(make: Make<'_>) {
    let broker = make();
    let mut deliveries = open(&*broker, "lake").await;
    assert!(is_idle(&mut deliveries));
    publish(&*broker, &["a"]).await;
    assert_eq!(all(&mut deliveries, 1).await, set(&["a"]));
}

async fn after_a_shutdown_everything_fails(make: Make<'_>) {
    let broker = make();
    let mut deliveries = open(&*broker, "lake").await;
    broker.shutdown().await.expect("it shuts down");
    assert!(deliveries.next().await.is_err());
    assert!(broker.publish("orders", message("a")).await.is_err());
    let opened = broker.subscribe(&subscription("orders", "lake"), 1).await;
    assert!(opened.is_err());
}
