//! The program itself, `blacksmith-stream`, as a user runs it: a configuration file, an
//! environment variable, a command, a signal.
//!
//! Each [`Pipeline`] has a folder of its own with configuration, store and lake. Everything the
//! program says goes to files there, so that it can be killed at any moment and still be heard.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;

use crate::db::Db;
use crate::failpoints;
use crate::folder::{Folder, signal};
use crate::lake::compare::compare;
use crate::lake::digest::Digest;
use crate::lake::{Lake, parse_lsn};
use crate::roles;
use crate::wait;

/// How long it may take until the program listens.
pub const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a graceful stop may take before the test says it hangs.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// How long `run --until caught-up` may take.
pub const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(180);

/// What the program says when it copies what is missing.
const NEW_SNAPSHOT: &str = "\"copying under a new snapshot\"";

/// A configured pipeline into one lake.
#[derive(Debug)]
pub struct Pipeline {
    folder: Folder,
    environment: BTreeMap<&'static str, String>,
    /// A configuration file that users are given, before everything else.
    shipped: String,
    sections: BTreeMap<String, BTreeMap<String, String>>,
    /// Where the events of the shop go.
    destinations: Vec<String>,
}

impl Pipeline {
    /// A pipeline of all tables of `db`, with a slot of its own, that loads within a second. Its program
    /// logs in as a role that is no superuser ([`crate::roles`]).
    #[must_use]
    pub fn new(db: &Db) -> Pipeline {
        roles::employ(db);
        Pipeline::logging_in(db, &db.program_url())
    }

    /// The same whose program logs in with this URL.
    #[must_use]
    pub fn logging_in(db: &Db, url: &str) -> Pipeline {
        let mut pipeline = Pipeline {
            folder: Folder::new(db.name()),
            environment: BTreeMap::from([("DATABASE_URL", url.to_owned())]),
            shipped: String::new(),
            sections: BTreeMap::new(),
            destinations: vec!["lake".into()],
        };
        let text = |value: &str| format!("\"{value}\"");
        pipeline.set("application", "name", &text("tests"));
        pipeline.set("store", "path", &text("data"));
        pipeline.set("sources.shop", "driver", &text("postgres"));
        pipeline.set("sources.shop", "url", &text("${DATABASE_URL}"));
        pipeline.set("sources.shop", "publication", &text("blacksmith"));
        pipeline.set("sources.shop", "slot", &text(&pipeline.slot_of(db)));
        pipeline.set("sources.shop", "tables", "[\"public.*\"]");
        pipeline.set("destinations.lake", "driver", &text("parquet"));
        pipeline.set("destinations.lake", "path", &text("lake"));
        pipeline.set("destinations.lake", "schedule", "{ realtime = true }");
        pipeline.set("destinations.lake", "batch", "{ max_age = \"300ms\" }");
        pipeline
    }

    /// The pipeline of a configuration file that users are given, with a gateway that takes a free port.
    #[must_use]
    pub fn shipped(name: &str, configuration: &str) -> Pipeline {
        let address = ("BLACKSMITH__GATEWAY__ADDRESS", "127.0.0.1:0".to_owned());
        Pipeline {
            folder: Folder::new(name),
            environment: BTreeMap::from([address]),
            shipped: configuration.into(),
            sections: BTreeMap::new(),
            destinations: Vec::new(),
        }
    }

    fn slot_of(&self, db: &Db) -> String {
        format!("bs_{}", db.name()) // slots belong to the whole server
    }

    /// Name of the replication slot.
    #[must_use]
    pub fn slot(&self) -> String {
        self.sections["sources.shop"]["slot"]
            .trim_matches('"')
            .into()
    }

    /// Sets one key of the configuration to a TOML value.
    pub fn set(&mut self, section: &str, key: &str, value: &str) {
        let section = self.sections.entry(section.into()).or_default();
        section.insert(key.into(), value.into());
    }

    /// Leads the events to one more destination.
    pub fn flow(&mut self, destination: &str) {
        self.destinations.push(destination.into());
    }

    /// Takes another URL for the database.
    pub fn set_url(&mut self, url: &str) {
        self.environment.insert("DATABASE_URL", url.into());
    }

    /// Gives the program one more variable of the environment.
    pub fn set_env(&mut self, name: &'static str, value: &str) {
        self.environment.insert(name, value.into());
    }

    /// The folder of everything.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Folder of the lake.
    #[must_use]
    pub fn lake_path(&self) -> PathBuf {
        self.path().join("lake")
    }

