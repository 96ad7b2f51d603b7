//! A webhook whose events are posted to an endpoint, in a folder of its own.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::endpoint::Endpoint;
use crate::running::{Running, json_lines};

/// The stock program and the folder that it works in.
#[derive(Debug)]
pub(crate) struct House {
    folder: TempDir,
}

impl House {
    /// Posts to `endpoint` when `schedule` says.
    pub(crate) fn new(endpoint: &Endpoint, schedule: &str) -> House {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[store]\npath = 'data'\n\
             [gateway]\naddress = '127.0.0.1:0'\n\
             [sources.web]\ndriver = 'http'\n\
             [sources.web.routes.signup]\npath = '/signup'\n\
             [sources.web.routes.visit]\npath = '/visit'\n\
             [destinations.crm]\ndriver = 'http'\nurl = 'http://{}/'\n\
             schedule = {{ {schedule} }}\nbatch = {{ max_age = '1ms' }}\n\
             [[flows]]\nfrom = 'web/signup'\nto = 'crm'\n",
            endpoint.address
        );
        std::fs::write(folder.path().join("blacksmith.toml"), text).unwrap();
        House { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Adds to the configuration.
    pub(crate) fn configure(&self, text: &str) {
        let file = self.folder().join("blacksmith.toml");
        let whole = std::fs::read_to_string(&file).unwrap() + text;
        std::fs::write(file, whole).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blacksmith-stream"));
        command.args(arguments).current_dir(self.folder());
        command
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command that succeeds lists.
    #[track_caller]
    pub(crate) fn listed(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        json_lines(&String::from_utf8(output.stdout).unwrap())
    }

    /// What an order that succeeds came to.
    #[track_caller]
    pub(crate) fn ordered(&self, arguments: &[&str]) -> (u64, u64) {
        let told = self.listed(arguments).remove(0);
        let count = |key: &str| told[key].as_u64().unwrap();
        (count("taken"), count("refused"))
    }

    /// Starts `run`; returns when its gateway listens.
    pub(crate) fn start(&self) -> Running {
        Running::of(self.command(&["run"]))
    }

    /// Has the events of these people stored, and nothing of them loaded.
    pub(crate) fn sign_up(&self, names: &[&str]) {
        let running = self.start();
        for name in names {
            let (status, _) = running.post("/signup", &format!("{{\"name\": \"{name}\"}}"));
            assert_eq!(status, 202);
        }
        running.stop();
    }

    /// The ids of the jobs that stand so, newest first.
    #[track_caller]
    pub(crate) fn jobs(&self, status: &str) -> Vec<String> {
        let listed = self.listed(&["jobs", "--status", status]);
        let id = |job: &Value| job["id"].as_str().unwrap().to_owned();
        listed.iter().map(id).collect()
    }

    /// Status, attempt and command of every change of a job, oldest first.
    #[track_caller]
    pub(crate) fn history(&self, id: &str) -> Vec<(String, u64, Option<String>)> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let listed = self.listed(&["transitions", "show", id]);
        let changes = listed.iter().map(|change| {
            let attempt = change["attempt"].as_u64().unwrap();
            (
                text(&change["status"]).unwrap(),
                attempt,
                text(&change["command"]),
            )
        });
        changes.collect()
    }
}

/// A change as [`House::history`] tells it.
pub(crate) fn change(
    status: &str,
    attempt: u64,
    command: Option<&str>,
) -> (String, u64, Option<String>) {
    (status.to_owned(), attempt, command.map(str::to_owned))
}
