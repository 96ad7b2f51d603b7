//! A backlog that every contender drains from its beginning, as often as it likes.
//!
//! Before anything is written, our program makes its slot in a first life, and its folder is kept as it then is; the slot is
//! copied under another name, and that copy is never read. Each reading takes a copy of both.

use std::path::{Path, PathBuf};

use blacksmith_tests::db::{Db, Session};
use blacksmith_tests::lake::Lake;
use blacksmith_tests::server::Server;

use super::data::Data;
use super::meter::{self, Ended};
use super::program::{AGE, Following, PUBLICATION, Program, Sink};
use super::reading::Reading;
use super::{Result, child, folder, framing, log, postgres, words};

/// The table of the one change behind every backlog: who receives it has received everything.
const END: &str = "the_end";
/// Rows of a transaction in bulk.
const BULK: u64 = 1_000;
/// Changes of a transaction of the mix, and what they are.
const MIXED: u64 = 100;
/// Tables that are written in turn.
const TABLES: u64 = 20;

/// What is written.
#[derive(Debug, Clone)]
pub struct Work {
    /// Its name in the report.
    pub name: String,
    /// Statements before the slot.
    pub setup: Vec<String>,
    /// Statements behind it: the backlog.
    pub load: Vec<String>,
    /// Changes that these make.
    pub changes: u64,
    /// One of the tables.
    pub table: String,
}

impl Work {
    /// Inserts, 1,000 in a transaction.
    #[must_use]
    pub fn bulk(data: Data, rows: u64) -> Work {
        Work::inserts(data, data.name(), rows, BULK)
    }

    /// Inserts, one in a transaction.
    #[must_use]
    pub fn singles(rows: u64) -> Work {
        Work::inserts(Data::Events, "singles", rows, 1)
    }

    /// Inserts, all in one transaction.
    #[must_use]
    pub fn huge(rows: u64) -> Work {
        Work::inserts(Data::Events, "huge", rows, rows)
    }

    fn inserts(data: Data, name: &str, rows: u64, each: u64) -> Work {
        Work {
            name: name.into(),
            setup: vec![data.create(data.name())],
            load: vec![data.fill(data.name(), rows, each)],
            changes: rows,
            table: data.name().into(),
        }
    }

    /// 25 inserts, 50 updates and 25 deletes in each transaction.
    #[must_use]
    pub fn mix(changes: u64) -> Work {
        let transactions = changes / MIXED;
        let (data, there) = (Data::Events, transactions * 75);
        let fresh = format!("{there} + n * 25");
        let insert = data.rows(&format!("{fresh} + 1"), &format!("{fresh} + 25"));
        let load = format!(
            "do $$ declare n bigint; begin for n in 0 .. {transactions} - 1 loop \
             insert into events {insert}; \
             update events set status = 'updated', weight = weight + 1 where id between n * 75 + 1 and n * 75 + 50; \
             delete from events where id between n * 75 + 51 and n * 75 + 75; \
             commit; end loop; end $$"
        );
        Work {
            name: "mix".into(),
            setup: vec![
                data.create("events"),
                data.fill("events", there, BULK),
                "analyze events".into(),
            ],
            load: vec![load],
            changes: transactions * MIXED,
            table: "events".into(),
        }
    }

    /// Inserts into 20 tables, 50 into each in every transaction.
    #[must_use]
    pub fn tables(rows: u64) -> Work {
        let data = Data::Events;
        let names: Vec<String> = (1..=TABLES)
            .map(|number| format!("events_{number:02}"))
            .collect();
        let transactions = rows / BULK;
        let each = BULK / TABLES;
        let select = data.rows(&format!("n * {each} + 1"), &format!("(n + 1) * {each}"));
        let inserts = names
            .iter()
            .map(|name| format!("insert into {name} {select};"));
        let load = format!(
            "do $$ declare n bigint; begin for n in 0 .. {transactions} - 1 loop {} commit; end loop; end $$",
            inserts.collect::<String>()
        );
        Work {
            name: "tables20".into(),
            setup: names.iter().map(|name| data.create(name)).collect(),
            load: vec![load],
            changes: transactions * BULK,
            table: "events_01".into(),
        }
    }
}

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
    folder: PathBuf,
    /// What it is.
    pub work: Work,
    /// Mean bytes of a row as text: what a change is counted as, whoever carries it.
    pub row_bytes: f64,
    end: String,
    sources: Vec<Source>,
}

/// Our program before the backlog, and its slot.
#[derive(Debug)]
struct Source {
    sink: Sink,
    program: Program,
    slot: String,
}

impl Source {
    fn base(&self) -> String {
        format!("{}_base", self.slot)
    }
}

