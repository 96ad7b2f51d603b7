//! Intervals: patterns of the calendar, zones, `@every`; and the times that they give.

use std::time::Duration;

use super::Input;
use crate::clock::{Now, Timestamp};
use crate::schedule::{Interval, Missed, Slots};

/// 1970 to 2200, where wall clocks are.
const YEARS_US: u64 = 230 * 365 * 86_400_000_000;

/// Eight bytes of time, then the text of an interval.
pub(super) fn run(input: &[u8]) {
    let mut input = Input(input);
    let number = input.u64();
    let Ok(text) = std::str::from_utf8(input.0) else {
        return;
    };
    let Ok(interval) = Interval::parse(text) else {
        return;
    };
    let again = Interval::parse(interval.as_str()).expect("as it is shown it is read");
    assert_eq!(again, interval);
    let wall = Timestamp((number % YEARS_US) as i64);
    times(&interval, wall);
    // Whatever a clock says, nobody is harmed.
    let _next = interval.next_after(Timestamp(number.cast_signed()));
    let _last = interval.last_upto(Timestamp(number.cast_signed()));
    slots(&interval, wall, Duration::from_micros(number >> 20));
}

/// The next time is later than the one before, and the last one up to it is itself.
fn times(interval: &Interval, wall: Timestamp) {
    let mut at = wall;
    for _ in 0..3 {
        let next = interval.next_after(at);
        assert!(next > at, "{interval}: {next} after {at}");
        at = next;
    }
    if interval.period().is_none() && at < Timestamp(i64::MAX) {
        assert_eq!(interval.last_upto(at), Some(at), "{interval}");
    }
}

/// What is used comes from the past, and is not due again.
fn slots(interval: &Interval, wall: Timestamp, elapsed: Duration) {
    let now = Now { wall, elapsed };
    let mut slots = Slots::after(interval, now);
    let wait = slots.wait(now);
    let then = Now {
        wall: wall.after(wait),
        elapsed: elapsed.saturating_add(wait),
    };
    if let Some(due) = slots.take(then) {
        assert!(
            due.at <= then.wall,
            "{interval}: {} at {}",
            due.at,
            then.wall
        );
        assert_eq!(slots.take(then), None, "{interval}");
    }
    let (mut slots, due) = Slots::since(interval, Timestamp(wall.0 / 2), now, Missed::Once);
    assert!(due.is_none_or(|due| due.at <= wall), "{interval}");
    assert_eq!(slots.take(now), None, "{interval}");
}
