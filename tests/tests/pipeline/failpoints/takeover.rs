//! Taking over: how long it takes until what was in hand at a SIGKILL is settled.

use std::time::{Duration, Instant};

use blacksmith_tests::stream::Pipeline;
use blacksmith_tests::wait;
use serde_json::Value;

use crate::arrange::{SOON, arrange};

/// From the start of the next process on.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(5);

/// A change of state of the lane, as the program lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    span: (u64, u64),
    status: String,
    attempt: u64,
}

/// All changes of state in the store.
fn changes(pipeline: &Pipeline) -> Vec<Change> {
    let before = pipeline.printed().len();
    let code = pipeline.run(&["transitions", "--json", "--limit", "1000"]);
    assert_eq!(code, Some(0), "{}", pipeline.said_last());
    let printed = pipeline.printed();
    let lines = printed[before..].lines();
    let change = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        Change {
            span: (
                line["first"].as_u64().unwrap(),
                line["last"].as_u64().unwrap(),
            ),
            status: line["status"].as_str().unwrap().to_owned(),
            attempt: line["attempt"].as_u64().unwrap(),
        }
    };
    lines.map(change).collect()
}

/// SIGKILL at `place`, in the middle of the third load; the time until its very range is settled by the next process.
fn take_over(place: &str) -> Duration {
    let (db, pipeline) = arrange("takeover", "create table t (id serial primary key, v text)");
    let mark = pipeline.path().join("in-the-middle");
    let program = pipeline.spawn_armed(&format!("{place}=pause:{}@3", mark.display()), &["run"]);
    let mut session = db.session();
    wait::until(SOON, "the middle of a load", || {
        session.execute("insert into t (v) select repeat('x', 200) from generate_series(1, 500)");
        mark.exists().then_some(())
    });
    program.kill9();
    let open = changes(&pipeline)
        .into_iter()
        .filter(|one| one.status == "executing");
    let open = open.max_by_key(|one| one.span).unwrap();
    assert_eq!(open.attempt, 1);

    let began = Instant::now();
    let program = pipeline.start();
    let settled = Change {
        status: "succeeded".into(),
        attempt: 2,
        ..open.clone()
    };
    wait::until(SOON, "the same range to be settled", || {
        changes(&pipeline).contains(&settled).then_some(())
    });
    let took = began.elapsed();
    assert!(program.terminate().success());
    pipeline.catch_up();
    let rows = pipeline.assert_equal(&db, &["public.t"])[0].rows;
    assert_eq!(pipeline.lake().rows(), rows, "no row twice");
    let record = pipeline
        .lake()
        .commits()
        .iter()
        .any(|commit| (commit.first_position, commit.last_position) == open.span);
    assert!(
        record,
        "the range {:?} has its own commit record",
        open.span
    );
    took
}

#[test]
fn what_was_being_loaded_at_a_sigkill_is_settled_by_the_next_process_within_5_seconds() {
    for place in [
        "load.begun",
        "parquet.drafted",
        "parquet.announced",
        "parquet.published",
        "parquet.recorded",
    ] {
        let took = take_over(place);
        eprintln!("killed at {place}: the same range was settled {took:?} after the start");
        assert!(took < TAKEN_OVER_WITHIN, "{place}: {took:?}");
    }
}
