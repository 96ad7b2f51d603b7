//! `cargo x fuzz`: builds the fuzz targets, runs each for a while, and says what came of it.
//!
//! A target begins with what is kept in `fuzz/corpus` and with what earlier runs found (`target/fuzz/corpus`). An input that breaks a
//! promise is left in `target/fuzz/findings`, with the command that runs it again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use super::instrument::AS_COMPILER;
use super::step::Step;

/// Seconds of one input after which it counts as an endless loop.
const TIMEOUT_SECONDS: u32 = 10;
/// Bytes of an input, at most: what is wrong shows in small ones.
const INPUT_BYTES_MAX: u32 = 4096;
/// MiB that the whole process may take. What one input may take is counted by the targets' own allocator.
const MEMORY_MIB_MAX: u32 = 1024;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    seconds: u32,
    jobs: u32,
    /// All of them when none.
    target: Option<String>,
    /// An input to run once, alone.
    input: Option<PathBuf>,
    /// Put what earlier runs found into the repository's corpus, as few inputs as cover the same.
    keep: bool,
}

impl Plan {
    fn read(words: &[&str]) -> Result<Plan, String> {
        let mut plan = Plan {
            seconds: 60,
            jobs: 1,
            target: None,
            input: None,
            keep: false,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match *word {
                "--seconds" => plan.seconds = number(value()?)?,
                "--jobs" => plan.jobs = number(value()?)?,
                "--target" => plan.target = Some((*value()?).to_owned()),
                "--input" => plan.input = Some(PathBuf::from(value()?)),
                "--keep" => plan.keep = true,
                other => return Err(format!("fuzz knows no {other}")),
            }
        }
        match plan.input.is_some() && plan.target.is_none() {
            true => Err("--input needs --target".into()),
            false => Ok(plan),
        }
    }
}

fn number(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{text} is not a number from 1 on"))
}

pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let plan = Plan::read(words)?;
    let program = build()?;
    let targets = match &plan.target {
        Some(target) => vec![target.clone()],
        None => targets()?,
    };
    if let (Some(input), Some(target)) = (&plan.input, &plan.target) {
        return replay(&program, target, input);
    }
    let mut failed = Vec::new();
    for target in targets {
        let run = Run {
            program: &program,
            target: &target,
        };
        let done = if plan.keep {
            run.keep()
        } else {
            run.fuzz(&plan)
        };
        if let Err(why) = done {
            eprintln!("{why}");
            failed.push(target);
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("fuzzing found something in: {}", failed.join(", "))),
    }
}

/// Builds the fuzzer beside the program: with the same packages chosen, all dependencies are those of an ordinary build.
fn build() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let packages = [
        "--package",
        "blacksmith-stream",
        "--package",
        "blacksmith-fuzz",
    ];
    Step::cargo(&["build", "--quiet"])
        .arguments(&packages)
        .arguments(&[
            "--features",
            "blacksmith-fuzz/libfuzzer",
            "--bin",
            "blacksmith-fuzz",
        ])
        .env("RUSTC_WORKSPACE_WRAPPER", &own.to_string_lossy())
        .env(AS_COMPILER, "1")
        .run()?;
    Ok(own.with_file_name("blacksmith-fuzz"))
}

/// Every target has a folder of inputs; a test of its crate sees to it.
fn targets() -> Result<Vec<String>, String> {
    let corpus = Path::new("fuzz/corpus");
    let entries = fs::read_dir(corpus).map_err(|error| {
        format!(
            "cannot list {}: {error}; run in the repository's root",
            corpus.display()
        )
    })?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    Ok(names)
}

