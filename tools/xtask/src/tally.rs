//! Running tests, passing on what the runner says, and adding up its summaries at the end.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use super::step::Step;

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
    let output = child.stdout.take().map(BufReader::new);
    for line in output.into_iter().flat_map(BufRead::lines) {
        let line = line.map_err(|error| error.to_string())?;
        tally.add(&line);
        writeln!(std::io::stdout(), "{line}").map_err(|error| error.to_string())?;
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
