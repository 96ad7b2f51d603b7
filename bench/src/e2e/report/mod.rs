//! What a run came to: for a person as tables and a chart, for a program as JSON.

mod table;
mod bars;
mod comparison;
mod chart;

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::arguments::Arguments;
use super::machine::Machine;
use super::size::Size;
use super::trial::Trial;
use super::{Result, postgres};

use comparison::Compared;

/// Everything of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: Machine,
    postgres: String,
    postgres_settings: String,
    /// Whom else we measured.
    peers: String,
    /// The commit that ours is held against.
    before: Option<String>,
    size: Size,
    trials: Vec<Trial>,
    /// Both builds beside each other, figure by figure.
    compared: Vec<Compared>,
}

impl Report {
    /// Of these trials.
    #[must_use]
    pub fn new(
        machine: Machine,
        postgres: String,
        peers: String,
        before: Option<String>,
        size: Size,
        trials: Vec<Trial>,
    ) -> Report {
        Report {
            machine,
            postgres,
            postgres_settings: postgres::settings(),
            peers,
            before,
            compared: comparison::compare(&trials),
            size,
            trials,
        }
    }

    /// Prints the tables, and writes what was asked for.
    ///
    /// # Errors
    /// When a file cannot be written, or our program is worse than what it is held against.
    pub fn publish(&self, arguments: &Arguments) -> Result<()> {
        let tables = table::all(&self.trials);
        let bars = bars::table(&self.trials);
        let last = match &self.before {
            None => format!("### Bars\n\n{bars}"),
            Some(commit) => {
                let compared = comparison::table(&self.compared);
                format!("### Against {commit}\n\n{compared}")
            }
        };
        let text = format!(
            "{}; peers: {}\n{tables}\n{last}",
            self.heading(),
            self.peers
        );
        let printed = writeln!(std::io::stdout().lock(), "{text}");
        printed.map_err(|error| format!("standard output: {error}"))?;
        if let Some(path) = &arguments.json {
            let json = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
            write(path, &json)?;
        }
        if arguments.write {
            self.record(&bars, &tables)?;
        }
        match self.before {
            None => Ok(()),
            Some(_) => comparison::judge(&self.compared),
        }
    }

    /// Writes what the repository shows: `bench/RESULTS.md` and the chart.
    fn record(&self, bars: &str, tables: &str) -> Result<()> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = format!(
            "# Results\n\nThe last run that was kept, by `cargo x bench --write` (`--full`, when rounds are 5 and rows a million); README.md beside it says what is \
             measured and how. Cells that lose stand with the others.\n\n{}\n\n{}Server: {}. Peers: {}.\n\n## Bars\n\n{bars}\n## Scenarios\n{tables}",
            self.heading(),
            self.machine.warning(),
            self.postgres_settings,
            self.peers
        );
        write(&home.join("RESULTS.md"), &text)?;
        match chart::svg(&self.trials, &self.heading()) {
            Some(svg) => write(&home.join("chart.svg"), &svg),
            None => Ok(()),
        }
    }

    fn heading(&self) -> String {
        let machine = &self.machine;
        let gib = machine.memory_bytes as f64 / f64::from(1 << 30);
        format!(
            "commit {}; {} cores of {}, {gib:.0} GiB, Linux {}, TCP {}; PostgreSQL {}; load before {:.2}; {} rounds of {} rows",
            machine.commit,
            machine.cores,
            machine.processor,
            machine.kernel,
            machine.congestion_control,
            self.postgres,
            machine.load_before,
            self.size.rounds,
            self.size.rows
        )
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