fn replay(program: &Path, target: &str, input: &Path) -> Result<(), String> {
    let run = Run { program, target };
    let status = run.command().arg(input).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!(
            "{target} does not hold for {} ({status})",
            input.display()
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// One target and the program that runs it.
struct Run<'a> {
    program: &'a Path,
    target: &'a str,
}

impl Run<'_> {
    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.env("BLACKSMITH_FUZZ_TARGET", self.target);
        // Looking up names takes as long as a timeout; a replay has time.
        command.env("RUST_BACKTRACE", "0");
        command.arg(format!("-timeout={TIMEOUT_SECONDS}"));
        command.arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
        command
    }

    /// A folder of this target below `target/fuzz`.
    fn folder(&self, name: &str) -> Result<PathBuf, String> {
        let folder = Path::new("target/fuzz").join(name).join(self.target);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(folder)
    }

    fn kept(&self) -> PathBuf {
        Path::new("fuzz/corpus").join(self.target)
    }

    fn fuzz(&self, plan: &Plan) -> Result<(), String> {
        let findings = self.folder("findings")?;
        let mut command = self.command();
        command.arg(format!("-max_total_time={}", plan.seconds));
        command.arg(format!("-max_len={INPUT_BYTES_MAX}"));
        command.arg(format!("-artifact_prefix={}/", findings.display()));
        command.args(["-print_final_stats=1", "-verbosity=1"]);
        if plan.jobs > 1 {
            command.arg(format!("-fork={}", plan.jobs));
        }
        let dictionary = Path::new("fuzz/dictionaries").join(self.target);
        if dictionary.exists() {
            command.arg(format!("-dict={}", dictionary.display()));
        }
        command.arg(self.folder("corpus")?).arg(self.kept());
        let start = Instant::now();
        let said = said(&mut command)?;
        self.close(&said, start)
    }

    /// The closing line of one target.
    fn close(&self, said: &Output, start: Instant) -> Result<(), String> {
        let text = String::from_utf8_lossy(&said.stderr);
        let executions = executions(&text);
        let seconds = start.elapsed().as_secs();
        if said.status.success() && executions > 0 {
            println_out(&format!(
                "fuzz {:14} {executions:>12} executions in {seconds:>5} s: nothing found",
                self.target
            ));
            return Ok(());
        }
        let log = self.folder("findings")?.join("log");
        fs::write(&log, &said.stderr).map_err(|error| error.to_string())?;
        Err(format!(
            "fuzz {}: {}\n  all that it said: {}\n  again: cargo x fuzz --target {} --input {}",
            self.target,
            reason(&text),
            log.display(),
            self.target,
            finding(&text).unwrap_or("FILE"),
        ))
    }

    fn keep(&self) -> Result<(), String> {
        let mut command = self.command();
        command.args(["-merge=1", "-max_len=1024"]);
        command.arg(self.kept()).arg(self.folder("corpus")?);
        let said = said(&mut command)?;
        match said.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&said.stderr).into_owned()),
        }
    }
}

fn said(command: &mut Command) -> Result<Output, String> {
    let output = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output();
    output.map_err(|error| format!("cannot run {:?}: {error}", command.get_program()))
}

fn println_out(line: &str) {
    use std::io::Write as _;
    // Whoever does not read us any more does not want to know.
    let _told = writeln!(std::io::stdout(), "{line}");
}

/// How many inputs were run, as libFuzzer says it at its end: alone, or as the sum of its forks.
fn executions(said: &str) -> u64 {
    let alone = said
        .lines()
        .filter_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let forks = said.lines().filter_map(|line| {
        let (count, _) = line.strip_prefix('#')?.split_once(':')?;
        line.contains("exec/s").then_some(count)
    });
    alone
        .chain(forks)
        .filter_map(|count| count.trim().parse().ok())
        .max()
        .unwrap_or(0)
}

/// What a panic, libFuzzer or the allocator said, in short.
fn reason(said: &str) -> &str {
    let telling = ["panicked at", "ERROR: libFuzzer", "bytes of memory"];
    let lines: Vec<&str> = said.lines().collect();
    let found = lines
        .iter()
        .position(|line| telling.iter().any(|mark| line.contains(mark)));
    match found {
        Some(at) if lines[at].contains("panicked at") => lines.get(at + 1).unwrap_or(&lines[at]),
        Some(at) => lines[at],
        None => "it ended without a word",
    }
}

/// The file that libFuzzer left.
fn finding(said: &str) -> Option<&str> {
    said.lines()
        .find_map(|line| Some(line.split_once("Test unit written to ")?.1.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read() {
        let plan = Plan::read(&["--seconds", "5", "--target", "ids", "--jobs", "2"]).unwrap();
        assert_eq!((plan.seconds, plan.jobs), (5, 2));
        assert_eq!(plan.target.as_deref(), Some("ids"));
        for wrong in [
            &["--seconds"][..],
            &["--seconds", "0"],
            &["--input", "x"],
            &["--fast"],
        ] {
            assert!(Plan::read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn executions_and_findings_are_found_in_what_libfuzzer_says() {
        let alone =
            "#2\tINITED\nstat::number_of_executed_units: 4711\nstat::average_exec_per_sec: 9\n";
        assert_eq!(executions(alone), 4711);
        let forks = "#100: cov: 1 ft: 2 corp: 3 exec/s 50 oom/timeout/crash: 0/0/0\n#250: cov: 1 exec/s 1\n";
        assert_eq!(executions(forks), 250);
        let crash = "thread '<unnamed>' panicked at core/src/id.rs:3:5:\nno\nTest unit written to a/crash-1\n";
        assert_eq!((reason(crash), finding(crash)), ("no", Some("a/crash-1")));
    }
}
