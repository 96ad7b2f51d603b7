//! Running tests, passing on what the runner says, and adding up its summaries at the end.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};

use super::step::Step;
use super::watch::{SILENCE_MAX, Watch};

/// What the summaries of several test binaries say together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    binaries: u64,
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    /// Adds a line `test result: ok. 3 passed; 0 failed; 0 ignored; …`; leaves others alone.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        self.binaries += 1;
        for part in result.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let count = words.next().and_then(|word| word.parse::<u64>().ok());
            match (count, words.next()) {
                (Some(count), Some("passed")) => self.passed += count,
                (Some(count), Some("failed")) => self.failed += count,
                (Some(count), Some("ignored")) => self.ignored += count,
                _ => {}
            }
        }
    }
}

/// Runs `step`, echoing its output, and prints the sum of its summaries.
pub(crate) fn run(step: &Step) -> Result<(), String> {
    eprintln!("==> {}", step.title());
    let child = step.command().stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("cannot run {}: {error}", step.title()))?;
    let mut tally = Tally::default();
    let mut watch = Watch::over(child.id());
    if let Some(output) = child.stdout.take() {
        let lines = lines(output);
        loop {
            match lines.recv_timeout(SILENCE_MAX) {
                Ok(line) => {
                    let line = line.map_err(|error| error.to_string())?;
                    tally.add(&line);
                    watch.note(&line);
                    writeln!(std::io::stdout(), "{line}").map_err(|error| error.to_string())?;
                }
                Err(RecvTimeoutError::Timeout) => watch.end_the_silent()?,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let Tally {
        binaries,
        passed,
        failed,
        ignored,
    } = tally;
    let said = format!("{passed} passed; {failed} failed; {ignored} ignored; {binaries} binaries");
    writeln!(std::io::stdout(), "test summary: {said}").map_err(|error| error.to_string())?;
    match status.success() && passed > 0 {
        true => Ok(()),
        false => Err(format!("tests failed ({status}): {}", step.title())),
    }
}

/// The lines of `output`, as they come.
fn lines(output: ChildStdout) -> Receiver<std::io::Result<String>> {
    let (to_us, lines) = mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(output)
            .lines()
            .try_for_each(|line| to_us.send(line))
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn summaries_of_all_binaries_add_up() {
        let mut tally = Tally::default();
        tally.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out");
        tally.add("test result: FAILED. 4 passed; 2 failed; 0 ignored; finished in 0.10s");
        tally.add("test a_line_with 9 passed; in it ... ok");
        let sum = Tally {
            binaries: 2,
            passed: 7,
            failed: 2,
            ignored: 1,
        };
        assert_eq!(tally, sum);
    }
}
