use std::net::TcpListener;

use blacksmith_cdc::connection::{During, Refusal, refusal_of};
use blacksmith_core::error::{Advice, Kind};
use blacksmith_tests::server::{Options, Server};

use super::*;

fn slot(name: &str) -> NewSlot<'_> {
    NewSlot {
        name,
        temporary: false,
        failover: false,
        export_snapshot: false,
    }
}

fn refusal(url: &str) -> Option<Refusal> {
    refusal_of(&refused(url), During::Login)
}

#[test]
fn each_reason_for_not_being_let_in_is_told_apart() {
    let hba = vec!["host all barred 127.0.0.1/32 reject".to_owned()];
    let server = Server::start(Options {
        hba,
        ..Options::default()
    });
    server.existing("postgres").execute(
        "create role barred login replication; create role plain login password 'x'; create role nologin password 'x'",
    );
    let port = server.port();
    let url =
        |user: &str, database: &str| format!("postgres://{user}:x@127.0.0.1:{port}/{database}");
    assert_eq!(
        refusal(&url("barred", "postgres")),
        Some(Refusal::NotAllowedFromHere)
    );
    assert_eq!(
        refusal(&url("nobody", "postgres")),
        Some(Refusal::WrongPassword)
    ); // a server does not tell strangers who exists
    assert_eq!(
        refusal(&url("nologin", "postgres")),
        Some(Refusal::NoSuchRole)
    );
    assert_eq!(
        refusal(&url("plain", "postgres")),
        Some(Refusal::NoReplicationRole)
    );
    let no_database = server.url("nowhere");
    assert_eq!(refusal(&no_database), Some(Refusal::NoSuchDatabase));
    let report = refused(&no_database).report();
    assert!(
        report.contains("nowhere") && report.contains("correct the database"),
        "{report}"
    );
}

#[test]
fn a_server_that_is_not_set_up_for_logical_decoding_says_what_to_set() {
    let server = Server::start(Options::default().set("wal_level", "replica"));
    let mut connection = replication(&server.url("postgres"));
    let error = connection.create_slot(&slot("s"), PATIENCE).unwrap_err();
    assert_eq!(
        refusal_of(&error, During::Slot("s")),
        Some(Refusal::WalLevel)
    );
    assert!(
        error
            .report()
            .contains("ALTER SYSTEM SET wal_level = logical"),
        "{}",
        error.report()
    );
}

#[test]
fn slots_and_replication_connections_that_are_taken_are_told_apart() {
    let server = Server::start(
        Options::default()
            .set("max_replication_slots", "1")
            .set("max_wal_senders", "2"),
    );
    let db = server.existing("postgres");
    let url = db.url();
    let during = During::Slot("one");
    let mut first = replication(&url);
    first.create_slot(&slot("one"), PATIENCE).unwrap();
    let error = first.create_slot(&slot("one"), PATIENCE).unwrap_err();
    assert_eq!(refusal_of(&error, during), Some(Refusal::SlotExists));
    let error = first.create_slot(&slot("two"), PATIENCE).unwrap_err();
    assert_eq!(refusal_of(&error, during), Some(Refusal::NoFreeSlot));
    assert_eq!(error.kind(), Kind::Refused);

    db.execute("create publication p");
    let streaming = StreamOptions::new(vec!["p".into()]);
    let pid = first
        .simple_query("asking", "select pg_backend_pid()")
        .unwrap()[0]
        .get(0)
        .unwrap()
        .to_owned();
    let mut stream = first
        .start_replication("one", Lsn::ZERO, &streaming)
        .unwrap();
    let error = replication(&url)
        .start_replication("one", Lsn::ZERO, &streaming)
        .unwrap_err();
    let by = pid.parse().ok();
    assert_eq!(refusal_of(&error, during), Some(Refusal::SlotInUse(by)));
    assert!(error.report().contains(&pid), "{}", error.report());

    let error = loop {
        // The walsender of the failed attempt may take a moment to go; then this one is the second.
        let second = ReplicationConnection::connect(&options(&url), &Waker::new().unwrap());
        let third = ReplicationConnection::connect(&options(&url), &Waker::new().unwrap());
        if let (Ok(_), Err(error)) = (second, third) {
            break error;
        }
    };
    assert_eq!(
        refusal_of(&error, During::Login),
        Some(Refusal::NoFreeWalSender)
    );
    assert_eq!(error.advice(), Advice::Retry);
    stream.receive(Instant::now()).unwrap();
    assert!(stream.close(PATIENCE));
}

