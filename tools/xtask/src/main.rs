//! `cargo x`: the steps of the work, the same at the desk and on the server.
//!
//! ```text
//! cargo x ci                          what a change has to pass: fmt, check, docs, deny, test
//! cargo x fmt                         is everything formatted?
//! cargo x check                       clippy over everything, warnings denied
//! cargo x test [ARGUMENT...]          all tests; arguments go to `cargo test`
//! cargo x docs                        documentation builds without warnings
//! cargo x deny [--advisories]         bans, licences and sources of dependencies by deny.toml
//! cargo x guard                       instructions of each structure, held against bench/baseline.json
//! cargo x chaos --seeds N [--from S] [--full]
//!                                     the seeded workload under SIGKILL, seed by seed
//! cargo x failpoints [--seeds N] [--from S] [--only NAME]
//!                                     the program dies at every place of its path, in every kind of work
//! cargo x bench [--short | --full] [--scenario NAME[,NAME]] [--only CONTENDER]... [--rounds N] [--rows N] [--json FILE] [--write] [--peers] [--against REVISION]
//!                                     the program from end to end beside its ceilings; see bench/README.md
//! cargo x fuzz [--seconds N] [--target NAME] [--jobs N]
//!                                     every fuzz target for N seconds (60); see fuzz/README.md
//! cargo x fuzz --target NAME --input FILE
//!                                     one input again, such as one that a run left in target/fuzz/findings
//! cargo x fuzz --keep                 puts what earlier runs found into fuzz/corpus, as few inputs as cover it
//! ```

mod bench;
mod deny;
mod fuzz;
mod instrument;
mod step;
mod tally;
mod watch;

use std::process::ExitCode;
use std::time::Instant;

