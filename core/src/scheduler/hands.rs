//! Loads in hand: each a task of its own, with what the runner has to know of it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::load::Loaded;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::position::{Position, Span};
use crate::spans::Spans;

/// One load in hand.
#[derive(Debug)]
pub(super) struct Hand {
    /// What is being loaded.
    pub(super) spans: Spans,
    /// Jobs of it that an operator decided meanwhile.
    pub(super) decided: Spans,
    pub(super) events: u64,
    pub(super) attempt: u32,
    /// When it was recorded as executing: it has this moment for itself among those in hand.
    pub(super) at: Timestamp,
    /// Whether nothing may be loaded beside it.
    pub(super) alone: bool,
    /// Has it dropped.
    pub(super) cancel: CancellationToken,
}

/// A load that came to its end.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) hand: Hand,
    pub(super) loaded: Loaded,
    pub(super) took: Duration,
}

/// All loads of one lane that are in hand. Dropping them drops the loads, as a crash would.
#[derive(Debug, Default)]
pub(super) struct Hands {
    tasks: JoinSet<Result<(u64, Loaded, Duration)>>,
    hands: BTreeMap<u64, Hand>,
    begun: u64,
}

impl Hands {
    /// Begins a load.
    pub(super) fn begin(
        &mut self,
        hand: Hand,
        load: impl Future<Output = Result<(Loaded, Duration)>> + Send + 'static,
    ) {
        let number = self.begun;
        self.begun += 1;
        self.hands.insert(number, hand);
        self.tasks.spawn(async move {
            let (loaded, took) = load.await?;
            Ok((number, loaded, took))
        });
    }

    /// Whether nothing is in hand.
    pub(super) fn is_empty(&self) -> bool {
        self.hands.is_empty()
    }

    /// The first moment from `now` on that no load in hand was recorded at: by that its parts are known after a crash.
    pub(super) fn free_moment(&self, now: Timestamp) -> Timestamp {
        let mut moment = now;
        while self.hands.values().any(|hand| hand.at == moment) {
            moment.0 += 1;
        }
        moment
    }

    /// Whether one more may begin where `max` are allowed.
    pub(super) fn has_room(&self, max: usize) -> bool {
        self.hands.len() < max && !self.hands.values().any(|hand| hand.alone)
    }

    /// Whether something up to `position` is in hand.
    pub(super) fn touch(&self, position: Position) -> bool {
        let hulls = self.hands.values().filter_map(|hand| hand.spans.hull());
        hulls.into_iter().any(|hull| hull.first <= position)
    }

    /// Sets aside what of `span` is in hand: the loads say nothing of it any more.
    pub(super) fn decide(&mut self, span: Span, cancel: bool) {
        for hand in self.hands.values_mut() {
            let own = hand.spans.within(span);
            if cancel && !own.is_empty() {
                hand.cancel.cancel();
            }
            own.iter().for_each(|span| hand.decided.add(span));
        }
    }

    /// The next load that comes to its end; never, while none is in hand. What is not awaited is not lost.
    ///
    /// # Errors
    /// When the store came to its end, or the task of the load panicked.
    pub(super) async fn ended(&mut self) -> Result<Ended> {
        let Some(joined) = self.tasks.join_next().await else {
            return std::future::pending().await;
        };
        let panicked = |error| Error::stopped("the task of a load panicked").because(error);
        let (number, loaded, took) = joined.map_err(panicked)??;
        let hand = self.hands.remove(&number);
        let hand = hand.ok_or_else(|| Error::stopped("a load ended that had not begun"))?;
        Ok(Ended { hand, loaded, took })
    }
}
