//! The scenarios, each a file: what is done, by whom, beside which ceiling.

mod behind;
mod drain;
mod http;
mod jobs;
mod log;
mod restart;
mod snapshot;
mod steady;

use std::path::PathBuf;

use blacksmith_tests::server::Server;

use super::arguments::Arguments;
use super::backlog::Backlog;
use super::build::{Build, Builds};
use super::folder::{self, Folder};
use super::machine::Machine;
use super::peers::Peers;
use super::report::Report;
use super::size::Size;
use super::trial::{Rounds, Trial};
use super::work::Work;
use super::{Result, before, postgres, stop};

/// What scenarios share: the server, the folder, and backlogs that several of them drain.
#[derive(Debug)]
struct Bench {
    // Before the server and the folder: databases are dropped while the server runs.
    backlogs: Vec<Backlog>,
    peers: Option<Peers>,
    server: Server,
    folder: Folder,
    size: Size,
    rounds: Rounds,
}

/// Runs the scenarios that were asked for.
///
/// # Errors
/// The first failure; what was seen until then is not reported, because half a run compares with nothing.
pub fn measure(arguments: &Arguments) -> Result<Report> {
    let machine = Machine::look();
    let folder = Folder::take()?;
    let rounds = Rounds {
        count: arguments.size.rounds,
        only: arguments.only.clone(),
        builds: builds(&folder, arguments)?,
    };
    let before = rounds.builds.before.as_ref().and_then(Build::commit);
    let before = before.map(str::to_owned);
    eprintln!("starting a private Postgres");
    let server = postgres::start();
    let peers = arguments
        .peers
        .then(|| Peers::look_for(&server, &folder.kept("peers")))
        .transpose()?;
    let mut bench = Bench {
        backlogs: Vec::new(),
        peers,
        server,
        folder,
        size: arguments.size,
        rounds,
    };
    let mut trials = Vec::new();
    for name in &arguments.scenarios {
        stop::check()?;
        trials.extend(bench.scenario(name)?);
    }
    trials.retain(|trial| !trial.contenders.is_empty());
    if trials.is_empty() {
        return Err(
            "nobody ran: --only takes names as the table has them, such as \"parquet, catch-up\""
                .into(),
        );
    }
    let version = bench.server.full_version().to_owned();
    let peers = bench.peers.as_ref().map_or("none".into(), Peers::versions);
    let size = arguments.size;
    Ok(Report::new(machine, version, peers, before, size, trials))
}

/// The program of this tree, and of the revision that it is to be held against: built now.
fn builds(folder: &Folder, arguments: &Arguments) -> Result<Builds> {
    let before = arguments.against.as_ref().map(|revision| {
        let home = folder.kept("before");
        before::build(&home, revision)
    });
    Ok(Builds {
        own: Build::of_this_tree()?,
        before: before.transpose()?,
    })
}

impl Bench {
    fn scenario(&mut self, name: &str) -> Result<Vec<Trial>> {
        if !shares_backlogs(name) {
            self.backlogs.clear();
        }
        match name {
            "snapshot" => snapshot::hold(self),
            "drain" => drain::hold(self),
            "singles" => self.whole(name, Work::singles(self.size.rows / 4)),
            "mix" => self.whole(name, Work::mix(self.size.rows / 2)),
            "huge" => self.whole(name, Work::huge(self.size.rows)),
            "tables20" => self.whole(name, Work::tables(self.size.rows)),
            "behind" => behind::hold(self),
            "steady" => steady::hold(self),
            "http" => http::hold(self),
            "jobs" => jobs::hold(self),
            "log" => log::hold(self),
            "restart" => restart::hold(self),
            _ => Err(format!("there is no scenario {name}")),
        }
    }

    /// A backlog that no other scenario drains, and the whole way of it.
    fn whole(&self, name: &str, work: Work) -> Result<Vec<Trial>> {
        let backlog = self.write(work)?;
        Ok(vec![drain::whole(name, &backlog, &self.rounds)?])
    }

    /// The backlog of this work, made now unless an earlier scenario needed it.
    fn backlog(&mut self, work: Work) -> Result<(&Backlog, Option<&Peers>)> {
        let there = self
            .backlogs
            .iter()
            .position(|own| own.work.name == work.name);
        let index = match there {
            Some(index) => index,
            None => {
                let backlog = self.write(work)?;
                self.backlogs.push(backlog);
                self.backlogs.len() - 1
            }
        };
        Ok((&self.backlogs[index], self.peers.as_ref()))
    }

    fn write(&self, work: Work) -> Result<Backlog> {
        eprintln!(
            "writing the backlog {}: {} changes",
            work.name, work.changes
        );
        let (folder, builds) = (self.folder.path(), &self.rounds.builds);
        Backlog::prepare(&self.server, folder, work, builds, self.peers.as_ref())
    }

    /// An empty folder of this name.
    fn empty(&self, name: &str) -> Result<PathBuf> {
        folder::empty(self.folder.path().join(name))
    }
}

/// Whether it drains what another scenario has written: such follow each other, and room on the disk is precious.
fn shares_backlogs(name: &str) -> bool {
    ["drain", "behind"].contains(&name)
}
