//! Cron triggers: an event whenever it is time.
//!
//! Each trigger has a loop of its own: wait for the next time, call, store, wait. So calls of one trigger never overlap, and
//! those of another are not held up. What counts as a time, and which are missed, is decided by [`Slots`].

mod ticks;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::intake::Intake;
use crate::clock::Now;
use crate::error::Result;
use crate::schedule::{Due, Interval, LOOK_AGAIN, Slots};
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
        let clock = Arc::clone(self.intake.clock());
        let mut slots = Slots::after(&self.interval, Now::of(&*clock));
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
            self.fire(due).await?;
            // Times that passed meanwhile are not made up for.
            if let Some(passed) = slots.take(Now::of(&*clock)) {
                self.tell_missed(passed.missed + 1, "the call before was still running");
            }
        }
    }

    async fn fire(&self, due: Due) -> Result<()> {
        let (source, trigger) = (self.intake.source(), &self.trigger);
        let Err(error) = self.extract(due).await else {
            return Ok(());
        };
        tracing::error!(%source, %trigger, due = %due.at, error = %error.report(), "nothing was extracted");
        // A store that takes nothing any more is no matter of this time only.
        let goes_on = self.intake.goes_on();
        goes_on.map_err(|error| error.at(format!("trigger {source}/{trigger}")))
    }

    async fn extract(&self, due: Due) -> Result<()> {
        let toolkit = self.intake.begin(&self.trigger);
        let logger = toolkit.logger.clone();
        let extracting = self.extract.extract(&toolkit, due.at).instrument(logger);
        let Some(event) = extracting.await? else {
            return Ok(());
        };
        let prepared = self.intake.prepare(&self.trigger, &toolkit, event)?;
        self.intake.keep(prepared).await.map(drop)
    }

    fn tell_missed(&self, missed: u64, reason: &str) {
        if missed > 0 {
            let (source, trigger) = (self.intake.source(), &self.trigger);
            tracing::warn!(%source, %trigger, missed, reason, "times were missed, and are not made up for");
        }
    }
}

#[cfg(test)]
mod tests;
