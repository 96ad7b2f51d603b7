//! The first copy of each table, while the world goes on.

use std::time::Duration;

use blacksmith_tests::wait;

use crate::arrange::{SOON, arrange};
use crate::relay::Relay;

#[test]
fn a_transaction_open_at_the_start_is_in_the_copy_or_in_the_stream_never_in_both() {
    let (db, pipeline) = arrange("open", "create table t (id int primary key)");
    let mut open = db.session();
    open.execute("begin; insert into t values (1)");
    let program = pipeline.start();
    // The slot waits for the open transaction to end; nothing else can be observed from outside.
    let slot = format!(
        "select 1 from pg_stat_activity where backend_type = 'walsender'
                        and application_name <> '' and datname = '{}'",
        db.name()
    );
    wait::until(SOON, "a walsender", || db.rows(&slot).pop());
    open.execute("insert into t values (2)");
    db.execute("insert into t values (3)");
    open.execute("commit");
    pipeline.wait_equal(&db, &["public.t"], SOON);
    assert!(program.terminate().success());
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 3);
    assert_eq!(pipeline.lake().rows(), 3);
}

#[test]
fn a_start_killed_while_the_server_still_makes_its_slot_is_followed_by_a_good_one() {
    let (db, pipeline) = arrange(
        "half_made",
        "create table t (id int primary key); insert into t values (1)",
    );
    let mut relay = Relay::begin(&db);
    for begun in [format!("{}_scout", pipeline.slot()), pipeline.slot()] {
        let program = pipeline.start();
        relay.run_until_begun(&begun);
        program.kill9();
    }
    relay.hand_over(|last| last.execute("insert into t values (2)"));
    let program = pipeline.start();
    relay.end();
    pipeline.wait_equal(&db, &["public.t"], SOON);
    assert!(program.terminate().success());
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 2);
}

/// Money moves between accounts while they are copied by several workers; every row keeps a large
/// value that no change touches.
#[test]
fn rows_that_change_while_they_are_copied_end_as_postgres_has_them() {
    let (db, mut pipeline) = arrange(
        "moving",
        "create table accounts (id int primary key, amount int not null, big text)
             with (autovacuum_enabled = off);
         alter table accounts alter big set storage external;
         insert into accounts select n, 100, repeat(md5(n::text), 100)
         from generate_series(1, 20000) n",
    );
    pipeline.set("sources.shop", "snapshot_workers", "4");
    let program = pipeline.start();
    let mut session = db.session();
    for step in 0..400 {
        let (from, to) = (step * 37 % 20000 + 1, step * 7919 % 20000 + 1);
        session.execute(&format!(
            "begin; update accounts set amount = amount - 1 where id between {from} and {from} + 20;
             update accounts set amount = amount + 1 where id between {to} and {to} + 20; commit"
        ));
    }
    pipeline.wait_equal(&db, &["public.accounts"], Duration::from_secs(60));
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.accounts"]);
}

#[test]
fn a_copy_that_is_killed_again_and_again_ends_whole_and_without_duplicates() {
    let (db, pipeline) = arrange(
        "killed_copy",
        "create table t (id int primary key, v text) with (autovacuum_enabled = off);
         insert into t select n, repeat(md5(n::text), 10) from generate_series(1, 100000) n",
    );
    for kill in 0..6_u64 {
        let mut program = pipeline.start();
        // From the first moments to the middle of the copy; it may well have ended, too.
        wait::poll(Duration::from_millis(150 + 250 * kill), || {
            (!program.runs()).then_some(())
        });
        program.kill9();
        db.execute(&format!(
            "update t set v = 'kill {kill}' where id % 1000 = {kill};
                             delete from t where id = {kill} + 500"
        ));
    }
    pipeline.catch_up();
    pipeline.assert_equal(&db, &["public.t"]);
}

#[test]
fn a_table_added_while_running_is_copied_without_a_restart() {
    let (db, pipeline) = arrange(
        "added",
        "create table first (id int primary key); insert into first values (1);
         create publication blacksmith for table first",
    );
    let program = pipeline.start();
    pipeline.wait_equal(&db, &["public.first"], SOON);
    db.execute(
        "create table second (id int primary key, v text);
         insert into second select n, 'v' || n from generate_series(1, 1000) n",
    );
    db.execute("alter publication blacksmith add table second");
    db.execute("update second set v = 'changed' where id <= 10");
    pipeline.wait_equal(&db, &["public.first", "public.second"], SOON);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.first", "public.second"]);
}

#[test]
fn many_tables_are_copied_at_once_into_a_new_lake() {
    let (db, mut pipeline) = arrange("many_tables", "");
    let tables: Vec<String> = (0..60).map(|number| format!("t{number}")).collect();
    for table in &tables {
        db.execute(&format!(
            "create table {table} (id int primary key); insert into {table} values (1), (2)"
        ));
    }
    pipeline.set("sources.shop", "snapshot_workers", "8");
    pipeline.catch_up();
    let names: Vec<String> = tables
        .iter()
        .map(|table| format!("public.{table}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let digests = pipeline.assert_equal(&db, &names);
    assert!(digests.iter().all(|digest| digest.rows == 2));
}

#[test]
fn without_a_snapshot_only_changes_arrive() {
    let (db, mut pipeline) = arrange(
        "never",
        "create table t (id int primary key); insert into t values (1)",
    );
    pipeline.set("sources.shop", "snapshot", "\"never\"");
    pipeline.catch_up();
    db.execute("insert into t values (2)");
    pipeline.catch_up();
    assert_eq!(pipeline.lake().rows(), 1);
}

/// A table that is rewritten looks empty to every snapshot taken before.
#[test]
fn a_table_rewritten_after_the_snapshot_was_taken_keeps_its_rows() {
    let (db, mut pipeline) = arrange(
        "rewritten",
        "create table a (id int primary key, v text);
         insert into a select n, repeat(md5(n::text), 10) from generate_series(1, 200000) n;
         create table b (id int primary key, n int);
         insert into b select n, n from generate_series(1, 1000) n;
         create table c (id int primary key); insert into c values (1), (2)",
    );
    pipeline.set("sources.shop", "snapshot_workers", "1");
    let program = pipeline.start();
    let slot = format!(
        "select 1 from pg_replication_slots where slot_name = '{}'
         and confirmed_flush_lsn is not null",
        pipeline.slot()
    );
    wait::until(SOON, "the slot", || db.rows(&slot).pop());
    db.execute("alter table b alter n type bigint");
    db.execute("truncate c; insert into c values (3)");
    let tables = ["public.a", "public.b", "public.c"];
    pipeline.wait_equal(&db, &tables, Duration::from_secs(60));
    assert!(program.terminate().success());
    let digests = pipeline.assert_equal(&db, &tables);
    assert_eq!((digests[1].rows, digests[2].rows), (1000, 1));
}
