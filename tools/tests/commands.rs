//! What the commands promise without a server: exit codes, every problem at once, no secret told.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Runs the program in `folder` with `arguments`, as a program would: no terminal anywhere.
fn stream(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blacksmith-stream"));
    command
        .args(arguments)
        .current_dir(folder)
        .env("SHOP_URL", "postgres://u:hunter2@localhost:1/shop");
    command.output().unwrap()
}

fn folder_with(configuration: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("blacksmith.toml"), configuration).unwrap();
    folder
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

const WRONG: &str = r#"
[store]
pth = "data"

[sources.shop]
driver = "postgers"
url = "${SHOP_URL}"

[destinations.lake]
driver = "parquet"
path = "lake"
batch = { max_bytes = "128MiBs" }

[destinations.lake.actions.apend]
schedule = { realtime = true }

[[flows]]
from = "shop"
to = "sea"
"#;

#[test]
fn run_names_every_mistake_and_exits_with_78() {
    let folder = folder_with(WRONG);
    let output = stream(folder.path(), &["run"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let said = lines(&output.stderr).pop().unwrap();
    assert_eq!(
        (said["level"].as_str(), said["kind"].as_str()),
        (Some("ERROR"), Some("Config"))
    );
    let message = said["message"].as_str().unwrap();
    for expected in [
        "blacksmith.toml:3:1: store.pth: unknown key (did you mean \"path\"?)",
        "blacksmith.toml:6:10: sources.shop.driver: not a known value (did you mean \"postgres\"?)",
        "blacksmith.toml:12:23: destinations.lake.batch.max_bytes: ",
        "destinations.lake.actions.apend: the destination has no such action (did you mean \"append\"?)",
        "blacksmith.toml:19:6: flows[0].to: there is no such destination (known: lake)",
    ] {
        assert!(message.contains(expected), "{expected}\n{message}");
    }
    assert!(
        !folder.path().join("blacksmith-data").exists(),
        "nothing was started"
    );
}

#[test]
fn check_reports_every_problem_as_a_json_line_and_exits_with_78() {
    let folder = folder_with(WRONG);
    let output = stream(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let found = lines(&output.stdout);
    let problems: Vec<_> = found
        .iter()
        .filter(|found| found["severity"] == "problem")
        .collect();
    assert_eq!(problems.len(), 5, "{found:#?}");
    assert!(
        problems
            .iter()
            .all(|problem| problem["component"] == "configuration")
    );
    assert!(!folder.path().join("lake").exists(), "check makes nothing");
}

#[test]
fn check_of_a_server_that_is_not_there_says_so_and_tells_no_password() {
    let folder = folder_with("[sources.shop]\ndriver = \"postgres\"\nurl = \"${SHOP_URL}\"\n");
    let output = stream(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let found = lines(&output.stdout);
    let of_source = found
        .iter()
        .find(|found| found["component"] == "source shop")
        .unwrap();
    assert_eq!(of_source["severity"], "problem", "{of_source}");
    for stream in [&output.stdout, &output.stderr] {
        assert!(
            !String::from_utf8_lossy(stream).contains("hunter2"),
            "{output:?}"
        );
    }
}

#[test]
fn a_missing_configuration_file_exits_with_78_and_says_how_to_name_one() {
    let folder = tempfile::tempdir().unwrap();
    let output = stream(folder.path(), &["run", "--config", "other.toml"]);
    assert_eq!(output.status.code(), Some(78));
    let said = lines(&output.stderr).pop().unwrap();
    assert!(
        said["message"].as_str().unwrap().contains("other.toml"),
        "{said}"
    );
    assert!(
        said["help"].as_str().unwrap().contains("--config"),
        "{said}"
    );
}

#[test]
fn a_wrong_log_level_exits_with_78() {
    let folder = folder_with("");
    let mut command = Command::new(env!("CARGO_BIN_EXE_blacksmith-stream"));
    command
        .arg("check")
        .current_dir(folder.path())
        .env("BLACKSMITH_LOG", "blacksmith=loudly");
    assert_eq!(command.output().unwrap().status.code(), Some(78));
}

#[test]
fn wrong_usage_exits_with_2() {
    let folder = folder_with("");
    assert_eq!(
        stream(folder.path(), &["run", "--until", "tomorrow"])
            .status
            .code(),
        Some(2)
    );
    assert_eq!(stream(folder.path(), &[]).status.code(), Some(2));
}

#[test]
fn a_run_without_sources_catches_up_at_once_and_leaves_a_sound_store() {
    let folder = folder_with("[store]\npath = \"data\"\n");
    let output = stream(folder.path(), &["run", "--until", "caught-up"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let verified = stream(folder.path(), &["store", "verify"]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    assert_eq!(lines(&verified.stdout)[0]["sound"], true);
    let stat = stream(folder.path(), &["store", "stat"]);
    assert_eq!(lines(&stat.stdout)[0]["head"], 0, "{stat:?}");
    for noun in ["events", "jobs", "transitions"] {
        let listed = stream(folder.path(), &[noun]);
        assert_eq!(
            (listed.status.code(), listed.stdout.len()),
            (Some(0), 0),
            "{noun}: {listed:?}"
        );
    }
}

#[test]
fn looking_at_a_store_that_is_not_there_fails_and_makes_none() {
    let folder = folder_with("[store]\npath = \"data\"\n");
    for arguments in [&["events"][..], &["store", "stat"], &["store", "verify"]] {
        let output = stream(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert!(!folder.path().join("data").exists());
    }
}

#[test]
fn a_damaged_store_fails_verification_and_names_the_place() {
    let folder = folder_with("[store]\npath = \"data\"\nsegment_bytes = \"1MiB\"\n");
    assert_eq!(
        stream(folder.path(), &["run", "--until", "caught-up"])
            .status
            .code(),
        Some(0)
    );
    let stat = lines(&stream(folder.path(), &["store", "stat"]).stdout);
    let segment = stat[0]["segments"][0]["segment"].as_u64().unwrap();
    let file = folder.path().join(format!("data/{segment:020}.seg"));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[20] ^= 0xff; // inside the segment's header
    std::fs::write(&file, bytes).unwrap();
    let verified = stream(folder.path(), &["store", "verify"]);
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    let said = lines(&verified.stdout);
    assert_eq!(said[0]["sound"], false, "{said:?}");
    assert!(
        said[0]["damages"][0]["path"]
            .as_str()
            .unwrap()
            .ends_with(".seg"),
        "{said:?}"
    );
}

#[test]
fn the_first_signal_stops_gracefully_with_exit_code_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = folder_with("[store]\npath = \"data\"\n");
        let mut running = Command::new(env!("CARGO_BIN_EXE_blacksmith-stream"))
            .arg("run")
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(running.stderr.take().unwrap()).lines();
        let listens = said.find(|line| line.as_ref().unwrap().contains("\"running\""));
        assert!(listens.is_some(), "it says when it runs");
        let pid = Pid::from_raw(i32::try_from(running.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let rest: Vec<String> = said.map(|line| line.unwrap()).collect();
        assert_eq!(
            running.wait().unwrap().code(),
            Some(0),
            "{signal:?}: {rest:#?}"
        );
        assert!(
            rest.last().unwrap().contains("\"stopped\""),
            "{signal:?}: {rest:#?}"
        );
    }
}

/// DST-02 DST-04
#[test]
fn check_looks_at_each_kind_of_destination_and_touches_nothing() {
    let folder = folder_with(
        r#"
[destinations.archive]
driver = "file"
path = "archive"

[destinations.crm]
driver = "http"
url = "http://127.0.0.1:1/hook?key=hunter2"
headers = { Authorization = "Bearer hunter2" }

[destinations.screen]
driver = "stdout"

[destinations.nowhere]
driver = "blackhole"
takes = "rows"
"#,
    );
    let output = stream(folder.path(), &["check", "--json"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let said = lines(&output.stdout);
    let severity = |component: &str| {
        let found = said.iter().find(|line| line["component"] == component);
        found.unwrap()["severity"].as_str().unwrap().to_owned()
    };
    assert_eq!(severity("destination archive"), "ok");
    assert_eq!(severity("destination crm"), "problem");
    assert_eq!(severity("destination screen"), "ok");
    assert_eq!(severity("destination nowhere"), "ok");
    let all = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!all.contains("hunter2"), "{all}");
    assert!(!folder.path().join("archive").exists());
}

/// TRG-04 TRG-05
#[test]
fn ticks_of_a_configured_source_become_events_with_the_time_in_them() {
    let folder = folder_with(
        r#"
        [sources.ticks]
        driver = "cron"
        schedule = { interval = "@every 100ms" }
        versions = { v1 = "maintained" }
        default_version = "v1"
        [sources.ticks.triggers.often]
        data = { at = "{due}", kind = "tick" }

        [destinations.screen]
        driver = "stdout"
        schedule = { realtime = true }
        batch = { max_age = "10ms" }

        [[flows]]
        from = "ticks"
        to = "screen"
        "#,
    );
    let mut running = Command::new(env!("CARGO_BIN_EXE_blacksmith-stream"))
        .arg("run")
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut printed = BufReader::new(running.stdout.take().unwrap()).lines();
    let mut tick = || -> Value { serde_json::from_str(&printed.next().unwrap().unwrap()).unwrap() };
    let (first, second) = (tick(), tick());
    kill_process(Pid::from_child(&running), Signal::TERM).unwrap();
    assert!(running.wait().unwrap().success());
    for tick in [&first, &second] {
        assert_eq!(tick["trigger"], "often", "{tick}");
        assert_eq!(tick["version"], "v1", "{tick}");
        assert_eq!(tick["data"]["kind"], "tick", "{tick}");
    }
    assert!(
        first["data"]["at"].as_str() < second["data"]["at"].as_str(),
        "{first} {second}"
    );
}

/// SVC-04
#[test]
fn a_second_process_on_the_same_store_is_told_who_has_it_and_what_to_do() {
    let folder = folder_with("[sources.ticks]\ndriver = 'cron'\n[sources.ticks.triggers.hourly]\n");
    let mut running = Command::new(env!("CARGO_BIN_EXE_blacksmith-stream"))
        .args(["run", "--service", "gateway"])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(running.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("\"running\"")));
    let second = stream(folder.path(), &["run", "--service", "scheduler"]);
    assert_eq!(second.status.code(), Some(1));
    let report = String::from_utf8(second.stderr).unwrap();
    let owner = format!("process {}", running.id());
    assert!(report.contains(&owner), "{report}");
    assert!(report.contains("one owner"), "{report}");
    kill_process(Pid::from_child(&running), Signal::TERM).unwrap();
    assert!(said.all(|line| line.is_ok()));
    assert!(running.wait().unwrap().success());
    let later = ["run", "--service", "scheduler", "--until", "caught-up"];
    assert!(stream(folder.path(), &later).status.success());
}

#[test]
fn check_finds_what_is_wrong_with_the_application_as_a_whole() {
    let folder = folder_with(
        r#"
        [sources.web]
        driver = "http"
        [sources.web.routes.signup]
        path = "/signup"
        [sources.shop]
        driver = "http"
        [sources.shop.routes.order]
        path = "/signup"

        [destinations.screen]
        driver = "stdout"

        [[flows]]
        from = "web"
        to = "screen/prnt"
        "#,
    );
    let output = stream(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let said: Vec<String> = lines(&output.stdout)
        .into_iter()
        .filter(|found| found["severity"] == "problem")
        .map(|found| found["what"].as_str().unwrap().to_owned())
        .collect();
    for expected in [
        ":9:16: sources.shop.routes.order.path: web/signup has POST /signup already",
        "flows/0/to: there is no such action",
    ] {
        assert!(said.iter().any(|what| what.contains(expected)), "{said:#?}");
    }
}

/// TRG-02
#[test]
fn check_finds_routes_of_two_sources_that_answer_the_same_requests() {
    let folder = folder_with(
        r#"
[sources.web]
driver = "http"
[sources.web.routes.user]
path = "/users/{id}"
[sources.web.routes.me]
path = "/users/me"

[sources.crm]
driver = "http"
[sources.crm.routes.person]
path = "/users/{name}"
methods = ["PUT", "post"]
[sources.crm.routes.again]
path = "/users/me"
"#,
    );
    let output = stream(folder.path(), &["check", "--json"]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let said = lines(&output.stdout);
    let problems = said.iter().filter(|line| line["severity"] == "problem");
    let problems: Vec<_> = problems
        .map(|line| line["what"].as_str().unwrap())
        .collect();
    let same = "is the same as /users/{id}, which web/user has";
    for expected in [
        format!(":12:8: sources.crm.routes.person.path: POST /users/{{name}} {same}"),
        ":15:8: sources.crm.routes.again.path: web/me has POST /users/me already".to_owned(),
    ] {
        let told = problems.iter().any(|told| told.ends_with(&expected));
        assert!(told, "{expected} in {problems:#?}");
    }
    let run = stream(folder.path(), &["run"]);
    assert_eq!(run.status.code(), Some(78), "{run:?}");
    assert!(!folder.path().join("blacksmith-data").exists());
}

#[test]
fn check_finds_columns_that_are_declared_for_what_there_is_not() {
    let folder = folder_with(
        r#"
[sources.web]
driver = "http"
[sources.web.routes.signup]
path = "/signup"

[destinations.lake]
driver = "parquet"
path = "lake"
[destinations.lake.columns."web/signup"]
plan = "text"
amount = { type = "decimal(12,2)", from = "/order/amount" }
[destinations.lake.columns."web/singup"]
plan = "text"
[destinations.lake.columns."wep/signup"]
plan = "txet"
"#,
    );
    let output = stream(folder.path(), &["check", "--json"]);
    let said = lines(&output.stdout);
    let problems = said.iter().filter(|line| line["severity"] == "problem");
    let problems: Vec<String> = problems
        .map(|line| {
            format!(
                "{} ({})",
                line["what"].as_str().unwrap(),
                line["fix"].as_str().unwrap()
            )
        })
        .collect();
    for expected in [
        ":13:28: destinations.lake.columns.\"web/singup\": there is no such trigger (did you mean \"signup\"?)",
        ":15:28: destinations.lake.columns.\"wep/signup\": there is no such source (did you mean \"web\"?)",
        ":16:8: destinations.lake.columns.\"wep/signup\".plan: \"txet\": not a type (did you mean \"text\"?)",
    ] {
        assert!(
            problems.iter().any(|told| told.ends_with(expected)),
            "{expected} in {problems:#?}"
        );
    }
    assert_eq!(problems.len(), 3, "{problems:#?}");
}
