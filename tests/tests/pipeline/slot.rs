//! The replication slot: ours alone, watched, never mistaken for another.

use std::time::Duration;

use blacksmith_tests::server::{Options, Server};
use blacksmith_tests::stream::Pipeline;

use crate::arrange::{SOON, arrange};

const TABLE: &str = "create table t (id int primary key); insert into t values (1)";

/// Runs to the end it must come to: a failure that says something about `word`.
#[track_caller]
fn assert_refused(pipeline: &Pipeline, word: &str) {
    let before = pipeline.said().len();
    let status = pipeline.spawn(&["run"]).wait(Duration::from_secs(60));
    let said = pipeline.said()[before..].to_string();
    assert!(
        status.code().is_some_and(|code| code != 0),
        "{status}\n{said}"
    );
    assert!(said.contains(word), "nothing about {word}:\n{said}");
}

#[test]
fn a_slot_made_anew_while_we_were_away_is_not_continued_silently() {
    let (db, pipeline) = arrange("anew", TABLE);
    pipeline.catch_up();
    let slot = pipeline.slot();
    db.execute(&format!("select pg_drop_replication_slot('{slot}')"));
    db.execute("insert into t values (2)"); // lost to every slot that comes now
    db.execute(&format!(
        "select pg_create_logical_replication_slot('{slot}', 'pgoutput')"
    ));
    assert_refused(&pipeline, &slot);
    assert_eq!(pipeline.lake().rows(), 1);
}

#[test]
fn a_slot_that_is_gone_is_not_made_again_silently() {
    let (db, pipeline) = arrange("gone", TABLE);
    pipeline.catch_up();
    let slot = pipeline.slot();
    db.execute(&format!("select pg_drop_replication_slot('{slot}')"));
    db.execute("insert into t values (2)");
    assert_refused(&pipeline, &slot);
    let made = format!("select count(*) from pg_replication_slots where slot_name = '{slot}'");
    assert_eq!(db.value(&made), "0");
}

#[test]
fn a_slot_whose_wal_is_lost_is_said_to_be_lost() {
    let server = Server::start(
        Options::default()
            .set("max_slot_wal_keep_size", "1MB")
            .set("max_wal_size", "32MB")
            .set("min_wal_size", "32MB"),
    );
    let db = server.database("lost");
    db.execute(TABLE);
    let pipeline = Pipeline::new(&db);
    pipeline.catch_up();
    for _ in 0..6 {
        db.execute(
            "create table filler as select repeat('x', 1000) from generate_series(1, 20000);
                    drop table filler; select pg_switch_wal()",
        );
        db.execute("checkpoint");
    }
    let state = format!(
        "select wal_status from pg_replication_slots where slot_name = '{}'",
        pipeline.slot()
    );
    assert_eq!(db.value(&state), "lost");
    assert_refused(&pipeline, &pipeline.slot());
}

#[test]
fn another_database_behind_the_same_configuration_is_refused() {
    let (_db, mut pipeline) = arrange("one_cluster", TABLE);
    pipeline.catch_up();
    let other = Server::start(crate::arrange::options());
    let twin = other.database("twin");
    twin.execute(TABLE);
    pipeline.set_url(&twin.url());
    let status = pipeline.spawn(&["run"]).wait(Duration::from_secs(60));
    assert!(
        status.code().is_some_and(|code| code != 0),
        "{status}\n{}",
        pipeline.said_last()
    );
    assert_eq!(pipeline.lake().rows(), 1);
}

#[test]
fn pipelines_with_alike_names_leave_each_other_alone() {
    let (db, mut one) = arrange("alike", TABLE);
    let mut two = Pipeline::new(&db);
    let name = db.name();
    one.set("sources.shop", "slot", &format!("\"{name}_a_b\""));
    two.set("sources.shop", "slot", &format!("\"{name}_axb\""));
    one.catch_up();
    two.catch_up();
    db.execute("insert into t values (2)");
    one.catch_up();
    db.execute("insert into t values (3)");
    two.catch_up();
    one.catch_up();
    assert_eq!(one.assert_equal(&db, &["public.t"])[0].rows, 3);
    assert_eq!(two.assert_equal(&db, &["public.t"])[0].rows, 3);
}

#[test]
fn a_connection_that_dies_unseen_is_taken_over() {
    let (db, mut pipeline) = arrange("taken_over", TABLE);
    let proxy = blacksmith_tests::proxy::Proxy::before(db.server().port());
    pipeline.set_url(&proxy.url(&db.program_url(), db.server().port()));
    let program = pipeline.start();
    pipeline.wait_equal(&db, &["public.t"], SOON);
    proxy.cut_clients(); // the server's side stays open, and holds the slot
    db.execute("insert into t values (2)");
    pipeline.wait_equal(&db, &["public.t"], SOON);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.t"]);
}
