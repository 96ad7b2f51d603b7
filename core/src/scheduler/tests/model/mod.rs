//! The real scheduler beside one row per job: random lives of three actions, held against a plain reference after each step.
//!
//! `rows` is the reference, `plan` what the dice make of a seed, `actor` the action that does what they say, `life` drives the
//! real thing (`process`), ends it (`crash`) and tells the reference what happened (`finding`), and `agree` compares
//! everything that can be asked.
//!
//! `BLACKSMITH_MODEL_CASES=2000` lives that many, `BLACKSMITH_MODEL_SEED=17` begins with that seed; a life that fails says its own.

mod report;
mod rows;
mod plan;
mod actor;
mod life;
mod process;
mod finding;
mod crash;
mod agree;

use super::torn::Torn;
use super::*;
use life::Life;

/// The actions.
const NAMES: [&str; 3] = ["register", "notify", "archive"];
/// The triggers.
const TRIGGERS: [&str; 2] = ["signup", "visit"];
/// Whether a route leads from a trigger to an action; the last action has only jobs that others call.
const LEADS: [[bool; 3]; 2] = [[true, true, false], [false, true, false]];

/// Says which life it was.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!(
                "BLACKSMITH_MODEL_SEED={seed} BLACKSMITH_MODEL_CASES=1 lives this life again"
            );
        }
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(default, |text| text.parse().unwrap())
}

fn live(seed: u64) {
    let _seed = Seed(seed);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(Life::live(seed));
    runtime.shutdown_background();
}

/// THN-01 THN-02 THN-03 THN-04 THN-08 STA-02 STA-03 STA-04 STA-05 STA-06 STA-07 STA-08 SCH-03 SCH-07
/// Scenario 21 Scenario 22 Scenario 23 Scenario 24 Scenario 25 Scenario 29 Scenario 31 Scenario 32 Scenario 34
#[test]
fn whatever_happens_jobs_are_what_one_row_for_each_says_they_are() {
    let first = number("BLACKSMITH_MODEL_SEED", 0);
    let cases = number("BLACKSMITH_MODEL_CASES", 300);
    let next = AtomicU64::new(first);
    let own = || loop {
        let seed = next.fetch_add(1, atomic::Ordering::SeqCst);
        if seed >= first + cases {
            return;
        }
        live(seed);
    };
    std::thread::scope(|scope| {
        scope.spawn(own);
        scope.spawn(own);
    });
}
