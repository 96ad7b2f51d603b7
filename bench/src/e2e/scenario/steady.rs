//! `steady`: rows come at a fixed rate. How long after its commit is each durable with us, and how long until its file is
//! in the lake?
//!
//! Commit times are Postgres's own (`_committed_at`), by the clock of the same machine. Durable is what `/metrics` says of the
//! log, asked every millisecond; in the lake is what the file system says of the commit record. Nothing of it is measured
//! by the program itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMicrosecondType, UInt64Type};
use blacksmith_tests::db::Db;
use blacksmith_tests::lake::Lake;
use blacksmith_tests::wait;

use super::Bench;
use crate::e2e::build::Build;
use crate::e2e::data::Data;
use crate::e2e::lake::expect_rows;
use crate::e2e::meter;
use crate::e2e::program::{Following, PATIENCE, Program, Sink};
use crate::e2e::reading::{Reading, percentiles};
use crate::e2e::scrape::Scraper;
use crate::e2e::trial::{Contender, Trial};
use crate::e2e::{Result, folder, postgres, stop};

/// Rows in a second.
const RATES: [u64; 2] = [1_000, 10_000];
/// Time between two transactions.
const PACE: Duration = Duration::from_millis(10);
/// How long a batch waits for company.
const AGE: &str = "250ms";
/// How long the rest may take once the last row is committed.
const REST: Duration = Duration::from_secs(60);

pub(super) fn hold(bench: &mut Bench) -> Result<Vec<Trial>> {
    let trials = RATES.into_iter().map(|rate| {
        let ours = Contender::ours("parquet", |build| one(bench, build, rate));
        Trial::hold(
            "steady",
            &format!("{rate} rows/s"),
            &bench.rounds,
            vec![ours],
        )
    });
    trials.collect()
}

fn one(bench: &Bench, build: &Build, rate: u64) -> Result<Reading> {
    let db = bench.server.database("steady");
    db.execute(&Data::Events.create("events"));
    let folder = bench.empty("steady")?;
    let slot = format!("{}_slot", db.name());
    let what = Following {
        db: &db,
        slot: &slot,
        sink: Sink::Parquet,
        copied: false,
        age: AGE,
    };
    let program = Program::following(build, &folder, &what)?;
    let mut running = program.start(&["run"])?;
    let streams = wait::poll(REST, || {
        program.said().contains("\"streaming\"").then_some(())
    });
    streams.ok_or_else(|| program.explain("it does not stream:"))?;
    let scraper = Scraper::start(&program.store().join("admin.sock"))?;
    let (before, server_before) = (
        running.usage(),
        meter::server_cpu_seconds(db.server().pid()),
    );
    let started = Instant::now();
    let rows = write(&db, rate, bench.size.steady_seconds)?;
    let seconds = started.elapsed().as_secs_f64();
    let loaded = wait::poll(REST, || {
        (Lake::open(&program.lake()).ok()?.rows() >= rows).then_some(())
    });
    loaded.ok_or_else(|| program.explain("rows are missing in the lake:"))?;
    let durable = scraper.stop()?;
    let own = running.usage().since(before);
    let server_cpu_seconds = meter::server_cpu_seconds(db.server().pid()) - server_before;
    running.terminate()?;
    running.wait(PATIENCE)?;
    expect_rows(&program.lake(), rows)?;
    let more = latencies(&program.lake(), &durable)?;
    Ok(Reading {
        rows,
        seconds,
        own,
        server_cpu_seconds,
        lake_bytes: folder::bytes(&program.lake()),
        more,
    })
}

/// Writes at this rate for so long; how many rows.
fn write(db: &Db, rate: u64, seconds: u64) -> Result<u64> {
    let mut session = db.session();
    let each = rate * PACE.as_millis() as u64 / 1_000;
    let started = Instant::now();
    let (mut rows, mut due) = (0, Duration::ZERO);
    while due < Duration::from_secs(seconds) {
        stop::check()?;
        std::thread::sleep(due.saturating_sub(started.elapsed()));
        let (from, to) = ((rows + 1).to_string(), (rows + each).to_string());
        let insert = format!("insert into events {}", Data::Events.rows(&from, &to));
        postgres::rows(&mut session, &insert)?;
        rows += each;
        due += PACE;
    }
    Ok(rows)
}

/// Percentiles over all rows, from their commits until durable, and until in the lake.
fn latencies(path: &Path, durable: &[(i64, u64)]) -> Result<BTreeMap<String, f64>> {
    let lake = Lake::open(path)?;
    let published = publication_times(path)?;
    let (mut until_durable, mut until_file) = (Vec::new(), Vec::new());
    lake.each_batch("public.events", &mut |batch| {
        let column = |name| batch.column_by_name(name);
        let (Some(positions), Some(commits)) = (column("_seq"), column("_committed_at")) else {
            return;
        };
        let positions = positions.as_primitive::<UInt64Type>().values();
        let commits = commits.as_primitive::<TimestampMicrosecondType>().values();
        for (position, commit) in positions.iter().zip(commits) {
            let seen = durable.partition_point(|(_, upto)| upto < position);
            until_durable.extend(durable.get(seen).map(|(at_us, _)| ms(at_us - commit)));
            let record = published.range(position..).next();
            until_file.extend(record.map(|(_, at_us)| ms(at_us - commit)));
        }
    })?;
    let rows = lake.rows() as usize;
    if until_durable.len() != rows || until_file.len() != rows {
        let (durable, files) = (until_durable.len(), until_file.len());
        return Err(format!(
            "of {rows} rows {durable} were seen durable and {files} in the lake"
        ));
    }
    let figures = percentiles("durable", until_durable);
    Ok(figures
        .into_iter()
        .chain(percentiles("file", until_file))
        .collect())
}

fn ms(us: i64) -> f64 {
    us as f64 / 1e3
}

/// When each commit record appeared, in microseconds since 1970, by its last position.
fn publication_times(lake: &Path) -> Result<BTreeMap<u64, i64>> {
    let records = lake.join("_commits");
    let entries = std::fs::read_dir(&records).map_err(|error| folder::at(&records, &error))?;
    let times = entries.flatten().filter_map(|entry| {
        let path = entry.path();
        let last = path.file_stem()?.to_str()?.parse().ok()?;
        Some((last, micros(entry.metadata().ok()?.modified().ok()?)))
    });
    Ok(times.collect())
}

/// Microseconds since 1970.
fn micros(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as i64)
}
