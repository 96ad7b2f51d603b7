//! The program itself, as a user runs it: a configuration file, a command, a signal.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use blacksmith_tests::wait;
use rustix::process::{Pid, Signal, kill_process};

/// How long a graceful stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

const CONFIGURATION: &str = r#"# The demo's configuration; see README.md for every key.
[application]
name = "demo"

[store]
path = "data"

[sources.shop]
driver = "postgres"
url = "${DATABASE_URL}"
tables = ["public.*"]

[destinations.lake]
driver = "parquet"
path = "lake"
schedule = { realtime = true }
batch = { max_age = "2s" }

[[flows]]
from = "shop"
to = "lake"
"#;

/// `blacksmith-stream` with its configuration, in a folder of its own.
#[derive(Debug)]
pub(crate) struct Pipeline {
    folder: PathBuf,
    url: String,
}

impl Pipeline {
    /// Writes the configuration into `folder`.
    pub(crate) fn configure(folder: &Path, url: &str) -> Result<Self, String> {
        let file = folder.join("blacksmith.toml");
        std::fs::write(&file, CONFIGURATION)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(Pipeline {
            folder: folder.to_owned(),
            url: url.to_owned(),
        })
    }

    /// Where the Parquet files are.
    pub(crate) fn lake(&self) -> PathBuf {
        self.folder.join("lake")
    }

    /// Starts `run`.
    pub(crate) fn start(&self) -> Result<Running, String> {
        let child = self.command().spawn();
        child
            .map(Running)
            .map_err(|error| format!("cannot start blacksmith-stream: {error}"))
    }

    /// Runs until everything that Postgres has now is in the lake.
    pub(crate) fn catch_up(&self) -> Result<(), String> {
        let status = self.command().args(["--until", "caught-up"]).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!(
                "blacksmith-stream run --until caught-up ended with {status}"
            )),
            Err(error) => Err(format!("cannot start blacksmith-stream: {error}")),
        }
    }

    fn command(&self) -> Command {
        let program = std::env::current_exe().unwrap_or_default();
        let mut command = Command::new(program.with_file_name("blacksmith-stream"));
        command
            .arg("run")
            .current_dir(&self.folder)
            .env("DATABASE_URL", &self.url);
        command
    }
}

/// A running `blacksmith-stream run`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    /// Sends SIGTERM and waits for a graceful end.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        if let Ok(Some(status)) = self.0.try_wait() {
            return Err(format!(
                "blacksmith-stream run ended by itself, with {status}"
            ));
        }
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or("a child has a pid")?;
        kill_process(pid, Signal::TERM).map_err(|error| format!("cannot stop it: {error}"))?;
        let status = wait::poll(STOP_TIMEOUT, || self.0.try_wait().ok().flatten());
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!(
                "blacksmith-stream run ended with {status} after SIGTERM"
            )),
            None => Err(format!(
                "blacksmith-stream run did not stop within {STOP_TIMEOUT:?}"
            )),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.0.kill().ok();
            self.0.wait().ok();
        }
    }
}
