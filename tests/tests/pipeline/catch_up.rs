//! A slot that is far behind is read in batches, and then the stream goes on where they end. Killed at each
//! hand-over: `failpoints` (the work `Backlog`) and, at random moments, `chaos`.

use blacksmith_tests::db::Db;
use blacksmith_tests::stream::Pipeline;

use crate::arrange::{SOON, arrange};

pub(crate) const TABLES: &str = "create table keyed (id int primary key, v text);
                      create table bare (n int, v text); alter table bare replica identity full;
                      create table added (id int primary key)";
pub(crate) const COMPARED: [&str; 3] = ["public.keyed", "public.bare", "public.added"];

/// What the program says when it begins to read batches, and when the stream takes over.
const BEGINS: &str = "catching up in batches";
pub(crate) const ENDS: &str = "caught up";

/// A pipeline that has copied its tables, and was stopped.
fn stopped(name: &str, catch_up: &[(&str, &str)]) -> (Db, Pipeline) {
    let (db, mut pipeline) = arrange(name, TABLES);
    for (key, value) in catch_up {
        pipeline.set("sources.shop", key, value);
    }
    pipeline.catch_up();
    (db, pipeline)
}

/// A few MiB of log: small transactions, a large one with a part that is rolled back, changed columns, a truncate,
/// and much that is not for us.
pub(crate) fn fall_behind(db: &Db, round: i32) {
    let mut session = db.session();
    let first = round * 100_000;
    for at in (first..first + 2_000).step_by(20) {
        session.execute(&format!(
            "begin; insert into keyed select n, md5(n::text) from generate_series({at}, {at} + 19) n;
             update keyed set v = v || '!' where id = {at};
             insert into bare values ({at}, 'once'), ({at}, 'twice'); delete from keyed where id = {at} + 7; commit"
        ));
    }
    session.execute(&format!(
        "begin; insert into keyed select n, repeat(md5(n::text), 8) from generate_series({0}, {0} + 5000) n;
         savepoint s; insert into bare select n, 'never' from generate_series(1, 2000) n; rollback to s;
         delete from bare where v = 'once'; commit",
        first + 10_000
    ));
    session.execute(&format!("alter table keyed add n{round} int"));
    session.execute(&format!(
        "update keyed set n{round} = id where id % 100 = 0"
    ));
    session.execute("truncate added");
    session.execute(&format!(
        "insert into added select generate_series({round}, {round} + 10)"
    ));
    session.execute(&format!(
        "create table other{round} as select repeat('x', 500) from generate_series(1, 4000)"
    ));
}

#[test]
fn a_backlog_is_read_in_batches_and_the_stream_goes_on_without_gap_or_repeat() {
    let (db, pipeline) = stopped("backlog_batches", &[("catch_up_from", "\"64KiB\"")]);
    for round in 1..4 {
        fall_behind(&db, round);
        let program = pipeline.start();
        // Some of it in the last batches, and some in the stream.
        fall_behind(&db, round + 10);
        pipeline.wait_equal(&db, &COMPARED, SOON);
        assert!(program.terminate().success(), "{}", pipeline.said_last());
    }
    let said = pipeline.said();
    assert!(
        said.matches(BEGINS).count() >= 3,
        "{}",
        pipeline.said_last()
    );
    assert_eq!(said.matches(BEGINS).count(), said.matches(ENDS).count());
    assert!(!said.contains("interrupted"), "{}", pipeline.said_last());
    pipeline.assert_equal(&db, &COMPARED);
}

#[test]
fn a_slot_that_is_near_the_end_of_the_log_is_streamed_at_once() {
    assert_streamed("backlog_small", &[]);
}

#[test]
fn a_backlog_is_streamed_when_batches_are_off_or_wait_for_destinations() {
    let small = ("catch_up_from", "\"64KiB\"");
    assert_streamed("backlog_off", &[small, ("catch_up", "false")]);
    assert_streamed("backlog_sink", &[small, ("ack", "\"sink\"")]);
}

/// With these `settings` nothing is read in batches.
fn assert_streamed(name: &str, settings: &[(&str, &str)]) {
    let (db, pipeline) = stopped(name, settings);
    fall_behind(&db, 1);
    pipeline.catch_up();
    let said = pipeline.said();
    assert!(!said.contains(BEGINS), "{name}: {}", pipeline.said_last());
    pipeline.assert_equal(&db, &COMPARED);
}

#[test]
fn a_server_that_does_not_allow_batches_is_streamed_from_and_that_is_said() {
    let (db, pipeline) = stopped("backlog_forbidden", &[("catch_up_from", "\"64KiB\"")]);
    db.execute(
        "revoke execute on function pg_logical_slot_peek_binary_changes(name, pg_lsn, integer, text[]) from public",
    );
    // The first start may have read in batches what other tests wrote to this server's log meanwhile.
    let ended = pipeline.said().matches(ENDS).count();
    fall_behind(&db, 1);
    pipeline.catch_up();
    let said = pipeline.said();
    assert!(
        said.contains("cannot be read in batches"),
        "{}",
        pipeline.said_last()
    );
    assert_eq!(
        said.matches(ENDS).count(),
        ended,
        "{}",
        pipeline.said_last()
    );
    pipeline.assert_equal(&db, &COMPARED);
}