    /// The lake as it is now.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn lake(&self) -> Lake {
        self.open_lake().unwrap_or_else(|why| panic!("{why}"))
    }

    fn open_lake(&self) -> Result<Lake, String> {
        let lake = Lake::open(&self.lake_path())?;
        Ok(lake.copied_until(self.newest_snapshot()))
    }

    /// The LSN of the last snapshot under which the program copied what was missing, as it said; 0 for none.
    fn newest_snapshot(&self) -> u64 {
        let said = self.said();
        let lines = said.lines().filter(|line| line.contains(NEW_SNAPSHOT));
        let lsns = lines.filter_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            parse_lsn(line.get("lsn")?.as_str()?)
        });
        lsns.max().unwrap_or(0)
    }

    fn configuration(&self) -> String {
        let mut text = self.shipped.clone();
        for (name, keys) in &self.sections {
            text.push_str(&format!("[{name}]\n"));
            for (key, value) in keys {
                text.push_str(&format!("{key} = {value}\n"));
            }
        }
        for destination in &self.destinations {
            text.push_str(&format!(
                "[[flows]]\nfrom = \"shop\"\nto = \"{destination}\"\n"
            ));
        }
        text
    }

    /// Starts the program with `arguments`; what it says is appended to the files of this folder.
    ///
    /// # Panics
    /// When the program does not exist.
    #[must_use]
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        self.spawn_program(program(), arguments, None)
    }

    /// The same with the program that has failpoints, which does what `plan` says.
    ///
    /// # Panics
    /// When the program does not exist.
    #[must_use]
    pub fn spawn_armed(&self, plan: &str, arguments: &[&str]) -> Running {
        self.spawn_program(failpoints::program(), arguments, Some(plan))
    }

    fn spawn_program(&self, program: &Path, arguments: &[&str], plan: Option<&str>) -> Running {
        self.write_configuration();
        let said_before = self.said().len();
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.path())
            .envs(&self.environment)
            .envs(plan.map(|plan| (failpoints::VARIABLE, plan)))
            .stdin(Stdio::null())
            .stdout(self.output("stdout"))
            .stderr(self.output("stderr"))
            .spawn();
        Running {
            child: child.unwrap_or_else(|error| panic!("{}: {error}", program.display())),
            folder: self.path().into(),
            said_before,
        }
    }

    /// By a rename: a program that was just started may be reading it.
    fn write_configuration(&self) {
        let file = self.path().join("blacksmith.toml");
        let draft = self.path().join("blacksmith.toml.draft");
        let written = std::fs::write(&draft, self.configuration());
        let renamed = written.and_then(|()| std::fs::rename(&draft, &file));
        renamed.expect("our own folder is writable");
    }

    fn output(&self, name: &str) -> File {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path().join(name));
        file.expect("our own folder is writable")
    }

    /// Starts `run`.
    #[must_use]
    pub fn start(&self) -> Running {
        self.spawn(&["run"])
    }

    /// Runs a command to its end: its exit code (none when a signal ended it).
    ///
    /// # Panics
    /// When it takes longer than [`CATCH_UP_TIMEOUT`].
    pub fn run(&self, arguments: &[&str]) -> Option<i32> {
        self.spawn(arguments).wait(CATCH_UP_TIMEOUT).code()
    }

    /// Runs until everything that Postgres has now is in the lake.
    ///
    /// # Panics
    /// When the program fails, with the end of what it said.
    #[track_caller]
    pub fn catch_up(&self) {
        let code = self.run(&["run", "--until", "caught-up"]);
        assert!(
            code == Some(0),
            "run --until caught-up: {code:?}\n{}",
            self.said_last()
        );
    }

    /// What the program wrote to stderr so far.
    #[must_use]
    pub fn said(&self) -> String {
        read(&self.path().join("stderr"))
    }

    /// What the program wrote to stdout so far.
    #[must_use]
    pub fn printed(&self) -> String {
        read(&self.path().join("stdout"))
    }

    /// The end of what the program said.
    #[must_use]
    pub fn said_last(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Checks that each of `tables` folds to what Postgres has, and that the lake keeps all its
    /// promises; the digests, in order. The program must be at rest.
    ///
    /// # Panics
    /// With the first differences, or the violations.
    #[track_caller]
    pub fn assert_equal(&self, db: &Db, tables: &[&str]) -> Vec<Digest> {
        let lake = self.lake();
        let violations = lake.violations().unwrap_or_else(|why| panic!("{why}"));
        assert!(
            violations.is_empty(),
            "violations:\n{}",
            violations.join("\n")
        );
        let mut session = db.session();
        let compared = tables
            .iter()
            .map(|table| compare(&mut session, &lake, table));
        let compared: Result<Vec<_>, _> = compared.collect();
        compared.unwrap_or_else(|why| panic!("{why}\n{}", self.said_last()))
    }

    /// In what the lake folds otherwise than Postgres has it: nothing when it is equal, none when the lake
    /// cannot be read right now.
    #[must_use]
    pub fn difference(&self, db: &Db, tables: &[&str]) -> Option<String> {
        let lake = self.open_lake().ok()?;
        let mut session = db.session();
        let mut compared = tables
            .iter()
            .map(|table| compare(&mut session, &lake, table));
        Some(compared.find_map(Result::err).unwrap_or_default())
    }

    /// Waits until each of `tables` in the lake folds to what Postgres has, while the program runs.
    ///
    /// # Panics
    /// When `timeout` passes first, with the differences that are left.
    #[track_caller]
    pub fn wait_equal(&self, db: &Db, tables: &[&str], timeout: Duration) {
        let mut left = String::new();
        let equal = wait::poll(timeout, || {
            left = self.difference(db, tables)?;
            left.is_empty().then_some(())
        });
        assert!(
            equal.is_some(),
            "not equal after {timeout:?}: {left}\n{}",
            self.said_last()
        );
    }
}

