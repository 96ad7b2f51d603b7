//! Orders for jobs.

use crate::endpoint::Endpoint;
use crate::house::{House, change};
use crate::running::Running;

const HOURLY: &str = "interval = '@every 1h'";

fn catch_up(house: &House) {
    let output = house.output(&["run", "--until", "caught-up"]);
    assert!(output.status.success(), "{output:?}");
}

/// STA-02 STA-06
#[test]
fn a_discarded_job_that_is_retried_is_loaded_again_exactly_once() {
    let endpoint = Endpoint::answering(&[422]);
    let house = House::new(&endpoint, HOURLY);
    house.sign_up(&["Ada"]);
    catch_up(&house);
    assert_eq!(endpoint.next()["name"], "Ada");
    let id = &house.jobs("discarded")[0];
    let running = house.start();
    let retry = ["jobs", "retry", id, "--reason", "mended"];
    assert_eq!(house.ordered(&retry), (1, 0));
    assert_eq!(endpoint.next()["name"], "Ada");
    running.stop();
    // Nothing is left to retry: the same order again is refused.
    let again = house.output(&["jobs", "retry", id]);
    let told = String::from_utf8(again.stdout).unwrap();
    assert_eq!(again.status.code(), Some(1), "{told}");
    assert!(told.contains("succeeded already"), "{told}");
    catch_up(&house);
    assert!(endpoint.is_quiet());
    let expected = [
        change("executing", 1, None),
        change("discarded", 1, None),
        change("awaiting", 1, Some("retry")),
        change("executing", 2, None),
        change("succeeded", 2, None),
    ];
    assert_eq!(house.history(id), expected);
}

/// STA-06
#[test]
fn a_job_that_waits_for_its_load_is_cancelled_and_never_loaded() {
    let endpoint = Endpoint::answering(&[]);
    let house = House::new(&endpoint, HOURLY);
    let running = house.start();
    for name in ["Ada", "Bob"] {
        running.post("/signup", &format!("{{\"name\": \"{name}\"}}"));
    }
    running.post("/visit", "{}");
    let jobs = house.listed(&["jobs"]);
    assert_eq!(jobs.len(), 2, "a visit makes no job: {jobs:?}");
    let ada = jobs[1]["id"].as_str().unwrap();
    let cancel = ["jobs", "cancel", ada, "--reason", "a test of ours"];
    assert_eq!(house.ordered(&cancel), (1, 0));
    running.stop();
    assert!(
        house
            .output(&["run", "--until", "caught-up"])
            .status
            .success()
    );
    assert_eq!(endpoint.next()["name"], "Bob");
    assert!(endpoint.is_quiet());
    assert_eq!(house.history(ada), [change("discarded", 0, Some("cancel"))]);
    let shown = house.listed(&["jobs", "show", ada]);
    let error = shown[0]["error"].as_str().unwrap();
    assert_eq!(error, "cancelled by an operator: a test of ours");
}

/// STO-05
#[test]
fn a_lane_is_repaired_while_the_program_is_down_and_leaves_the_same_transitions() {
    let endpoint = Endpoint::answering(&[422, 422, 422]);
    let house = House::new(&endpoint, HOURLY);
    house.sign_up(&["Ada", "Bob", "Cid"]);
    catch_up(&house);
    let _refused = [endpoint.next(), endpoint.next(), endpoint.next()];
    let given_up = house.jobs("discarded");
    let rehearsed = house.ordered(&["jobs", "retry", "--status", "discarded", "--dry-run"]);
    assert_eq!(
        (rehearsed, house.jobs("discarded")),
        ((3, 0), given_up.clone())
    );
    let one = house.listed(&["jobs", "--status", "discarded"])[1]["position"].to_string();
    let retry = ["jobs", "retry", "--source", "web", "--from", &one, "--yes"];
    assert_eq!(house.ordered(&retry), (2, 0), "Bob and Cid");
    assert_eq!(house.jobs("discarded"), given_up[2..]);
    let awaiting = change("awaiting", 1, Some("retry"));
    assert_eq!(house.history(&given_up[0]).last(), Some(&awaiting));
    assert!(
        house
            .output(&["run", "--until", "caught-up"])
            .status
            .success()
    );
    let mut names = [endpoint.next(), endpoint.next()].map(|data| data["name"].to_string());
    names.sort();
    assert_eq!(names, ["\"Bob\"", "\"Cid\""]);
    assert!(endpoint.is_quiet());
}

