//! When a lane's schedule lets it load what gathered, and try again what failed. Pure: both clocks are handed in.
//!
//! Whatever waits for a stretch of time waits on the clock that never goes back, so a wall clock that is set moves no
//! retry and no `@every`. Only patterns of the calendar follow the wall clock, and use each time once.

use std::time::Duration;

use super::retries::NEXT_TIME;
use crate::clock::Now;
use crate::schedule::{LOOK_AGAIN, Schedule, Slots, Wait};

/// The times of one lane.
#[derive(Debug, Default)]
pub(super) struct Timing {
    /// When the next batch may go; none for a realtime action.
    batches: Option<Slots>,
    /// When what failed is tried again, where that is a pattern of the calendar.
    retries: Option<Slots>,
}

impl Timing {
    /// The times of `schedule` after `now`.
    pub(super) fn after(schedule: &Schedule, now: Now) -> Timing {
        let slots = || Slots::after(&schedule.interval, now);
        let by_calendar = schedule.retry(1, now.wall, 0) == Wait::Next;
        Timing {
            batches: (!schedule.realtime).then(slots),
            retries: by_calendar.then(slots),
        }
    }

    /// Whether batches wait for a time and not for their own age.
    pub(super) fn has_ticks(&self) -> bool {
        self.batches.is_some()
    }

    /// Whether a time for batches has come that was not used.
    pub(super) fn is_time(&mut self, now: Now) -> bool {
        let slots = self.batches.as_mut();
        slots.is_some_and(|slots| slots.wait(now).is_zero())
    }

    /// Uses up the times for batches that have come.
    pub(super) fn pass(&mut self, now: Now) {
        // That none had come is as good.
        _ = self.batches.as_mut().and_then(|slots| slots.take(now));
    }

    /// Whether a time for retries has come, which is used up by that.
    pub(super) fn retries_may_go(&mut self, now: Now) -> bool {
        let slots = self.retries.as_mut();
        slots.is_some_and(|slots| slots.take(now).is_some())
    }

    /// How long until the next time for batches.
    pub(super) fn until_tick(&mut self, now: Now) -> Option<Duration> {
        let slots = self.batches.as_mut()?;
        Some(looked_at_again(slots, now))
    }

    /// How long until the next time for retries.
    pub(super) fn until_retries(&mut self, now: Now) -> Option<Duration> {
        let slots = self.retries.as_mut()?;
        Some(looked_at_again(slots, now))
    }
}

/// A wall clock may be set at any moment, and nobody says so.
fn looked_at_again(slots: &mut Slots, now: Now) -> Duration {
    let wait = slots.wait(now);
    match slots {
        Slots::Every { .. } => wait,
        Slots::Calendar { .. } => wait.min(LOOK_AGAIN),
    }
}

/// When attempt number `attempt`, which failed at `now`, is followed by the next: not before `pause` has passed.
pub(super) fn retry_due(
    schedule: &Schedule,
    attempt: u32,
    now: Now,
    random: u64,
    pause: Duration,
) -> Duration {
    let wait = match schedule.retry(attempt, now.wall, random) {
        Wait::For(wait) => wait,
        Wait::Next if pause.is_zero() => return NEXT_TIME,
        Wait::Next => schedule.interval.next_after(now.wall).since(now.wall),
    };
    now.elapsed.saturating_add(wait.max(pause))
}
