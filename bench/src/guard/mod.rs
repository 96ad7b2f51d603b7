//! The guard of `cargo bench`: instructions of a piece of work, held against a baseline.
//!
//! Time is not compared, because machines differ and are noisy; instructions of one thread are not. Each piece
//! runs once below valgrind's callgrind, which counts only what happens in `guarded_turn` (`count`). Counts by item
//! are held against `bench/baseline.json`, with a policy for each piece: how many per cent more are a regression.
//!
//! ```text
//! cargo bench -p blacksmith-bench --bench guard                  as built for users; `cargo bench` runs it with the others
//! BLACKSMITH_BASELINE=write cargo bench … --bench guard          takes what it counts as the baseline
//! BLACKSMITH_PLANT=decode:20 cargo bench … --bench guard         does a fifth more of what begins so: has to fail
//! BLACKSMITH_REPEATS=10 cargo bench … --bench guard              ten times, all of which have to hold
//! ```
//! A baseline belongs to a compiler, a target and a profile (CI counts what the dev profile builds, `--profile
//! dev`); where none fits, or where there is no valgrind, the guard says so and holds nothing.

mod baseline;
mod count;
mod policy;

use std::io::Write;
use std::process::ExitCode;

use baseline::{Baseline, Build};
use policy::{Policy, Verdict};

/// Takes the counts as the baseline.
const WRITE: &str = "BLACKSMITH_BASELINE";
/// How often everything is counted and held.
const REPEATS: &str = "BLACKSMITH_REPEATS";

/// Runs the guard, or, below valgrind, one piece.
#[must_use]
pub fn run() -> ExitCode {
    if let Some(name) = std::env::var_os(count::PIECE) {
        return count::child(&name.to_string_lossy());
    }
    match guard(&mut std::io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            writeln!(std::io::stderr(), "{why}").ok();
            ExitCode::FAILURE
        }
    }
}

/// Whether everything holds.
fn guard(out: &mut impl Write) -> Result<bool, String> {
    if !count::has_valgrind() {
        say(
            out,
            "guard: no valgrind here, so no instructions are counted: apt-get install valgrind",
        )?;
        return Ok(true);
    }
    let build = Build::this();
    let mut baseline = Baseline::read()?;
    if std::env::var(WRITE).is_ok_and(|value| value == "write") {
        for policy in policy::ALL {
            baseline.set(&build, policy.piece, count::count(policy.piece)?);
        }
        baseline.write()?;
        say(out, &format!("guard: the baseline of {build} is written"))?;
        return Ok(true);
    }
    let repeats = std::env::var(REPEATS).ok();
    let repeats = repeats.map_or(Ok(1), |text| text.parse::<u32>());
    let repeats = repeats.map_err(|error| format!("{REPEATS}: {error}"))?;
    let mut holds = true;
    for _ in 0..repeats {
        for policy in policy::ALL {
            holds &= hold(policy, &build, &baseline, out)?;
        }
    }
    Ok(holds)
}

/// Whether one piece holds.
fn hold(
    policy: &Policy,
    build: &Build,
    baseline: &Baseline,
    out: &mut impl Write,
) -> Result<bool, String> {
    let Some(before) = baseline.get(build, policy.piece) else {
        let what = format!(
            "guard: {}: no baseline of {build}; {WRITE}=write makes one",
            policy.piece
        );
        say(out, &what)?;
        return Ok(true);
    };
    let now = count::count(policy.piece)?;
    let verdict = policy.judge(before, now);
    let change = (now / before - 1.0) * 100.0;
    let what = format!(
        "guard: {}: {now:.1} instructions an item, {before:.1} in the baseline ({change:+.1} %, {} % allowed): {verdict}",
        policy.piece, policy.worse_percent
    );
    say(out, &what)?;
    Ok(verdict != Verdict::Worse)
}

fn say(out: &mut impl Write, what: &str) -> Result<(), String> {
    writeln!(out, "{what}").map_err(|error| error.to_string())
}
