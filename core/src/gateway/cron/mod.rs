//! Cron triggers: an event whenever it is time.
//!
//! Each trigger has a loop of its own: wait for the next time, call, store, wait. So calls of one trigger never overlap, and
//! those of another are not held up. What counts as a time, and which are missed, is decided by [`Slots`]; which was used last
//! is remembered in the store (`memory.rs`), so that times which passed while nothing ran are told, and made up for by one call
//! where the trigger wants it ([`Missed`]).

mod memory;
mod ticks;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::memory::Memory;
use super::intake::Intake;
use crate::clock::Now;
use crate::error::{Error, Result};
use crate::event::StateChange;
use crate::schedule::{Due, Interval, LOOK_AGAIN, Missed, Slots};
use crate::source::ExtractCron;

pub use ticks::{Tick, Ticks};

/// One cron trigger and what it runs with.
#[derive(Debug)]
pub struct CronTrigger {
    /// Its source's way in.
    pub intake: Arc<Intake>,
    /// Its name inside the source.
    pub trigger: Arc<str>,
    /// When it runs: its own interval, or its source's.
    pub interval: Interval,
    /// What makes its events.
    pub extract: Arc<dyn ExtractCron>,
}

impl CronTrigger {
    /// Extracts at every time of the interval until `stop`, which lets the call in hand come to its end.
    ///
    /// # Errors
    /// When the store takes nothing any more. Whatever else goes wrong is logged, and the next time comes.
    pub async fn run(self, stop: CancellationToken) -> Result<()> {
        let running = self.until(&stop).await;
        let place =
            |error: Error| error.at(format!("trigger {}/{}", self.intake.source(), self.trigger));
        running.map_err(place)
    }

    async fn until(&self, stop: &CancellationToken) -> Result<()> {
        let clock = Arc::clone(self.intake.clock());
        let memory = Memory::of(&self.trigger, &self.interval);
        let mut slots = self.begin(&memory, Now::of(&*clock)).await?;
        loop {
            let wait = slots.wait(Now::of(&*clock)).min(LOOK_AGAIN);
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
            let Some(due) = slots.take(Now::of(&*clock)) else {
                continue;
            };
            self.tell_missed(due.missed, "nothing ran then");
            self.fire(due, &memory).await?;
            // Times that passed meanwhile are not made up for.
            if let Some(passed) = slots.take(Now::of(&*clock)) {
                self.tell_missed(passed.missed + 1, "the call before was still running");
                self.remember(memory.used(passed.at)).await?;
            }
        }
    }

    /// The times from `now` on, after what is to be said and done about those that passed while nothing ran.
    async fn begin(&self, memory: &Memory, now: Now) -> Result<Slots> {
        let policy = self.extract.missed();
        let Some(last) = memory.last(&self.intake) else {
            // From here on times count as missed, also those before the first call.
            self.remember(memory.used(now.wall)).await?;
            return Ok(Slots::after(&self.interval, now));
        };
        let (slots, passed) = Slots::since(&self.interval, last, now, policy);
        match (passed, policy) {
            (None, _) => {}
            (Some(due), Missed::Skip) => {
                self.tell_missed(due.missed + 1, DOWN);
                self.remember(memory.used(due.at)).await?;
            }
            (Some(due), Missed::Once) => {
                self.tell_missed(due.missed, DOWN);
                self.fire(due, memory).await?;
            }
        }
        Ok(slots)
    }

    async fn fire(&self, due: Due, memory: &Memory) -> Result<()> {
        let used = memory.used(due.at);
        match self.extract(due, used.clone()).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                let (source, trigger) = (self.intake.source(), &self.trigger);
                tracing::error!(%source, %trigger, due = %due.at, error = %error.report(), "nothing was extracted");
                // A store that takes nothing any more is no matter of this time only.
                self.intake.goes_on()?;
            }
        }
        self.remember(used).await
    }

    /// Makes and stores the event of one time; whether there was any, in whose record `used` is remembered then.
    async fn extract(&self, due: Due, used: StateChange) -> Result<bool> {
        let toolkit = self.intake.begin(&self.trigger);
        let logger = toolkit.logger.span().clone();
        let extracting = self.extract.extract(&toolkit, due.at).instrument(logger);
        let Some(event) = extracting.await? else {
            return Ok(false);
        };
        let mut prepared = self.intake.prepare(&self.trigger, &toolkit, event)?;
        prepared.remember(vec![used]);
        self.intake.keep(prepared).await.map(|_| true)
    }

    async fn remember(&self, used: StateChange) -> Result<()> {
        self.intake.remember(vec![used]).await
    }

    fn tell_missed(&self, missed: u64, reason: &str) {
        if missed > 0 {
            let (source, trigger) = (self.intake.source(), &self.trigger);
            tracing::warn!(%source, %trigger, missed, reason, "times were missed, and are not made up for");
        }
    }
}

/// Why times were missed before this process began.
const DOWN: &str = "the process was not running";

#[cfg(test)]
mod tests;
