//! What gateway and scheduler tell each other over a pubsub: that there is something up to a position.
//!
//! A notice is published after the events are durable, and carries no event: whoever hears it looks into the store. In
//! one process the lanes follow the store's own watermark besides, so a broker that is away costs nothing there.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::{Advice, Result};
use crate::position::Position;
use crate::pubsub::{Deliveries, NOTICES, Notice, PubSub};
use crate::store::Store;
use crate::watermark::Watermark;

/// The pause before a broker that did not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Notices that may wait for their answer.
const IN_FLIGHT_MAX: usize = 16;

/// Publishes how far the store is durable, whenever that has moved, until `stop` or the end of the store. What moved
/// while a notice was under way goes into one notice with the next.
pub(super) async fn announce(
    store: Arc<dyn Store>,
    pubsub: Arc<dyn PubSub>,
    stop: CancellationToken,
) {
    let watermark = Watermark::new(store.durable());
    let mut told = watermark.upto();
    loop {
        tokio::select! {
            biased;
            past = watermark.past(told) => if past.is_err() { return },
            () = stop.cancelled() => return,
        }
        let upto = watermark.upto();
        let notice = Notice {
            store: store.id().0,
            upto: upto.0,
        };
        match pubsub.publish(NOTICES, notice.message()).await {
            Ok(()) => told = upto,
            Err(error) => {
                tracing::warn!(pubsub = pubsub.name(), error = %error.report(), "the scheduler could not be told of new events; it finds them by itself");
                if !rest(&stop).await {
                    return;
                }
            }
        }
    }
}

/// Lets whoever follows the store look again at each notice, for as long as it is polled.
pub(super) async fn hear(store: Arc<dyn Store>, pubsub: Arc<dyn PubSub>) {
    let never = CancellationToken::new();
    loop {
        let opened = pubsub
            .subscribe(&Notice::subscription(), IN_FLIGHT_MAX)
            .await;
        let ended = match opened {
            Ok(deliveries) => hear_all(&*store, deliveries).await,
            Err(error) => Err(error),
        };
        let Err(error) = ended else { return };
        tracing::warn!(pubsub = pubsub.name(), error = %error.report(), "no notices of the gateway are heard; lanes follow the store");
        if error.advice() != Advice::Retry || !rest(&never).await {
            return;
        }
    }
}

async fn hear_all(store: &dyn Store, mut deliveries: Box<dyn Deliveries>) -> Result<()> {
    loop {
        let delivery = deliveries.next().await?;
        match Notice::read(&delivery.message) {
            Ok(notice) if notice.store == store.id().0 && notice.upto() > Position::ZERO => {
                store.durable().tell();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %error.report(), "passed over"),
        }
        delivery.acknowledge().await?;
    }
}

/// Waits before asking again; false when it is to stop.
async fn rest(stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = tokio::time::sleep(ASK_AGAIN) => true,
    }
}
