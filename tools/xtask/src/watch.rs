//! A test that never ends must not keep the others from their summary.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

/// A test binary that says nothing for so long is ended: its slowest test takes a third of this on two busy cores.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(15 * 60);

/// What `cargo test` is running.
#[derive(Debug)]
pub(crate) struct Watch {
    cargo: u32,
    /// Tests of which the runner has said that they take long.
    long: BTreeSet<String>,
}

impl Watch {
    /// Over the `cargo` with this process id.
    pub(crate) fn over(cargo: u32) -> Watch {
        Watch {
            cargo,
            long: BTreeSet::new(),
        }
    }

    /// Looks at a line of the runner.
    pub(crate) fn note(&mut self, line: &str) {
        if line.starts_with("test result: ") {
            self.long.clear();
        }
        let mut words = line.split_whitespace();
        let (Some("test"), Some(name)) = (words.next(), words.next()) else {
            return;
        };
        match line.contains(" has been running for over ") {
            true => self.long.insert(name.to_owned()),
            false => self.long.remove(name),
        };
    }

    /// Ends the binary that runs, says so, and lets cargo go on with the next.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub(crate) fn end_the_silent(&mut self) -> Result<(), String> {
        let minutes = SILENCE_MAX.as_secs() / 60;
        let long: Vec<&str> = self.long.iter().map(String::as_str).collect();
        eprintln!(
            "nothing was said for {minutes} min, the tests are ended; these had not come to an end: {long:?}"
        );
        self.long.clear();
        end_children(self.cargo)
    }
}

/// Kills the processes that `parent` has started.
fn end_children(parent: u32) -> Result<(), String> {
    let list = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(&list).map_err(|error| format!("{list}: {error}"))?;
    for child in children.split_whitespace() {
        let kill = format!("kill -KILL {child}");
        let killed = Command::new("sh").args(["-c", &kill]).status();
        killed.map_err(|error| format!("cannot run sh: {error}"))?; // it may have ended meanwhile
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_and_has_not_ended_is_known() {
        let mut watch = Watch::over(0);
        watch.note("test a::hangs has been running for over 60 seconds");
        watch.note("test b::is_slow has been running for over 60 seconds");
        watch.note("test b::is_slow ... ok");
        watch.note("a line of somebody's output");
        assert_eq!(watch.long, BTreeSet::from(["a::hangs".to_owned()]));
        watch.note("test result: FAILED. 4 passed; 2 failed; 0 ignored; finished in 0.10s");
        assert_eq!(watch.long, BTreeSet::new());
    }

    #[test]
    fn the_binary_that_hangs_is_ended_and_its_parent_goes_on() {
        let mut cargo = Command::new("sh")
            .args(["-c", "sleep 600; exit 3"])
            .spawn()
            .unwrap();
        // The shell has to begin first; until then there is nobody to end.
        let status = loop {
            end_children(cargo.id()).unwrap();
            if let Some(status) = cargo.try_wait().unwrap() {
                break status;
            }
        };
        assert_eq!(status.code(), Some(3));
    }
}
