//! `tools/demo`: a shop in a private Postgres, streamed into Parquet while it trades, and the proof.
//!
//! 1. [`shop`] makes customers and orders, 200,000 rows in all.
//! 2. [`pipeline`] starts `blacksmith-stream run` on them; a writer goes on trading meanwhile.
//! 3. The pipeline is stopped in the middle, by SIGTERM, and run once more until it has caught up.
//! 4. [`proof`] holds each table of Postgres against what folding the Parquet files gives.
//!
//! Everything lives in `target/demo` and is made anew each time. Exit code 1 when a table differs.

mod pipeline;
mod proof;
mod shop;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use blacksmith_tests::server::{Options, Server};

use crate::pipeline::Pipeline;

/// How long the writer trades.
const TRADING: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("demo: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, String> {
    let started = Instant::now();
    let folder = fresh_folder()?;
    let server = Server::start(Options::default());
    let database = server.database("shop");
    say(&format!(
        "A private Postgres {} is up on port {}.",
        server.major(),
        server.port()
    ));
    shop::open(&mut database.session());
    say(&format!(
        "A shop with {} customers and {} orders.",
        shop::CUSTOMERS,
        shop::ORDERS
    ));

    let pipeline = Pipeline::configure(&folder, &database.url())?;
    say("blacksmith-stream run, while the shop goes on trading:");
    let running = pipeline.start()?;
    let trades = shop::trade(&mut database.session(), TRADING);
    running.stop()?;
    say(&format!(
        "{trades} trades in {} s, then SIGTERM.",
        TRADING.as_secs()
    ));
    let trades = shop::trade(&mut database.session(), Duration::from_secs(1));
    say(&format!(
        "{trades} more while it was down; blacksmith-stream run --until caught-up:"
    ));
    pipeline.catch_up()?;

    let equal = proof::print(&mut database.session(), &pipeline.lake())?;
    say(&format!("Files: {}", pipeline.lake().display()));
    say(&format!("{:.0} s in all.", started.elapsed().as_secs_f64()));
    Ok(equal)
}

fn fresh_folder() -> Result<PathBuf, String> {
    let folder = blacksmith_tests::target_dir().join("demo");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

fn say(text: &str) {
    eprintln!("\n{text}");
}
