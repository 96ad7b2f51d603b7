//! A backlog that every contender drains from its beginning, as often as it likes.
//!
//! Before anything is written, our program makes its slot in a first life, and its folder is kept as it then is; the slot is
//! copied under another name, and that copy is never read. Each reading takes a copy of both.

use std::path::{Path, PathBuf};

use blacksmith_tests::db::{Db, Session};
use blacksmith_tests::server::Server;

use super::build::{Build, Builds};
use super::lake::{expect_rows, expect_rows_in_files};
use super::meter::{self, Ended};
use super::peers::{Found, Peers};
use super::program::{AGE, Following, PUBLICATION, Program, Sink};
use super::reading::Reading;
use super::work::Work;
use super::{Result, ceiling, child, folder, framing, postgres};

/// The table of the one change behind every backlog: who receives it has received everything.
const END: &str = "the_end";

/// How our program reads what is before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As a stream, whatever there is.
    Stream,
    /// In batches over SQL while there is much, as it does by itself.
    Batches,
}

impl Way {
    /// The variable that says so, and its value.
    fn setting(self) -> (&'static str, &'static str) {
        let value = match self {
            Way::Stream => "false",
            Way::Batches => "true",
        };
        ("BLACKSMITH__SOURCES__SHOP__CATCH_UP", value)
    }
}

/// A backlog that is there.
#[derive(Debug)]
pub struct Backlog {
    db: Db,
    pub(super) folder: PathBuf,
    /// What it is.
    pub work: Work,
    /// Mean bytes of a row as text: what a change is counted as, whoever carries it.
    pub row_bytes: f64,
    end: String,
    sources: Vec<Source>,
}

/// Our program of one build before the backlog, and its slot.
#[derive(Debug)]
struct Source {
    sink: Sink,
    program: Program,
    slot: String,
}

impl Source {
    /// Has the program make its slot, and keeps both as they are now.
    fn make(
        db: &Db,
        folder: &Path,
        build: &Build,
        sink: Sink,
        session: &mut Session,
    ) -> Result<Source> {
        let name = format!("{}_{}", sink.name(), build.label());
        let slot = format!("{}_{name}", db.name());
        let folder = folder.join(name);
        let what = Following {
            db,
            slot: &slot,
            sink,
            copied: false,
            age: AGE,
        };
        let program = Program::following(build, &folder, &what)?;
        program.catch_up(&[])?;
        let source = Source {
            sink,
            program,
            slot,
        };
        postgres::copy_slot(session, &source.slot, &source.base())?;
        postgres::drop_slot(session, &source.slot)?;
        Ok(source)
    }

    fn base(&self) -> String {
        format!("{}_base", self.slot)
    }
}

impl Backlog {
    /// Makes the tables, the slots, and the backlog.
    ///
    /// # Errors
    /// When the program does not start, or the server refuses.
    pub fn prepare(
        server: &Server,
        folder: &Path,
        work: Work,
        builds: &Builds,
        peers: Option<&Peers>,
    ) -> Result<Backlog> {
        let db = server.database(&work.name);
        let folder = folder.join(db.name());
        let mut session = postgres::hurried(&db);
        let setup = format!("create table {END} (id int primary key)");
        run(&mut session, &work.setup)?;
        run(&mut session, &[setup])?;
        let mut sources = Vec::new();
        for build in builds.all() {
            for sink in Sink::ALL {
                sources.push(Source::make(&db, &folder, build, sink, &mut session)?);
            }
        }
        for peer in peers.into_iter().flat_map(Peers::that_drain) {
            if let Some(plugin) = peer.plugin() {
                let base = format!("{}_{}_base", db.name(), peer.key());
                let make =
                    format!("select pg_create_logical_replication_slot('{base}', '{plugin}')");
                run(&mut session, &[make])?;
            }
        }
        run(&mut session, &work.load)?;
        let end = session.value("select pg_current_wal_insert_lsn()");
        let last = format!("insert into {END} values (1)");
        let synced = "set synchronous_commit = on".to_owned();
        run(&mut session, &[synced, last, "checkpoint".to_owned()])?;
        let row_bytes = postgres::row_bytes(&mut session, &work.table)?;
        Ok(Backlog {
            db,
            row_bytes,
            folder,
            work,
            end,
            sources,
        })
    }

    /// The server's own tool, writing to nowhere, asked for what our program asks for.
    ///
    /// # Errors
    /// When it fails.
    pub fn pg_recvlogical(&self) -> Result<Reading> {
        self.measured(|slot| {
            let mut command = postgres::client(&self.db, "pg_recvlogical");
            command.args("--start --no-loop --fsync-interval=0 --file=/dev/null".split(' '));
            command.args("-o proto_version=2 -o binary=true -o streaming=on".split(' '));
            command
                .arg(format!("--option=publication_names={PUBLICATION}"))
                .arg(format!("--slot={slot}"))
                .arg(format!("--endpos={}", self.end));
            ceiling::run("pg_recvlogical", &mut command)
        })
    }

