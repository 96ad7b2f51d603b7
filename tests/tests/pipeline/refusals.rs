//! What wrong input gets: an exit code, a sentence that helps, and no secret.

use std::time::Duration;

use blacksmith_tests::server::{Options, PASSWORD, Server};
use blacksmith_tests::stream::Pipeline;

use crate::arrange::{arrange, assert_silent_about};

/// Runs to a failure; what was said.
#[track_caller]
fn refused(pipeline: &Pipeline, arguments: &[&str], code: Option<i32>) -> String {
    let status = pipeline.spawn(arguments).wait(Duration::from_secs(60));
    let said = pipeline.said() + &pipeline.printed();
    let as_expected = match code {
        Some(code) => status.code() == Some(code),
        None => status.code().is_some_and(|code| code != 0),
    };
    assert!(as_expected, "{status}\n{said}");
    assert_silent_about(pipeline, "canary-row-value");
    said
}

#[test]
fn a_wrong_password_is_refused_without_being_repeated() {
    let (db, mut pipeline) = arrange("password", "create table t (id int primary key)");
    pipeline.set_url(&db.url().replace(PASSWORD, "wrong-canary"));
    let said = refused(&pipeline, &["run"], None);
    assert!(said.to_lowercase().contains("password"), "{said}");
    assert!(!said.contains("wrong-canary"), "{said}");
}

#[test]
fn a_database_that_does_not_exist_is_named() {
    let (db, mut pipeline) = arrange("database", "create table t (id int primary key)");
    pipeline.set_url(&db.server().url("no_such_database"));
    let said = refused(&pipeline, &["run"], None);
    assert!(said.contains("no_such_database"), "{said}");
}

#[test]
fn a_server_without_logical_wal_is_told_how_to_get_it() {
    let server = Server::start(Options::default().set("wal_level", "replica"));
    let db = server.database("replica");
    db.execute("create table t (id int primary key)");
    let said = refused(&Pipeline::new(&db), &["run"], None);
    assert!(said.contains("wal_level"), "{said}");
}

#[test]
fn a_role_that_may_not_replicate_is_told_what_it_lacks() {
    let (db, mut pipeline) = arrange("privilege", "create table t (id int primary key)");
    let role = format!("plain_{}", db.name());
    db.execute(&format!(
        "create role {role} login password '{PASSWORD}'; grant all on table t to {role};
                         create publication blacksmith for table t"
    ));
    pipeline.set_url(&db.url().replace("//postgres:", &format!("//{role}:")));
    let said = refused(&pipeline, &["run"], None);
    assert!(said.to_uppercase().contains("REPLICATION"), "{said}");
    db.execute(&format!("drop owned by {role}; drop role {role}"));
}

#[test]
fn mistakes_in_the_configuration_are_told_all_at_once_with_exit_code_78() {
    let (_db, mut pipeline) = arrange("mistakes", "");
    pipeline.set("sources.shop", "snapshto", "\"initial\"");
    pipeline.set("sources.shop", "silence_timeout", "\"1s\"");
    pipeline.set(
        "destinations.lake",
        "schedule",
        "{ interval = \"@every never\" }",
    );
    pipeline.set("store", "path", "\"${NO_SUCH_VARIABLE:?say where}\"");
    let said = refused(&pipeline, &["check"], Some(78));
    for word in [
        "snapshto",
        "snapshot",
        "silence_timeout",
        "5s to 1h",
        "@every never",
        "say where",
    ] {
        assert!(said.contains(word), "nothing about {word}:\n{said}");
    }
}

#[test]
fn check_finds_nothing_wrong_where_run_works() {
    let (db, pipeline) = arrange("check", "create table t (id int primary key)");
    assert_eq!(
        pipeline.run(&["check"]),
        Some(0),
        "{}",
        pipeline.said_last()
    );
    pipeline.catch_up();
    assert_eq!(
        pipeline.run(&["check"]),
        Some(0),
        "{}",
        pipeline.said_last()
    );
    pipeline.assert_equal(&db, &["public.t"]);
}

#[test]
fn the_store_can_be_counted_and_verified_afterwards() {
    let (_db, pipeline) = arrange(
        "verify",
        "create table t (id int primary key); insert into t select generate_series(1, 1000)",
    );
    pipeline.catch_up();
    assert_eq!(
        pipeline.run(&["store", "stat"]),
        Some(0),
        "{}",
        pipeline.said_last()
    );
    assert_eq!(
        pipeline.run(&["store", "verify"]),
        Some(0),
        "{}",
        pipeline.said_last()
    );
    let segments = std::fs::read_dir(pipeline.path().join("data"))
        .unwrap()
        .flatten();
    let segment = segments.map(|entry| entry.path());
    let segment = segment.filter(|path| path.extension().is_some_and(|end| end == "seg"));
    let segment = segment.min().expect("a store has a segment");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[8192] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let code = pipeline.run(&["store", "verify"]);
    assert!(
        code.is_some_and(|code| code != 0),
        "a flipped bit: {code:?}"
    );
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let server = Server::start(crate::arrange::options());
    let db = server.database("late");
    db.execute("create table t (id int primary key); insert into t values (1)");
    let pipeline = Pipeline::new(&db);
    pipeline.catch_up();
    server.stop(blacksmith_tests::server::Stop::Fast);
    let program = pipeline.start();
    server.resume();
    db.execute("insert into t values (2)");
    pipeline.wait_equal(&db, &["public.t"], Duration::from_secs(60));
    assert!(program.terminate().success());
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 2);
}
