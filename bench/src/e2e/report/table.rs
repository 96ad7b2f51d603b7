//! Trials as tables of Markdown, which people also read as they stand.

use crate::e2e::reading::Reading;
use crate::e2e::trial::{Readings, Role, Trial};

const HEADINGS: [&str; 10] = [
    "contender",
    "rows/s",
    "spread",
    "MB/s",
    "CPU s/M",
    "server CPU s/M",
    "peak RSS MiB",
    "written MB",
    "lake MB",
    "÷ ceilings",
];

/// Characters of a reason that stand in a cell; all of it stands below the table.
const CELL_MAX: usize = 60;

/// All trials, one below the other.
pub(super) fn all(trials: &[Trial]) -> String {
    let tables: Vec<String> = trials.iter().map(one).collect();
    tables.join("\n")
}

fn one(trial: &Trial) -> String {
    let mut rows = vec![HEADINGS.map(String::from)];
    rows.extend(trial.contenders.iter().map(|own| row(trial, own)));
    let rounds = trial.contenders.first().map_or(0, |own| own.rounds.len());
    let title = format!("{} {}, {rounds} rounds", trial.scenario, trial.work);
    let more: String = trial.contenders.iter().filter_map(more).collect();
    format!("\n### {title}\n\n{}{more}", aligned(&rows))
}

fn row(trial: &Trial, own: &Readings) -> [String; 10] {
    if let Some(why) = &own.missing {
        return absent(own, why);
    }
    let rate = own.median(Reading::rate);
    let mb = |bytes: f64| match bytes {
        0.0 => "-".into(),
        bytes => format!("{:.1}", bytes / 1e6),
    };
    let figure = |figure: f64| match figure {
        0.0 => "-".into(),
        figure => format!("{figure:.2}"),
    };
    [
        own.label(),
        format!("{:.0}", rate.value),
        format!("{:.0} %", rate.spread * 100.0),
        mb(rate.value * trial.row_bytes),
        figure(own.median(Reading::cpu_per_million).value),
        figure(own.median(Reading::server_cpu_per_million).value),
        format!(
            "{:.0}",
            own.median(|own| own.own.rss_peak_bytes as f64).value / f64::from(1 << 20)
        ),
        mb(own.median(|own| own.own.written_bytes as f64).value),
        mb(own.median(|own| own.lake_bytes as f64).value),
        ratios(trial, own),
    ]
}

/// The row of somebody who has no figures: the reason stands where his ratios would.
fn absent(own: &Readings, why: &str) -> [String; 10] {
    let mut row = [(); 10].map(|()| "-".to_owned());
    // A bar would end the cell.
    let short: String = why.replace('|', "/").chars().take(CELL_MAX).collect();
    row[0] = own.label();
    row[9] = format!("did not run: {short}");
    row
}

/// How it stands to each ceiling, in their order.
fn ratios(trial: &Trial, own: &Readings) -> String {
    if own.role == Role::Ceiling {
        return "ceiling".into();
    }
    let ratios = trial.ceilings().map(|ceiling| {
        let ratio = own.ratio(ceiling);
        format!(
            "{:.2} {} (± {:.0} %)",
            ratio.value,
            ceiling.name,
            ratio.spread * 50.0
        )
    });
    ratios.collect::<Vec<_>>().join(", ")
}

/// A line with what else a contender saw, or why it saw nothing.
fn more(own: &Readings) -> Option<String> {
    if let Some(why) = &own.missing {
        return Some(format!("\n{} did not run: {why}\n", own.label()));
    }
    let names = own.rounds.first()?.more.keys();
    let figures = names.map(|name| {
        let median = own.median(|reading| reading.more.get(name).copied().unwrap_or(0.0));
        format!("{name} {:.3}", median.value)
    });
    let figures: Vec<String> = figures.collect();
    (!figures.is_empty()).then(|| format!("\n{}: {}\n", own.label(), figures.join(", ")))
}

/// A table whose columns are as wide as their widest cell; the first row is its head.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!(" {cell:<width$} |"));
        format!("|{}\n", cells.collect::<String>())
    };
    let rule = widths.map(|width| "-".repeat(width));
    let body: String = rows.iter().skip(1).map(line).collect();
    let head = rows.first().map(line).unwrap_or_default();
    format!("{head}{}{body}", line(&rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(name: &str, role: Role, seconds: f64) -> Readings {
        let mut reading = Reading {
            rows: 1_000_000,
            seconds,
            ..Reading::default()
        };
        reading.own.cpu_seconds = seconds / 2.0;
        reading.more.insert("durable_p99_ms".into(), 4.5);
        Readings {
            name: name.into(),
            role,
            rounds: vec![reading],
            missing: None,
        }
    }

    fn trial(contenders: Vec<Readings>) -> Trial {
        Trial {
            scenario: "drain".into(),
            work: "events".into(),
            row_bytes: 200.0,
            contenders,
        }
    }

    #[test]
    fn a_row_says_how_its_contender_stands_to_each_ceiling() {
        let trial = trial(vec![
            readings("framing", Role::Ceiling, 4.0),
            readings("parquet", Role::Ours, 5.0),
        ]);
        let text = all(&[trial]);
        let row = text
            .lines()
            .find(|line| line.contains("| parquet"))
            .unwrap();
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells[2..6], ["200000", "0 %", "40.0", "2.50"]);
        assert_eq!(cells[10], "0.80 framing (± 0 %)");
        assert!(text.contains("parquet: durable_p99_ms 4.500"));
    }

    #[test]
    fn who_did_not_run_stands_in_the_table_with_the_reason() {
        let why = format!("no mvn | no java {}", "and so on ".repeat(20));
        let trial = trial(vec![
            readings("framing", Role::Ceiling, 4.0),
            Readings {
                rounds: Vec::new(),
                missing: Some(why.clone()),
                ..readings("Debezium", Role::Peer, 0.0)
            },
        ]);
        let text = all(&[trial]);
        let row = text.lines().find(|line| line.contains("| Debezium"));
        let cells: Vec<&str> = row.unwrap().split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 12, "{cells:?}");
        assert!(cells[10].starts_with("did not run: no mvn / no java"));
        assert!(text.contains(&format!("Debezium did not run: {why}")));
    }
}
