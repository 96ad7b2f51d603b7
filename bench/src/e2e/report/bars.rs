//! What we want of a two-core machine, and whether it was seen.

use crate::e2e::reading::Reading;
use crate::e2e::trial::{Readings, Role, Trial};

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Want {
    AtLeast(f64),
    AtMost(f64),
}

/// One bar: a figure of one scenario and what it should be.
struct Bar {
    number: &'static str,
    what: &'static str,
    want: Want,
    aim: f64,
    unit: &'static str,
    seen: fn(&[Trial]) -> Option<f64>,
}

/// The table of all bars.
pub(super) fn table(trials: &[Trial]) -> String {
    let head = "| # | workload | bar | aim | seen | |\n|---|---|---|---|---|---|\n";
    let rows = BARS.iter().map(|bar| bar.row((bar.seen)(trials)));
    format!("{head}{}", rows.collect::<String>())
}

impl Bar {
    fn row(&self, seen: Option<f64>) -> String {
        let Bar {
            number, what, unit, ..
        } = self;
        let (sign, wanted) = match self.want {
            Want::AtLeast(wanted) => ("≥", wanted),
            Want::AtMost(wanted) => ("≤", wanted),
        };
        let (wanted, aim) = (figure(wanted), figure(self.aim));
        let (seen, verdict) = match seen {
            Some(seen) => (figure(seen), self.verdict(seen)),
            None => ("-".into(), "not measured"),
        };
        format!("| {number} | {what} | {sign} {wanted}{unit} | {aim} | {seen} | {verdict} |\n")
    }

    fn verdict(&self, seen: f64) -> &'static str {
        let met = match self.want {
            Want::AtLeast(wanted) => seen >= wanted,
            Want::AtMost(wanted) => seen <= wanted,
        };
        if met { "met" } else { "**not met**" }
    }
}

fn figure(figure: f64) -> String {
    match figure {
        large if large >= 1_000.0 => format!("{large:.0}"),
        small => format!("{small:.2}"),
    }
}

const STREAMED: &str = "parquet";
const CAUGHT_UP: &str = "parquet, catch-up";
const TOOL: &str = "pg_recvlogical";

const BARS: [Bar; 19] = [
    Bar {
        number: "P1",
        what: "backlog of events to Parquet, streamed ÷ `pg_recvlogical` to `/dev/null`",
        want: Want::AtLeast(1.10),
        aim: 1.25,
        unit: "",
        seen: |trials| ratio(trials, "drain", "events", STREAMED, TOOL),
    },
    Bar {
        number: "P1",
        what: "the same, lineitem",
        want: Want::AtLeast(1.10),
        aim: 1.25,
        unit: "",
        seen: |trials| ratio(trials, "drain", "lineitem", STREAMED, TOOL),
    },
    Bar {
        number: "P1b",
        what: "backlog of events to Parquet in batches (the default) ÷ `pg_recvlogical`",
        want: Want::AtLeast(1.6),
        aim: 2.2,
        unit: "",
        seen: |trials| ratio(trials, "drain", "events", CAUGHT_UP, TOOL),
    },
    Bar {
        number: "P1b",
        what: "the same, lineitem",
        want: Want::AtLeast(1.6),
        aim: 2.2,
        unit: "",
        seen: |trials| ratio(trials, "drain", "lineitem", CAUGHT_UP, TOOL),
    },
    Bar {
        number: "P2",
        what: "backlog of events to the durable log, streamed ÷ our framing-only drain",
        want: Want::AtLeast(0.95),
        aim: 0.98,
        unit: "",
        seen: |trials| ratio(trials, "drain", "events", "log", "framing"),
    },
    Bar {
        number: "P2",
        what: "the same, lineitem",
        want: Want::AtLeast(0.95),
        aim: 0.98,
        unit: "",
        seen: |trials| ratio(trials, "drain", "lineitem", "log", "framing"),
    },
    Bar {
        number: "P3",
        what: "single-row transactions to Parquet, streamed ÷ `pg_recvlogical`",
        want: Want::AtLeast(1.05),
        aim: 1.2,
        unit: "",
        seen: |trials| ratio(trials, "singles", "singles", STREAMED, TOOL),
    },
    Bar {
        number: "P3",
        what: "the same as by default: in batches, if it is more than 64 MiB of log",
        want: Want::AtLeast(1.05),
        aim: 1.2,
        unit: "",
        seen: |trials| ratio(trials, "singles", "singles", CAUGHT_UP, TOOL),
    },
    Bar {
        number: "P4",
        what: "our CPU seconds per million rows, backlog of events to Parquet, streamed",
        want: Want::AtMost(3.0),
        aim: 2.2,
        unit: " s",
        seen: |trials| processor(trials, "drain", "events"),
    },
    Bar {
        number: "P5",
        what: "first copy of events to Parquet ÷ two `COPY … BINARY` by psql",
        want: Want::AtLeast(0.70),
        aim: 0.85,
        unit: "",
        seen: |trials| ratio(trials, "snapshot", "events", STREAMED, "copy by psql"),
    },
    Bar {
        number: "P5",
        what: "the same, lineitem",
        want: Want::AtLeast(0.70),
        aim: 0.85,
        unit: "",
        seen: |trials| ratio(trials, "snapshot", "lineitem", STREAMED, "copy by psql"),
    },
    Bar {
        number: "P6",
        what: "our CPU seconds per million rows, first copy of lineitem to Parquet",
        want: Want::AtMost(2.0),
        aim: 1.4,
        unit: " s",
        seen: |trials| processor(trials, "snapshot", "lineitem"),
    },
    Bar {
        number: "P8",
        what: "durable append, 256 B, 64 producers, events/s (or 0.6 of the disk, below)",
        want: Want::AtLeast(1_000_000.0),
        aim: 1_500_000.0,
        unit: "/s",
        seen: |trials| rate(trials, "log", "append", "64 producers"),
    },
    Bar {
        number: "P8",
        what: "the same ÷ the disk's synced sequential rate",
        want: Want::AtLeast(0.60),
        aim: 0.90,
        unit: "",
        seen: |trials| ratio(trials, "log", "append", "64 producers", "write and sync"),
    },
    Bar {
        number: "P9",
        what: "no-op jobs end to end, one event in a request",
        want: Want::AtLeast(500_000.0),
        aim: 1_500_000.0,
        unit: "/s",
        seen: |trials| rate(trials, "jobs", "one event in a request", "jobs"),
    },
    Bar {
        number: "P10",
        what: "HTTP, 1 KiB JSON, durable before 202 ÷ bare axum handler",
        want: Want::AtLeast(0.60),
        aim: 0.85,
        unit: "",
        seen: |trials| {
            ratio(
                trials,
                "http",
                "one event of 1 KiB",
                "blacksmith",
                "bare axum",
            )
        },
    },
    Bar {
        number: "P11",
        what: "replay from the log, page cache, checksums on",
        want: Want::AtLeast(2.0),
        aim: 4.0,
        unit: " GB/s",
        seen: |trials| figure_of(trials, "behind", "events", "replay", "GB/s"),
    },
    Bar {
        number: "P12",
        what: "the most memory of our process in any scenario",
        want: Want::AtMost(512.0),
        aim: 200.0,
        unit: " MiB",
        seen: memory,
    },
    Bar {
        number: "P13",
        what: "restart, a large log with very many live jobs",
        want: Want::AtMost(1_000.0),
        aim: 150.0,
        unit: " ms",
        seen: |trials| figure_of(trials, "restart", "", "open", "opened_ms"),
    },
];

