//! What the dice make of one life: how each action is set up, and what happens one after the other.

use super::rows::Rules;
use super::*;
use crate::destination::{OnUnknown, Rate};
use crate::job::Command;
use crate::log::sim::Dice;

/// How one action is set up, and what the reference has to know of that.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) schedule: Schedule,
    pub(super) batch: BatchLimits,
    pub(super) limits: PartialLoadLimits,
    pub(super) rules: Rules,
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Events are taken in: of the first trigger or the second; whether they are torn; whether they call the last action.
    Take(Vec<(usize, bool, bool)>),
    /// Time goes by.
    Pass(Duration),
    /// An operator orders something of jobs of a lane.
    Order {
        lane: usize,
        command: Command,
        first: u64,
        more: u64,
        only: Option<Status>,
    },
    /// An operator pauses an action, or lets it go on.
    Pause(usize, bool),
    /// Loads that linger go on.
    Release,
    /// Everything so far is wanted of a lane now.
    Flush(usize),
    /// The wall clock is set, by so many seconds.
    Set(i64),
    /// The process ends, after some of the work that was just begun.
    Crash { turns: u64, seed: u64 },
    /// The process is stopped and started.
    Restart,
}

fn pick<T: Copy>(dice: &mut Dice, from: &[T]) -> T {
    from[dice.below(from.len() as u64) as usize]
}

impl Plan {
    pub(super) fn of(dice: &mut Dice) -> Plan {
        let ordering = match dice.once_in(3) {
            true => Ordering::Ordered,
            false => Ordering::Unordered,
        };
        let realtime = !dice.once_in(3);
        let seconds = pick(dice, &[10, 60, 3_600]);
        let by_calendar = !realtime && dice.once_in(4);
        let interval = match by_calendar {
            true => Interval::parse("*/5 * * * *").unwrap(),
            false => Interval::every(seconds * SECOND),
        };
        let backoff = dice.once_in(3).then(|| Backoff {
            initial: pick(dice, &[1, 7]) * SECOND,
            max: pick(dice, &[4, 40]) * SECOND,
        });
        let explicit = !dice.once_in(3);
        let max_retries = if explicit { dice.below(5) as u32 } else { 72 };
        let schedule = Schedule {
            realtime,
            interval,
            max_retries,
            max_retries_explicit: explicit,
            backoff,
        };
        let batch = BatchLimits {
            rows_max: 1 + dice.below(12),
            age_max: pick(dice, &[0, 1, 10]) * SECOND,
            ..BatchLimits::default()
        };
        let rate = dice.once_in(6).then(|| "20/s".parse::<Rate>().unwrap());
        let on_unknown = pick(dice, &[OnUnknown::Hold, OnUnknown::Retry]);
        let limits = PartialLoadLimits {
            max_concurrency: Some(1 + dice.below(3) as u32),
            timeout: Some(pick(dice, &[0, 5, 30]) * SECOND),
            rate_limit: rate,
            on_unknown: Some(on_unknown),
        };
        let rules = Rules {
            ordering,
            max_retries,
            max_retries_explicit: explicit,
            on_unknown,
            max_concurrency: limits.settle(ordering).max_concurrency,
            rows_max: batch.rows_max,
            pauses: pauses(realtime, seconds, by_calendar, backoff),
            rate: rate.map(|_| (2, 20.0)),
        };
        Plan {
            schedule,
            batch,
            limits,
            rules,
        }
    }
}

/// The shortest and the longest pause after each attempt.
fn pauses(
    realtime: bool,
    seconds: u32,
    by_calendar: bool,
    backoff: Option<Backoff>,
) -> Vec<(Duration, Duration)> {
    let doubling = |initial: Duration, max: Duration| {
        let full = (0..12).map(|doublings| (initial * (1 << doublings)).min(max));
        full.map(|full| (full / 2, full)).collect()
    };
    match backoff {
        Some(backoff) => doubling(backoff.initial, backoff.max),
        None if realtime => doubling(SECOND, (seconds * SECOND).min(300 * SECOND)),
        None if by_calendar => vec![(Duration::ZERO, Duration::MAX)],
        None => vec![(seconds * SECOND, seconds * SECOND)],
    }
}

impl Step {
    pub(super) fn of(dice: &mut Dice) -> Step {
        match dice.below(22) {
            0..=5 => {
                let count = 1 + dice.below(9);
                let event = |dice: &mut Dice| {
                    let trigger = dice.below(2) as usize;
                    (trigger, dice.once_in(12), dice.once_in(5))
                };
                Step::Take((0..count).map(|_| event(dice)).collect())
            }
            6..=9 => Step::Pass(pick(dice, &[1, 3, 11, 70, 4_000]) * SECOND),
            10..=13 => Step::Order {
                lane: dice.below(3) as usize,
                command: pick(dice, &Command::ALL),
                first: 1 + dice.below(40),
                more: dice.below(12),
                only: dice.once_in(3).then(|| pick(dice, &Status::ALL)),
            },
            14 => Step::Pause(dice.below(3) as usize, dice.once_in(2)),
            15 | 16 => Step::Release,
            17 => Step::Flush(dice.below(3) as usize),
            18 => Step::Set(pick(dice, &[3_600, -3_600, 86_400, -90, 7])),
            19 | 20 => Step::Crash {
                turns: if dice.once_in(2) { 0 } else { dice.below(60) },
                seed: dice.roll(),
            },
            _ => Step::Restart,
        }
    }
}
