//! Ends and beginnings of the program.

use std::time::{Duration, Instant};

use blacksmith_tests::wait;

use crate::arrange::{SOON, arrange, assert_silent_about};

const TABLE: &str = "create table t (id int primary key, v text);
                     insert into t select n, 'before' from generate_series(1, 5000) n";

/// TRG-06
#[test]
fn each_start_takes_up_where_the_last_one_was() {
    let (db, pipeline) = arrange("restarts", TABLE);
    for round in 0..4 {
        db.execute(&format!(
            "insert into t select n, 'round' from generate_series({0}, {0} + 99) n",
            10_000 + round * 100
        ));
        pipeline.catch_up();
    }
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 5400);
    assert_eq!(pipeline.lake().rows(), 5400, "every row once");
}

/// TRG-07
#[test]
fn a_terminated_program_ends_with_0_and_says_no_secret() {
    let canary = "canary-row-value";
    let (db, pipeline) = arrange("terminate", TABLE);
    db.execute(&format!("insert into t values (-1, '{canary}')"));
    let program = pipeline.start();
    pipeline.wait_equal(&db, &["public.t"], SOON);
    let status = program.terminate();
    assert_eq!(status.code(), Some(0));
    assert_silent_about(&pipeline, canary);
}

#[test]
fn a_program_terminated_in_the_middle_of_its_work_goes_on_later() {
    let (db, pipeline) = arrange("middle", TABLE);
    let mut session = db.session();
    for round in 0..5_u64 {
        let program = pipeline.start();
        for step in 0..20 {
            session.execute(&format!(
                "update t set v = 'r{round} s{step}' where id % 50 = {step}"
            ));
        }
        assert_eq!(program.terminate().code(), Some(0));
    }
    pipeline.catch_up();
    pipeline.assert_equal(&db, &["public.t"]);
}

#[test]
fn a_second_program_on_the_same_store_is_refused() {
    let (db, pipeline) = arrange("second", TABLE);
    let program = pipeline.start();
    pipeline.wait_equal(&db, &["public.t"], SOON);
    let second = pipeline.spawn(&["run"]).wait(SOON);
    assert!(second.code().is_some_and(|code| code != 0), "{second:?}");
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.t"]);
}

#[test]
fn a_server_that_crashes_and_sends_again_causes_no_duplicate() {
    let server = blacksmith_tests::server::Server::start(crate::arrange::options());
    let db = server.database("crashes");
    db.execute(TABLE);
    let pipeline = blacksmith_tests::stream::Pipeline::new(&db);
    let program = pipeline.start();
    pipeline.wait_equal(&db, &["public.t"], SOON);
    for round in 0..3 {
        db.execute(&format!("update t set v = 'round {round}' where id <= 100"));
        pipeline.wait_equal(&db, &["public.t"], SOON);
        server.kill9(); // what the slot confirmed since the last checkpoint is forgotten
        server.resume();
    }
    db.execute("insert into t values (0, 'after')");
    pipeline.wait_equal(&db, &["public.t"], Duration::from_secs(60));
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.t"]);
    assert_eq!(pipeline.lake().rows(), 5000 + 300 + 1);
}

#[test]
fn the_slot_moves_while_nothing_published_changes() {
    let (db, pipeline) = arrange("idle", TABLE);
    db.execute("create publication blacksmith for table t; create table noise (v text)");
    let program = pipeline.start();
    pipeline.wait_equal(&db, &["public.t"], SOON);
    let megabytes = if crate::arrange::full() { 1024 } else { 48 };
    for _ in 0..megabytes / 16 {
        db.execute("insert into noise select repeat('x', 1000) from generate_series(1, 16000)");
    }
    let (quiet, mut session) = (Instant::now(), db.session());
    let lag_sql = format!(
        "select pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint
         from pg_replication_slots where slot_name = '{}'",
        pipeline.slot()
    );
    let lag = wait::until(Duration::from_secs(60), "the idle slot to move", || {
        let lag: u64 = session.value(&lag_sql).parse().unwrap();
        (lag < 16 << 20).then_some(lag)
    });
    let (memory, seconds) = (program.memory_bytes_peak(), quiet.elapsed().as_secs_f64());
    eprintln!("{lag} bytes of lag after {seconds:.1} s; {memory} bytes of memory at most");
    let rows = pipeline.lake().rows();
    assert!(program.terminate().success());
    assert_eq!(rows, 5000);
}

#[test]
fn a_publication_changed_while_down_repeats_and_loses_nothing() {
    let (db, pipeline) = arrange("repub", TABLE);
    db.execute(
        "create table other (id int primary key);
                create publication blacksmith for table t, other",
    );
    pipeline.catch_up();
    db.execute(
        "begin; insert into other values (1); insert into t values (-1, 'x');
                insert into other values (2); insert into t values (-2, 'y'); commit",
    );
    let mut program = pipeline.start();
    wait::poll(Duration::from_millis(300), || {
        (!program.runs()).then_some(())
    });
    program.kill9();
    db.execute("alter publication blacksmith drop table other");
    pipeline.catch_up();
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 5002);
    assert_eq!(
        pipeline
            .lake()
            .change_log("public.t")
            .unwrap()
            .entries()
            .unwrap()
            .len(),
        5002
    );
}
