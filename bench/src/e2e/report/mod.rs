//! What a run came to: for a person as a table, for a program as JSON.

mod table;

use std::io::Write;

use serde::Serialize;

use super::arguments::Arguments;
use super::machine::Machine;
use super::size::Size;
use super::trial::Trial;
use super::{Result, postgres};

/// Everything of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: Machine,
    postgres: String,
    postgres_settings: String,
    size: Size,
    trials: Vec<Trial>,
}

impl Report {
    /// Of these trials.
    #[must_use]
    pub fn new(machine: Machine, postgres: String, size: Size, trials: Vec<Trial>) -> Report {
        Report {
            machine,
            postgres,
            postgres_settings: postgres::settings(),
            size,
            trials,
        }
    }

    /// Prints the tables, and writes what was asked for.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn publish(&self, arguments: &Arguments) -> Result<()> {
        let text = format!("{}\n{}", self.heading(), table::all(&self.trials));
        let printed = writeln!(std::io::stdout().lock(), "{text}");
        printed.map_err(|error| format!("standard output: {error}"))?;
        if let Some(path) = &arguments.json {
            let json = serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
            std::fs::write(path, json).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    fn heading(&self) -> String {
        let machine = &self.machine;
        let gib = machine.memory_bytes as f64 / f64::from(1 << 30);
        format!(
            "commit {}; {} cores of {}, {gib:.0} GiB, Linux {}; PostgreSQL {}; load before {:.2}; {} rounds of {} rows",
            machine.commit,
            machine.cores,
            machine.processor,
            machine.kernel,
            self.postgres,
            machine.load_before,
            self.size.rounds,
            self.size.rows
        )
    }
}
