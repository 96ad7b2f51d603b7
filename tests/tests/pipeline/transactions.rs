//! Transactions: interleaved, streamed while they run, partly and wholly rolled back.

use std::time::Duration;

use blacksmith_tests::db::Db;
use blacksmith_tests::lake::Lake;
use blacksmith_tests::stream::Pipeline;
use blacksmith_tests::wait;

use crate::arrange::{SOON, arrange};

const TABLE: &str = "create table t (id int primary key, v text)";

/// Waits until the server has decoded and sent everything that is in the log now, in-progress
/// transactions included.
fn wait_sent(db: &Db) {
    let now = db.value("select pg_current_wal_insert_lsn()");
    let sql = format!("select 1 from pg_stat_replication where sent_lsn >= '{now}'");
    wait::until(SOON, "the walsender to send what was written", || {
        db.rows(&sql).pop()
    });
}

fn started(db: &Db, pipeline: &Pipeline) -> blacksmith_tests::stream::Running {
    let program = pipeline.start();
    db.execute("insert into t values (0, 'first')");
    pipeline.wait_equal(db, &["public.t"], SOON);
    program
}

#[test]
fn a_transaction_that_began_before_a_shorter_one_is_not_skipped_after_a_restart() {
    let (db, pipeline) = arrange("interleaved", TABLE);
    pipeline.catch_up();
    let mut long = db.session();
    long.execute("begin; insert into t values (1, 'long')");
    db.execute("insert into t values (2, 'short')");
    pipeline.catch_up();
    long.execute("insert into t values (3, 'long'); commit");
    pipeline.catch_up();
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 3);
}

#[test]
fn fifty_interleaved_transactions_arrive_whole_and_in_the_order_of_their_commits() {
    let (db, pipeline) = arrange("fifty", TABLE);
    pipeline.catch_up();
    let mut sessions: Vec<_> = (0..50).map(|_| db.session()).collect();
    for (number, session) in sessions.iter_mut().enumerate() {
        session.execute(&format!("begin; insert into t values ({number}, 'begun')"));
    }
    for (number, session) in sessions.iter_mut().enumerate().rev() {
        session.execute(&format!(
            "insert into t values (100 + {number}, 'ends'); commit"
        ));
        if number % 17 == 0 {
            pipeline.start().kill9(); // at once
            pipeline.catch_up();
        }
    }
    pipeline.catch_up();
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 100);
    let entries = pipeline
        .lake()
        .change_log("public.t")
        .unwrap()
        .entries()
        .unwrap();
    let lsns: Vec<u64> = entries.iter().map(|entry| entry.lsn).collect();
    assert!(
        lsns.chunks(2).all(|pair| pair[0] == pair[1]),
        "two rows of each commit: {lsns:?}"
    );
}

#[test]
fn rows_of_one_statement_arrive_once_each_after_kills() {
    let (db, mut pipeline) = arrange("one_statement", TABLE);
    pipeline.set(
        "destinations.lake",
        "batch",
        "{ max_rows = 9, max_age = \"50ms\" }",
    );
    pipeline.catch_up();
    db.execute("insert into t select n, 'same lsn' from generate_series(1, 200) n");
    for milliseconds in [100, 200, 300, 400] {
        let mut program = pipeline.start();
        wait::poll(Duration::from_millis(milliseconds), || {
            (!program.runs()).then_some(())
        });
        program.kill9();
    }
    pipeline.catch_up();
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 200);
}

#[test]
fn nothing_of_a_running_transaction_is_seen_before_its_commit() {
    let (db, pipeline) = arrange("invisible", TABLE);
    let program = started(&db, &pipeline);
    let before = pipeline.lake().rows();
    let mut open = db.session();
    open.execute(
        "begin; insert into t select n, repeat('x', 100) from generate_series(1, 20000) n",
    );
    db.execute("insert into t values (-1, 'beside')");
    wait_sent(&db);
    wait::until(SOON, "the row beside", || {
        (pipeline.lake().rows() > before).then_some(())
    });
    assert_eq!(pipeline.lake().rows(), before + 1);
    open.execute("commit");
    pipeline.wait_equal(&db, &["public.t"], SOON);
    assert!(program.terminate().success());
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 20_002);
}

#[test]
fn a_streamed_transaction_that_rolls_back_leaves_no_row_and_the_slot_moves_on() {
    let (db, pipeline) = arrange("rolled_back", TABLE);
    let program = started(&db, &pipeline);
    let mut open = db.session();
    open.execute(
        "begin; insert into t select n, repeat('x', 100) from generate_series(1, 20000) n",
    );
    wait_sent(&db);
    open.execute("rollback");
    let end = db.value("select pg_current_wal_insert_lsn()");
    let moved = format!(
        "select 1 from pg_replication_slots where slot_name = '{}'
                         and confirmed_flush_lsn >= '{end}'",
        pipeline.slot()
    );
    wait::until(SOON, "the slot to pass the rollback", || {
        db.rows(&moved).pop()
    });
    db.execute("insert into t values (-1, 'after')");
    pipeline.wait_equal(&db, &["public.t"], SOON);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.t"]);
    assert_eq!(pipeline.lake().rows(), 2);
}

#[test]
fn a_rolled_back_savepoint_takes_only_its_own_rows_along() {
    let (db, pipeline) = arrange("savepoint", TABLE);
    let program = started(&db, &pipeline);
    db.execute(
        "begin; insert into t select n, repeat('a', 200) from generate_series(1, 500) n;
         savepoint one; insert into t select n, repeat('b', 200) from generate_series(1001, 1500) n;
         savepoint two; insert into t select n, repeat('c', 200) from generate_series(2001, 2500) n;
         release two; rollback to one;
         insert into t select n, repeat('d', 200) from generate_series(3001, 3005) n;
         savepoint kept; insert into t select n, repeat('e', 200) from generate_series(4001, 4500) n;
         release kept; commit",
    );
    pipeline.wait_equal(&db, &["public.t"], SOON);
    assert!(program.terminate().success());
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 1006);
    assert_eq!(pipeline.lake().rows(), 1006);
}

