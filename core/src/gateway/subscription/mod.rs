//! Subscription triggers: an event per message of a broker, acknowledged when the event is durable.
//!
//! Messages are extracted one after the other, in the order in which the broker hands them out, and many may wait for
//! the store at a time, so that one sync serves them all. After a crash the broker delivers again
//! what was not acknowledged, whether its event was durable or not: such a message makes a second event.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::intake::{Intake, Taken};
use crate::error::{Advice, Error, Result};
use crate::pubsub::{Deliveries, Delivery, PubSub};
use crate::schedule::Backoff;
use crate::source::{ExtractMessage, Subscription};

/// Messages of one trigger that are extracted and not acknowledged yet, at most.
pub const IN_FLIGHT_MAX: usize = 256;
/// The pause before a broker is asked again that did not answer, or gave a message that could not be used now.
const BACKOFF: Backoff = Backoff {
    initial: Duration::from_millis(100),
    max: Duration::from_secs(30),
};

/// One subscription trigger and what it runs with.
#[derive(Debug)]
pub struct SubscriptionTrigger {
    /// Its source's way in.
    pub intake: Arc<Intake>,
    /// Its name inside the source.
    pub trigger: Arc<str>,
    /// The broker.
    pub pubsub: Arc<dyn PubSub>,
    /// Which messages.
    pub subscription: Subscription,
    /// What makes its events.
    pub extract: Arc<dyn ExtractMessage>,
}

/// What became of one message.
enum Outcome {
    /// Its event has its positions, and is acknowledged when they are durable.
    Taken(Taken),
    /// It asks for nothing, or can never be used.
    Done,
    /// It cannot be used now.
    NotNow,
}

impl SubscriptionTrigger {
    /// Extracts from every message until `stop`, which lets what is in hand come to its end.
    ///
    /// # Errors
    /// When the store takes nothing any more, or the broker refuses the subscription. What a pause may mend is tried again.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let ran = self.run_until(&stop).await;
        let (source, trigger) = (self.intake.source(), &self.trigger);
        ran.map_err(|error| error.at(format!("trigger {source}/{trigger}")))
    }

    async fn run_until(&self, stop: &CancellationToken) -> Result<()> {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let opened = self.pubsub.subscribe(&self.subscription, IN_FLIGHT_MAX);
            let ended = match opened.await {
                Ok(deliveries) => self.consume(deliveries, stop, &mut failures).await,
                Err(error) => Err(error),
            };
            match ended {
                Err(error) if error.advice() == Advice::Retry => {
                    tracing::warn!(source = %self.intake.source(), trigger = %self.trigger, error = %error.report(), "the broker does not answer; it is asked again");
                    self.pause(&mut failures, stop).await;
                }
                ended => return ended,
            }
        }
        Ok(())
    }

    /// Takes messages until `stop` or an error, and then waits for those that are on their way into the store.
    async fn consume(
        &self,
        mut deliveries: Box<dyn Deliveries>,
        stop: &CancellationToken,
        failures: &mut u32,
    ) -> Result<()> {
        let mut settling = JoinSet::new();
        let ended = loop {
            let delivery = tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                Some(settled) = settling.join_next() => match settled {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => break Err(error),
                    Err(error) => break Err(Error::stopped("acknowledging panicked").because(error)),
                },
                next = deliveries.next() => match next {
                    Ok(delivery) => delivery,
                    Err(error) => break Err(error),
                },
            };
            match self.take(&delivery).await {
                Ok(Outcome::Taken(taken)) => {
                    *failures = 0;
                    settling.spawn(settle(Arc::clone(&self.intake), taken, delivery));
                }
                Ok(Outcome::Done) => {
                    *failures = 0;
                    acknowledge(delivery).await;
                }
                Ok(Outcome::NotNow) => {
                    delivery.give_back();
                    self.pause(failures, stop).await;
                }
                Err(error) => break Err(error),
            }
        };
        while let Some(settled) = settling.join_next().await {
            settled.unwrap_or(Ok(()))?;
        }
        ended
    }

    /// What becomes of a message. An error is the store's: no message can be taken any more.
    async fn take(&self, delivery: &Delivery) -> Result<Outcome> {
        let error = match self.extract(delivery).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        self.intake.goes_on()?;
        let (source, trigger) = (self.intake.source(), &self.trigger);
        if error.advice() == Advice::Discard {
            tracing::error!(%source, %trigger, error = %error.report(), "the message cannot be used; nothing was stored");
            return Ok(Outcome::Done);
        }
        tracing::warn!(%source, %trigger, error = %error.report(), "the message was given back to the broker");
        Ok(Outcome::NotNow)
    }

    async fn extract(&self, delivery: &Delivery) -> Result<Outcome> {
        let toolkit = self.intake.begin(&self.trigger);
        let logger = toolkit.logger.span().clone();
        let extracting = self.extract.extract(&toolkit, delivery.message.clone());
        let Some(event) = extracting.instrument(logger).await? else {
            return Ok(Outcome::Done);
        };
        let prepared = self.intake.prepare(&self.trigger, &toolkit, event)?;
        self.intake.place(prepared).await.map(Outcome::Taken)
    }

    async fn pause(&self, failures: &mut u32, stop: &CancellationToken) {
        *failures = failures.saturating_add(1);
        let pause = BACKOFF.pause(*failures, u64::from(*failures));
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Acknowledges a message once its event is durable. Dropped before, it gives the message back.
async fn settle(intake: Arc<Intake>, taken: Taken, delivery: Delivery) -> Result<()> {
    intake.durable(&taken).await?;
    acknowledge(delivery).await;
    Ok(())
}

async fn acknowledge(delivery: Delivery) {
    if let Err(error) = delivery.acknowledge().await {
        tracing::warn!(error = %error.report(), "a message could not be acknowledged; it may come again");
    }
}

#[cfg(test)]
mod tests;
