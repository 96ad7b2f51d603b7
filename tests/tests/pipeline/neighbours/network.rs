//! The line between the program and the server: slow, cut at any byte, dead without a word.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use blacksmith_tests::db::Db;
use blacksmith_tests::dice::Dice;
use blacksmith_tests::proxy::{Faults, Proxy};
use blacksmith_tests::stream::Pipeline;
use blacksmith_tests::wait;
use blacksmith_tests::workload::Workload;

use super::writer::{SQL, TABLES};
use crate::arrange::{SOON, arrange, number, server};

/// The shortest `silence_timeout` there is.
const SILENCE: Duration = Duration::from_secs(5);

/// How long everything may take to land after the line is good again: the silence, and pauses between attempts,
/// which grow to 30 s, of the stream and of a copy one after the other; and then the work on two cores that others use.
const LATER: Duration = Duration::from_secs(300);

/// A pipeline whose program reaches the server by a proxy only, and notices silence early.
fn by_proxy(db: &Db) -> (Pipeline, Proxy) {
    let proxy = Proxy::before(db.server().port());
    let mut pipeline = Pipeline::new(db);
    let url = proxy.url(&db.program_url(), db.server().port());
    pipeline.set_url(&format!("{url}?connect_timeout=3"));
    let silence = format!("\"{}s\"", SILENCE.as_secs());
    pipeline.set("sources.shop", "silence_timeout", &silence);
    (pipeline, proxy)
}

/// One seed again: `BLACKSMITH_SEED=17 BLACKSMITH_LINES=1`.
#[test]
fn a_line_that_delays_cuts_throttles_and_dies_loses_nothing_for_every_seed() {
    let first = number("BLACKSMITH_SEED", 0);
    for seed in first..first + number("BLACKSMITH_LINES", 2) {
        storm(seed);
    }
}

fn storm(seed: u64) {
    let mut workload = Workload::small(seed);
    workload.transactions *= 6;
    let db = server().database("storm");
    workload.create(&db);
    let (pipeline, proxy) = by_proxy(&db);
    let mut program = pipeline.start();
    let (written, mut dice) = (AtomicBool::new(false), Dice::new(seed).part(5));
    let faults = std::thread::scope(|scope| {
        scope.spawn(|| {
            let _summary = workload.run(&db);
            written.store(true, Ordering::SeqCst);
        });
        let mut faults = 0;
        while faults < 12 || !written.load(Ordering::SeqCst) {
            proxy.set(Faults::random(&mut dice));
            pause(dice.between(20, 600));
            proxy.heal();
            pause(dice.between(20, 1_200));
            faults += 1;
        }
        faults
    });
    assert!(program.runs(), "it ended:\n{}", pipeline.said_last());
    let tables = Workload::published(&db);
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    let began = Instant::now();
    pipeline.wait_equal(&db, &tables, LATER);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &tables);
    eprintln!(
        "seed {seed}: {faults} faults, {} connections; equal {:?} later",
        proxy.accepted(),
        began.elapsed()
    );
}

fn pause(ms: u64) {
    wait::poll(Duration::from_millis(ms), || None::<()>);
}

/// Answers of logins, of the questions before the stream, of the copy and of the stream break off.
#[test]
fn a_connection_may_be_cut_at_any_byte() {
    let (db, _) = arrange("any_byte", SQL);
    let (pipeline, proxy) = by_proxy(&db);
    let cut = |bytes| {
        let before = proxy.accepted();
        proxy.set(Faults {
            cut_after_bytes: Some(bytes),
            ..Faults::default()
        });
        wait::until(LATER, "two more connections", || {
            (proxy.accepted() >= before + 2).then_some(())
        });
    };
    let mut program = pipeline.start();
    [0, 300, 1_500, 40_000].into_iter().for_each(cut); // during the setting up
    for bytes in [1, 7, 60, 450, 700, 6_000, 250_000] {
        proxy.heal();
        db.execute(&format!(
            "update a set big = repeat('z', 2000), v = '{bytes}' where id <= 1000"
        ));
        pipeline.wait_equal(&db, &TABLES, LATER);
        assert!(program.runs(), "it ended:\n{}", pipeline.said_last());
        cut(bytes);
    }
    proxy.heal();
    db.execute("update a set v = 'the last'");
    pipeline.wait_equal(&db, &TABLES, LATER);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &TABLES);
}

