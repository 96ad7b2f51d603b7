//! An example in a folder of its own, and its commands.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::running::{Running, json_lines};

/// An example and the folder that it works in.
#[derive(Debug)]
pub(crate) struct Example {
    program: PathBuf,
    folder: TempDir,
}

impl Example {
    /// The example `name` in an empty folder. Cargo builds the examples before it runs the tests.
    pub(crate) fn new(name: &str) -> Example {
        let own = std::env::current_exe().unwrap();
        let target = own.ancestors().nth(2).unwrap();
        let program = target.join("examples").join(name);
        assert!(
            program.exists(),
            "{} is not built: run cargo test -p blacksmith-stream without --test, or build --examples",
            program.display()
        );
        let folder = tempfile::tempdir().unwrap();
        Example { program, folder }
    }

    /// Where the program is.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Where it works.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program, which listens at a port that is free.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(self.folder())
            .env("BLACKSMITH__GATEWAY__ADDRESS", "127.0.0.1:0");
        command
    }

    /// What a command that succeeds lists.
    #[track_caller]
    pub(crate) fn listed(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        json_lines(&String::from_utf8(output.stdout).unwrap())
    }

    /// Starts `run`; returns when its gateway listens.
    pub(crate) fn start(&self) -> Running {
        Running::of(self.command(&["run"]))
    }
}
