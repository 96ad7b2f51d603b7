//! Destinations that fail, hang, take what they are sent and then say that they failed, and ask for a pause.
//!
//! What is promised of requests is at least once, with the same key and body each time, so that whoever keeps the
//! keys has each job once. The lake beside them must not notice.

use std::collections::BTreeMap;
use std::time::Duration;

use blacksmith_tests::endpoint::{Answer, Endpoint, Seen};
use blacksmith_tests::wait;

use crate::arrange::arrange;

/// Rows that become jobs.
const JOBS: usize = 30;

const LATER: Duration = Duration::from_secs(60);

/// Sends [`JOBS`] rows to an endpoint that answers by `script`, and to a lake; everything that the endpoint saw, once
/// each job is accepted.
fn deliver(name: &str, script: fn(usize) -> Answer) -> Seen {
    let endpoint = Endpoint::start(script);
    let (db, mut pipeline) = arrange(name, "create table t (id int primary key, v text)");
    pipeline.set("destinations.crm", "driver", "\"http\"");
    pipeline.set(
        "destinations.crm",
        "url",
        &format!("\"{}\"", endpoint.url()),
    );
    let schedule = "{ realtime = true, backoff = { initial = \"100ms\", max = \"500ms\" } }";
    pipeline.set("destinations.crm", "schedule", schedule);
    pipeline.set("destinations.crm", "request", "{ timeout = \"1s\" }");
    pipeline.set("destinations.crm", "max_in_flight", "2");
    pipeline.flow("crm");
    let program = pipeline.start();
    db.execute(&format!(
        "insert into t select n, 'row ' || n from generate_series(1, {JOBS}) n"
    ));
    pipeline.wait_equal(&db, &["public.t"], LATER); // whatever the other destination does
    wait::until(LATER, "every job to be accepted", || {
        (endpoint.accepted().len() >= JOBS).then_some(())
    });
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.t"]);
    let seen = endpoint.seen();
    let mut bodies = BTreeMap::new();
    for (request, _) in &seen {
        let key = request.headers["idempotency-key"].clone();
        let first = bodies.entry(key).or_insert_with(|| request.body.clone());
        assert_eq!(*first, request.body, "the same key, another body");
    }
    assert_eq!(bodies.len(), JOBS, "a key for each job");
    for id in 1..=JOBS {
        let text = format!("\"row {id}\"");
        let count = bodies.values().filter(|body| body.contains(&text)).count();
        assert_eq!(count, 1, "{text} in {bodies:?}");
    }
    seen
}

#[test]
fn an_endpoint_that_fails_many_times_has_every_job_in_the_end() {
    let seen = deliver("fails", |number| {
        Answer::Status(if number < 25 { 500 } else { 200 })
    });
    assert_eq!(
        seen.len(),
        25 + JOBS,
        "no job was sent again once it was taken"
    );
}

#[test]
fn an_endpoint_that_hangs_is_given_up_and_asked_again() {
    let seen = deliver("hangs", |number| match number {
        3 | 4 | 9 => Answer::Silence,
        _ => Answer::Status(204),
    });
    assert_eq!(seen.len(), 3 + JOBS);
}

/// At least once: the effect is there, the answer is not, so that it is sent again under its key.
#[test]
fn an_endpoint_that_takes_a_job_and_says_it_failed_is_sent_the_same_again() {
    let seen = deliver("takes", |number| match number % 7 {
        2 if number < 20 => Answer::TakenAndHungUp,
        5 if number < 20 => Answer::TakenAndFailed,
        _ => Answer::Status(200),
    });
    let again = seen.len() - JOBS;
    assert_eq!(again, 6, "each that was taken and denied came once more");
}

#[test]
fn an_endpoint_that_answers_429_is_left_alone_for_as_long_as_it_asks() {
    let seen = deliver("too_many", |number| match number {
        4 => Answer::TooMany(2),
        _ => Answer::Status(200),
    });
    let told = seen
        .iter()
        .find(|(_, answer)| *answer == Answer::TooMany(2))
        .unwrap()
        .0
        .at;
    // Some come in before the answer has been read; then nobody asks for two seconds.
    let mut later: Vec<_> = seen.iter().map(|(one, _)| one.at).collect();
    later.sort_unstable();
    later.retain(|at| *at >= told);
    let pauses = later.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = pauses.max().unwrap_or_default();
    assert!(
        longest >= Duration::from_millis(1_900),
        "{longest:?} at most: {later:?}"
    );
    assert_eq!(seen.len(), 1 + JOBS);
}