use step::Step;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if std::env::var_os(instrument::AS_COMPILER).is_some() {
        return instrument::rustc(&words);
    }
    let done = match words.as_slice() {
        ["ci"] => ci(),
        ["fmt"] => fmt(),
        ["check"] => check(),
        ["test", more @ ..] => test(more),
        ["docs"] => docs(),
        ["guard"] => guard(),
        ["chaos", more @ ..] => chaos(more),
        ["failpoints", more @ ..] => failpoints(more),
        ["fuzz", more @ ..] => fuzz::run(more),
        ["bench", more @ ..] => bench::run(more),
        ["deny", more @ ..] => deny::install().and_then(|()| deny::run(more)),
        _ => Err(
            "usage: cargo x ci | fmt | check | test [ARGUMENT...] | docs | guard | deny [--advisories] | \
                  chaos --seeds N [--from S] [--full] | \
                  failpoints [--seeds N] [--from S] [--only NAME] | \
                  fuzz [--seconds N] [--target NAME] [--jobs N] [--input FILE] [--keep] | \
                  bench [--short | --full] [--scenario NAME[,NAME]] [--only CONTENDER]... [--rounds N] [--rows N] [--json FILE] [--write] [--peers] [--against REVISION]"
                .into(),
        ),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn ci() -> Result<(), String> {
    let start = Instant::now();
    fmt()?;
    check()?;
    docs()?;
    match deny::install() {
        Ok(()) => deny::run(&[])?,
        // A machine that can build nothing new still has the tests of the contract tier.
        Err(why) => eprintln!("dependencies are held by their test alone: {why}"),
    }
    test(&[])?;
    eprintln!("everything passed in {} s", start.elapsed().as_secs());
    Ok(())
}

fn fmt() -> Result<(), String> {
    Step::cargo(&["fmt", "--all", "--check"]).run()
}

fn check() -> Result<(), String> {
    Step::cargo(&["clippy", "--workspace", "--all-targets", "--quiet"])
        .arguments(&["--", "--deny", "warnings"])
        .run()
}

fn docs() -> Result<(), String> {
    Step::cargo(&["doc", "--workspace", "--no-deps", "--quiet"])
        .env("RUSTDOCFLAGS", "--deny warnings")
        .run()
}

/// How many tests run at a time: one more than there are cores, because most of those that take long wait for a server
/// or a program; unless somebody says otherwise.
const THREADS: &str = "RUST_TEST_THREADS";

/// Tests run with plain `cargo test`: one process per test binary lets its tests share a server,
/// which a process per test would start over and over.
fn test(more: &[&str]) -> Result<(), String> {
    let mut step = Step::cargo(&["test", "--workspace", "--no-fail-fast"]).arguments(more);
    if std::env::var_os(THREADS).is_none() {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        step = step.env(THREADS, &(cores + 1).to_string());
    }
    tally::run(&with_programs(step)?)
}

/// Counts instructions of what is built for tests, which needs no release build: see `blacksmith_bench::guard`.
/// With the whole workspace, as the tests are built: so only the guard itself is built for it.
fn guard() -> Result<(), String> {
    let guard = [
        "bench",
        "--quiet",
        "--workspace",
        "--bench",
        "guard",
        "--profile",
        "dev",
    ];
    Step::cargo(&guard).run()
}

fn chaos(more: &[&str]) -> Result<(), String> {
    let (mut seeds, mut from, mut full) = ("20", "0", "0");
    let mut words = more.iter();
    while let Some(word) = words.next() {
        match *word {
            "--seeds" => seeds = words.next().ok_or("--seeds needs a number")?,
            "--from" => from = words.next().ok_or("--from needs a number")?,
            "--full" => full = "1",
            other => return Err(format!("chaos knows no {other}")),
        }
    }
    let step = pipeline("chaos")
        .env("BLACKSMITH_SEEDS", seeds)
        .env("BLACKSMITH_SEED", from)
        .env("BLACKSMITH_FULL", full);
    tally::run(&with_programs(step)?)
}

fn failpoints(more: &[&str]) -> Result<(), String> {
    let (mut seeds, mut from, mut only) = ("1", "0", "");
    let mut words = more.iter();
    while let Some(word) = words.next() {
        match *word {
            "--seeds" => seeds = words.next().ok_or("--seeds needs a number")?,
            "--from" => from = words.next().ok_or("--from needs a number")?,
            "--only" => only = words.next().ok_or("--only needs the name of a failpoint")?,
            other => return Err(format!("failpoints knows no {other}")),
        }
    }
    let step = pipeline("failpoints")
        .env("BLACKSMITH_SEEDS", seeds)
        .env("BLACKSMITH_SEED", from)
        .env("BLACKSMITH_FAILPOINT", only)
        .env("BLACKSMITH_FULL", "1");
    tally::run(&with_programs(step)?)
}

/// The pipeline tests whose names contain `filter`, with what they say.
fn pipeline(filter: &str) -> Step {
    let test = [
        "test",
        "--package",
        "blacksmith-tests",
        "--test",
        "pipeline",
    ];
    Step::cargo(&test).arguments(&[filter, "--", "--nocapture"])
}

/// `step` with the programs that the pipeline tests run, built now: the stock one, and the one that can be killed from
/// within.
fn with_programs(step: Step) -> Result<Step, String> {
    let stock = build_program("blacksmith-stream", &[])?;
    let other = build_program(
        "blacksmith-stream-failpoints",
        &["--features", "failpoints"],
    )?;
    let step = step.env("BLACKSMITH_STREAM_BIN", &stock);
    Ok(step.env("BLACKSMITH_FAILPOINTS_BIN", &other))
}

/// Builds a binary of the package `blacksmith-stream`; its path.
fn build_program(binary: &str, more: &[&str]) -> Result<String, String> {
    let build = [
        "build",
        "--quiet",
        "--package",
        "blacksmith-stream",
        "--bin",
        binary,
    ];
    Step::cargo(&build).arguments(more).run()?;
    // This program stands beside it.
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(own.with_file_name(binary).to_string_lossy().into_owned())
}
