//! A private Postgres: own data folder, own port, own socket, gone when the test is.
//!
//! A server is a copy of a cached `initdb` template under `target/pg/`, started beside a small
//! watching shell that holds one end of a pipe from this process. However the test process ends
//! (return, panic, SIGKILL), the pipe closes, and the shell stops the server by its pid and removes
//! its folder. Should even that shell be killed, the next start finds the folder by its dead owner
//! and clears it ([`leaked`]).
//!
//! Postgres refuses to run as root, so under root it runs as an unprivileged account
//! ([`account`]). Nobody's existing cluster is ever touched.
//!
//! The tests of one process share one server and take a database each:
//!
//! ```no_run
//! let db = blacksmith_tests::server::Server::shared().database("orders");
//! db.execute("create table t (id int primary key)");
//! ```

pub mod account;
pub mod binaries;
mod cluster;
mod leaked;
mod process;
mod standby;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use rustix::process::Signal;

use crate::db::{Db, Session};
use crate::folder;
use binaries::Binaries;
use cluster::Cluster;
use process::Process;

/// Name of the superuser of every private server.
pub const USER: &str = "postgres";

/// Password of [`USER`], in every URL; a canary, so that a leak into a log is found by `grep`.
pub const PASSWORD: &str = "canary-Pa55word";

/// How often a start is repeated: another process may take the chosen port first, and shared
/// memory of a killed server is free only when its last process has gone.
const START_ATTEMPTS_MAX: u32 = 100;

/// How long a server may take to answer; recovery after a kill is included.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How TCP clients prove who they are. The Unix socket trusts everyone in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// Anyone may connect.
    Trust,
    /// SCRAM-SHA-256 with [`PASSWORD`].
    #[default]
    Scram,
}

/// What a private server is made of.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Major version; `None` takes the one found on the machine.
    pub version: Option<u32>,
    /// How TCP clients authenticate.
    pub auth: Auth,
    /// Lines put before the others in `pg_hba.conf`.
    pub hba: Vec<String>,
    /// Settings of `postgresql.conf`, later ones win over the bench's own.
    pub config: Vec<(String, String)>,
    /// Files for the data folder (certificates), readable by the server alone.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Options {
    /// The same with one more setting.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.config.push((name.into(), value.into()));
        self
    }
}

/// How a server is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Waits for clients to leave.
    Smart,
    /// Disconnects clients, checkpoints.
    Fast,
    /// No checkpoint: recovery at the next start.
    Immediate,
}

/// A private Postgres. Cheap to clone; the last clone dropped stops it and removes its folder.
#[derive(Debug, Clone)]
pub struct Server(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cluster: Cluster,
    version: u32,
    process: Mutex<Option<Process>>,
    databases: AtomicU32,
}

