//! One death to be tried: where, in which work, how, and at which time of passing.

use std::os::unix::process::ExitStatusExt;
use std::time::Instant;

use blacksmith_tests::dice::Dice;
use blacksmith_tests::failpoints::Listed;

use super::house::House;
use super::passed::Passed;
use super::work::Work;
use crate::arrange::{full, number};

/// How many of 100 lives end a second time, elsewhere, before they are let alone.
const SECOND_DEATHS: u64 = 40;
/// A second death comes at one of the first times of passing its place: there is not much left to do.
const SECOND_TIMES: u64 = 3;

#[derive(Debug)]
pub(super) struct Case {
    pub(super) point: Listed,
    work: Work,
    action: &'static str,
    /// The time of passing at which it happens.
    at: u64,
    /// The plan of the second program, if that is to die too.
    second: Option<String>,
}

/// Whether a life came to its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// And what came after it ended again, or not.
    Ended { again: bool },
    /// Its work was done before that.
    Spared,
}

impl Case {
    /// What is tried, as the seed decides: the same for a place alone as among the others.
    pub(super) fn choose(points: &[Listed], passed: &Passed) -> Vec<Case> {
        let seed = Dice::new(number("BLACKSMITH_SEED", 0));
        let cases = points.iter().flat_map(|point| {
            let bytes = point.name.bytes().map(u64::from);
            let number = bytes.fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
            Case::of(*point, passed, &mut seed.part(number))
        });
        cases.collect()
    }

    fn of(point: Listed, passed: &Passed, dice: &mut Dice) -> Vec<Case> {
        let works = passed.works(point.name);
        let actions: &[&str] = match point.fails {
            true => &["kill", "hang", "error"],
            false => &["kill", "hang"],
        };
        if !full() {
            let (work, action) = (*dice.pick(&works), *dice.pick(actions));
            return vec![Case::new(point, work, action, passed, dice)];
        }
        let mut cases = Vec::new();
        for _ in 0..number("BLACKSMITH_SEEDS", 1) {
            for work in &works {
                for action in actions {
                    cases.push(Case::new(point, *work, action, passed, dice));
                }
            }
        }
        cases
    }

    fn new(
        point: Listed,
        work: Work,
        action: &'static str,
        passed: &Passed,
        dice: &mut Dice,
    ) -> Case {
        let elsewhere = passed.elsewhere(work, point.name);
        let again = dice.chance(SECOND_DEATHS) && !elsewhere.is_empty();
        Case {
            point,
            work,
            action,
            at: dice.between(1, passed.times(work, point.name)),
            second: again.then(|| {
                let (name, at) = (dice.pick(&elsewhere), dice.between(1, SECOND_TIMES));
                format!("{name}=kill@{at}")
            }),
        }
    }

    /// Lives it. Not every run passes a place as often as the one that was counted: then the first time must do.
    ///
    /// # Panics
    /// When a program ends otherwise than it should, or the lake is not what it should be.
    pub(super) fn live(&self) -> Met {
        let began = Instant::now();
        let met = match self.live_until(self.at) {
            Met::Spared => self.live_until(1),
            met => met,
        };
        let Case {
            point,
            work,
            action,
            at,
            second,
        } = self;
        let then = second.as_deref().unwrap_or("nothing");
        let took = began.elapsed();
        eprintln!(
            "{work:?}: {}={action}@{at}, then {then}: {met:?} in {took:?}",
            point.name
        );
        met
    }

    fn live_until(&self, at: u64) -> Met {
        let house = House::new(self.work, "");
        let name = self.point.name;
        let status = house.live(&format!("{name}={}@{at}", self.action));
        let is_met = house.passed(name) > 0;
        let is_expected = match (is_met, self.action) {
            (true, "error") => matches!(status.code(), Some(0 | 1)),
            (true, _) => status.signal() == Some(9),
            (false, _) => status.code() == Some(0),
        };
        assert!(
            is_expected,
            "{self:?}: {status}\n{}",
            house.pipeline.said_last()
        );
        let second = self.second.as_ref().filter(|_| is_met);
        let again = second.is_some_and(|plan| {
            let status = house.die_again(plan, &["run", "--until", "caught-up"]);
            let is_expected = status.signal() == Some(9) || status.success();
            assert!(
                is_expected,
                "{self:?}: {status}\n{}",
                house.pipeline.said_last()
            );
            !status.success()
        });
        house.recover();
        match is_met {
            true => Met::Ended { again },
            false => Met::Spared,
        }
    }
}
