//! The scenarios, each a file: what is done, by whom, beside which ceiling.

mod drain;

use blacksmith_tests::server::Server;

use super::arguments::Arguments;
use super::backlog::{Backlog, Work};
use super::folder::Folder;
use super::machine::Machine;
use super::report::Report;
use super::size::Size;
use super::trial::Trial;
use super::{Result, postgres, stop};

/// All scenarios, in the order in which they run.
pub const NAMES: [&str; 1] = ["drain"];

/// What scenarios share: the server, the folder, and backlogs that several of them drain.
#[derive(Debug)]
pub struct Bench {
    // Before the folder and the server: databases are dropped while the server runs.
    backlogs: Vec<Backlog>,
    server: Server,
    folder: Folder,
    size: Size,
}

/// Runs the scenarios that were asked for.
///
/// # Errors
/// The first failure; what was seen until then is not reported, because half a run compares with nothing.
pub fn measure(arguments: &Arguments) -> Result<Report> {
    let machine = Machine::look();
    let folder = Folder::take()?;
    eprintln!("starting a private Postgres");
    let mut bench = Bench {
        backlogs: Vec::new(),
        server: postgres::start(),
        folder,
        size: arguments.size,
    };
    let mut trials = Vec::new();
    for name in &arguments.scenarios {
        stop::check()?;
        trials.extend(bench.scenario(name)?);
    }
    let version = bench.server.full_version().to_owned();
    Ok(Report::new(machine, version, arguments.size, trials))
}

impl Bench {
    fn scenario(&mut self, name: &str) -> Result<Vec<Trial>> {
        match name {
            "drain" => drain::hold(self),
            _ => Err(format!("there is no scenario {name}")),
        }
    }

    /// The backlog of this work, made now unless an earlier scenario needed it.
    fn backlog(&mut self, work: Work) -> Result<&Backlog> {
        let there = self
            .backlogs
            .iter()
            .position(|own| own.work.name == work.name);
        let index = match there {
            Some(index) => index,
            None => {
                eprintln!(
                    "writing the backlog {}: {} changes",
                    work.name, work.changes
                );
                let backlog = Backlog::prepare(&self.server, self.folder.path(), work)?;
                self.backlogs.push(backlog);
                self.backlogs.len() - 1
            }
        };
        Ok(&self.backlogs[index])
    }
}
