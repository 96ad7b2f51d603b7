//! The action for a type of its own.

use crate::example::Example;

/// CON-06 CON-11 ACT-08 THN-01 THN-04
#[test]
fn an_action_is_given_its_own_type_and_other_data_is_given_up_with_the_reason() {
    let example = Example::new("typed_action");
    let mut running = example.start();
    for body in [
        r#"{"item": "without a number"}"#,
        r#"{"number": 6, "item": ""}"#,
    ] {
        assert_eq!(running.post("/orders", body).0, 202, "{body}");
    }
    assert_eq!(running.post("/orders", "{").0, 400);
    assert_eq!(
        running
            .post("/orders", r#"{"number": 7, "item": "anvil"}"#)
            .0,
        202
    );
    let shipped = running.hear("shipped");
    assert_eq!(
        (&shipped["number"], &shipped["item"]),
        (&7.into(), &"anvil".into())
    );
    running.stop();

    let jobs = example.listed(&["jobs"]);
    let outcomes: Vec<_> = jobs
        .iter()
        .map(|job| job["status"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        ["succeeded", "discarded", "discarded"],
        "{jobs:#?}"
    );
    assert!(
        jobs[1]["error"].as_str().unwrap().contains("no item"),
        "{jobs:#?}"
    );
    assert!(
        jobs[2]["error"].as_str().unwrap().contains("another shape"),
        "{jobs:#?}"
    );
}
