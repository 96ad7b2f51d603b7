//! Contenders that do the same work, measured in turn.

use std::fmt;
use std::time::Instant;

use serde::Serialize;

use super::build::{Build, Builds};
use super::reading::Reading;
use super::{Result, stop};

/// What a contender is to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What the machine gives at most: others are divided by it.
    Ceiling,
    /// Our program.
    Ours,
    /// Our program as it was in another revision; the contender of the same name is what became of it.
    Before,
    /// Somebody else's that does the same.
    Peer,
}

/// Does the work once, by this build where it is our program's.
type Run<'a> = Box<dyn FnMut(&Build) -> Result<Reading> + 'a>;

/// Somebody who does the work, as often as asked.
pub struct Contender<'a> {
    name: String,
    role: Role,
    run: Run<'a>,
}

impl fmt::Debug for Contender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contender")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<'a> Contender<'a> {
    /// A ceiling.
    pub fn ceiling(name: &str, mut run: impl FnMut() -> Result<Reading> + 'a) -> Contender<'a> {
        Contender {
            role: Role::Ceiling,
            ..Contender::ours(name, move |_| run())
        }
    }

    /// Somebody else's program.
    pub fn peer(name: &str, run: impl FnMut() -> Result<Reading> + 'a) -> Contender<'a> {
        Contender {
            role: Role::Peer,
            ..Contender::ceiling(name, run)
        }
    }

    /// Our program, of whichever build it is asked for.
    pub fn ours(name: &str, run: impl FnMut(&Build) -> Result<Reading> + 'a) -> Contender<'a> {
        Contender {
            name: name.into(),
            role: Role::Ours,
            run: Box::new(run),
        }
    }
}

/// How often everybody runs, and which builds of our program.
#[derive(Debug, Clone)]
pub struct Rounds {
    /// So many rounds.
    pub count: usize,
    /// The names of those who run; empty for everybody.
    pub only: Vec<String>,
    /// With another build beside that of this tree, ours are compared with themselves, and nobody else runs.
    pub builds: Builds,
}

/// Who runs in each round: a contender, our program once for each build.
struct Entrant<'r> {
    contender: usize,
    build: &'r Build,
    role: Role,
    seen: Vec<Reading>,
    missing: Option<String>,
}

impl Entrant<'_> {
    /// Takes what came of a round. A stranger's failure is not the end of the run: he runs no more, and is reported with the reason.
    fn take(&mut self, result: Result<Reading>) -> Result<()> {
        match result {
            Ok(reading) => self.seen.push(reading),
            Err(why) if self.role == Role::Peer => {
                stop::check()?;
                self.seen.clear();
                self.missing = Some(why);
            }
            Err(why) => return Err(why),
        }
        Ok(())
    }
}

impl Rounds {
    fn runs(&self, contender: &Contender<'_>) -> bool {
        self.only.is_empty() || self.only.contains(&contender.name)
    }

