//! `docs/first-application.md`, followed step by step.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::example::Example;
use crate::running::{Running, json_lines};

const GUIDE: &str = include_str!("../../../docs/first-application.md");
const PROGRAM: &str = include_str!("../../examples/first_application.rs");

/// The code blocks of the guide in `language`, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let blocks = GUIDE.split(&fence).skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).collect()
}

/// The folder of the new crate, where `cargo run -- …` runs the program that is built already.
struct Desk {
    example: Example,
    path: String,
}

impl Desk {
    fn new() -> Desk {
        let example = Example::new("first_application");
        let folder = example.folder();
        std::fs::write(folder.join("blacksmith.toml"), blocks("toml")[1]).unwrap();
        let cargo = folder.join("cargo");
        let script = format!(
            "#!/bin/sh\nshift 2\nexec {} \"$@\"\n",
            example.program().display()
        );
        std::fs::write(&cargo, script).unwrap();
        std::fs::set_permissions(&cargo, PermissionsExt::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        Desk { example, path }
    }

    fn shell(&self, commands: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-ec", commands])
            .current_dir(self.example.folder())
            .env("PATH", &self.path)
            .env("BLACKSMITH__GATEWAY__ADDRESS", "127.0.0.1:0");
        command
    }

    /// What a block of commands prints.
    #[track_caller]
    fn run(&self, commands: &str) -> Vec<Value> {
        let output = self.shell(commands).output().unwrap();
        assert!(output.status.success(), "{commands}: {output:?}");
        json_lines(
            &String::from_utf8(output.stdout)
                .unwrap()
                .replace("}{", "}\n{"),
        )
    }
}

#[test]
fn the_program_of_the_guide_is_the_example() {
    let (_, code) = PROGRAM.split_once("\n\n").unwrap();
    assert_eq!(blocks("rust"), [code]);
}

#[test]
fn the_guide_names_crates_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let manifest: toml::Table = blocks("toml")[0].parse().unwrap();
    let ours = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let ours: toml::Table = ours.parse().unwrap();
    for (name, said) in manifest["dependencies"].as_table().unwrap() {
        match said.get("path").and_then(toml::Value::as_str) {
            Some(path) => {
                let folder = root.join(path.strip_prefix("../blacksmith/").unwrap());
                let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
                let there: toml::Table = text.parse().unwrap();
                assert_eq!(there["package"]["name"].as_str(), Some(name.as_str()));
            }
            None => {
                let version = |said: &toml::Value| {
                    let own = said.get("version").unwrap_or(said);
                    own.as_str().unwrap().to_owned()
                };
                let own = version(&ours["workspace"]["dependencies"][name]);
                assert!(own.starts_with(&version(said)), "{name}: {own}");
            }
        }
    }
}

/// `BLACKSMITH_FULL=1` compiles it too, with all that it depends on.
#[test]
fn cargo_takes_the_crate_of_the_guide_as_it_stands_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("first-application");
    std::fs::create_dir_all(own.join("src")).unwrap();
    std::os::unix::fs::symlink(root, folder.path().join("blacksmith")).unwrap();
    let package =
        "[package]\nname = \"first-application\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    let manifest = format!("{package}\n{}", blocks("toml")[0]);
    std::fs::write(own.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(own.join("src/main.rs"), blocks("rust")[0]).unwrap();
    // The versions that are on this machine.
    std::fs::copy(root.join("Cargo.lock"), own.join("Cargo.lock")).unwrap();
    let full = std::env::var("BLACKSMITH_FULL").is_ok_and(|full| full == "1");
    let command: &[&str] = match full {
        true => &["check", "--offline", "--quiet"],
        false => &["metadata", "--offline", "--format-version", "1"],
    };
    let mut cargo = Command::new(env!("CARGO"));
    let output = cargo.args(command).current_dir(&own).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn every_command_of_the_guide_does_what_the_guide_says() {
    let desk = Desk::new();
    let commands = blocks("sh");
    let [_new, check, run, first, two_more, wrong, jobs, given_up] = commands[..] else {
        panic!("the guide has other commands: {commands:#?}");
    };
    let checked = desk.run(check);
    assert!(
        checked.iter().all(|found| found["severity"] == "ok"),
        "{checked:?}"
    );
    let mut running = Running::of(desk.shell(&format!("exec {run}")));
    let here = |commands: &str| commands.replace("127.0.0.1:9090", &running.address);
    let (first, two_more, wrong) = (here(first), here(two_more), here(wrong));
    assert_eq!(desk.run(&first)[0]["statusCode"], 202);
    assert_eq!(running.hear("hello")["name"], "Ada");
    let replies = desk.run(&two_more);
    assert_eq!(replies.len(), 2);
    assert!(
        replies.iter().all(|reply| reply["statusCode"] == 202),
        "{replies:?}"
    );
    let refused = &desk.run(&wrong)[0];
    assert_eq!(refused["statusCode"], 400, "{refused}");
    assert!(
        refused["message"].as_str().unwrap().contains("JSON"),
        "{refused}"
    );
    running.stop();
    // Nobody waited for the last jobs to be loaded.
    assert!(desk.run("cargo run -- run --until caught-up").is_empty());

    let all = desk.run(jobs);
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[2]["status"] == "succeeded", "{all:?}");
    let told = desk.run(given_up);
    let (count, given_up) = told.split_last().unwrap();
    assert_eq!(count["count"], 3, "{told:?}");
    let reasons: Vec<&str> = given_up
        .iter()
        .map(|job| job["error"].as_str().unwrap())
        .collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(
        reasons[0].contains("visitor") || reasons[0].contains("shape"),
        "{reasons:?}"
    );
    assert!(reasons[1].contains("nobody to greet"), "{reasons:?}");
}

#[test]
fn the_configurations_of_readme_and_of_the_examples_are_valid() {
    let readme = include_str!("../../../README.md")
        .split("```toml\n")
        .skip(1);
    let readme = readme.filter_map(|rest| rest.split("```").next());
    let shipped = include_str!("../../../examples/webhook-to-parquet.toml");
    let configurations: Vec<&str> = readme.chain([shipped]).collect();
    assert_eq!(configurations.len(), 3, "two of README");
    for configuration in configurations {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("blacksmith.toml"), configuration).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_blacksmith-stream"))
            .arg("check")
            .current_dir(folder.path())
            .env("DATABASE_URL", "postgres://u@localhost:1/shop")
            .output()
            .unwrap();
        let found = json_lines(&String::from_utf8(output.stdout).unwrap());
        assert_eq!(found[0]["component"], "configuration");
        assert_eq!(found[0]["severity"], "ok", "{found:#?}");
    }
}