#[test]
fn a_streamed_transaction_among_small_ones_keeps_every_row() {
    let (db, pipeline) = arrange("among", TABLE);
    let program = started(&db, &pipeline);
    let mut large = db.session();
    large.execute("begin");
    for part in 0..20 {
        let first = 1_000_000 + part * 2000;
        large.execute(&format!(
            "insert into t select n, repeat('x', 50) from generate_series({first}, {first} + 1999) n"
        ));
        db.execute(&format!("insert into t values ({part} + 1, 'small')"));
    }
    large.execute("commit");
    pipeline.wait_equal(&db, &["public.t"], SOON);
    assert!(program.terminate().success());
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 40_021);
}

#[test]
fn columns_of_a_rolled_back_savepoint_do_not_leak() {
    let (db, pipeline) = arrange("leak", TABLE);
    let program = started(&db, &pipeline);
    db.execute(
        "begin; insert into t select n, repeat('a', 200) from generate_series(1, 500) n;
         savepoint s; alter table t add extra int; alter table t drop v;
         insert into t select n, n from generate_series(1001, 1500) n;
         rollback to s;
         insert into t select n, repeat('d', 200) from generate_series(3001, 3500) n; commit",
    );
    pipeline.wait_equal(&db, &["public.t"], SOON);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.t"]);
    let log = pipeline.lake().change_log("public.t").unwrap();
    assert_eq!(log.columns(), ["id", "v"]);
}

/// A savepoint that is rolled back lets go of its locks, so others go on with the table as it is while the
/// transaction that saw it otherwise still runs.
#[test]
fn columns_of_a_rolled_back_savepoint_do_not_come_back_with_the_commit_around_it() {
    let (db, pipeline) = arrange("returning", TABLE);
    db.execute("create table other (id int primary key, v text)");
    let program = started(&db, &pipeline);
    let mut around = db.session();
    around.execute(
        "begin; savepoint s; alter table t add extra int default 7;
         insert into t select n, repeat('a', 200) from generate_series(1, 500) n",
    );
    wait_sent(&db);
    around.execute("rollback to s");
    db.execute("insert into t values (1, 'while it runs')");
    wait_sent(&db);
    around.execute(
        "insert into other select n, repeat('b', 200) from generate_series(1, 500) n; commit",
    );
    db.execute("insert into t values (2, 'behind it'); delete from t where id = 1");
    pipeline.wait_equal(&db, &["public.t", "public.other"], SOON);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.t", "public.other"]);
}

#[test]
fn prepared_transactions_messages_and_origins_are_borne() {
    let (db, pipeline) = arrange("prepared", TABLE);
    let program = started(&db, &pipeline);
    let name = db.name();
    db.execute(
        "select pg_logical_emit_message(false, 'any', 'beside');
                select pg_logical_emit_message(true, 'any', 'inside')",
    );
    db.execute(&format!(
        "begin; insert into t values (1, 'prepared'); prepare transaction 'p_{name}'"
    ));
    db.execute(&format!("commit prepared 'p_{name}'"));
    db.execute(&format!("select pg_replication_origin_create('o_{name}')"));
    db.execute(&format!(
        "select pg_replication_origin_session_setup('o_{name}');
                         insert into t values (2, 'from elsewhere')"
    ));
    pipeline.wait_equal(&db, &["public.t"], SOON);
    assert!(program.terminate().success());
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 3);
    wait::until(SOON, "the origin to be free", || {
        let dropped = format!("select pg_replication_origin_drop('o_{name}')");
        db.session().try_execute(&dropped).ok()
    });
}

/// The rows of `table` that belong to transactions complete at `lsn`.
fn rows_up_to(lake: &Lake, table: &str, lsn: u64) -> usize {
    let entries = lake.change_log(table).unwrap().entries().unwrap();
    entries.iter().filter(|entry| entry.lsn <= lsn).count()
}

#[test]
fn a_cut_at_the_commit_lsn_of_any_record_shows_whole_transactions_of_all_tables() {
    let (db, mut pipeline) = arrange("cut", TABLE);
    db.execute("create table u (id int primary key)");
    pipeline.set(
        "destinations.lake",
        "batch",
        "{ max_rows = 7, max_age = \"50ms\" }",
    );
    pipeline.catch_up();
    for number in 0..12 {
        let first = number * 10 + 1;
        db.execute(&format!(
            "begin; insert into t select n, 't' from generate_series({first}, {first} + 9) n;
             insert into u select generate_series({first}, {first} + 9); commit"
        ));
    }
    pipeline.catch_up();
    pipeline.assert_equal(&db, &["public.t", "public.u"]);
    let lake = pipeline.lake();
    let mut cuts = 0;
    for (number, commit) in lake.commits().iter().enumerate() {
        let Some(lsn) = commit.commit_lsn else {
            continue;
        };
        let then = lake.first(number + 1);
        let counts = ["public.t", "public.u"].map(|table| rows_up_to(&then, table, lsn));
        assert_eq!(counts[0], counts[1], "at record {number}");
        assert_eq!(counts[0] % 10, 0, "at record {number}");
        cuts += 1;
    }
    assert!(cuts > 10, "{cuts} records for 240 rows in loads of 7");
}
