//! As many tables as a large shop has: 300 in a minute's size, 10,000 in full.

use std::time::{Duration, Instant};

use blacksmith_tests::db::Db;
use blacksmith_tests::server::Server;
use blacksmith_tests::stream::Pipeline;
use blacksmith_tests::wait;

use crate::arrange::{full, options};

/// Open files and sockets, however many tables there are; systems begin at a limit of 1,024.
const DESCRIPTORS_MAX: usize = 256;
/// Sessions of the server that may begin while all tables get another column: the tests' own, and few of the program's.
const SESSIONS_MAX: i64 = 40;
/// Tables made, or written, by one transaction: each takes a lock.
const AT_ONCE: usize = 100;

fn tables() -> usize {
    if full() { 10_000 } else { 300 }
}

/// The default cap of the program's memory; a few hundred tables are to be far from it.
fn memory_bytes_max() -> u64 {
    if full() { 512 << 20 } else { 192 << 20 }
}

fn landed() -> Duration {
    Duration::from_secs(if full() { 900 } else { 120 })
}

/// Does `each` with every table, `$` being its number.
fn with_all(db: &Db, each: &str) {
    let mut session = db.session();
    for first in (0..tables()).step_by(AT_ONCE) {
        let last = (first + AT_ONCE).min(tables());
        let statements = (first..last).map(|number| each.replace('$', &number.to_string()));
        let statements: Vec<String> = statements.collect();
        session.execute(&format!("begin; {}; commit", statements.join("; ")));
    }
}

/// Waits until the lake has `rows` rows; how long that took.
fn wait_rows(pipeline: &Pipeline, rows: usize) -> Duration {
    let began = Instant::now();
    wait::until(landed(), "the rows of all tables to land", || {
        (pipeline.lake().rows() >= rows as u64).then_some(())
    });
    began.elapsed()
}

/// Sessions that the database has had.
fn sessions(db: &Db) -> i64 {
    let counted =
        db.value("select sessions from pg_stat_database where datname = current_database()");
    counted.parse().expect("a number")
}

#[test]
fn thousands_of_tables_arrive_within_the_memory_cap_and_few_descriptors() {
    // The bench's own roles take every table's lock at once; the program does not.
    let server = Server::start(options().set("max_locks_per_transaction", "512"));
    let db = server.database("tables");
    with_all(
        &db,
        "create table t$ (id int primary key, v text); insert into t$ values (1, 'first')",
    );
    let pipeline = Pipeline::new(&db);
    let program = pipeline.start();
    let names: Vec<String> = (0..tables())
        .map(|number| format!("public.t{number}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();

    let copied = wait_rows(&pipeline, tables());
    with_all(
        &db,
        "insert into t$ values (2, 'second'); update t$ set v = 'changed' where id = 1",
    );
    let sessions = sessions(&db);
    with_all(
        &db,
        "alter table t$ add w int; insert into t$ values (3, 'third', 3)",
    );
    let followed = wait_rows(&pipeline, 4 * tables());
    let begun = self::sessions(&db) - sessions;

    let (memory, descriptors) = (program.memory_bytes_peak(), program.descriptors());
    eprintln!(
        "{} tables: copied in {copied:?}, followed in {followed:?}; {memory} bytes of memory at most, {descriptors} descriptors",
        tables()
    );
    assert!(memory < memory_bytes_max(), "{memory} bytes of memory");
    assert!(begun < SESSIONS_MAX, "{begun} sessions of the server");
    assert!(descriptors < DESCRIPTORS_MAX, "{descriptors} descriptors");
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &names);
}
