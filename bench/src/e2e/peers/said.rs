//! Programs of others, run to their end; what they say is kept in a file, and told when they fail.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::e2e::folder::at;
use crate::e2e::meter::{Ended, Running};
use crate::e2e::program::PATIENCE;
use crate::e2e::{Result, stop};

/// What installs begin a line with that says what went wrong, before they go on about it.
const VERDICT: &str = "[ERROR]";

/// Runs one whose output is for people: all of it goes into `file`.
pub(super) fn quietly(name: &str, command: &mut Command, file: &Path) -> Result<Ended> {
    let output = create(file)?;
    let errors = output.try_clone().map_err(|error| at(file, &error))?;
    wait(name, command.stdout(output).stderr(errors), file)
}

/// Runs one that prints an answer: only what it says on standard error goes into `file`.
pub(super) fn asked(name: &str, command: &mut Command, file: &Path) -> Result<Ended> {
    let errors = create(file)?;
    wait(name, command.stdout(Stdio::piped()).stderr(errors), file)
}

fn create(file: &Path) -> Result<File> {
    File::create(file).map_err(|error| at(file, &error))
}

fn wait(name: &str, command: &mut Command, file: &Path) -> Result<Ended> {
    let running = Running::start(name, command.stdin(Stdio::null()))?;
    let ended = running.wait(PATIENCE)?;
    if ended.status.success() {
        return Ok(ended);
    }
    stop::check()?;
    let said = fs::read_to_string(file).unwrap_or_default();
    let (status, why) = (ended.status, verdict(&said));
    // Not in the reason, which may stand in a file that is kept: where it lies is this machine's affair.
    eprintln!("all that {name} said: {}", file.display());
    Err(format!("{name}: {status}: {why}"))
}

/// The line that says most: the first that is marked so, or the last.
fn verdict(said: &str) -> &str {
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let marked = lines.clone().find(|line| line.starts_with(VERDICT));
    marked.or_else(|| lines.next_back()).unwrap_or("no word")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("said");
        let mut command = Command::new("sh");
        command.args(["-c", "echo first; echo no such package >&2; exit 3"]);
        let why = quietly("pip", &mut command, &file).unwrap_err();
        assert!(
            why.starts_with("pip: exit status: 3: no such package"),
            "{why}"
        );
    }

    #[test]
    fn what_is_marked_as_the_error_goes_before_the_help_behind_it() {
        let said = "[INFO] a\n[ERROR] cannot resolve x\n[ERROR] see the help\n\n";
        assert_eq!(verdict(said), "[ERROR] cannot resolve x");
        assert_eq!(verdict("\n"), "no word");
    }

    #[test]
    fn an_answer_is_what_was_printed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo 12; echo a warning >&2"]);
        let ended = asked("a peer", &mut command, &folder.path().join("said")).unwrap();
        assert_eq!(ended.printed, "12\n");
    }
}
