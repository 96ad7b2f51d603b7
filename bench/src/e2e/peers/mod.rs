//! Other tools that do the same work in the same run, where packages bring them: `--peers`.
//!
//! A peer is one [`Peer`] in a file of its own, and a program below `bench/peers` that has the tool do our work. The programs of one
//! [`Job`] are told the same words; each prints its versions when that is all it is asked, ends when what it wrote is on
//! disk, and prints how many rows that is, which are also counted in its files. What is fetched or built goes below
//! `target/bench/peers`. A peer that cannot be had here, or fails, ends no run: that is said at once, and stands in the tables.

mod said;
mod launcher;
mod program;
mod wal2json;
mod debezium;
mod adbc;
mod duckdb;
mod dlt;

use std::path::Path;

use blacksmith_tests::server::Server;

use self::launcher::Launcher;
use self::program::Program;
use super::meter::Ended;
use super::{Result, stop};

/// All of them.
static ALL: [Peer; 5] = [
    wal2json::PEER,
    debezium::PEER,
    adbc::PEER,
    duckdb::PEER,
    dlt::PEER,
];

/// Somebody else's tool, and how it is had.
#[derive(Debug)]
struct Peer {
    /// Its name in the report.
    name: &'static str,
    /// The same in the names of slots and folders.
    key: &'static str,
    job: Job,
    program: Program,
    /// Has the server ready for it; an error says what to install.
    server: fn(&Server) -> Result<()>,
}

/// For peers that need nothing of the server but what is in it.
fn any_server(_: &Server) -> Result<()> {
    Ok(())
}

/// What a peer can do, and the words that its program is told before the folder that its Parquet files go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Drain a slot: URL, slot, publication, table, the position behind the backlog.
    Drain {
        /// The output plugin of its slot.
        plugin: &'static str,
    },
    /// Copy a table: URL, table.
    Copy,
}

/// All peers, looked for on this machine.
#[derive(Debug)]
pub struct Peers(Vec<Found>);

/// A peer that was looked for: it can be run, or it is known why not.
#[derive(Debug)]
pub struct Found {
    peer: &'static Peer,
    ready: Result<Ready>,
}

#[derive(Debug)]
struct Ready {
    launcher: Launcher,
    versions: String,
}

impl Peers {
    /// Installs below `home` what is not there yet.
    ///
    /// # Errors
    /// Only when somebody asks us to stop: of a peer that cannot be had, standard error says at once why, and the tables later.
    pub fn look_for(server: &Server, home: &Path) -> Result<Peers> {
        let found = ALL.iter().map(|peer| {
            let ready = peer.install(server, home);
            stop::check()?;
            match &ready {
                Ok(ready) => eprintln!("peer {}: {}", peer.name, ready.versions),
                Err(why) => eprintln!("peer {} WILL NOT RUN: {why}", peer.name),
            }
            Ok(Found { peer, ready })
        });
        found.collect::<Result<_>>().map(Peers)
    }

    /// What they are, for the report.
    #[must_use]
    pub fn versions(&self) -> String {
        let all = self.0.iter().map(|found| match &found.ready {
            Ok(ready) => format!("{} ({})", found.peer.name, ready.versions),
            Err(_) => format!("{} (not here)", found.peer.name),
        });
        all.collect::<Vec<_>>().join("; ")
    }

    /// Those that drain slots, whether they can be run or not.
    pub fn that_drain(&self) -> impl Iterator<Item = &Found> {
        let all = self.0.iter();
        all.filter(|found| matches!(found.peer.job, Job::Drain { .. }))
    }

    /// Those that copy tables.
    pub fn that_copy(&self) -> impl Iterator<Item = &Found> {
        self.0.iter().filter(|found| found.peer.job == Job::Copy)
    }
}

impl Peer {
    fn install(&self, server: &Server, home: &Path) -> Result<Ready> {
        let launcher = self.program.install(&home.join(self.key))?;
        (self.server)(server)?;
        let versions = launcher.versions().map_err(|why| {
            let key = self.key;
            format!("{why}; remove target/bench/peers/{key} to have it installed anew")
        })?;
        Ok(Ready { launcher, versions })
    }
}

impl Found {
    /// Its name in the report.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.peer.name
    }

    /// Its name in those of slots.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.peer.key
    }

    /// The plugin of the slot that it would drain; none when there will be nobody to drain it.
    #[must_use]
    pub fn plugin(&self) -> Option<&'static str> {
        match self.peer.job {
            Job::Drain { plugin } => self.ready.is_ok().then_some(plugin),
            Job::Copy => None,
        }
    }

    /// Has it do its job as `words` say, into files below `lake`, which is not there yet.
    ///
    /// # Errors
    /// Why it cannot be run here, or failed, or that it says to have written other than `rows` rows.
    pub fn work(&self, words: &[&str], lake: &Path, rows: u64) -> Result<Ended> {
        let ready = self.ready.as_ref().map_err(Clone::clone)?;
        let ended = ready.launcher.run(words, lake)?;
        match ended.printed.trim() {
            printed if printed.parse() == Ok(rows) => Ok(ended),
            printed => Err(format!("it says to have written {printed} of {rows} rows")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_cannot_be_had_says_why_when_it_is_asked_to_work() {
        let why = "pip has no network".to_owned();
        let peers = Peers(vec![Found {
            peer: &ALL[0],
            ready: Err(why.clone()),
        }]);
        let found = peers.that_drain().next().unwrap();
        assert_eq!(found.plugin(), None);
        let lake = Path::new("nowhere");
        assert_eq!(found.work(&[], lake, 1).unwrap_err(), why);
        assert!(peers.versions().ends_with("(not here)"));
    }

    #[test]
    fn no_two_peers_share_a_slot_or_a_folder() {
        let mut keys: Vec<&str> = ALL.iter().map(|peer| peer.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), ALL.len());
    }
}