/// A started program; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    folder: PathBuf,
    /// Bytes that earlier runs had said.
    said_before: usize,
}

impl Running {
    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// When the kernel cannot say.
    #[must_use]
    pub fn runs(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child can be asked")
            .is_none()
    }

    /// Where its gateway listens, as soon as it does.
    ///
    /// # Panics
    /// When it does not within [`START_TIMEOUT`].
    #[must_use]
    pub fn gateway(&self) -> String {
        let address = wait::poll(START_TIMEOUT, || self.gateway_now());
        address.unwrap_or_else(|| panic!("no gateway listens:\n{}", self.said()))
    }

    /// Where its gateway listens, if it does already.
    #[must_use]
    pub fn gateway_now(&self) -> Option<String> {
        self.address_of("blacksmith-gateway")
    }

    /// Where its scheduler listens, as soon as it does.
    ///
    /// # Panics
    /// When it does not within [`START_TIMEOUT`].
    #[must_use]
    pub fn scheduler(&self) -> String {
        let address = wait::poll(START_TIMEOUT, || self.address_of("blacksmith-scheduler"));
        address.unwrap_or_else(|| panic!("no scheduler listens:\n{}", self.said()))
    }

    fn address_of(&self, service: &str) -> Option<String> {
        let said = read(&self.folder.join("stderr"));
        let mut lines = said[self.said_before..].lines();
        let line = lines.find(|line| {
            line.contains("\"listening\"") && line.contains(&format!("\"service\":\"{service}\""))
        })?;
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line["address"].as_str().map(str::to_owned)
    }

    /// SIGKILL, in the middle of whatever it does.
    pub fn kill9(self) {
        drop(self);
    }

    /// SIGTERM, once it listens for signals, and the end it comes to.
    ///
    /// # Panics
    /// When it has ended before, or does not end within [`STOP_TIMEOUT`].
    #[track_caller]
    pub fn terminate(mut self) -> ExitStatus {
        wait::poll(STOP_TIMEOUT, || {
            (!self.runs() || self.listens()).then_some(())
        });
        assert!(self.runs(), "it ended by itself:\n{}", self.said());
        signal(self.pid(), Signal::TERM);
        self.wait(STOP_TIMEOUT)
    }

    /// SIGTERM, unless it has ended by itself, and the end it comes to.
    ///
    /// # Panics
    /// When it does not end within [`STOP_TIMEOUT`].
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        if self.runs() {
            signal(self.pid(), Signal::TERM);
        }
        self.wait(STOP_TIMEOUT)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When `timeout` passes first.
    #[track_caller]
    pub fn wait(mut self, timeout: Duration) -> ExitStatus {
        let ended = wait::poll(timeout, || self.child.try_wait().ok().flatten());
        match ended {
            Some(status) => status,
            None => panic!("it still runs after {timeout:?}:\n{}", self.said()),
        }
    }

    /// Memory it holds now, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.status_kib("VmRSS:") * 1024
    }

    /// The most memory it ever held, in bytes.
    #[must_use]
    pub fn memory_bytes_peak(&self) -> u64 {
        self.status_kib("VmHWM:") * 1024
    }

    /// How many files and sockets it has open now.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.pid());
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }

    fn status_kib(&self, field: &str) -> u64 {
        let status = read(Path::new(&format!("/proc/{}/status", self.pid())));
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// Whether this very run has said that it runs.
    fn listens(&self) -> bool {
        let said = read(&self.folder.join("stderr"));
        said[self.said_before..].contains("\"message\":\"running\"")
    }

    fn said(&self) -> String {
        let said = read(&self.folder.join("stderr"));
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let ended = self.child.kill().and_then(|()| self.child.wait());
            if let Err(error) = ended {
                eprintln!("cannot end blacksmith-stream: {error}");
            }
        }
    }
}

fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The program under test: `BLACKSMITH_STREAM_BIN`, or built now, so that it is never an old one.
///
/// # Panics
/// When it does not build.
#[must_use]
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("BLACKSMITH_STREAM_BIN") {
        Some(path) => path.into(),
        None => build("blacksmith-stream", &[]),
    })
}

/// Builds a binary of the package `blacksmith-stream`.
pub(crate) fn build(binary: &str, more: &[&str]) -> PathBuf {
    let target = crate::target_dir();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "blacksmith-stream",
            "--bin",
            binary,
            "--target-dir",
        ])
        .arg(&target)
        .args(more)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{binary} does not build"
    );
    target.join("debug").join(binary)
}
