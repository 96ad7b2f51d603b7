//! What runs beside our program: other processes, and a disk that is at rest before each reading.

use std::process::{Command, Stdio};

use super::Result;
use super::meter::{Ended, Running};
use super::program::PATIENCE;

/// Runs a program to its end, quietly.
///
/// # Errors
/// When it cannot be run, or fails; what it says goes to our own standard error.
pub fn run(name: &str, command: &mut Command) -> Result<Ended> {
    run_heard(name, command.stdout(Stdio::null()))
}

/// The same, with what it prints where the command asks for it.
///
/// # Errors
/// As [`run`].
pub fn run_heard(name: &str, command: &mut Command) -> Result<Ended> {
    command.stdin(Stdio::null());
    let ended = Running::start(name, command)?.wait(PATIENCE)?;
    match ended.status.success() {
        true => Ok(ended),
        false => {
            super::stop::check()?;
            Err(format!("{name}: {}", ended.status))
        }
    }
}

/// Has what others wrote on disk, so that nobody pays for his predecessor.
pub fn settle_disk() {
    if let Err(error) = Command::new("sync").status() {
        eprintln!("cannot run sync: {error}");
    }
}
