//! How the program of a peer is started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::said;
use crate::e2e::Result;
use crate::e2e::meter::Ended;

/// A command without its words.
#[derive(Debug)]
pub(super) struct Launcher {
    pub(super) command: &'static str,
    pub(super) words: Vec<OsString>,
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// What it says goes here.
    pub(super) said: PathBuf,
}

impl Launcher {
    /// Does the job that `words` say, into `lake`.
    pub(super) fn run(&self, words: &[&str], lake: &Path) -> Result<Ended> {
        let mut command = self.start();
        command.args(words).arg(lake);
        said::asked(self.command, &mut command, &self.said)
    }

    /// What it says of its versions, by which one also knows that it starts.
    pub(super) fn versions(&self) -> Result<String> {
        let mut command = self.start();
        command.arg("--version");
        let ended = said::asked(self.command, &mut command, &self.said)?;
        Ok(ended.printed.trim().into())
    }

    fn start(&self) -> Command {
        let mut command = Command::new(self.command);
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        command.args(&self.words).envs(environment);
        command
    }
}
