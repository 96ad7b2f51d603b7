//! One command of the work, said before it runs.

use std::process::Command;

/// How names begin by which cargo tells us of our own package. To another cargo's build scripts that ask for them they would look
/// like a change: each `cargo x` after a `cargo` by hand would build ring, and all above it, once more.
const OF_OUR_PACKAGE: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

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
        for name in std::env::vars_os().map(|(name, _)| name) {
            let text = name.to_string_lossy();
            if OF_OUR_PACKAGE.iter().any(|begin| text.starts_with(begin)) {
                command.env_remove(&name);
            }
        }
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
