//! The lake goes away for a while; the source must not notice.
//!
//! Permissions do not stop root, so the lake's folder is replaced by a file, which stops everyone.

use std::fs;
use std::time::{Duration, Instant};

use blacksmith_tests::stream::Pipeline;
use blacksmith_tests::wait;

use crate::arrange::{SOON, arrange, full};

fn take_away(pipeline: &Pipeline) {
    fs::rename(pipeline.lake_path(), pipeline.path().join("away")).unwrap();
    fs::write(pipeline.lake_path(), "not a folder").unwrap();
}

fn bring_back(pipeline: &Pipeline) {
    fs::remove_file(pipeline.lake_path()).unwrap();
    fs::rename(pipeline.path().join("away"), pipeline.lake_path()).unwrap();
}

/// One round of the writer: forty rows come, five change, three go. By key, whatever the size.
const ROUND: &str = "insert into t (v) select repeat('x', 500) from generate_series(1, 40);
    update t set v = 'changed ' || id
    where id = any(array(select (select max(id) from t) - n from generate_series(0, 4) n));
    delete from t
    where id = any(array(select (select max(id) from t) - 6 * n from generate_series(1, 3) n))";

#[test]
fn while_the_lake_is_away_the_slot_moves_and_afterwards_everything_lands() {
    let (db, pipeline) = arrange("away", "create table t (id serial primary key, v text)");
    let program = pipeline.start();
    db.execute("insert into t (v) values ('before')");
    pipeline.wait_equal(&db, &["public.t"], SOON);
    let of_slot = format!(
        "from pg_replication_slots where slot_name = '{}'",
        pipeline.slot()
    );
    let walsender = format!("select active_pid {of_slot}");
    let walsender_before = db.value(&walsender);

    take_away(&pipeline);
    let away = Duration::from_secs(if full() { 600 } else { 25 }); // 2.5 times wal_sender_timeout
    let (began, mut session) = (Instant::now(), db.session());
    let wal_before = session.value("select pg_current_wal_lsn()");
    let lag_sql = format!(
        "select pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint {of_slot}"
    );
    let (mut lag_bytes_max, mut rounds) = (0, 0);
    wait::poll(away, || {
        session.execute(ROUND);
        rounds += 1;
        lag_bytes_max = lag_bytes_max.max(session.value(&lag_sql).parse::<i64>().unwrap());
        None::<()>
    });
    assert!(began.elapsed() >= away);
    let wal = session.value(&format!(
        "select pg_current_wal_lsn() - '{wal_before}'::pg_lsn"
    ));
    let memory = program.memory_bytes_peak();
    eprintln!(
        "{rounds} rounds of 48 changes, {wal} bytes of WAL; slot lag {lag_bytes_max} bytes at most; \
         {memory} bytes of memory at most"
    );
    assert!(
        lag_bytes_max < 64 << 20,
        "the slot held {lag_bytes_max} bytes"
    );
    assert_eq!(
        db.value(&walsender),
        walsender_before,
        "the walsender was reset"
    );
    assert!(memory < 512 << 20, "{memory} bytes of memory");

    bring_back(&pipeline);
    let back = Instant::now();
    let landed = Duration::from_secs(if full() { 600 } else { 120 }); // the pause grows to 5 minutes
    wait::until(landed, "everything to land", || {
        (pipeline.lake().rows() > rounds * 48).then_some(())
    });
    let (seconds, memory) = (back.elapsed().as_secs(), program.memory_bytes_peak());
    assert!(memory < 512 << 20, "{memory} bytes of memory");
    assert!(program.terminate().success());
    let rows = pipeline.assert_equal(&db, &["public.t"])[0].rows;
    eprintln!("{rows} rows equal; landed after {seconds} s; {memory} bytes of memory at most");
}

#[test]
fn a_first_copy_into_a_lake_that_is_away_lands_when_it_is_there() {
    let (db, pipeline) = arrange(
        "copy_away",
        "create table t (id int primary key); insert into t select generate_series(1, 20000)",
    );
    fs::write(pipeline.lake_path(), "not a folder").unwrap();
    let mut program = pipeline.start();
    let slot = format!(
        "select 1 from pg_replication_slots where slot_name = '{}'",
        pipeline.slot()
    );
    let copied = wait::poll(Duration::from_secs(5), || db.rows(&slot).pop());
    if copied.is_none() || !program.runs() {
        // Refusing to start is an answer too, when it says what is wrong.
        let said = pipeline.said();
        assert!(said.contains("lake"), "{said}");
        drop(program);
        fs::remove_file(pipeline.lake_path()).unwrap();
        program = pipeline.start();
    } else {
        fs::remove_file(pipeline.lake_path()).unwrap();
    }
    pipeline.wait_equal(&db, &["public.t"], Duration::from_secs(60));
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.t"]);
}

#[test]
fn a_program_killed_while_the_lake_is_away_loads_each_row_once() {
    let (db, pipeline) = arrange("killed_away", "create table t (id serial primary key)");
    pipeline.catch_up();
    let program = pipeline.start();
    db.execute("insert into t select from generate_series(1, 100)");
    pipeline.wait_equal(&db, &["public.t"], SOON);
    take_away(&pipeline);
    db.execute("insert into t select from generate_series(1, 100)");
    let lag = format!(
        "select 1 from pg_replication_slots where slot_name = '{}'
                       and confirmed_flush_lsn >= '{}'",
        pipeline.slot(),
        db.value("select pg_current_wal_lsn()")
    );
    wait::until(SOON, "the log to have the rows", || db.rows(&lag).pop());
    program.kill9();
    bring_back(&pipeline);
    pipeline.catch_up();
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 200);
    assert_eq!(pipeline.lake().rows(), 200);
}