impl Server {
    /// The server that all tests of this process share, with default options.
    ///
    /// # Panics
    /// When it cannot be started, saying what is missing.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Server::start(Options::default()))
    }

    /// A server of major `version` (14 to 18) with default options.
    ///
    /// # Panics
    /// When its binaries are neither here nor to be had from npm, saying why.
    #[must_use]
    pub fn version(version: u32) -> Server {
        Server::start(Options {
            version: Some(version),
            ..Options::default()
        })
    }

    /// Starts a new server and waits until it answers.
    ///
    /// # Panics
    /// When it cannot be started, saying what is missing, with the end of the server's log.
    #[must_use]
    pub fn start(options: Options) -> Server {
        match Server::try_start(options) {
            Ok(server) => server,
            Err(why) => panic!("no private Postgres: {why}"),
        }
    }

    fn try_start(options: Options) -> Result<Server, String> {
        let account = account::Account::of_server()?;
        let home = cluster::home(&account)?;
        leaked::clear(&home);
        let binaries = Binaries::find(options.version, &home, &account)?;
        let version = binaries.major;
        let cluster = Cluster::create(home, account, binaries, options)?;
        let server = Server(Arc::new(Inner {
            cluster,
            version,
            process: Mutex::new(None),
            databases: AtomicU32::new(0),
        }));
        server.launch()?;
        Ok(server)
    }

    fn launch(&self) -> Result<(), String> {
        let mut held = self.process();
        for _ in 0..START_ATTEMPTS_MAX {
            let mut process = Process::spawn(&self.0.cluster)?;
            match self.wait_ready(&mut process) {
                Ok(()) => {
                    *held = Some(process);
                    return Ok(());
                }
                Err(why) => {
                    process.stop("QUIT");
                    self.0.cluster.survive_failed_start(&why)?;
                }
            }
        }
        Err(format!(
            "it did not start in {START_ATTEMPTS_MAX} attempts; its log ends:\n{}",
            self.log_tail()
        ))
    }

    fn wait_ready(&self, process: &mut Process) -> Result<(), String> {
        let ready = crate::wait::poll(READY_TIMEOUT, || {
            if Session::try_connect(&self.socket_config("postgres")).is_ok() {
                return Some(Ok(()));
            }
            process.has_ended().then(|| Err(self.log_tail()))
        });
        ready.unwrap_or_else(|| {
            Err(format!(
                "no answer in {READY_TIMEOUT:?}:\n{}",
                self.log_tail()
            ))
        })
    }

    /// Stops the server and waits until it has ended. Stopping a stopped server does nothing.
    pub fn stop(&self, how: Stop) {
        let signal = match how {
            Stop::Smart => "TERM",
            Stop::Fast => "INT",
            Stop::Immediate => "QUIT",
        };
        self.end(signal);
    }

    /// Kills the postmaster with SIGKILL, as the kernel does when memory runs out.
    pub fn kill9(&self) {
        self.end("KILL");
    }

    /// Kills every process of the server with SIGKILL, as when its container ends.
    pub fn kill9_all(&self) {
        for child in self.children() {
            folder::signal(child, Signal::KILL);
        }
        self.kill9(); // before it has done anything about it
    }

    /// Kills one of its processes with SIGKILL: the postmaster ends all the others and recovers.
    ///
    /// # Panics
    /// When it does not run, or has none to kill.
    pub fn crash(&self) {
        let child = self.children().first().copied(); // one that serves no client: it lives long
        folder::signal(child.expect("a server has processes"), Signal::KILL);
    }

    /// The postmaster's own processes.
    fn children(&self) -> Vec<u32> {
        let Some(postmaster) = self.pid() else {
            return Vec::new();
        };
        let file = format!("/proc/{postmaster}/task/{postmaster}/children");
        let pids = std::fs::read_to_string(file).unwrap_or_default();
        pids.split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    }

    fn end(&self, signal: &str) {
        if let Some(process) = self.process().take() {
            process.stop(signal);
        }
    }

    /// Starts the stopped server again, on the same port with the same data.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn resume(&self) {
        if let Err(why) = self.launch() {
            panic!("Postgres did not come up again: {why}");
        }
    }

    /// Stops the server (fast) and starts it again.
    pub fn restart(&self) {
        self.stop(Stop::Fast);
        self.resume();
    }

    /// Appends settings to `postgresql.conf`; they hold from the next reload or restart.
    pub fn configure(&self, settings: &[(&str, &str)]) {
        self.0.cluster.append_config(settings);
    }

    /// A new, empty database whose name begins with `name`, dropped with its slots when the
    /// [`Db`] is.
    #[must_use]
    pub fn database(&self, name: &str) -> Db {
        let number = self.0.databases.fetch_add(1, Ordering::Relaxed);
        Db::create(self.clone(), format!("{name}_{number}"))
    }

    /// The database `name`, which exists already and is left alone.
    #[must_use]
    pub fn existing(&self, name: &str) -> Db {
        Db::existing(self.clone(), name.into())
    }

    /// URL of `database` over TCP, with user and password.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let port = self.port();
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}")
    }

    /// Port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.cluster.port()
    }

    /// Folder of the Unix socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        self.0.cluster.socket_dir()
    }

    /// Data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.0.cluster.data_dir()
    }

    /// Full version, such as `15.20`.
    #[must_use]
    pub fn full_version(&self) -> &str {
        &self.0.cluster.binaries.version
    }

    /// The path of a client program of this version, such as `pg_recvlogical`: beside the server's own program, also
    /// where only that one is linked to from elsewhere.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        let server = self.0.cluster.binaries.program("postgres");
        server.canonicalize().unwrap_or(server).with_file_name(name)
    }

    /// Major version, such as 15.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.0.version
    }

    /// Pid of the postmaster, when it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Process::pid)
    }

    /// What the server has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.0.cluster.log()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.0
            .process
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn socket_config(&self, database: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(self.socket_dir())
            .port(self.port())
            .user(USER)
            .dbname(database)
            .application_name("blacksmith-tests");
        config
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let process = self.process.get_mut();
        let process = process.unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(process.take());
        self.cluster.remove();
    }
}
