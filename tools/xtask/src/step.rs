//! One command of the work, said before it runs.

use std::process::Command;

/// A command with its environment.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Step {
    /// `cargo` with `arguments`, the same that runs us.
    pub(crate) fn cargo(arguments: &[&str]) -> Step {
        Step {
            arguments: arguments.iter().map(|word| (*word).into()).collect(),
            environment: Vec::new(),
        }
    }

    pub(crate) fn arguments(mut self, more: &[&str]) -> Step {
        self.arguments
            .extend(more.iter().map(|word| (*word).into()));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Step {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub(crate) fn command(&self) -> Command {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// What is being run, as one would type it.
    pub(crate) fn title(&self) -> String {
        format!("cargo {}", self.arguments.join(" "))
    }

    pub(crate) fn run(&self) -> Result<(), String> {
        eprintln!("==> {}", self.title());
        let status = self.command().status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("failed ({status}): {}", self.title())),
            Err(error) => Err(format!("cannot run {}: {error}", self.title())),
        }
    }
}
