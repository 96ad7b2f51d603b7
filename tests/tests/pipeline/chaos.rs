//! The seeded workload while the program is killed over and over.
//!
//! `BLACKSMITH_SEED` is the first seed (default 0), `BLACKSMITH_SEEDS` their number (default 20),
//! `BLACKSMITH_FULL=1` the full size, `BLACKSMITH_AT_ONCE` how many pipelines share the server at a
//! time (default 1). One seed again: `cargo x chaos --seeds 1 --from 17`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use blacksmith_tests::dice::Dice;
use blacksmith_tests::stream::Pipeline;
use blacksmith_tests::wait;
use blacksmith_tests::workload::Workload;

use crate::arrange::{full, number, server};

#[test]
fn chaos_ends_with_the_lake_folded_equal_to_postgres_for_every_seed() {
    let first = number("BLACKSMITH_SEED", 0);
    let last = first + number("BLACKSMITH_SEEDS", 20);
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..number("BLACKSMITH_AT_ONCE", 1) {
            scope.spawn(|| {
                let mine = || Some(next.fetch_add(1, Ordering::SeqCst)).filter(|seed| *seed < last);
                std::iter::from_fn(mine).for_each(one);
            });
        }
    });
}

fn one(seed: u64) {
    let began = Instant::now();
    let mut workload = if full() {
        Workload::full(seed)
    } else {
        Workload::small(seed)
    };
    workload.transactions *= 8; // some seconds, so that there is something to kill
    let db = server().database("chaos");
    workload.create(&db);
    let mut pipeline = Pipeline::new(&db);
    // A program that is started again is behind, and reads batches before it streams: mostly, always, hardly ever.
    let from = ["256KiB", "8KiB", "64MiB"][seed as usize % 3];
    pipeline.set("sources.shop", "catch_up_from", &format!("\"{from}\""));
    let done = AtomicBool::new(false);
    let (summary, kills) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let summary = workload.run(&db);
            done.store(true, Ordering::SeqCst);
            summary
        });
        let kills = kill_until(&pipeline, &done, &mut Dice::new(seed).part(77), &|| {
            writing.is_finished()
        });
        let summary = writing.join();
        (
            summary.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            kills,
        )
    });
    pipeline.catch_up();
    let tables = Workload::published(&db);
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    // The server's own failure, which the program goes round by asking for whole transactions.
    let batches = pipeline.said().matches("caught up").count();
    let undecodable = pipeline.said().matches("cannot decode its log").count();
    eprintln!(
        "seed {seed}: {summary:?}, {kills} ends of the program, {batches} times behind and caught up, {undecodable} times the server could not decode"
    );
    let digests = pipeline.assert_equal(&db, &tables);
    let rows: u64 = digests.iter().map(|digest| digest.rows).sum();
    let changes = pipeline.lake().rows();
    eprintln!(
        "seed {seed}: {rows} rows, {changes} changes, {:?}",
        began.elapsed()
    );
}

/// Starts the program and ends it, mostly by SIGKILL, until `done`; how often.
fn kill_until(
    pipeline: &Pipeline,
    done: &AtomicBool,
    dice: &mut Dice,
    over: &dyn Fn() -> bool,
) -> u32 {
    let mut ends = 0;
    let longest = if full() { 6_000 } else { 1_000 };
    let mut ends_after = 0; // some more when the writers are done, in the middle of the backlog
    while ends_after < 3 {
        ends_after += u32::from(done.load(Ordering::SeqCst) || over());
        let mut program = pipeline.start();
        let life = Duration::from_millis(dice.between(50, longest));
        let ended = wait::poll(life, || (!program.runs()).then_some(()));
        assert!(
            ended.is_none(),
            "it ended by itself:\n{}",
            pipeline.said_last()
        );
        if dice.chance(15) {
            let status = program.terminate();
            assert!(
                status.success(),
                "SIGTERM: {status}\n{}",
                pipeline.said_last()
            );
        } else {
            program.kill9();
        }
        ends += 1;
    }
    ends
}