    fn entrants(&self, contenders: &[Contender<'_>]) -> Vec<Entrant<'_>> {
        let Builds { own, before } = &self.builds;
        let mut entrants = Vec::new();
        for (contender, Contender { role, .. }) in contenders.iter().enumerate() {
            let mut enter = |role, build| {
                entrants.push(Entrant {
                    contender,
                    build,
                    role,
                    seen: Vec::new(),
                    missing: None,
                });
            };
            match before {
                None => enter(*role, own),
                Some(before) if *role == Role::Ours => {
                    enter(Role::Ours, own);
                    enter(Role::Before, before);
                }
                Some(_) => {}
            }
        }
        entrants
    }

    /// Places of `entrants` in the order in which they run: another contender begins in each round, and of two builds the one that
    /// was second in the round before goes first, because whoever is first finds colder caches.
    fn order(&self, round: usize, entrants: usize) -> Vec<usize> {
        let each = self.builds.all().count();
        let contenders = entrants / each;
        let turns = (0..contenders).map(|turn| (round + turn) % contenders);
        let places = turns.flat_map(|contender| {
            (0..each).map(move |build| contender * each + (round + build) % each)
        });
        places.collect()
    }
}

/// All readings of one contender, one for each round.
#[derive(Debug, Clone, Serialize)]
pub struct Readings {
    /// Its name.
    pub name: String,
    /// What it is to the others.
    pub role: Role,
    /// Its readings.
    pub rounds: Vec<Reading>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// A trial that was held.
#[derive(Debug, Clone, Serialize)]
pub struct Trial {
    /// The scenario.
    pub scenario: String,
    /// What was worked on.
    pub work: String,
    /// Mean bytes of a row, as text; 0 where that means nothing.
    pub row_bytes: f64,
    /// Everybody's readings.
    pub contenders: Vec<Readings>,
}

impl Trial {
    /// Holds it: in each round everybody runs once, and another begins.
    ///
    /// # Errors
    /// The first failure of a contender that is no peer.
    pub fn hold(
        scenario: &str,
        work: &str,
        rounds: &Rounds,
        mut contenders: Vec<Contender<'_>>,
    ) -> Result<Trial> {
        contenders.retain(|contender| rounds.runs(contender));
        let mut entrants = rounds.entrants(&contenders);
        for round in 0..rounds.count {
            for place in rounds.order(round, entrants.len()) {
                stop::check()?;
                let entrant = &mut entrants[place];
                if entrant.missing.is_some() {
                    continue;
                }
                let contender = &mut contenders[entrant.contender];
                let name = labelled(&contender.name, entrant.role);
                let started = Instant::now();
                let result = (contender.run)(entrant.build);
                let heading = format!("{scenario} {work} {}/{} {name}", round + 1, rounds.count);
                eprintln!("{heading}: {}", in_words(&result, started));
                let taken = entrant.take(result);
                taken.map_err(|why| format!("{scenario}, {work}, {name}: {why}"))?;
            }
        }
        let readings = entrants.into_iter().map(|entrant| Readings {
            name: contenders[entrant.contender].name.clone(),
            role: entrant.role,
            rounds: entrant.seen,
            missing: entrant.missing,
        });
        Ok(Trial {
            scenario: scenario.into(),
            work: work.into(),
            row_bytes: 0.0,
            contenders: readings.collect(),
        })
    }

    /// The same whose rows have so many bytes.
    #[must_use]
    pub fn of_row_bytes(mut self, row_bytes: f64) -> Trial {
        self.row_bytes = row_bytes;
        self
    }

    /// The contender of this name; of our program, that of this tree.
    #[must_use]
    pub fn contender(&self, name: &str) -> Option<&Readings> {
        let named = self.contenders.iter().filter(|own| own.name == name);
        named.into_iter().find(|own| own.role != Role::Before)
    }

    /// Ours, each with what it was before.
    pub fn pairs(&self) -> impl Iterator<Item = (&Readings, &Readings)> {
        let before = self.contenders.iter();
        let before = before.filter(|own| own.role == Role::Before);
        before.filter_map(|before| Some((self.contender(&before.name)?, before)))
    }

    /// The ceilings.
    pub fn ceilings(&self) -> impl Iterator<Item = &Readings> {
        self.contenders
            .iter()
            .filter(|own| own.role == Role::Ceiling)
    }
}

impl Readings {
    /// Its name, by which it also differs from what it was before.
    #[must_use]
    pub fn label(&self) -> String {
        labelled(&self.name, self.role)
    }

    /// A figure of every round: its median and how far they lay apart.
    pub fn median(&self, of: impl Fn(&Reading) -> f64) -> Median {
        Median::of(self.rounds.iter().map(of).collect())
    }

    /// How our rate stands to another's of the same round.
    #[must_use]
    pub fn ratio(&self, other: &Readings) -> Median {
        let pairs = self.rounds.iter().zip(&other.rounds);
        Median::of(
            pairs
                .map(|(own, other)| own.rate() / other.rate())
                .collect(),
        )
    }
}

fn labelled(name: &str, role: Role) -> String {
    match role {
        Role::Before => format!("{name}, before"),
        Role::Ours | Role::Ceiling | Role::Peer => name.into(),
    }
}

/// What came of a round, for who watches.
fn in_words(result: &Result<Reading>, started: Instant) -> String {
    match result {
        Ok(reading) => format!(
            "{:.0}/s in {:.2} s ({:.1} s with preparation)",
            reading.rate(),
            reading.seconds,
            started.elapsed().as_secs_f64()
        ),
        Err(why) => format!("FAILED: {why}"),
    }
}

/// The middle of some figures, and how far the outermost lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Median {
    /// The middle one, or the mean of the two in the middle.
    pub value: f64,
    /// (largest - smallest) / middle.
    pub spread: f64,
}

impl Median {
    /// Of these; zero when there are none.
    #[must_use]
    pub fn of(mut figures: Vec<f64>) -> Median {
        figures.sort_unstable_by(f64::total_cmp);
        let (Some(first), Some(last)) = (figures.first(), figures.last()) else {
            return Median {
                value: 0.0,
                spread: 0.0,
            };
        };
        let upper = figures[figures.len() / 2];
        let value = f64::midpoint(figures[(figures.len() - 1) / 2], upper);
        let spread = if value == 0.0 {
            0.0
        } else {
            (last - first) / value
        };
        Median { value, spread }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(seconds: f64) -> Reading {
        Reading {
            rows: 100,
            seconds,
            ..Reading::default()
        }
    }

    fn rounds(count: usize, before: Option<&str>) -> Rounds {
        let build = |commit| Build::of_commit(commit, "program".into());
        Rounds {
            count,
            only: Vec::new(),
            builds: Builds {
                own: build("now"),
                before: before.map(build),
            },
        }
    }

    #[test]
    fn everybody_runs_in_every_round_and_another_begins() {
        let order = std::cell::RefCell::new(String::new());
        let contender = |name: &'static str, seconds: f64| {
            let order = &order;
            Contender::ours(name, move |_| {
                order.borrow_mut().push_str(name);
                Ok(reading(seconds))
            })
        };
        let contenders = vec![contender("a", 1.0), contender("b", 2.0)];
        let trial = Trial::hold("s", "w", &rounds(2, None), contenders).unwrap();
        assert_eq!(*order.borrow(), "abba");
        let (a, b) = (trial.contender("a").unwrap(), trial.contender("b").unwrap());
        assert_eq!(b.ratio(a).value, 0.5);
    }

    #[test]
    fn who_is_not_named_does_not_run_when_somebody_is() {
        let ours = |name| Contender::ours(name, |_| Ok(reading(1.0)));
        let other = Contender::ceiling("framing", || Err("it need not run".into()));
        let mut rounds = rounds(1, None);
        rounds.only = vec!["parquet, catch-up".into()];
        let contenders = vec![other, ours("parquet, catch-up"), ours("log")];
        let trial = Trial::hold("s", "w", &rounds, contenders).unwrap();
        assert_eq!(trial.contenders.len(), 1);
        assert_eq!(trial.contenders[0].name, "parquet, catch-up");
        let trial = Trial::hold("s", "w", &rounds, vec![ours("log")]).unwrap();
        assert!(trial.contenders.is_empty());
    }

    #[test]
    fn a_failure_ends_the_trial_and_names_who_failed() {
        let contenders = vec![Contender::ceiling("a", || Err("no".into()))];
        let why = Trial::hold("drain", "events", &rounds(1, None), contenders).unwrap_err();
        assert_eq!(why, "drain, events, a: no");
    }

    #[test]
    fn a_peer_that_fails_is_reported_with_the_reason_and_the_others_go_on() {
        let mut first = true;
        let peer = Contender::peer("peer", || match std::mem::take(&mut first) {
            true => Ok(reading(1.0)),
            false => Err("out of memory".into()),
        });
        let ours = Contender::ours("ours", |_| Ok(reading(2.0)));
        let trial = Trial::hold("drain", "events", &rounds(3, None), vec![peer, ours]).unwrap();
        let peer = trial.contender("peer").unwrap();
        assert_eq!(peer.missing.as_deref(), Some("out of memory"));
        assert!(peer.rounds.is_empty());
        assert_eq!(trial.contender("ours").unwrap().rounds.len(), 3);
    }

    #[test]
    fn each_of_two_builds_goes_first_as_often_as_the_other() {
        let rounds = rounds(2, Some("then"));
        // Two contenders, each of the new build and then of the other.
        assert_eq!(rounds.order(0, 4), [0, 1, 2, 3]);
        assert_eq!(rounds.order(1, 4), [3, 2, 1, 0]);
        assert_eq!(rounds.order(2, 4), [0, 1, 2, 3]);
    }

    #[test]
    fn two_builds_take_turns_and_nobody_else_runs() {
        let order = std::cell::RefCell::new(Vec::new());
        let ceiling = Contender::ceiling("framing", || Err("it need not run".into()));
        let ours = Contender::ours("log", |build| {
            let commit = build.commit().unwrap_or_default();
            order.borrow_mut().push(commit.to_owned());
            Ok(reading(if commit == "now" { 1.0 } else { 3.0 }))
        });
        let rounds = rounds(2, Some("then"));
        let trial = Trial::hold("drain", "events", &rounds, vec![ceiling, ours]).unwrap();
        let [(now, before)] = trial.pairs().collect::<Vec<_>>()[..] else {
            panic!("one pair")
        };
        assert_eq!(now.ratio(before).value, 3.0);
        assert_eq!(before.label(), "log, before");
        assert_eq!(order.into_inner(), ["now", "then", "then", "now"]);
    }

    #[test]
    fn ratios_are_formed_within_a_round() {
        let readings = |seconds: [f64; 3]| Readings {
            name: String::new(),
            role: Role::Ours,
            rounds: seconds.map(reading).into(),
            missing: None,
        };
        // The machine is three times as slow in the last round, for both.
        let ratio = readings([1.0, 1.0, 3.0]).ratio(&readings([2.0, 2.0, 6.0]));
        assert_eq!(
            ratio,
            Median {
                value: 2.0,
                spread: 0.0
            }
        );
    }

    #[test]
    fn the_middle_of_an_even_number_is_between_two() {
        assert_eq!(Median::of(vec![4.0, 1.0, 3.0, 2.0]).value, 2.5);
        assert_eq!(Median::of(Vec::new()).value, 0.0);
    }
}
