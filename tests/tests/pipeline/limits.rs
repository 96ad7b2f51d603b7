//! Where memory would go if anybody let it: a backlog that nobody loads, one very large row, and a machine whose
//! cores others want too. Each has a minute's size and a full one (`BLACKSMITH_FULL=1`).

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use blacksmith_tests::db::Db;
use blacksmith_tests::duckdb;
use blacksmith_tests::stream::Pipeline;
use blacksmith_tests::wait;

use crate::arrange::{SOON, arrange, full};

/// Default cap of the program's memory.
const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// Long enough for ten million rows.
fn patience() -> Duration {
    Duration::from_secs(if full() { 1_800 } else { 120 })
}

fn order(pipeline: &Pipeline, what: &str) {
    let code = pipeline.run(&["actions", what, "lake/append"]);
    assert_eq!(code, Some(0), "{}", pipeline.said_last());
}

/// Waits until the server may forget everything that is in its log now.
fn wait_confirmed(db: &Db, pipeline: &Pipeline) {
    let confirmed = format!(
        "select 1 from pg_replication_slots where slot_name = '{}' and confirmed_flush_lsn >= '{}'",
        pipeline.slot(),
        db.value("select pg_current_wal_lsn()")
    );
    wait::until(patience(), "the store to have everything", || {
        db.rows(&confirmed).pop()
    });
}

#[test]
fn a_backlog_of_millions_of_events_takes_no_more_memory_than_the_cap() {
    let (db, pipeline) = arrange("backlog", "create table t (id bigint primary key, v text)");
    let rows: u64 = if full() { 10_000_000 } else { 200_000 };
    let program = pipeline.start();
    db.execute("insert into t values (0, 'first')");
    pipeline.wait_equal(&db, &["public.t"], SOON);
    order(&pipeline, "pause");
    let mut session = db.session();
    for first in (1..=rows).step_by(10_000) {
        let last = (first + 9_999).min(rows);
        session.execute(&format!(
            "insert into t select n, 'row ' || n from generate_series({first}, {last}) n"
        ));
    }
    wait_confirmed(&db, &pipeline);
    let waiting = program.memory_bytes_peak();
    order(&pipeline, "resume");
    wait::until(patience(), "the backlog to be loaded", || {
        (pipeline.lake().rows() > rows).then_some(())
    });
    let loaded = program.memory_bytes_peak();
    eprintln!(
        "{rows} events: {waiting} bytes of memory at most while they wait, {loaded} when they are loaded"
    );
    assert!(loaded < MEMORY_BYTES_MAX, "{loaded} bytes of memory");
    assert!(program.terminate().success());
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, rows + 1);
}

#[test]
fn a_row_of_hundreds_of_mib_arrives_from_the_copy_and_from_the_stream() {
    let mib: u64 = if full() { 256 } else { 64 };
    let (db, pipeline) = arrange(
        "large_row",
        "create table t (id int primary key, v text); alter table t alter v set storage external",
    );
    let insert = |id: u32| {
        db.execute(&format!(
            "insert into t values ({id}, repeat('0123456789abcdef', {mib} * 65536))"
        ));
    };
    insert(1);
    insert(2);
    let program = pipeline.start();
    pipeline.wait_equal(&db, &["public.t"], patience());
    let copied = program.memory_bytes_peak();
    assert!(program.terminate().success());

    let program = pipeline.start();
    insert(3);
    pipeline.wait_equal(&db, &["public.t"], patience());
    let streamed = program.memory_bytes_peak();
    eprintln!(
        "rows of {mib} MiB: {copied} bytes of memory at most for the copy, {streamed} for the stream"
    );
    let (row, others) = (mib << 20, 128 << 20);
    for bytes in [copied, streamed] {
        assert!(bytes < others + row + row / 4, "{bytes} bytes of memory");
    }

    // Several in a row: one is being written while the next one comes, on the way in and on the way out.
    db.execute(&format!(
        "insert into t select n, repeat('0123456789abcdef', {mib} * 65536) from generate_series(4, 7) n"
    ));
    pipeline.wait_equal(&db, &["public.t"], patience());
    let several = program.memory_bytes_peak();
    eprintln!("four of them in one transaction: {several} bytes of memory at most");
    assert!(
        several < others + row + row / 4,
        "{several} bytes of memory"
    );
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.t"]);
    assert_read_by_duckdb(&db, &pipeline);
}

/// Pages of large values are of our own making: somebody else's reader finds the same in them.
fn assert_read_by_duckdb(db: &Db, pipeline: &Pipeline) {
    if duckdb::left_out() {
        return;
    }
    // In full size only how long they are: every byte was compared before.
    let each = match full() {
        true => "id::varchar, length(v)::varchar",
        false => "id::varchar, length(v)::varchar, md5(v)",
    };
    let lake = "read_parquet('lake/public.t/*.parquet')";
    let read = duckdb::rows(
        pipeline.path(),
        &format!("select {each} from {lake} order by id"),
    );
    let there = db.rows(&format!("select {each} from t order by id"));
    assert_eq!(read, there);
}

/// Keeps a core busy while it lives.
struct Spinning(Child);

impl Spinning {
    fn start() -> Spinning {
        let child = Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .stdin(Stdio::null())
            .spawn();
        Spinning(child.expect("every system has a shell"))
    }
}

impl Drop for Spinning {
    fn drop(&mut self) {
        if self.0.kill().and_then(|()| self.0.wait()).is_err() {
            eprintln!("a process that only spins cannot be ended");
        }
    }
}

#[test]
fn beside_four_processes_that_only_spin_the_stream_stays_connected_and_everything_arrives() {
    let (db, pipeline) = arrange("spinning", "create table t (id bigint primary key, v text)");
    let program = pipeline.start();
    db.execute("insert into t values (0, 'first')");
    pipeline.wait_equal(&db, &["public.t"], SOON);
    let walsender = format!(
        "select active_pid from pg_replication_slots where slot_name = '{}'",
        pipeline.slot()
    );
    let before = db.value(&walsender);
    let _spinning: Vec<Spinning> = (0..4).map(|_| Spinning::start()).collect();
    let rounds = if full() { 2_000 } else { 100 };
    for round in 1..=rounds {
        db.execute(&format!(
            "insert into t select {round} * 1000 + n, 'row' from generate_series(1, 200) n"
        ));
    }
    pipeline.wait_equal(&db, &["public.t"], patience());
    assert_eq!(db.value(&walsender), before, "the walsender was reset");
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.t"]);
}