/// Lines that die without a word in each way, while the stream runs: noticed within `silence_timeout`.
#[test]
fn a_line_that_dies_unseen_is_noticed_within_the_silence_timeout() {
    let (db, _) = arrange("unseen", SQL);
    let (pipeline, proxy) = by_proxy(&db);
    let program = pipeline.start();
    pipeline.wait_equal(&db, &TABLES, SOON);
    let one_way = |loses_requests| Faults {
        loses_requests,
        loses_answers: !loses_requests,
        ..Faults::default()
    };
    for (faults, id) in [(Faults::dead(), 1), (one_way(false), 2), (one_way(true), 3)] {
        let (began, said) = (Instant::now(), pipeline.said().len());
        proxy.set(faults);
        db.execute(&format!("update b set v = 'unseen' where id = {id}"));
        let limit = SILENCE + Duration::from_secs(5); // a machine that does other things besides
        let noticed = wait::poll(limit, || {
            pipeline.said()[said..]
                .contains("the server has been silent")
                .then_some(())
        });
        assert!(noticed.is_some(), "{faults:?}: {}", pipeline.said_last());
        eprintln!("{faults:?} noticed after {:?}", began.elapsed());
        proxy.heal();
        pipeline.wait_equal(&db, &TABLES, LATER);
    }
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &TABLES);
}

/// The server says nothing while it moves a slot, and may need long for it: a line that dies meanwhile looks alike.
#[test]
fn a_line_that_dies_while_the_slot_is_moved_is_noticed() {
    let (db, _) = arrange("slot_moves", SQL);
    let (mut pipeline, proxy) = by_proxy(&db);
    pipeline.set("sources.shop", "catch_up_from", "\"64KiB\"");
    let program = pipeline.start();
    pipeline.wait_equal(&db, &TABLES, SOON);
    assert!(program.terminate().success());
    db.execute("update a set v = 'behind'; update b set v = 'behind'");
    let mark = pipeline.path().join("stands-still");
    let plan = format!("catch_up.durable=pause:{}@1", mark.display());
    let mut program = pipeline.spawn_armed(&plan, &["run"]);
    wait::until(SOON, "a batch in the store", || mark.exists().then_some(()));
    proxy.set(Faults::dead());
    std::fs::remove_file(&mark).unwrap();
    let limit = SILENCE * 4 + Duration::from_secs(15); // as long as the server may read its log, and a busy machine
    wait::until(limit, "the dead line to be noticed", || {
        (pipeline.said().contains("the stream was interrupted")).then_some(())
    });
    proxy.heal();
    pipeline.wait_equal(&db, &TABLES, LATER);
    assert!(program.runs(), "it ended:\n{}", pipeline.said_last());
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &TABLES);
}

/// Whoever accepts and never answers must not keep `run` or `check` for ever.
#[test]
fn a_server_that_accepts_and_says_nothing_is_given_up_and_tried_again() {
    let (db, _) = arrange("accepts", SQL);
    let (pipeline, proxy) = by_proxy(&db);
    proxy.set(Faults::dead());
    let status = pipeline.spawn(&["check"]).wait(SOON);
    assert!(!status.success(), "{status}");
    let program = pipeline.start();
    wait::until(SOON, "a second attempt to set up", || {
        (pipeline.said().matches("no answer in time").count() >= 2).then_some(())
    });
    proxy.heal();
    pipeline.wait_equal(&db, &TABLES, LATER);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &TABLES);
}

/// The copy reads over connections of its own, which die in the middle of it.
#[test]
fn a_first_copy_whose_connections_die_unseen_is_taken_up_again() {
    let (db, _) = arrange(
        "copy_dies",
        "create table a (id int primary key, v text);
         insert into a select n, repeat('x', 500) from generate_series(1, 100000) n",
    );
    let (mut pipeline, proxy) = by_proxy(&db);
    pipeline.set("sources.shop", "snapshot_workers", "1"); // no other connection is being made meanwhile
    proxy.set(Faults {
        bytes_per_second: Some(2_000_000),
        ..Faults::default()
    });
    let program = pipeline.start();
    let copying = "select 1 from pg_stat_progress_copy where bytes_processed > 1000000
                   and datname = current_database()";
    wait::until(SOON, "a copy under way", || db.rows(copying).pop());
    proxy.set(Faults::dead());
    wait::until(SOON, "the dead line to be noticed", || {
        pipeline
            .said()
            .contains("the server said nothing for 5 s, copying a table")
            .then_some(())
    });
    proxy.heal();
    pipeline.wait_equal(&db, &["public.a"], LATER);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.a"]);
}
