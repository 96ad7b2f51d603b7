//! When an action loads, and when it tries again.
//!
//! A schedule is settled field by field: what the action says, else what its destination says, else the
//! default `{realtime: false, interval: "@every 1h", max_retries: 72}`. [`PartialSchedule`] is one layer,
//! [`Schedule`] the outcome. Everything here is a pure decision: time and randomness are handed in.

pub mod duration;
mod interval;
mod slots;

use std::time::Duration;

pub use interval::Interval;
pub use slots::{Due, LOOK_AGAIN, Missed, Slots};

use crate::clock::Timestamp;

/// Retries of a job when nothing else is said: hourly, for three days.
pub const MAX_RETRIES_DEFAULT: u32 = 72;
/// The pause between loads when nothing else is said.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(3_600);
/// First pause before a retry of a realtime action.
const REALTIME_BACKOFF_INITIAL: Duration = Duration::from_secs(1);
/// Longest pause before a retry of a realtime action, unless its interval is shorter.
const REALTIME_BACKOFF_MAX: Duration = Duration::from_secs(300);

/// When an action loads and how it retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Load as events arrive, instead of at the interval. Default: false.
    pub realtime: bool,
    /// When to load what has gathered, and when to retry. Default: `@every 1h`.
    pub interval: Interval,
    /// Executions after the first; 0 means no retry. Default: 72. What was executing for the last time when the process
    /// ended is not executed again, but of unknown outcome, unless the action is ordered.
    pub max_retries: u32,
    /// Whether somebody set `max_retries`: an ordered action gives up on a range only then.
    pub max_retries_explicit: bool,
    /// The pause before a retry, when set; else realtime actions back off from 1 s to 5 min, or to their interval when that is shorter, and
    /// others wait for the interval.
    pub backoff: Option<Backoff>,
}

/// How long a job that failed waits for its next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// This long, whatever becomes of the wall clock meanwhile.
    For(Duration),
    /// For the next time of the interval, which is a pattern of the calendar.
    Next,
}

/// A pause that doubles with every attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failed attempt; not zero, which would retry without end.
    pub initial: Duration,
    /// The longest pause; not less than `initial`.
    pub max: Duration,
}

/// One layer of settings for a schedule; absent fields come from the layer below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartialSchedule {
    /// See [`Schedule::realtime`].
    pub realtime: Option<bool>,
    /// See [`Schedule::interval`].
    pub interval: Option<Interval>,
    /// See [`Schedule::max_retries`].
    pub max_retries: Option<u32>,
    /// See [`Schedule::backoff`].
    pub backoff: Option<Backoff>,
}

impl Default for Schedule {
    fn default() -> Self {
        PartialSchedule::default().settle()
    }
}

impl PartialSchedule {
    /// This layer over `below`: its own fields where set, the other's where not.
    #[must_use]
    pub fn over(&self, below: &PartialSchedule) -> PartialSchedule {
        PartialSchedule {
            realtime: self.realtime.or(below.realtime),
            interval: self.interval.clone().or_else(|| below.interval.clone()),
            max_retries: self.max_retries.or(below.max_retries),
            backoff: self.backoff.or(below.backoff),
        }
    }

    /// This layer over the defaults.
    #[must_use]
    pub fn settle(&self) -> Schedule {
        Schedule {
            realtime: self.realtime.unwrap_or(false),
            interval: self
                .interval
                .clone()
                .unwrap_or_else(|| Interval::every(INTERVAL_DEFAULT)),
            max_retries: self.max_retries.unwrap_or(MAX_RETRIES_DEFAULT),
            max_retries_explicit: self.max_retries.is_some(),
            backoff: self.backoff,
        }
    }
}

impl Schedule {
    /// Whether a job that has been executed `attempts` times may run once more.
    #[must_use]
    pub fn may_retry(&self, attempts: u32) -> bool {
        attempts <= self.max_retries
    }

    /// How long a job whose attempt number `attempt` (from 1) failed at `now` waits. `random` spreads
    /// retries so that they do not come back together: any number, a fresh one each time.
    #[must_use]
    pub fn retry(&self, attempt: u32, now: Timestamp, random: u64) -> Wait {
        match self.backoff.or_else(|| self.realtime_backoff(now)) {
            Some(backoff) => Wait::For(backoff.pause(attempt, random)),
            None => self.interval.period().map_or(Wait::Next, Wait::For),
        }
    }

    fn realtime_backoff(&self, now: Timestamp) -> Option<Backoff> {
        let gap = self.interval.next_after(now).since(now);
        let max = REALTIME_BACKOFF_MAX.min(gap);
        self.realtime.then_some(Backoff {
            initial: REALTIME_BACKOFF_INITIAL.min(max),
            max,
        })
    }
}