#[test]
fn a_missing_slot_a_missing_publication_and_a_strange_slot_are_told_apart() {
    let db = Server::shared().database("missing");
    let name = unique(&db, "m");
    let during = During::Slot(&name);
    let streaming = StreamOptions::new(vec!["nowhere".into()]);
    let start = |url: &str| replication(url).start_replication(&name, Lsn::ZERO, &streaming);
    let error = start(&db.url()).unwrap_err();
    assert_eq!(refusal_of(&error, during), Some(Refusal::SlotMissing));
    replication(&db.url())
        .create_slot(&slot(&name), PATIENCE)
        .unwrap();

    let mut stream = start(&db.url()).unwrap();
    db.execute("create table t (id int); insert into t values (1)");
    let error = loop {
        match stream.receive(soon()) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(
        refusal_of(&error, during),
        Some(Refusal::PublicationMissing)
    );
    assert!(stream.receive(soon()).is_err(), "an error is final");
    drop(stream);

    let other = Server::shared().database("other");
    let error = start(&other.url()).unwrap_err();
    assert_eq!(
        refusal_of(&error, during),
        Some(Refusal::SlotElsewhere),
        "{}",
        error.report()
    );
}

#[test]
fn a_slot_that_lost_its_log_is_told_apart() {
    let server = Server::start(
        Options::default()
            .set("max_slot_wal_keep_size", "1MB")
            .set("min_wal_size", "32MB")
            .set("max_wal_size", "32MB"),
    );
    let db = server.existing("postgres");
    replication(&db.url())
        .create_slot(&slot("late"), PATIENCE)
        .unwrap();
    db.execute("create table t as select 1 as x");
    let lost = blacksmith_tests::wait::poll(PATIENCE, || {
        db.execute(
            "insert into t select generate_series(1, 100000); select pg_switch_wal(); checkpoint",
        );
        (db.value("select wal_status from pg_replication_slots") == "lost").then_some(())
    });
    assert!(lost.is_some());
    let streaming = StreamOptions::new(vec!["p".into()]);
    let error = replication(&db.url())
        .start_replication("late", Lsn::ZERO, &streaming)
        .unwrap_err();
    assert_eq!(
        refusal_of(&error, During::Slot("late")),
        Some(Refusal::SlotLost),
        "{}",
        error.report()
    );
    let info =
        wait_for(async { blacksmith_cdc::catalog::find_slot(&sql(&db).await, "late").await });
    assert!(info.unwrap().unwrap().is_lost());
}

#[test]
fn nobody_at_the_port_and_somebody_else_at_the_port_are_worth_another_try() {
    let error = refused("postgres://u@127.0.0.1:1/d");
    assert!(
        error.report().contains("nothing answers there"),
        "{}",
        error.report()
    );
    assert_eq!(error.advice(), Advice::Retry);

    let deaf = TcpListener::bind("127.0.0.1:0").unwrap(); // accepts, and never says a word
    let port = deaf.local_addr().unwrap().port();
    let error = refused(&format!(
        "postgres://u@127.0.0.1:{port}/d?connect_timeout=1"
    ));
    assert!(
        error.report().contains("no answer in time"),
        "{}",
        error.report()
    );
    assert_eq!(error.advice(), Advice::Retry);

    let error = refused("postgres://u@no-such-host.invalid/d");
    assert!(
        error.report().contains("cannot be resolved"),
        "{}",
        error.report()
    );
    let error = refused("postgres://u@/d?host=/no/such/folder");
    assert!(
        error.report().contains("no such host or socket"),
        "{}",
        error.report()
    );
}

#[test]
fn a_slot_that_waits_for_a_transaction_says_so_and_leaves_nothing_behind() {
    let db = Server::shared().database("waits");
    let name = unique(&db, "w");
    let mut open = db.session();
    open.execute("create table t (id int); begin; insert into t values (1)");
    let error = replication(&db.url())
        .create_slot(&slot(&name), Duration::from_millis(300))
        .unwrap_err();
    assert!(
        error.report().contains("a transaction is still open"),
        "{}",
        error.report()
    );
    let count = format!("select count(*) from pg_replication_slots where slot_name = '{name}'");
    blacksmith_tests::wait::until(
        PATIENCE,
        "the slot to be gone while the transaction is open",
        || (db.value(&count) == "0").then_some(()),
    );
    open.execute("commit");
}
