//! Requests to Parquet from configuration alone: the file that users are given, as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use blacksmith_tests::http::{Post, Reply};
use blacksmith_tests::lake::Lake;
use blacksmith_tests::stream::Pipeline;
use blacksmith_tests::wait;
use serde_json::{Value, json};

const CONFIGURATION: &str = include_str!("../../../examples/webhook-to-parquet.toml");

/// What anything may take before the test says it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn signup(body: &str) -> Post<'_> {
    Post {
        path: "/signups",
        kind: "application/json",
        key: None,
        body,
    }
}

fn clicks(body: &str) -> Post<'_> {
    Post {
        path: "/clicks",
        kind: "application/x-ndjson",
        key: None,
        body,
    }
}

fn id(event: &Value) -> String {
    event["id"].as_str().unwrap().to_owned()
}

/// The ids of the event and of what came with it, in order.
fn ids(reply: &Reply) -> Vec<String> {
    let data = &reply.body["data"];
    let mut ids = vec![id(&data["event"])];
    let sub_events = data["sub_events"].as_array();
    ids.extend(sub_events.into_iter().flatten().map(id));
    ids
}

/// The lake, which must keep all its promises.
#[track_caller]
fn sound(pipeline: &Pipeline) -> Lake {
    let lake = pipeline.lake();
    let violations = lake.violations().unwrap();
    assert!(violations.is_empty(), "{violations:#?}");
    lake
}

/// TRG-01 TRG-10 TRG-11 CON-05
#[test]
fn what_is_answered_202_is_in_the_lake_as_it_was_sent_and_nothing_else_is() {
    let pipeline = Pipeline::shipped("webhook", CONFIGURATION);
    let program = pipeline.start();
    let address = program.gateway();
    let sent =
        json!({"email": "ada@example.com", "n": 12_345_678_901_234_567_u64, "é": [1.50, null]});
    let one = signup(&sent.to_string()).send(&address).unwrap();
    assert_eq!(one.status, 202, "{one:?}");
    let many = clicks("{\"at\": 1}\n{\"at\": 2}\n\n{\"at\": 3}")
        .send(&address)
        .unwrap();
    assert_eq!(many.status, 202, "{many:?}");
    let refused = [
        (400, signup("{\"email\": ")),
        (400, clicks("{\"at\": 4}\n{\"at\": \n{\"at\": 6}")),
        (
            415,
            Post {
                kind: "text/csv",
                ..signup("a,b")
            },
        ),
        (
            404,
            Post {
                path: "/signup",
                ..signup("{}")
            },
        ),
        (400, signup("")),
    ];
    for (status, post) in &refused {
        let reply = post.send(&address).unwrap();
        assert_eq!(reply.status, *status, "{post:?}: {reply:?}");
        assert_eq!(reply.body["statusCode"], *status, "{reply:?}");
    }
    // The lake has it while the program runs, and tells where it came from.
    wait::until(PATIENCE, "both in the lake", || {
        let lake = Lake::open(&pipeline.lake_path()).ok()?;
        (lake.rows() == 5).then_some(())
    });
    assert_eq!(
        program.terminate().code(),
        Some(0),
        "{}",
        pipeline.said_last()
    );

    let lake = sound(&pipeline);
    let signups = lake.documents("web.signups").unwrap();
    assert_eq!((signups.len(), &signups[0].data), (1, &sent));
    assert_eq!(signups[0].context["ip"], "127.0.0.1", "{signups:?}");
    assert_eq!([signups[0].id.clone()], *ids(&one));
    let clicks = lake.documents("web.clicks").unwrap();
    let data: Vec<&Value> = clicks.iter().map(|click| &click.data).collect();
    let expected = [
        json!({"items": 3}),
        json!({"at": 1}),
        json!({"at": 2}),
        json!({"at": 3}),
    ];
    assert_eq!(data, expected.iter().collect::<Vec<_>>());
    let stored: Vec<String> = clicks.into_iter().map(|click| click.id).collect();
    assert_eq!(stored, ids(&many));
}

/// Clients that send each request again, under the same key, until it is answered.
const CLIENTS: usize = 4;
/// Requests that were answered before the next SIGKILL, one after the other.
const KILL_AFTER: [usize; 3] = [150, 300, 450];
const REQUESTS: usize = 600;

/// STO-01 STO-02 SCH-07
#[test]
fn requests_that_are_sent_again_after_each_sigkill_are_in_the_lake_once() {
    let pipeline = Pipeline::shipped("webhook_killed", CONFIGURATION);
    let program = pipeline.start();
    let address = Mutex::new(program.gateway());
    let answered = AtomicUsize::new(0);
    let ids: Mutex<BTreeMap<usize, String>> = Mutex::new(BTreeMap::new());
    let program = std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (address, answered, ids) = (&address, &answered, &ids);
            scope.spawn(move || {
                for number in (client..REQUESTS).step_by(CLIENTS) {
                    let id = until_answered(number, address);
                    ids.lock().unwrap().insert(number, id);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        KILL_AFTER.into_iter().fold(program, |program, after| {
            wait::until(PATIENCE, "enough answers", || {
                (answered.load(Ordering::SeqCst) >= after).then_some(())
            });
            program.kill9();
            let next = pipeline.start();
            *address.lock().unwrap() = next.gateway();
            next
        })
    });
    assert_eq!(
        program.terminate().code(),
        Some(0),
        "{}",
        pipeline.said_last()
    );
    pipeline.catch_up();

    let stored = sound(&pipeline).documents("web.signups").unwrap();
    let numbers: Vec<u64> = stored
        .iter()
        .map(|one| one.data["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers.len(), REQUESTS, "none twice, none missing");
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), REQUESTS);
    let ids = ids.into_inner().unwrap();
    for (number, event) in numbers.iter().zip(&stored) {
        assert_eq!(ids[&(*number as usize)], event.id, "event {number}");
    }
}

/// Sends a request, again and again under its key, wherever the program listens now; the event's id.
fn until_answered(number: usize, address: &Mutex<String>) -> String {
    let (key, body) = (
        format!("request-{number}"),
        json!({"number": number}).to_string(),
    );
    let post = Post {
        key: Some(&key),
        ..signup(&body)
    };
    wait::until(PATIENCE, "an answer", || {
        let address = address.lock().unwrap().clone();
        let reply = post.send(&address).ok()?;
        assert!([202, 503].contains(&reply.status), "{reply:?}");
        (reply.status == 202).then(|| id(&reply.body["data"]["event"]))
    })
}
