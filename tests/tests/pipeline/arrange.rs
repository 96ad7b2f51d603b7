//! What every test of this tier begins with.

use std::sync::OnceLock;
use std::time::Duration;

use blacksmith_tests::db::Db;
use blacksmith_tests::server::{Options, PASSWORD, Server};
use blacksmith_tests::stream::Pipeline;

/// How long the running program may take to bring a few rows into the lake.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Settings of the servers of this tier: transactions are streamed while they run, from the
/// smallest size on, and a silent client is dropped soon.
pub(crate) fn options() -> Options {
    Options::default()
        .set("logical_decoding_work_mem", "64kB")
        .set("wal_sender_timeout", "10s")
}

/// The server that the tests of this tier share.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(options()))
}

/// A database after `sql`, and a pipeline of all its tables.
pub(crate) fn arrange(name: &str, sql: &str) -> (Db, Pipeline) {
    let db = server().database(name);
    db.execute(sql);
    let pipeline = Pipeline::new(&db);
    (db, pipeline)
}

/// Whether the long version of a test is asked for, by `BLACKSMITH_FULL=1`.
pub(crate) fn full() -> bool {
    std::env::var("BLACKSMITH_FULL").is_ok_and(|value| value == "1")
}

/// The number in an environment variable.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default,
    }
}

/// Checks that the program has said neither the password nor `canary`.
#[track_caller]
pub(crate) fn assert_silent_about(pipeline: &Pipeline, canary: &str) {
    let all = pipeline.said() + &pipeline.printed();
    assert!(!all.is_empty(), "the program said nothing at all");
    for secret in [PASSWORD, canary] {
        assert!(
            !all.contains(secret),
            "it said {secret}:\n{}",
            pipeline.said_last()
        );
    }
}
