//! Two builds beside each other: how each figure of the new one stands to that of the one before, and whether that may be.

use serde::Serialize;

use super::table::aligned;
use crate::e2e::Result;
use crate::e2e::reading::Reading;
use crate::e2e::trial::{Median, Readings, Trial};

/// How much slower it may have become: rows a second of what was before.
const RATE_LESS_MAX: f64 = 0.10;
/// How much more processor time a million rows may take.
const CPU_MORE_MAX: f64 = 0.10;
/// How much more memory it may hold at its peak.
const MEMORY_MORE_MAX: f64 = 0.15;

/// Differences up to these are chance in a run of any size: how long a process takes to start and to end, in seconds;
const SECONDS_BY_CHANCE: f64 = 0.2;
/// the kernel's grain of processor time, a few times, in seconds;
const CPU_SECONDS_BY_CHANCE: f64 = 0.05;
/// which batch was in hand when the peak was seen, in bytes.
const MEMORY_BYTES_BY_CHANCE: f64 = 16.0 * MIB;

const MIB: f64 = (1 << 20) as f64;

/// What is allowed to a figure.
#[derive(Debug, Clone, Copy)]
struct Policy {
    /// Now to before, at the worst: below 1 where more is better.
    worst: f64,
    /// What was metered for the figure,
    metered: fn(&Reading) -> f64,
    /// and the difference in it up to which nothing is said.
    by_chance: f64,
}

/// A figure of a reading, with its policy; without one it is shown only, because it depends on more than the program.
struct Figure {
    name: &'static str,
    of: fn(&Reading) -> f64,
    policy: Option<Policy>,
}

/// The figures, judged ones first.
const FIGURES: [Figure; 6] = [
    Figure {
        name: "rows/s",
        of: Reading::rate,
        policy: Some(Policy {
            worst: 1.0 - RATE_LESS_MAX,
            metered: |reading| reading.seconds,
            by_chance: SECONDS_BY_CHANCE,
        }),
    },
    Figure {
        name: "CPU s/M",
        of: Reading::cpu_per_million,
        policy: Some(Policy {
            worst: 1.0 + CPU_MORE_MAX,
            metered: |reading| reading.own.cpu_seconds,
            by_chance: CPU_SECONDS_BY_CHANCE,
        }),
    },
    Figure {
        name: "peak RSS MiB",
        of: |reading| reading.own.rss_peak_bytes as f64 / MIB,
        policy: Some(Policy {
            worst: 1.0 + MEMORY_MORE_MAX,
            metered: |reading| reading.own.rss_peak_bytes as f64,
            by_chance: MEMORY_BYTES_BY_CHANCE,
        }),
    },
    Figure {
        name: "server CPU s/M",
        of: Reading::server_cpu_per_million,
        policy: None,
    },
    Figure {
        name: "written MB",
        of: |reading| reading.own.written_bytes as f64 / 1e6,
        policy: None,
    },
    Figure {
        name: "lake MB",
        of: |reading| reading.lake_bytes as f64 / 1e6,
        policy: None,
    },
];

/// One figure of one contender, by both builds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Compared {
    scenario: String,
    work: String,
    contender: String,
    figure: String,
    before: f64,
    now: f64,
    /// New to before, formed within each round.
    ratio: Median,
    verdict: Verdict,
}

/// How a figure stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// Within its policy.
    Holds,
    /// Beyond it in every round.
    Worse,
    /// Beyond it at the median, and not in every round: this machine does other things, too.
    Unclear,
    /// It has none.
    Shown,
}

impl Policy {
    fn judge(&self, ratios: &[f64], now: &Readings, before: &Readings) -> Verdict {
        let beyond = |ratio: f64| match self.worst < 1.0 {
            true => ratio < self.worst,
            false => ratio > self.worst,
        };
        let difference = now.median(self.metered).value - before.median(self.metered).value;
        let median = Median::of(ratios.to_vec()).value;
        if !beyond(median) || difference <= self.by_chance {
            Verdict::Holds
        } else if ratios.iter().copied().all(beyond) {
            Verdict::Worse
        } else {
            Verdict::Unclear
        }
    }
}

