//! Orders for whole actions.

use serde_json::Value;

use crate::endpoint::Endpoint;
use crate::house::House;

fn standing(house: &House) -> Value {
    house.listed(&["actions", "list"]).remove(0)
}

/// SCH-07
#[test]
fn a_paused_action_loads_nothing_also_after_a_restart_until_it_is_resumed() {
    let endpoint = Endpoint::answering(&[]);
    let house = House::new(&endpoint, "realtime = true");
    let running = house.start();
    let pause = ["actions", "pause", "crm/*", "--reason", "the CRM moves"];
    let paused = house.listed(&pause);
    assert_eq!(
        (&paused[0]["action"], &paused[0]["outcome"]),
        (&"crm/post".into(), &"paused".into())
    );
    running.post("/signup", r#"{"name": "Ada"}"#);
    let own = standing(&house);
    assert_eq!(
        (own["state"].as_str(), own["pending"].as_u64()),
        (Some("paused"), Some(1))
    );
    assert!(own["oldest"].as_str().unwrap().ends_with('Z'), "{own}");
    assert_eq!(
        (own["reason"].as_str(), own["schedule"].as_str()),
        (Some("the CRM moves"), Some("realtime"))
    );
    running.stop();
    let held = house.output(&["run", "--until", "caught-up"]);
    let said = String::from_utf8(held.stderr).unwrap();
    assert_eq!(held.status.code(), Some(1), "{said}");
    assert!(said.contains("the action is paused"), "{said}");
    let running = house.start();
    running.post("/signup", r#"{"name": "Bob"}"#);
    assert_eq!(standing(&house)["pending"], 2);
    assert!(endpoint.is_quiet(), "nothing is loaded while it is paused");
    house.listed(&["actions", "resume", "crm/post"]);
    let mut names = [endpoint.next(), endpoint.next()].map(|data| data["name"].to_string());
    names.sort();
    assert_eq!(names, ["\"Ada\"", "\"Bob\""]);
    running.stop();
    let own = standing(&house);
    assert_eq!(
        (own["state"].as_str(), own["paused_since"].as_str()),
        (Some("settled"), None)
    );
}

#[test]
fn an_action_is_paused_and_resumed_while_the_program_is_down() {
    let endpoint = Endpoint::answering(&[]);
    let house = House::new(&endpoint, "interval = '@every 1h'");
    let running = house.start();
    running.post("/signup", r#"{"name": "Ada"}"#);
    running.stop();
    house.listed(&["actions", "pause", "*"]);
    assert_eq!(standing(&house)["state"], "paused");
    assert_eq!(
        house.listed(&["actions", "resume", "*", "--dry-run"])[0]["outcome"],
        "would resume"
    );
    assert_eq!(standing(&house)["state"], "paused");
    house.listed(&["actions", "resume", "*"]);
    assert_eq!(standing(&house)["state"], "waiting");
    let running = house.start();
    house.ordered(&["jobs", "discard", "--destination", "crm", "--yes"]);
    running.stop();
    let own = standing(&house);
    assert_eq!(
        (own["discarded"].as_u64(), own["state"].as_str()),
        (Some(1), Some("settled"))
    );
    assert_eq!(own["last_error"], "discarded by an operator");
    assert!(endpoint.is_quiet());
}