    /// Our own connection, which counts messages.
    ///
    /// # Errors
    /// When it fails.
    pub fn framing(&self) -> Result<Reading> {
        self.measured(|slot| {
            let url = self.db.url();
            child::run(&[framing::COMMAND, &url, slot, PUBLICATION, &self.end])
        })
    }

    /// Somebody else, into Parquet.
    ///
    /// # Errors
    /// When it cannot be run here, fails, or does not write every change.
    pub fn drain_by(&self, peer: &Found) -> Result<Reading> {
        let slot = format!("{}_{}", self.db.name(), peer.key());
        let mut session = self.db.session();
        if peer.plugin().is_some() {
            postgres::copy_slot(&mut session, &format!("{slot}_base"), &slot)?;
        }
        let lake = folder::empty(self.folder.join("peer"))?.join("lake");
        let Work { table, changes, .. } = &self.work;
        let (url, end) = (self.db.url(), &self.end);
        let words = [&url, &slot, PUBLICATION, table, end];
        let mut reading =
            self.reading(&slot, &mut session, || peer.work(&words, &lake, *changes))?;
        expect_rows_in_files(&lake, *changes)?;
        reading.lake_bytes = folder::bytes(&lake);
        Ok(reading)
    }

    /// A reading of somebody who drains a slot of its own.
    fn measured(&self, drain: impl FnOnce(&str) -> Result<Ended>) -> Result<Reading> {
        let source = self.sources.first().ok_or("a backlog has sources")?;
        let slot = format!("{}_other", source.slot);
        let mut session = self.db.session();
        postgres::copy_slot(&mut session, &source.base(), &slot)?;
        self.reading(&slot, &mut session, || drain(&slot))
    }

    fn reading(
        &self,
        slot: &str,
        session: &mut Session,
        drain: impl FnOnce() -> Result<Ended>,
    ) -> Result<Reading> {
        ceiling::settle_disk();
        let before = self.server_cpu_seconds();
        let ended = drain()?;
        // Its walsender has ended, so what it took is complete.
        postgres::drop_slot(session, slot)?;
        Ok(Reading {
            rows: self.work.changes,
            seconds: ended.seconds,
            own: ended.usage,
            server_cpu_seconds: self.server_cpu_seconds() - before,
            ..Reading::default()
        })
    }

    fn server_cpu_seconds(&self) -> f64 {
        meter::server_cpu_seconds(self.db.server().pid())
    }

    /// Our program, from its start until everything is loaded, and checked.
    ///
    /// # Errors
    /// When it fails, or not every change is in the lake.
    pub fn drain(&self, build: &Build, sink: Sink, way: Way) -> Result<Reading> {
        let (program, mut reading) = self.ours(build, sink, way, &[])?;
        self.check(sink, &program, &mut reading)?;
        Ok(reading)
    }

    /// Our program's gateway alone: until everything is durable in its log.
    ///
    /// # Errors
    /// When it fails.
    pub fn drain_to_log(&self, build: &Build, way: Way) -> Result<Reading> {
        let (_, reading) = self.ours(build, Sink::Parquet, way, &["--service", "gateway"])?;
        Ok(reading)
    }

    pub(super) fn ours(
        &self,
        build: &Build,
        sink: Sink,
        way: Way,
        more: &[&str],
    ) -> Result<(Program, Reading)> {
        let mut sources = self.sources.iter();
        let source = sources.find(|own| own.sink == sink && own.program.build() == build);
        let source = source.ok_or("no source was made for this sink")?;
        let mut session = self.db.session();
        postgres::copy_slot(&mut session, &source.base(), &source.slot)?;
        let (variable, value) = way.setting();
        let program = source.program.copied_to(&self.folder.join("life"))?;
        let program = program.set(variable, value);
        let reading = self.reading(&source.slot, &mut session, || program.catch_up(more))?;
        Ok((program, reading))
    }

    /// Holds the lake against what was written.
    pub(super) fn check(&self, sink: Sink, program: &Program, reading: &mut Reading) -> Result<()> {
        if sink == Sink::Parquet {
            reading.lake_bytes = folder::bytes(&program.lake());
            expect_rows(&program.lake(), self.work.changes + 1)?; // and the end
        }
        Ok(())
    }
}

fn run(session: &mut Session, statements: &[String]) -> Result<()> {
    for statement in statements {
        super::stop::check()?;
        postgres::rows(session, statement)?;
    }
    Ok(())
}