/// Every figure that both builds have, in the order of the trials.
pub(super) fn compare(trials: &[Trial]) -> Vec<Compared> {
    let pairs = trials
        .iter()
        .flat_map(|trial| trial.pairs().map(move |pair| (trial, pair)));
    let figures = pairs.flat_map(|(trial, (now, before))| {
        let fixed = FIGURES.iter();
        let fixed = fixed.map(|own| (own.name.to_owned(), Box::new(own.of) as Of, own.policy));
        let more = now
            .rounds
            .first()
            .into_iter()
            .flat_map(|own| own.more.keys());
        let more = more.map(|name| {
            let of: Of = Box::new(move |own| own.more.get(name).copied().unwrap_or(0.0));
            (name.clone(), of, None)
        });
        let all = fixed.chain(more);
        all.filter_map(move |(figure, of, policy)| {
            let ratios = ratios(now, before, &of);
            (!ratios.is_empty()).then(|| Compared {
                scenario: trial.scenario.clone(),
                work: trial.work.clone(),
                contender: now.name.clone(),
                figure,
                before: before.median(&of).value,
                now: now.median(&of).value,
                verdict: policy.map_or(Verdict::Shown, |own| own.judge(&ratios, now, before)),
                ratio: Median::of(ratios),
            })
        })
    });
    figures.collect()
}

/// A figure of a reading.
type Of<'a> = Box<dyn Fn(&Reading) -> f64 + 'a>;

/// New to before, within each round; nothing where a build does not have the figure.
fn ratios(now: &Readings, before: &Readings, of: &Of<'_>) -> Vec<f64> {
    let rounds = now.rounds.iter().zip(&before.rounds);
    let figures = rounds.map(|(now, before)| (of(now), of(before)));
    let there = figures.filter(|(now, before)| *now > 0.0 && *before > 0.0);
    there.map(|(now, before)| now / before).collect()
}

/// All of it, a line for each figure.
pub(super) fn table(compared: &[Compared]) -> String {
    let head = ["figure", "before", "now", "now ÷ before", ""].map(String::from);
    let rows = compared.iter().map(|own| {
        [
            format!(
                "{} {}, {}: {}",
                own.scenario, own.work, own.contender, own.figure
            ),
            format!("{:.2}", own.before),
            format!("{:.2}", own.now),
            format!(
                "{:.2} (± {:.0} %)",
                own.ratio.value,
                own.ratio.spread * 50.0
            ),
            match own.verdict {
                Verdict::Holds => "holds".into(),
                Verdict::Worse => "**WORSE**".into(),
                Verdict::Unclear => "unclear".into(),
                Verdict::Shown => String::new(),
            },
        ]
    });
    aligned(&[head].into_iter().chain(rows).collect::<Vec<_>>())
}

/// Passes when nothing is beyond its policy in every round; says what is in some.
///
/// # Errors
/// When something is, or when there was nothing to compare; each figure is named.
pub(super) fn judge(compared: &[Compared]) -> Result<()> {
    if compared.is_empty() {
        return Err("no figure was seen of both builds: nothing was compared".into());
    }
    let unclear = of_verdict(compared, Verdict::Unclear);
    if !unclear.is_empty() {
        eprintln!(
            "worse at the median and not in every round (more --rounds, or a quieter machine, tell):\n{unclear}"
        );
    }
    let worse = of_verdict(compared, Verdict::Worse);
    match worse.is_empty() {
        true => Ok(()),
        false => Err(format!("worse than before in every round:\n{worse}")),
    }
}

/// A line for each figure of this verdict.
fn of_verdict(compared: &[Compared], verdict: Verdict) -> String {
    let own = compared.iter().filter(|own| own.verdict == verdict);
    let lines: Vec<String> = own.map(Compared::in_words).collect();
    lines.join("\n")
}

