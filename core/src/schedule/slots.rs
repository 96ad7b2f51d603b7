//! The times of one interval as they come: how long until the next, which one is due, how many were missed.
//!
//! Pure decisions: both clocks are handed in. A pattern of the calendar follows the wall clock, `@every` the
//! monotonic one, so that no change of the wall clock makes it fire early, late or twice.

use std::time::Duration;

use super::Interval;
use crate::clock::{Now, Timestamp};

/// How long to wait before the clocks are looked at again, at most: a wall clock that is set is noticed within this.
pub const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// A wall clock that goes back by more than this was wrong before: times that were used then come again.
const SET_BACK_MAX: Duration = Duration::from_secs(86_400);
/// Missed times are counted one by one up to here.
const COUNTED_MAX: u64 = 10_000;

/// What becomes of times that passed while the process was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// Nothing: the next time comes.
    #[default]
    Skip,
    /// One call at start, for the last of them. A time whose call a crash cut short has passed, too.
    Once,
}

/// A time that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The time, by the wall clock.
    pub at: Timestamp,
    /// How many before it passed unused.
    pub missed: u64,
}

/// The times of one interval, of which each is used at most once.
#[derive(Debug)]
pub enum Slots {
    /// `@every`: the next one by monotonic time.
    Every {
        /// From one to the next.
        period: Duration,
        /// The next one.
        next: Duration,
    },
    /// A pattern of the calendar.
    Calendar {
        /// The pattern.
        interval: Interval,
        /// Everything up to here is over.
        used: Timestamp,
    },
}

impl Slots {
    /// The times after `now`.
    #[must_use]
    pub fn after(interval: &Interval, now: Now) -> Slots {
        match interval.period() {
            Some(period) => Slots::Every {
                period,
                next: now.elapsed.saturating_add(period),
            },
            None => Slots::Calendar {
                interval: interval.clone(),
                used: now.wall,
            },
        }
    }

    /// The times after `now`, and of those between `last`, which was used, and `now` the last one. Where missed times are made up for,
    /// `@every` goes on counting from `last`.
    #[must_use]
    pub fn since(
        interval: &Interval,
        last: Timestamp,
        now: Now,
        policy: Missed,
    ) -> (Slots, Option<Due>) {
        let Some(period) = interval.period() else {
            let interval = interval.clone();
            let mut slots = Slots::Calendar {
                interval,
                used: last,
            };
            let due = slots.take(now);
            return (slots, due);
        };
        let passed = now.wall.since(last);
        let count = periods(passed, period);
        let over = passed.saturating_sub(times(period, count));
        let due = count.checked_sub(1).map(|missed| Due {
            at: Timestamp(now.wall.0.saturating_sub(micros(over))),
            missed,
        });
        let wait = match policy {
            Missed::Skip => period,
            Missed::Once => period.saturating_sub(over),
        };
        let next = now.elapsed.saturating_add(wait);
        (Slots::Every { period, next }, due)
    }

    /// How long until the next time, as the clocks go now; zero when one is due.
    #[must_use]
    pub fn wait(&mut self, now: Now) -> Duration {
        self.forgive(now);
        match self {
            Slots::Every { next, .. } => next.saturating_sub(now.elapsed),
            Slots::Calendar { interval, used } => interval.next_after(*used).since(now.wall),
        }
    }

    /// Uses up what is due: the last of the times that have passed.
    pub fn take(&mut self, now: Now) -> Option<Due> {
        self.forgive(now);
        match self {
            Slots::Every { period, next } => {
                let late = now.elapsed.checked_sub(*next)?;
                let missed = periods(late, *period);
                let last = next.saturating_add(times(*period, missed));
                *next = last.saturating_add(*period);
                let at = Timestamp(now.wall.0 - micros(now.elapsed.saturating_sub(last)));
                Some(Due { at, missed })
            }
            Slots::Calendar { interval, used } => {
                let mut at = Some(interval.next_after(*used)).filter(|at| *at <= now.wall)?;
                let mut missed = 0;
                loop {
                    let next = interval.next_after(at);
                    if next > now.wall || missed == COUNTED_MAX {
                        break;
                    }
                    (at, missed) = (next, missed + 1);
                }
                if missed == COUNTED_MAX {
                    at = interval.last_upto(now.wall).map_or(at, |last| last.max(at));
                }
                *used = at.max(now.wall);
                Some(Due { at, missed })
            }
        }
    }

    /// A time that was used under a clock that was far ahead does not hold up those of the right one.
    fn forgive(&mut self, now: Now) {
        if let Slots::Calendar { used, .. } = self
            && used.since(now.wall) > SET_BACK_MAX
        {
            *used = now.wall;
        }
    }
}

