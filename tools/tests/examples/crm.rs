//! The CRM: a webhook and a clock, two actions, a follow-up of what is given up.

use crate::example::Example;

/// CON-05 CON-06 CON-07 CON-11 CON-12 CON-13 JOB-05 LOG-01 SVC-03 THN-04 THN-07
#[test]
fn who_signs_up_is_registered_and_who_cannot_be_is_handed_over_to_a_person() {
    let crm = Example::new("crm");
    let mut running = crm.start();
    let (status, reply) =
        running.post("/signups", r#"{"name": "Ada", "email": "ada@example.com"}"#);
    assert_eq!(status, 202, "{reply}");
    let called = &reply["data"]["event"]["jobs"][0];
    assert_eq!(called["action"], "register", "{reply}");
    let job = called["id"].as_str().unwrap().to_owned();
    let (status, reply) = running.post("/signups", r#"{"name": "", "email": "x"}"#);
    assert_eq!(
        (status, &reply["validations"][0]["path"][1]),
        (400, &"name".into()),
        "{reply}"
    );
    // The webhook's Bob, and the clock's friend.
    let (status, _) = running.post("/signups", r#"{"name": "Bob", "email": "mistyped"}"#);
    assert_eq!(status, 202);
    let called = running.hear("\"name\":\"Bob\"");
    assert_eq!(called["span"]["action"], "crm/hand_over", "{called}");
    running.hear("please call this customer");
    running.stop();

    let shown = crm.listed(&["jobs", "show", &job]);
    assert_eq!(shown[0]["status"], "succeeded", "{shown:?}");
    let file = crm.folder().join(format!("customers/{job}.json"));
    assert!(std::fs::read_to_string(file).unwrap().contains("Ada"));
    let given_up = crm.listed(&["jobs", "--action", "register", "--status", "discarded"]);
    let handed_over = crm.listed(&["jobs", "--action", "hand_over"]);
    assert!(handed_over.len() >= 2, "{handed_over:?}");
    for follow_up in &handed_over {
        let shown = crm.listed(&["jobs", "show", follow_up["id"].as_str().unwrap()]);
        let parent = &shown[0]["parent_job_id"];
        assert!(given_up.iter().any(|job| &job["id"] == parent), "{shown:?}");
    }
    assert_eq!(
        crm.listed(&["events", "--trigger", "signup", "--count"])[0]["count"],
        2
    );
}

#[test]
fn a_program_of_ones_own_has_the_stock_programs_commands() {
    let crm = Example::new("crm");
    let checked = crm.listed(&["check"]);
    assert!(
        checked.iter().all(|found| found["severity"] != "problem"),
        "{checked:?}"
    );
    assert!(
        checked[0]["what"]
            .as_str()
            .unwrap()
            .contains("none is needed")
    );
    let version = crm.command(&["--version"]).output().unwrap();
    assert!(version.stdout.starts_with(b"crm "), "{version:?}");
    let wrong = crm.command(&["rnu"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    let named = crm
        .command(&["run", "--config", "other.toml"])
        .output()
        .unwrap();
    assert_eq!(
        named.status.code(),
        Some(78),
        "a file that is named must be there"
    );
}

#[test]
fn the_configuration_may_add_to_what_is_in_code_and_its_mistakes_are_told_together() {
    let crm = Example::new("crm");
    let file = crm.folder().join("blacksmith.toml");
    let text =
        "[destinations.copy]\ndriver = 'blackhole'\n[[flows]]\nfrom = 'website'\nto = 'copy'\n";
    std::fs::write(&file, text).unwrap();
    assert!(crm.command(&["check"]).output().unwrap().status.success());
    let text = "[sources.website]\ndriver = 'cron'\n[sources.website.triggers.t]\n[[flows]]\nfrom = 'website'\nto = 'crm/regster'\n";
    std::fs::write(&file, text).unwrap();
    let output = crm.command(&["check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stdout).unwrap();
    for expected in ["another source called so", "register"] {
        assert!(said.contains(expected), "{said}");
    }
}
