//! A server that restarts, is killed, crashes, and throws our walsender out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use blacksmith_tests::db::Db;
use blacksmith_tests::server::{Server, Stop};
use blacksmith_tests::stream::Pipeline;
use blacksmith_tests::wait;
use blacksmith_tests::workload::Workload;

use super::writer::{SQL, TABLES, Writer};
use crate::arrange::{SOON, arrange, options, server};

/// How long it may take until everything is there: pauses between attempts grow to 30 s.
const LATER: Duration = Duration::from_secs(120);

/// Lets `harm` befall a server again and again while an application writes: during the first copy, and later.
/// The program must bear it, and everything must land.
fn bears(name: &str, seed: u64, harm: impl Fn(&Server)) {
    let server = Server::start(options());
    let db = server.database(name);
    db.execute(SQL);
    let mut pipeline = Pipeline::new(&db);
    // What was written while the server was gone is a backlog: it is harmed in batches as well as in the stream.
    pipeline.set("sources.shop", "catch_up_from", "\"8KiB\"");
    let writer = Writer::start(db.config(), seed);
    let mut program = pipeline.start();
    for harms in 0..5 {
        writer.wait_more(20);
        if harms == 2 {
            let slot = format!(
                "select 1 from pg_replication_slots where slot_name = '{}' and active",
                pipeline.slot()
            );
            wait::until(LATER, "the stream to run", || db.rows(&slot).pop());
        }
        harm(&server);
        assert!(program.runs(), "it ended:\n{}", pipeline.said_last());
    }
    writer.wait_more(20);
    let committed = writer.stop();
    pipeline.wait_equal(&db, &TABLES, LATER);
    assert!(program.terminate().success(), "{}", pipeline.said_last());
    let digests = pipeline.assert_equal(&db, &TABLES);
    eprintln!("{committed} transactions, {} rows equal", digests[0].rows);
}

#[test]
fn a_server_that_restarts_fast_while_an_application_writes_costs_nothing() {
    bears("restarts_fast", 1, |server| {
        server.stop(Stop::Fast);
        server.resume();
    });
}

#[test]
fn a_server_that_restarts_without_a_checkpoint_costs_nothing() {
    bears("restarts_at_once", 2, |server| {
        server.stop(Stop::Immediate);
        server.resume();
    });
}

#[test]
fn a_server_all_of_whose_processes_are_killed_costs_nothing() {
    bears("killed", 3, |server| {
        server.kill9_all();
        server.resume();
    });
}

#[test]
fn a_server_that_recovers_from_the_crash_of_one_of_its_processes_costs_nothing() {
    bears("crashes", 4, Server::crash);
}

#[test]
fn a_walsender_ended_five_times_a_second_under_a_workload_costs_nothing() {
    let mut workload = Workload::small(9);
    workload.transactions *= 10;
    let db = server().database("thrown_out");
    workload.create(&db);
    let pipeline = Pipeline::new(&db);
    let mut program = pipeline.start();
    wait::until(SOON, "the stream to begin", || {
        let begun = "\"message\":\"streaming\"";
        pipeline.said().contains(begun).then_some(())
    });
    let written = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            let summary = workload.run(&db);
            eprintln!("{summary:?}");
            written.store(true, Ordering::SeqCst);
        });
        end_walsenders(&db, &written)
    });
    eprintln!("{ended} walsenders ended");
    assert!(ended >= 5, "only {ended} walsenders were there to end");
    assert!(program.runs(), "it ended:\n{}", pipeline.said_last());
    let tables = Workload::published(&db);
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    pipeline.wait_equal(&db, &tables, LATER);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &tables);
}

/// Ends every walsender of the database five times a second, until `written` and enough of them were there; how many.
/// The program comes back after pauses that grow while it gets nowhere.
fn end_walsenders(db: &Db, written: &AtomicBool) -> u64 {
    let mut session = db.session();
    let mut ended = 0;
    for _ in 0..300 {
        wait::poll(Duration::from_millis(200), || None::<()>);
        let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                   where backend_type = 'walsender' and datname = current_database()";
        ended += session.value(sql).parse::<u64>().unwrap();
        if ended >= 15 && written.load(Ordering::SeqCst) {
            break;
        }
    }
    ended
}

/// Another cluster at the same address, whose replication connections are all taken, so that the stream cannot even
/// see that it is another: until it can, nothing that is known of tables may change, and nothing may be copied.
#[test]
fn a_server_that_the_stream_has_not_verified_changes_nothing_that_is_known_of_tables() {
    let (db, mut pipeline) = arrange("verified", SQL);
    pipeline.catch_up();
    let stranger = Server::start(options().set("max_wal_senders", "0"));
    let create = format!("create database {}", db.name());
    stranger.existing("postgres").execute(&create);
    let namesake = stranger.existing(db.name());
    namesake.execute(
        "create table other (id int primary key); insert into other values (1);
         create publication blacksmith for table other",
    );
    pipeline.set_url(&namesake.url());
    let said_before = pipeline.said().len();
    let program = pipeline.start();
    wait::until(SOON, "the stream to be interrupted some times", || {
        let said = pipeline.said()[said_before..].to_owned();
        (said
            .matches("all replication connections of the server are taken")
            .count()
            >= 4)
            .then_some(())
    });
    assert!(program.terminate().success());
    let said = pipeline.said()[said_before..].to_owned();
    for word in [
        "table found in the publication",
        "left the publication",
        "table described",
    ] {
        assert!(!said.contains(word), "{word}:\n{said}");
    }
    pipeline.set_url(&db.program_url());
    db.execute("insert into b values (100001, 'at home again')");
    pipeline.catch_up();
    pipeline.assert_equal(&db, &TABLES);
    assert_eq!(pipeline.lake().rows(), 25_001, "nothing was copied again");
}