impl Backlog {
    /// Makes the tables, the slots, and the backlog.
    ///
    /// # Errors
    /// When the program does not start, or the server refuses.
    pub fn prepare(server: &Server, folder: &Path, work: Work) -> Result<Backlog> {
        let db = server.database(&work.name);
        let folder = folder.join(db.name());
        let mut session = postgres::hurried(&db);
        run(&mut session, &work.setup)?;
        run(
            &mut session,
            &[format!("create table {END} (id int primary key)")],
        )?;
        let mut sources = Vec::new();
        for sink in Sink::ALL {
            sources.push(Source::make(&db, &folder, sink, &mut session)?);
        }
        run(&mut session, &work.load)?;
        let end = session.value("select pg_current_wal_insert_lsn()");
        run(
            &mut session,
            &[format!(
                "set synchronous_commit = on; insert into {END} values (1); checkpoint"
            )],
        )?;
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
            command
                .args([
                    "--start",
                    "--no-loop",
                    "--fsync-interval=0",
                    "--file=/dev/null",
                ])
                .arg(format!("--slot={slot}"))
                .arg(format!("--endpos={}", self.end))
                .args([
                    "-o",
                    "proto_version=2",
                    "-o",
                    "binary=true",
                    "-o",
                    "streaming=on",
                ])
                .args(["-o", &format!("publication_names={PUBLICATION}")]);
            super::ceiling::run("pg_recvlogical", &mut command)
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
        super::ceiling::settle_disk();
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
    pub fn drain(&self, sink: Sink, way: Way) -> Result<Reading> {
        let (program, mut reading) = self.ours(sink, way, &[])?;
        self.check(sink, &program, &mut reading)?;
        Ok(reading)
    }

    /// Our program's gateway alone: until everything is durable in its log.
    ///
    /// # Errors
    /// When it fails.
    pub fn drain_to_log(&self, way: Way) -> Result<Reading> {
        let (_, reading) = self.ours(Sink::Parquet, way, &["--service", "gateway"])?;
        Ok(reading)
    }

    /// Our program with everything in its log and nothing loaded: a lane that is far behind.
    ///
    /// # Errors
    /// When its gateway fails.
    pub fn behind(&self, sink: Sink) -> Result<Behind<'_>> {
        let (program, _) = self.ours(sink, Way::Batches, &["--service", "gateway"])?;
        let kept = self.folder.join(format!("behind-{}", sink.name()));
        let program = program.copied_to(&kept)?;
        Ok(Behind {
            backlog: self,
            sink,
            program,
        })
    }

    fn ours(&self, sink: Sink, way: Way, more: &[&str]) -> Result<(Program, Reading)> {
        let source = self.sources.iter().find(|source| source.sink == sink);
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
    fn check(&self, sink: Sink, program: &Program, reading: &mut Reading) -> Result<()> {
        if sink == Sink::Parquet {
            reading.lake_bytes = folder::bytes(&program.lake());
            expect_rows(&program.lake(), self.work.changes + 1)?; // and the end
        }
        Ok(())
    }
}

/// A log that holds a whole backlog.
#[derive(Debug)]
pub struct Behind<'a> {
    backlog: &'a Backlog,
    sink: Sink,
    program: Program,
}

impl Behind<'_> {
    /// Our program's scheduler alone, from its start until everything is loaded.
    ///
    /// # Errors
    /// When it fails, or not every change is in the lake.
    pub fn load(&self) -> Result<Reading> {
        let program = self.program.copied_to(&self.backlog.folder.join("life"))?;
        super::ceiling::settle_disk();
        let ended = program.catch_up(&["--service", "scheduler"])?;
        let mut reading = Reading {
            rows: self.backlog.work.changes,
            seconds: ended.seconds,
            own: ended.usage,
            ..Reading::default()
        };
        self.backlog.check(self.sink, &program, &mut reading)?;
        Ok(reading)
    }

    /// The log read from its beginning to its end, checksums and nothing else.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn replay(&self) -> Result<Reading> {
        let store = self.program.store();
        let mut reading = child::measure(&[log::REPLAY, words::word(&store)?])?;
        reading.rows = self.backlog.work.changes;
        Ok(reading)
    }
}

impl Drop for Behind<'_> {
    fn drop(&mut self) {
        if let Err(why) = folder::remove(self.program.folder()) {
            eprintln!("{why}");
        }
    }
}

/// Reads a lake's files and counts.
///
/// # Errors
/// When there are more rows or fewer than `expected`.
pub fn expect_rows(lake: &Path, expected: u64) -> Result<()> {
    let lake = Lake::open(lake)?;
    let mut rows = 0;
    for table in lake.tables() {
        lake.each_batch(&table, &mut |batch| rows += batch.num_rows() as u64)?;
    }
    match rows == expected && lake.rows() == expected {
        true => Ok(()),
        false => Err(format!(
            "the lake is wrong: {rows} rows in its files, {} in its commit records, expected {expected}",
            lake.rows()
        )),
    }
}

impl Source {
    /// Has the program make its slot, and keeps both as they are now.
    fn make(db: &Db, folder: &Path, sink: Sink, session: &mut Session) -> Result<Source> {
        let slot = format!("{}_{}", db.name(), sink.name());
        let folder = folder.join(sink.name());
        let what = Following {
            db,
            slot: &slot,
            sink,
            copied: false,
            age: AGE,
        };
        let program = Program::following(&folder, &what)?;
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
}

fn run(session: &mut Session, statements: &[String]) -> Result<()> {
    for statement in statements {
        super::stop::check()?;
        postgres::rows(session, statement)?;
    }
    Ok(())
}