impl Compared {
    fn in_words(&self) -> String {
        let Compared {
            scenario,
            work,
            contender,
            figure,
            ratio,
            ..
        } = self;
        format!(
            "{scenario} {work}, {contender}: {figure} {:+.0} %",
            (ratio.value - 1.0) * 100.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::e2e::trial::Role;

    /// What one build took, round by round: seconds, seconds of its processor, MiB.
    fn readings(role: Role, rounds: &[(f64, f64, u64)]) -> Readings {
        let reading = |(seconds, cpu_seconds, mib): &(f64, f64, u64)| {
            let mut reading = Reading {
                rows: 1_000_000,
                seconds: *seconds,
                ..Reading::default()
            };
            reading.own.cpu_seconds = *cpu_seconds;
            reading.own.rss_peak_bytes = mib << 20;
            reading
        };
        Readings {
            name: "parquet".into(),
            role,
            rounds: rounds.iter().map(reading).collect(),
            missing: None,
        }
    }

    fn compared(now: &[(f64, f64, u64)], before: &[(f64, f64, u64)]) -> Vec<Compared> {
        compare(&[Trial {
            scenario: "drain".into(),
            work: "events".into(),
            row_bytes: 200.0,
            contenders: vec![readings(Role::Ours, now), readings(Role::Before, before)],
        }])
    }

    fn verdicts(compared: &[Compared]) -> Vec<Verdict> {
        compared.iter().map(|own| own.verdict).collect()
    }

    #[test]
    fn each_figure_has_a_policy_of_its_own() {
        let before = [(10.0, 2.0, 100)];
        let within = compared(&[(11.0, 2.18, 114)], &before);
        assert_eq!(verdicts(&within), [Verdict::Holds; 3]);
        judge(&within).unwrap();
        let slower = compared(&[(11.2, 2.0, 100)], &before);
        assert_eq!(slower[0].verdict, Verdict::Worse);
        let busier = compared(&[(10.0, 2.21, 100)], &before);
        assert_eq!(busier[1].verdict, Verdict::Worse);
        let larger = compared(&[(10.0, 2.0, 117)], &before);
        assert_eq!(larger[2].verdict, Verdict::Worse);
        let why = judge(&larger).unwrap_err();
        assert!(
            why.contains("drain events, parquet: peak RSS MiB +17 %"),
            "{why}"
        );
    }

    #[test]
    fn a_difference_that_the_meters_do_not_resolve_is_no_regression() {
        let tiny = compared(&[(0.39, 0.12, 42)], &[(0.20, 0.07, 33)]);
        assert_eq!(verdicts(&tiny), [Verdict::Holds; 3]);
        let seen = compared(&[(0.41, 0.13, 50)], &[(0.20, 0.07, 33)]);
        assert_eq!(verdicts(&seen), [Verdict::Worse; 3]);
    }

    #[test]
    fn what_became_better_holds() {
        let better = compared(&[(1.0, 0.2, 10)], &[(10.0, 2.0, 100)]);
        assert_eq!(verdicts(&better), [Verdict::Holds; 3]);
    }

    #[test]
    fn ratios_are_formed_within_a_round_and_one_bad_round_is_borne() {
        // The machine is three times as slow in the second round, and disturbs the new build alone in the third.
        let now = [(1.0, 1.0, 100), (3.0, 1.0, 100), (9.0, 1.0, 100)];
        let before = [(1.0, 1.0, 100), (3.0, 1.0, 100), (1.0, 1.0, 100)];
        let compared = compared(&now, &before);
        assert_eq!(compared[0].ratio.value, 1.0);
        assert_eq!(compared[0].verdict, Verdict::Holds);
    }

    #[test]
    fn what_is_worse_in_every_round_fails_and_what_is_not_is_unclear() {
        let before = [(10.0, 1.0, 100); 3];
        let always = [(12.0, 1.0, 100), (13.0, 1.0, 100), (11.5, 1.0, 100)];
        let always = compared(&always, &before);
        assert_eq!(always[0].verdict, Verdict::Worse);
        assert!(judge(&always).unwrap_err().contains("rows/s -17 %"));
        let once = [(12.0, 1.0, 100), (13.0, 1.0, 100), (10.0, 1.0, 100)];
        let once = compared(&once, &before);
        assert_eq!(once[0].verdict, Verdict::Unclear);
        assert!(table(&once).contains("unclear"));
        judge(&once).unwrap();
    }

    #[test]
    fn a_figure_that_one_build_does_not_have_is_not_compared() {
        let none = compared(&[(1.0, 0.0, 0)], &[(1.0, 1.0, 100)]);
        assert_eq!(none.len(), 1, "rows/s alone");
        assert!(judge(&[]).unwrap_err().contains("nothing was compared"));
    }

    #[test]
    fn what_else_was_seen_is_shown_and_not_judged() {
        let slow = |mut own: Readings, ms: f64| {
            own.rounds[0].more.insert("durable_p99_ms".into(), ms);
            own
        };
        let trial = Trial {
            scenario: "steady".into(),
            work: "1000 rows/s".into(),
            row_bytes: 0.0,
            contenders: vec![
                slow(readings(Role::Ours, &[(1.0, 1.0, 100)]), 9.0),
                slow(readings(Role::Before, &[(1.0, 1.0, 100)]), 3.0),
            ],
        };
        let compared = compare(&[trial]);
        let last = compared.last().unwrap();
        assert_eq!(
            (last.figure.as_str(), last.verdict),
            ("durable_p99_ms", Verdict::Shown)
        );
        assert!(table(&compared).contains("| 3.00 (± 0 %)"));
        judge(&compared).unwrap();
    }
}