impl Backoff {
    /// The pause after attempt number `attempt` (from 1): doubled each time up to `max`, of which the
    /// second half is drawn by `random`.
    #[must_use]
    pub fn pause(&self, attempt: u32, random: u64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let full = self.initial.saturating_mul(1 << doublings).min(self.max);
        let half = full / 2;
        (full - half) + half.mul_f64(fraction(random.wrapping_add(u64::from(attempt))))
    }
}

/// A number from 0 to 1 drawn by `seed`: neighbours end up far apart (the finish of SplitMix64).
fn fraction(seed: u64) -> f64 {
    let mut mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    fn realtime() -> Schedule {
        PartialSchedule {
            realtime: Some(true),
            ..PartialSchedule::default()
        }
        .settle()
    }

    #[test]
    fn the_default_is_hourly_with_72_retries() {
        let schedule = Schedule::default();
        assert!(!schedule.realtime && !schedule.max_retries_explicit);
        assert_eq!(schedule.interval.as_str(), "@every 1h");
        assert_eq!(schedule.max_retries, 72);
    }

    /// CON-09 OPT-03 ACT-02 SCH-04 SCH-05
    #[test]
    fn an_action_overrides_its_destination_field_by_field() {
        let destination = PartialSchedule {
            realtime: Some(true),
            max_retries: Some(5),
            ..PartialSchedule::default()
        };
        let action = PartialSchedule {
            max_retries: Some(0),
            ..PartialSchedule::default()
        };
        let schedule = action.over(&destination).settle();
        assert!(schedule.realtime, "the destination's");
        assert_eq!(schedule.max_retries, 0, "the action's, and 0 is a value");
        assert_eq!(
            schedule.interval,
            Schedule::default().interval,
            "the default"
        );
        assert!(schedule.max_retries_explicit);
    }

    #[test]
    fn max_retries_n_means_at_most_n_plus_1_executions() {
        let with = |max_retries| Schedule {
            max_retries,
            ..Schedule::default()
        };
        let twice = with(2);
        assert!(twice.may_retry(1) && twice.may_retry(2) && !twice.may_retry(3));
        assert!(!with(0).may_retry(1));
    }

    /// SCH-02
    #[test]
    fn a_scheduled_action_retries_at_its_interval() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(Schedule::default().retry(3, NOW, 7), Wait::For(hour));
        let nightly = PartialSchedule {
            interval: Interval::parse("0 3 * * *").ok(),
            ..PartialSchedule::default()
        };
        assert_eq!(nightly.settle().retry(3, NOW, 7), Wait::Next);
    }

    /// The shortest and the longest pause after `attempt`, over many draws.
    fn pauses(schedule: &Schedule, attempt: u32) -> (Duration, Duration) {
        let pause = |random| match schedule.retry(attempt, NOW, random) {
            Wait::For(pause) => pause,
            Wait::Next => panic!("a realtime action backs off"),
        };
        let draws = (0..1_000).map(pause);
        let draws: Vec<_> = draws.collect();
        (*draws.iter().min().unwrap(), *draws.iter().max().unwrap())
    }

    /// Asserts that pauses fill the second half of `seconds`.
    fn assert_spread(schedule: &Schedule, attempt: u32, seconds: u64) {
        let full = Duration::from_secs(seconds);
        let (least, most) = pauses(schedule, attempt);
        assert!(
            full / 2 <= least && most <= full,
            "{least:?} {most:?} of {full:?}"
        );
        assert!(
            least < full.mul_f64(0.52) && full.mul_f64(0.98) < most,
            "{least:?} {most:?}"
        );
    }

    #[test]
    fn a_realtime_action_backs_off_from_one_second_to_five_minutes() {
        for (attempt, seconds) in [(1, 1), (2, 2), (4, 8), (9, 256), (10, 300), (u32::MAX, 300)] {
            assert_spread(&realtime(), attempt, seconds);
        }
    }

    #[test]
    fn a_short_interval_bounds_the_backoff_of_a_realtime_action() {
        let mut schedule = realtime();
        schedule.interval = Interval::every(Duration::from_secs(20));
        assert_spread(&schedule, 30, 20);
    }

    #[test]
    fn a_backoff_that_is_set_decides_for_every_action() {
        let backoff = Backoff {
            initial: Duration::from_secs(2),
            max: Duration::from_secs(6),
        };
        for mut schedule in [realtime(), Schedule::default()] {
            schedule.backoff = Some(backoff);
            for (attempt, seconds) in [(1, 2), (2, 4), (3, 6)] {
                assert_spread(&schedule, attempt, seconds);
            }
        }
    }
}
