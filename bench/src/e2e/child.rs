//! Parts of this program that are measured as processes of their own, so that their memory and time are theirs: this program
//! again, under hidden commands. Each answers on standard output with what it saw.

use std::io::Write;
use std::process::{Command, Stdio};

use super::meter::{Ended, Running};
use super::program::PATIENCE;
use super::reading::{Answer, Reading};
use super::{Result, bare, framing, jobs, log, restart, stop};

/// Does its part with the words behind the command.
type Part = fn(&[&str]) -> Result<Answer>;

const PARTS: [(&str, Part); 9] = [
    (framing::COMMAND, framing::main),
    (log::REPLAY, log::replay),
    (log::APPEND, log::append),
    (log::ONE_BY_ONE, log::one_by_one),
    (log::WRITE, log::write),
    (jobs::COMMAND, jobs::main),
    (restart::FILL, restart::fill),
    (restart::OPEN, restart::open),
    (bare::COMMAND, bare::main),
];

/// Carries out a hidden command; none when the words are for people.
#[must_use]
pub fn carry_out(words: &[String]) -> Option<Result<()>> {
    let (command, rest) = words.split_first()?;
    let (_, part) = PARTS.iter().find(|(name, _)| name == command)?;
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    Some(part(&rest).and_then(|answer| say(&answer)))
}

fn say(answer: &Answer) -> Result<()> {
    let json = serde_json::to_string(answer).map_err(|error| error.to_string())?;
    let said = writeln!(std::io::stdout().lock(), "{json}");
    said.map_err(|error| format!("standard output: {error}"))
}

/// Starts this program again with these words.
///
/// # Errors
/// When it cannot be started.
pub fn start(words: &[&str]) -> Result<Running> {
    // Not by its path: a build may have put another program there meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    Running::start(words.first().unwrap_or(&"a part"), &mut command)
}

/// Runs a part to its end.
///
/// # Errors
/// When it fails.
pub fn run(words: &[&str]) -> Result<Ended> {
    let ended = start(words)?.wait(PATIENCE)?;
    match ended.status.success() {
        true => Ok(ended),
        false => {
            stop::check()?;
            Err(format!("{}: {}", words.join(" "), ended.status))
        }
    }
}

/// Runs a part and reads its answer.
///
/// # Errors
/// When it fails.
pub fn measure(words: &[&str]) -> Result<Reading> {
    super::ceiling::settle_disk();
    let ended = run(words)?;
    let answer = serde_json::from_str(&ended.printed);
    let answer: Answer = answer.map_err(|error| format!("{}: {error}", words.join(" ")))?;
    Ok(Reading {
        rows: answer.rows,
        seconds: answer.seconds,
        own: ended.usage,
        more: answer.more,
        ..Reading::default()
    })
}
