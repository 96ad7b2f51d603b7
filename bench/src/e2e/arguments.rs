//! What the command line asks for.

use std::path::PathBuf;

use super::Result;
use super::size::Size;

/// All scenarios, in the order in which they run.
pub const SCENARIOS: [&str; 12] = [
    "snapshot", "drain", "behind", "singles", "mix", "huge", "tables20", "steady", "http", "jobs",
    "log", "restart",
];

/// Rounds against another revision, at least, unless somebody asks for fewer: so many that one which other work disturbs does not
/// decide, and an even number, so that each build goes first as often as the other.
const ROUNDS_AGAINST_MIN: usize = 4;

/// Those that measure parts which are built into this program: another build of the stock one would change nothing.
const OF_PARTS: [&str; 3] = ["jobs", "log", "restart"];

const USAGE: &str = "usage: cargo x bench [--short | --full] [--scenario NAME[,NAME]] [--only CONTENDER]... [--rounds N] [--rows N] [--json FILE] [--write] [--peers] [--against REVISION]";

/// The command line, read.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// How much is measured.
    pub size: Size,
    /// The scenarios, in the order of [`SCENARIOS`].
    pub scenarios: Vec<String>,
    /// Who runs in them; empty for everybody.
    pub only: Vec<String>,
    /// Where everything goes as JSON; none for nowhere.
    pub json: Option<PathBuf>,
    /// Whether other tools do the same work, where we know some.
    pub peers: bool,
    /// Whether `bench/RESULTS.md` and the chart are written.
    pub write: bool,
    /// The revision whose program ours is held against.
    pub against: Option<String>,
}

impl Arguments {
    /// Reads the words behind `cargo x bench`.
    ///
    /// # Errors
    /// When a word is not known, or its value is not a number; the message says what is.
    pub fn parse(words: &[String]) -> Result<Arguments> {
        let mut arguments = Arguments {
            size: Size::DEFAULT,
            scenarios: SCENARIOS.map(String::from).into(),
            only: Vec::new(),
            json: None,
            peers: false,
            write: false,
            against: None,
        };
        // The form goes before what changes it, wherever they stand.
        for word in words {
            match word.as_str() {
                "--short" => arguments.size = Size::SHORT,
                "--full" => arguments.size = Size::FULL,
                _ => {}
            }
        }
        if words.iter().any(|word| word == "--against") {
            arguments.size.rounds = arguments.size.rounds.max(ROUNDS_AGAINST_MIN);
        }
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value\n{USAGE}"));
            match word.as_str() {
                "--short" | "--full" => {}
                "--scenario" => arguments.scenarios = scenarios(value()?)?,
                "--only" => arguments.only.push(value()?.clone()),
                "--rounds" => arguments.size.rounds = positive(word, value()?)? as usize,
                "--rows" => arguments.size.rows = positive(word, value()?)?,
                "--json" => arguments.json = Some(value()?.into()),
                "--peers" => arguments.peers = true,
                "--write" => arguments.write = true,
                "--against" => arguments.against = Some(revision(value()?)?),
                _ => return Err(format!("bench knows no {word}\n{USAGE}")),
            }
        }
        if arguments.against.is_some() {
            arguments.only_the_program()?;
        }
        let is_part = arguments.scenarios.len() < SCENARIOS.len() || !arguments.only.is_empty();
        if arguments.write && is_part {
            let what = "--write keeps a run of everybody in all scenarios";
            return Err(format!("{what}: leave out --scenario and --only"));
        }
        Ok(arguments)
    }

    /// Leaves nothing but what another build of the program can be compared in.
    fn only_the_program(&mut self) -> Result<()> {
        if self.write || self.peers {
            return Err("--against compares two builds of the program and nothing else: leave out --write and --peers".into());
        }
        if self.scenarios.len() == SCENARIOS.len() {
            self.scenarios.retain(|name| !measures_parts(name));
        }
        match self.scenarios.iter().find(|name| measures_parts(name)) {
            None => Ok(()),
            Some(name) => Err(format!(
                "{name} measures parts that are built into the benchmark, not the program: with --against leave out {}",
                OF_PARTS.join(", ")
            )),
        }
    }
}

fn measures_parts(scenario: &str) -> bool {
    OF_PARTS.contains(&scenario)
}

fn revision(text: &str) -> Result<String> {
    match text.starts_with('-') {
        true => Err(format!(
            "--against needs a revision, such as HEAD~1, not {text}"
        )),
        false => Ok(text.into()),
    }
}

fn scenarios(list: &str) -> Result<Vec<String>> {
    let wanted: Vec<&str> = list.split(',').collect();
    if let Some(unknown) = wanted.iter().find(|name| !SCENARIOS.contains(name)) {
        let known = SCENARIOS.join(", ");
        return Err(format!("there is no scenario {unknown}; there are {known}"));
    }
    let chosen = SCENARIOS.iter().filter(|name| wanted.contains(name));
    Ok(chosen.map(|name| (*name).to_owned()).collect())
}

fn positive(word: &str, text: &str) -> Result<u64> {
    let number = text.replace('_', "").parse().ok();
    let number = number.filter(|number| *number > 0);
    number.ok_or_else(|| format!("{word} needs a whole number above 0, not {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        Arguments::parse(&words)
    }

    #[test]
    fn numbers_change_the_form_wherever_they_stand() {
        let arguments = parse("--rounds 2 --full --rows 5_000").unwrap();
        assert_eq!((arguments.size.rounds, arguments.size.rows), (2, 5_000));
    }

    #[test]
    fn scenarios_run_in_their_own_order_each_once() {
        let arguments = parse("--scenario drain,snapshot,drain").unwrap();
        assert_eq!(arguments.scenarios, ["snapshot", "drain"]);
    }

    #[test]
    fn against_another_revision_only_the_program_is_measured() {
        let arguments = parse("--against HEAD~1").unwrap();
        assert_eq!(arguments.against.as_deref(), Some("HEAD~1"));
        assert_eq!(arguments.scenarios.len(), SCENARIOS.len() - OF_PARTS.len());
        assert_eq!(arguments.size.rounds, ROUNDS_AGAINST_MIN);
        let few = parse("--rounds 2 --against HEAD~1").unwrap();
        assert_eq!(few.size.rounds, 2);
        let refused = |line| parse(line).unwrap_err();
        assert!(refused("--against HEAD~1 --scenario drain,jobs").contains("jobs measures parts"));
        assert!(refused("--against HEAD~1 --peers").contains("leave out"));
        assert!(refused("--against --short").contains("needs a revision"));
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is() {
        assert!(parse("--scenario nothing").unwrap_err().contains("drain"));
        assert!(parse("--rounds 0").unwrap_err().contains("above 0"));
        assert!(parse("--rows").unwrap_err().contains("usage"));
        assert!(
            parse("--write --scenario drain")
                .unwrap_err()
                .contains("all scenarios")
        );
        assert!(
            parse("--only log --write")
                .unwrap_err()
                .contains("leave out")
        );
        assert!(parse("--quick").unwrap_err().contains("usage"));
    }
}