/// Whole periods in `late`.
fn periods(late: Duration, period: Duration) -> u64 {
    let periods = late.as_nanos().checked_div(period.as_nanos());
    periods.map_or(0, |periods| u64::try_from(periods).unwrap_or(u64::MAX))
}

fn times(period: Duration, count: u64) -> Duration {
    let nanos = period.as_nanos().saturating_mul(u128::from(count));
    let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
    Duration::new(seconds, (nanos % 1_000_000_000) as u32)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    fn now(text: &str) -> Now {
        Now {
            wall: at(text),
            elapsed: Duration::ZERO,
        }
    }

    /// More milliseconds than 32 bits count are seven weeks.
    #[test]
    fn a_short_period_comes_to_rest_after_months_in_which_nobody_asked() {
        let millisecond = Interval::every(Duration::from_millis(1));
        let began = Now {
            wall: at("2025-01-01T00:00:00Z"),
            elapsed: Duration::ZERO,
        };
        let away = Duration::from_secs(100 * 86_400);
        let back = Now {
            wall: began.wall.after(away),
            elapsed: away,
        };
        let all = 100 * 86_400_000;
        let due = Some(Due {
            at: back.wall,
            missed: all - 1,
        });
        let mut slots = Slots::after(&millisecond, began);
        assert_eq!(slots.take(back), due);
        assert_eq!(slots.take(back), None);
        let (mut slots, made_up) = Slots::since(&millisecond, began.wall, back, Missed::Once);
        assert_eq!(made_up, due);
        assert_eq!(slots.take(back), None);
    }

    fn slots(interval: &str, from: &str) -> Slots {
        Slots::after(&Interval::parse(interval).unwrap(), now(from))
    }

    /// Walks a wall clock from `from` to `to` in minutes and tells each time that was used.
    fn used(interval: &str, from: &str, to: &str) -> Vec<String> {
        let mut slots = slots(interval, from);
        let mut used = Vec::new();
        let mut wall = at(from);
        while wall <= at(to) {
            let elapsed = Duration::ZERO;
            if let Some(due) = slots.take(Now { wall, elapsed }) {
                used.push(due.at.to_string());
            }
            wall = wall.after(Duration::from_secs(60));
        }
        used
    }

    /// TRG-04
    #[test]
    fn the_first_time_is_the_next_one_and_each_is_used_once() {
        let mut slots = slots("0 3 * * *", "2026-05-01T02:59:00Z");
        assert_eq!(slots.take(now("2026-05-01T02:59:59Z")), None);
        let wait = slots.wait(now("2026-05-01T02:59:59Z"));
        assert_eq!(wait, Duration::from_secs(1));
        let due = slots.take(now("2026-05-01T03:00:00.2Z")).unwrap();
        assert_eq!((due.at, due.missed), (at("2026-05-01T03:00:00Z"), 0));
        assert_eq!(slots.take(now("2026-05-01T03:00:00.3Z")), None);
    }

    #[test]
    fn times_slept_through_are_missed_but_for_the_last() {
        let mut slots = slots("0 * * * *", "2026-05-01T02:30:00Z");
        let due = slots.take(now("2026-05-01T06:10:00Z")).unwrap();
        assert_eq!((due.at, due.missed), (at("2026-05-01T06:00:00Z"), 3));
        assert_eq!(slots.take(now("2026-05-01T06:59:59Z")), None);
    }

    #[test]
    fn a_clock_set_back_by_an_hour_uses_no_time_twice() {
        let mut slots = slots("0 * * * *", "2026-05-01T02:30:00Z");
        assert!(slots.take(now("2026-05-01T03:00:01Z")).is_some());
        for wall in ["2026-05-01T02:00:02Z", "2026-05-01T03:00:02Z"] {
            assert_eq!(slots.take(now(wall)), None, "{wall}");
        }
        let due = slots.take(now("2026-05-01T04:00:00Z")).unwrap();
        assert_eq!((due.at, due.missed), (at("2026-05-01T04:00:00Z"), 0));
    }

    #[test]
    fn a_clock_set_forward_by_an_hour_uses_the_time_it_jumped_over_once() {
        let mut slots = slots("0 3 * * *", "2026-05-01T02:30:00Z");
        let due = slots.take(now("2026-05-01T03:30:00Z")).unwrap();
        assert_eq!((due.at, due.missed), (at("2026-05-01T03:00:00Z"), 0));
        assert_eq!(slots.take(now("2026-05-01T03:31:00Z")), None);
    }

    #[test]
    fn a_clock_that_was_years_ahead_does_not_hold_up_the_right_one() {
        let mut slots = slots("0 * * * *", "2099-01-01T00:30:00Z");
        assert!(slots.take(now("2099-01-01T01:00:00Z")).is_some());
        let wait = slots.wait(now("2026-05-01T00:45:00Z"));
        assert_eq!(wait, Duration::from_secs(15 * 60));
        assert!(slots.take(now("2026-05-01T01:00:00Z")).is_some());
    }

    #[test]
    fn every_goes_by_steady_time_wherever_the_wall_clock_is_set() {
        let read = |wall: &str, elapsed: u64| Now {
            wall: at(wall),
            elapsed: Duration::from_secs(elapsed),
        };
        let ten_minutes = Interval::parse("@every 10m").unwrap();
        let mut slots = Slots::after(&ten_minutes, read("2026-05-01T00:00:00Z", 0));
        assert_eq!(slots.take(read("2026-05-01T01:00:00Z", 599)), None);
        let due = slots.take(read("2026-04-30T23:10:00Z", 600)).unwrap();
        assert_eq!((due.at, due.missed), (at("2026-04-30T23:10:00Z"), 0));
        let due = slots.take(read("2026-05-01T01:00:00Z", 2_460)).unwrap();
        assert_eq!((due.at, due.missed), (at("2026-05-01T00:59:00Z"), 2));
        let wait = slots.wait(read("2026-05-01T01:00:00Z", 2_460));
        assert_eq!(wait, Duration::from_secs(540), "no drift");
    }

    #[test]
    fn what_passed_since_the_last_process_is_counted_and_the_last_of_it_is_due() {
        let since = |interval: &str, last: &str, policy| {
            let interval = Interval::parse(interval).unwrap();
            let (mut slots, due) =
                Slots::since(&interval, at(last), now("2026-05-01T06:10:00Z"), policy);
            let wait = slots.wait(now("2026-05-01T06:10:00Z")).as_secs() / 60;
            (due.map(|due| (due.at.to_string(), due.missed)), wait)
        };
        let due = |time: &str, missed| Some((format!("2026-05-01T{time}:00.000000Z"), missed));
        let hourly = "0 * * * *";
        for policy in [Missed::Skip, Missed::Once] {
            assert_eq!(
                since(hourly, "2026-05-01T02:00:00Z", policy),
                (due("06:00", 3), 50)
            );
            assert_eq!(since(hourly, "2026-05-01T06:00:00Z", policy), (None, 50));
        }
        let every = "@every 1h";
        assert_eq!(
            since(every, "2026-05-01T02:30:00Z", Missed::Skip),
            (due("05:30", 2), 60)
        );
        assert_eq!(
            since(every, "2026-05-01T02:30:00Z", Missed::Once),
            (due("05:30", 2), 20)
        );
        assert_eq!(
            since(every, "2026-05-01T05:30:00Z", Missed::Once),
            (None, 20)
        );
        // A clock that was set back: nothing is used twice.
        assert_eq!(
            since(hourly, "2026-05-01T07:00:00Z", Missed::Once),
            (None, 110)
        );
        assert_eq!(
            since(every, "2026-05-01T07:00:00Z", Missed::Once),
            (None, 60)
        );
        assert_eq!(
            since(hourly, "2026-05-09T07:00:00Z", Missed::Once),
            (None, 50)
        );
    }

    #[test]
    fn many_times_that_passed_are_not_all_counted_and_the_last_is_due_all_the_same() {
        let each_second = Interval::parse("* * * * * *").unwrap();
        let last = at("2026-04-01T00:00:00Z");
        let (_, due) = Slots::since(
            &each_second,
            last,
            now("2026-05-01T00:00:00.5Z"),
            Missed::Once,
        );
        let due = due.unwrap();
        assert_eq!(
            (due.at, due.missed),
            (at("2026-05-01T00:00:00Z"), COUNTED_MAX)
        );
    }

    #[test]
    fn a_daily_time_is_used_once_on_the_days_when_summer_time_begins_and_ends() {
        let daily = "TZ=Europe/Berlin 30 2 * * *";
        let spring = used(daily, "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z");
        assert_eq!(spring.len(), 1, "02:30 does not exist: {spring:?}");
        let autumn = used(daily, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z");
        assert_eq!(autumn.len(), 1, "02:30 comes twice: {autumn:?}");
    }

    #[test]
    fn the_year_ends_without_a_gap_or_a_repetition() {
        let hourly = used("@hourly", "2026-12-31T21:30:00Z", "2027-01-01T02:30:00Z");
        assert_eq!(hourly.len(), 5);
        assert_eq!(hourly[2], "2027-01-01T00:00:00.000000Z");
        let yearly = used("@yearly", "2026-12-31T21:30:00Z", "2027-01-01T02:30:00Z");
        assert_eq!(yearly, ["2027-01-01T00:00:00.000000Z"]);
    }
}
