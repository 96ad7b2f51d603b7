//! The program dies at each place of its path, in each kind of work, and the next one goes on.
//!
//! First each kind of work is done once by a program that says where it passes: so a place that no work passes is found, and
//! the moment to die is chosen from those that there are. `BLACKSMITH_FULL=1` tries every place in every kind of work that
//! passes it, in every way to fail; without it each place has its turn once. `BLACKSMITH_SEED` decides the rest, and
//! `BLACKSMITH_FAILPOINT=log.synced` tries one place alone.

mod bugs;
mod case;
mod house;
mod neighbours;
mod passed;
mod requests;
mod takeover;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Instant;

use blacksmith_tests::failpoints::{Listed, listed};

use case::{Case, Met};
use passed::Passed;

/// Lives at the same time.
const AT_ONCE: usize = 2;

/// What became of all lives.
#[derive(Debug, Default)]
struct Tally {
    /// Those that ended, by place.
    ended: BTreeMap<&'static str, u32>,
    /// Of them, those that ended once more elsewhere.
    ended_again: u32,
    /// Those that had done their work before they came to their place so often.
    spared: u32,
}

#[test]
fn wherever_the_program_dies_the_next_one_loses_nothing_and_repeats_nothing() {
    let began = Instant::now();
    let only = std::env::var("BLACKSMITH_FAILPOINT").unwrap_or_default();
    let is_asked = |one: &Listed| !one.bug && (only.is_empty() || one.name == only);
    let points: Vec<Listed> = listed().into_iter().filter(is_asked).collect();
    assert!(!points.is_empty(), "there is no failpoint {only:?}");
    let passed = Passed::find(&points);
    let tally = Mutex::new(Tally::default());
    at_once(Case::choose(&points, &passed), |case| {
        let met = case.live();
        let mut tally = tally.lock().unwrap();
        match met {
            Met::Spared => tally.spared += 1,
            Met::Ended { again } => {
                tally.ended_again += u32::from(again);
                *tally.ended.entry(case.point.name).or_default() += 1;
            }
        }
    });
    let tally = tally.into_inner().unwrap();
    let all: u32 = tally.ended.values().sum();
    eprintln!("{all} lives in {:?}: {tally:?}", began.elapsed());
    let never = points.iter().map(|one| one.name);
    let never: Vec<&str> = never
        .filter(|name| !tally.ended.contains_key(name))
        .collect();
    assert!(never.is_empty(), "no life ended at {never:?}");
}

/// Does all of `work`, some of it at the same time.
fn at_once<T: Send>(work: impl IntoIterator<Item = T>, each: impl Fn(T) + Sync) {
    let work: Mutex<VecDeque<T>> = Mutex::new(work.into_iter().collect());
    let next = || work.lock().unwrap().pop_front();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(next) = next() {
                    each(next);
                }
            });
        }
    });
}