#[test]
fn a_process_that_only_takes_events_in_takes_orders_too() {
    let endpoint = Endpoint::answering(&[]);
    let house = House::new(&endpoint, HOURLY);
    let running = Running::of(house.command(&["run", "--service", "gateway"]));
    for name in ["Ada", "Bob"] {
        running.post("/signup", &format!("{{\"name\": \"{name}\"}}"));
    }
    let ada = house.jobs("acknowledged").pop().unwrap();
    assert_eq!(house.ordered(&["jobs", "discard", &ada]), (1, 0));
    running.stop();
    catch_up(&house);
    assert_eq!(endpoint.next()["name"], "Bob");
    assert!(endpoint.is_quiet());
    assert_eq!(
        house.history(&ada),
        [change("discarded", 0, Some("discard"))]
    );
}

#[test]
fn jobs_that_are_paused_one_by_one_wait_until_they_are_resumed() {
    let endpoint = Endpoint::answering(&[]);
    let house = House::new(&endpoint, HOURLY);
    house.sign_up(&["Ada", "Bob"]);
    let running = house.start();
    let ada = house.listed(&["jobs"])[1]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(house.ordered(&["jobs", "pause", &ada]), (1, 0));
    running.stop();
    let caught_up = house.output(&["run", "--until", "caught-up"]);
    assert_eq!(
        caught_up.status.code(),
        Some(1),
        "a paused job is not caught up"
    );
    assert_eq!(endpoint.next()["name"], "Bob");
    let resume = ["jobs", "resume", "--destination", "crm", "--yes"];
    assert_eq!(house.ordered(&resume), (1, 0));
    assert!(
        house
            .output(&["run", "--until", "caught-up"])
            .status
            .success()
    );
    assert_eq!(endpoint.next()["name"], "Ada");
    assert!(endpoint.is_quiet());
}

#[test]
fn what_is_ordered_wrongly_does_nothing_and_says_what_to_type() {
    let endpoint = Endpoint::answering(&[]);
    let house = House::new(&endpoint, HOURLY);
    let running = house.start();
    running.post("/signup", "{}");
    let job = house.listed(&["jobs"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let event = house.listed(&["events"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let orders = || {
        let said = |arguments: &[&str]| {
            let output = house.output(arguments);
            let said = [output.stdout, output.stderr].concat();
            (
                output.status.code().unwrap(),
                String::from_utf8(said).unwrap(),
            )
        };
        for (arguments, code, expected) in [
            (&["jobs", "discard"][..], 2, "--destination '*'"),
            (&["jobs", "discard", "--destination", "crm"], 2, "--yes"),
            (
                &["jobs", "discard", &job, "--status", "failed"],
                2,
                "not both",
            ),
            (&["jobs", "discard", "nobody"], 1, "27 characters"),
            (&["jobs", "discard", &event], 1, "id of an event"),
            (
                &["jobs", "discard", "--status", "done", "--yes"],
                1,
                "succeeded",
            ),
            (
                &["jobs", "discard", "--trigger", "visit", "--yes"],
                0,
                "\"taken\":0",
            ),
            (&["jobs", "retry", &job], 1, "it waits for its load"),
            (&["actions", "pause", "erp/*"], 1, "there is crm/post"),
        ] {
            let (own, said) = said(arguments);
            assert_eq!(own, code, "{arguments:?}: {said}");
            assert!(said.contains(expected), "{arguments:?}: {said}");
        }
        assert_eq!(house.jobs("acknowledged").len(), 1, "nothing was done");
    };
    orders();
    running.stop();
    // And the same where no process runs.
    orders();
}
