//! The stock program as users run it: a folder with a configuration file, a command, an exit code.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use blacksmith_tests::db::Db;

use super::Result;
use super::build::Build;
use super::folder::{self, at};
use super::meter::{Ended, Running};

/// The longest that anything may take.
pub const PATIENCE: Duration = Duration::from_secs(900);

/// Where events are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sink {
    /// Decoded into record batches, then thrown away.
    Blackhole,
    /// Parquet with zstd 1, the default.
    Parquet,
}

impl Sink {
    /// Both.
    pub const ALL: [Sink; 2] = [Sink::Blackhole, Sink::Parquet];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Sink::Blackhole => "blackhole",
            Sink::Parquet => "parquet",
        }
    }

    fn section(self) -> &'static str {
        match self {
            Sink::Blackhole => "driver = \"blackhole\"\ntakes = \"rows\"\n",
            Sink::Parquet => "driver = \"parquet\"\npath = \"lake\"\n",
        }
    }
}

/// The publication, which the program makes.
pub const PUBLICATION: &str = "blacksmith";
/// How long a batch waits for company, unless that is what is measured: with the default of 10 s most of a backlog
/// would be loaded only when all of it has been read.
pub const AGE: &str = "1s";

/// What a program follows, and where to.
#[derive(Debug)]
pub struct Following<'a> {
    /// The database; all its tables.
    pub db: &'a Db,
    /// The slot.
    pub slot: &'a str,
    /// Where its changes are loaded.
    pub sink: Sink,
    /// Whether what is there is copied first.
    pub copied: bool,
    /// How long a batch waits for company.
    pub age: &'a str,
}

impl Following<'_> {
    fn snapshot(&self) -> &'static str {
        if self.copied { "initial" } else { "never" }
    }
}

/// A configured program: its folder has configuration, store and lake.
#[derive(Debug)]
pub struct Program {
    build: Build,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Program {
    /// One of this build that follows a database.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn following(build: &Build, folder: &Path, what: &Following<'_>) -> Result<Program> {
        let Following {
            db,
            slot,
            sink,
            age,
            ..
        } = what;
        let (snapshot, sink) = (what.snapshot(), sink.section());
        let configuration = format!(
            "[sources.shop]\ndriver = \"postgres\"\nurl = \"${{DATABASE_URL}}\"\nslot = \"{slot}\"\n\
             publication = \"{PUBLICATION}\"\nsnapshot = \"{snapshot}\"\n\
             [destinations.sink]\nschedule = {{ realtime = true }}\nbatch = {{ max_age = \"{age}\" }}\n{sink}\
             [[flows]]\nfrom = \"shop\"\nto = \"sink\"\n",
        );
        Program::configured(build, folder, &configuration, &db.url())
    }

    /// One of this build with this configuration, in which `${DATABASE_URL}` stands for `url`.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn configured(
        build: &Build,
        folder: &Path,
        configuration: &str,
        url: &str,
    ) -> Result<Program> {
        fs::create_dir_all(folder).map_err(|error| at(folder, &error))?;
        let file = folder.join("blacksmith.toml");
        fs::write(&file, configuration).map_err(|error| at(&file, &error))?;
        Ok(Program {
            build: build.clone(),
            folder: folder.into(),
            environment: vec![("DATABASE_URL", url.into())],
        })
    }

    /// The same program in another folder, with everything that is in this one.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn copied_to(&self, folder: &Path) -> Result<Program> {
        folder::remove(folder)?;
        folder::copy(&self.folder, folder)?;
        Ok(Program {
            build: self.build.clone(),
            folder: folder.into(),
            environment: self.environment.clone(),
        })
    }

    /// The same with a variable of the environment, which goes before a key of the configuration.
    #[must_use]
    pub fn set(mut self, variable: &'static str, value: &str) -> Program {
        self.environment.push((variable, value.into()));
        self
    }

    /// Starts it with `arguments`.
    ///
    /// # Errors
    /// When there is no such binary.
    pub fn start(&self, arguments: &[&str]) -> Result<Running> {
        let said =
            File::create(self.folder.join("said")).map_err(|error| at(&self.folder, &error))?;
        let mut command = Command::new(self.build.binary());
        command
            .args(arguments)
            .current_dir(&self.folder)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said);
        Running::start("blacksmith-stream", &mut command)
    }

    /// Runs `run --until caught-up` with `more` to its end.
    ///
    /// # Errors
    /// When it fails, with the end of what it said.
    pub fn catch_up(&self, more: &[&str]) -> Result<Ended> {
        let arguments = [&["run", "--until", "caught-up"], more].concat();
        let ended = self.start(&arguments)?.wait(PATIENCE)?;
        match ended.status.success() {
            true => Ok(ended),
            false => {
                super::stop::check()?;
                let how = format!(
                    "blacksmith-stream {}: {}",
                    arguments.join(" "),
                    ended.status
                );
                Err(self.explain(&how))
            }
        }
    }

    /// Why something failed, with the end of what the program said last.
    #[must_use]
    pub fn explain(&self, why: &str) -> String {
        const LINES: usize = 20;
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
        format!("{why}\n{last}{}", self.build.advice(&said))
    }

    /// What it said last.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.join("said")).unwrap_or_default()
    }

    /// The folder of its lake.
    #[must_use]
    pub fn lake(&self) -> PathBuf {
        self.folder.join("lake")
    }

    /// The folder of its log.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.join("blacksmith-data")
    }

    /// Of which build it is.
    #[must_use]
    pub fn build(&self) -> &Build {
        &self.build
    }

    /// Its own folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