/// The contender of a trial whose work begins so.
fn find<'a>(trials: &'a [Trial], scenario: &str, work: &str, name: &str) -> Option<&'a Readings> {
    let trial = trials
        .iter()
        .find(|own| own.scenario == scenario && own.work.starts_with(work));
    trial?.contender(name)
}

fn ratio(trials: &[Trial], scenario: &str, work: &str, own: &str, ceiling: &str) -> Option<f64> {
    let own = find(trials, scenario, work, own)?;
    Some(own.ratio(find(trials, scenario, work, ceiling)?).value)
}

fn processor(trials: &[Trial], scenario: &str, work: &str) -> Option<f64> {
    let own = find(trials, scenario, work, STREAMED)?;
    Some(own.median(Reading::cpu_per_million).value)
}

fn rate(trials: &[Trial], scenario: &str, work: &str, name: &str) -> Option<f64> {
    Some(
        find(trials, scenario, work, name)?
            .median(Reading::rate)
            .value,
    )
}

fn figure_of(
    trials: &[Trial],
    scenario: &str,
    work: &str,
    name: &str,
    figure: &str,
) -> Option<f64> {
    let own = find(trials, scenario, work, name)?;
    let seen = own
        .rounds
        .iter()
        .filter_map(|reading| reading.more.get(figure).copied());
    let seen: Vec<f64> = seen.collect();
    (!seen.is_empty()).then(|| crate::e2e::trial::Median::of(seen).value)
}

/// The peak over everything that is ours, in MiB.
fn memory(trials: &[Trial]) -> Option<f64> {
    let contenders = trials.iter().flat_map(|trial| &trial.contenders);
    let ours = contenders.filter(|own| own.role == Role::Ours);
    let readings = ours.flat_map(|own| &own.rounds);
    let most = readings.map(|reading| reading.own.rss_peak_bytes).max()?;
    Some(most as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(name: &str, role: Role, seconds: f64) -> Readings {
        let reading = Reading {
            rows: 1_000_000,
            seconds,
            ..Reading::default()
        };
        Readings {
            name: name.into(),
            role,
            rounds: vec![reading],
            missing: None,
        }
    }

    fn drain(ours: f64) -> Trial {
        Trial {
            scenario: "drain".into(),
            work: "events".into(),
            row_bytes: 200.0,
            contenders: vec![
                readings(TOOL, Role::Ceiling, 1.0),
                readings(STREAMED, Role::Ours, ours),
            ],
        }
    }

    fn row(trials: &[Trial]) -> String {
        table(trials).lines().nth(2).unwrap().into()
    }

    #[test]
    fn a_bar_is_met_by_the_ratio_of_one_run() {
        assert!(
            row(&[drain(0.8)]).ends_with("| 1.25 | met |"),
            "{}",
            row(&[drain(0.8)])
        );
        assert!(row(&[drain(1.0)]).ends_with("| 1.00 | **not met** |"));
    }

    #[test]
    fn what_was_not_measured_is_said() {
        assert!(row(&[]).ends_with("| - | not measured |"));
        assert_eq!(table(&[]).lines().count(), 2 + BARS.len());
    }
}
