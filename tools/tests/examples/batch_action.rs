//! The action for record batches.

use crate::example::Example;

/// ACT-08 TRG-10 CON-15
#[test]
fn an_action_for_record_batches_is_given_all_readings_of_a_request_as_rows() {
    let example = Example::new("batch_action");
    let mut running = example.start();
    let wrong = running.post("/readings", r#"[{"celsius": 20.0}, {"kelvin": 4}]"#);
    assert_eq!(wrong.0, 400, "{wrong:?}");
    let readings = r#"[{"celsius": 20.0}, {"celsius": 21.0}, {"celsius": 25.0}]"#;
    let (status, reply) = running.post("/readings", readings);
    assert_eq!(status, 202, "{reply}");
    assert_eq!(reply["data"]["sub_events"].as_array().unwrap().len(), 3);
    let average = running.hear("\"message\":\"average\"");
    assert_eq!(
        (&average["rows"], &average["celsius"]),
        (&3.into(), &22.0.into())
    );
    running.stop();

    let of =
        |trigger| example.listed(&["events", "--trigger", trigger, "--count"])[0]["count"].clone();
    assert_eq!((of("upload"), of("reading")), (1.into(), 3.into()));
    let loaded = example.listed(&["jobs", "--status", "succeeded", "--count"]);
    assert_eq!(loaded[0]["count"], 3, "{loaded:?}");
}
