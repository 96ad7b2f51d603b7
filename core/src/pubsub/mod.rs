//! Pubsub: a broker that carries messages between processes.
//!
//! It has two uses. A subscription trigger makes events of a broker's messages. And the gateway tells the
//! scheduler what it has stored ([`Notice`]): positions, not payloads, because the store has those already; so a
//! notice that is lost, late, doubled or out of order costs a moment and never an event. An application without a
//! pubsub works as well: lanes then follow the store by themselves, and their schedules.
//!
//! [`memory`] is the simplest true driver, `conformance` (a feature, for tests) what every driver has to keep.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod memory;
mod notice;

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;
use crate::source::{Message, Subscription};

pub use notice::{NOTICES, Notice};

/// A broker.
///
/// # Contract
/// A topic has subscriptions; each gets every message that was published since it was first opened, and keeps what is not
/// acknowledged, also while nobody has it open. Several holders of one subscription share its messages. Delivery is at
/// least once, in no order that a consumer may rely on. All methods may be called from any task at any time.
#[async_trait]
pub trait PubSub: fmt::Debug + Send + Sync + 'static {
    /// Its name, as it is logged.
    fn name(&self) -> &str;

    /// Publishes one message, and returns when the broker has it: what crashes afterwards does not lose it. Waits
    /// while the broker has no room. When the future is dropped, the message may have been published.
    ///
    /// # Errors
    /// `Unavailable` when the broker does not answer: it may or may not have the message. `Refused` when it will not take it.
    async fn publish(&self, topic: &str, message: Message) -> Result<()>;

    /// Opens a subscription, which is made when the broker has none called so. At most `in_flight_max` deliveries (at least
    /// one) are unanswered at a time.
    ///
    /// # Errors
    /// `Unavailable` when the broker does not answer, `Refused` when it will not have it.
    async fn subscribe(
        &self,
        subscription: &Subscription,
        in_flight_max: usize,
    ) -> Result<Box<dyn Deliveries>>;

    /// Sends what is still to be sent, acknowledgements included, and lets go of the broker. Later calls fail.
    ///
    /// # Errors
    /// What could not be sent: those messages come again.
    async fn shutdown(&self) -> Result<()>;
}

/// An open subscription. Dropping it gives back what was not answered.
#[async_trait]
pub trait Deliveries: fmt::Debug + Send {
    /// The next message; waits for one, and while `in_flight_max` are unanswered. Dropping the future loses nothing.
    ///
    /// # Errors
    /// `Unavailable` when the connection is gone: open the subscription again. `Stopped` after a shutdown.
    async fn next(&mut self) -> Result<Delivery>;
}

/// One message that was delivered, waiting for its answer. Dropping it gives it back.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// Whether it was delivered before, as far as the broker knows.
    pub again: bool,
    answer: Option<Box<dyn Answer>>,
}

/// A driver's end of a delivery.
#[async_trait]
pub trait Answer: fmt::Debug + Send + Sync {
    /// The message is done with: it does not come again.
    ///
    /// # Errors
    /// `Unavailable` when the broker may not have heard it: the message may come again.
    async fn acknowledge(&self) -> Result<()>;

    /// The message is to come again. Called also when a delivery is dropped, so it must not wait.
    fn give_back(&self);
}

impl Delivery {
    /// A delivery that `answer` is told of.
    #[must_use]
    pub fn new(message: Message, again: bool, answer: impl Answer + 'static) -> Delivery {
        Delivery {
            message,
            again,
            answer: Some(Box::new(answer)),
        }
    }

    /// Acknowledges it: call this when everything that the message asks for is durable.
    ///
    /// # Errors
    /// `Unavailable` when the broker may not have heard it: the message may come again.
    pub async fn acknowledge(mut self) -> Result<()> {
        match self.answer.take() {
            Some(answer) => answer.acknowledge().await,
            None => Ok(()),
        }
    }

    /// Gives it back: it comes again, here or elsewhere.
    pub fn give_back(self) {
        drop(self);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(answer) = &self.answer {
            answer.give_back();
        }
    }
}
