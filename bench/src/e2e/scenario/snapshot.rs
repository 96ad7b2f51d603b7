//! `snapshot`: the first copy of a table, from the program's start with an empty store until everything is loaded.

use std::path::{Path, PathBuf};
use std::time::Instant;

use blacksmith_tests::db::Db;

use super::Bench;
use crate::e2e::build::Build;
use crate::e2e::data::Data;
use crate::e2e::lake::{expect_rows, expect_rows_in_files};
use crate::e2e::meter::{self, Ended, Running, Usage};
use crate::e2e::peers::{Found, Peers};
use crate::e2e::program::{AGE, Following, PATIENCE, Program, Sink};
use crate::e2e::reading::Reading;
use crate::e2e::trial::{Contender, Trial};
use crate::e2e::{Result, ceiling, folder, postgres};

/// Tables have so many times the rows of a run: copies are faster than everything else.
const TIMES: u64 = 2;
/// Rows that one statement inserts.
const BULK: u64 = 100_000;

pub(super) fn hold(bench: &mut Bench) -> Result<Vec<Trial>> {
    let trials = Data::ALL.into_iter().map(|data| {
        let rows = bench.size.rows * TIMES;
        eprintln!("filling the table {}: {} rows", data.name(), rows);
        let table = Table::fill(bench, data, rows)?;
        let mut contenders = vec![
            Contender::ceiling("copy by psql", || table.copy_by_psql()),
            Contender::ceiling("copy by server", || table.copy_by_server()),
        ];
        let table = &table;
        contenders
            .extend(Sink::ALL.map(|sink| {
                Contender::ours(sink.name(), move |build| table.snapshot(build, sink))
            }));
        let peers = bench.peers.iter().flat_map(Peers::that_copy);
        contenders
            .extend(peers.map(|peer| Contender::peer(peer.name(), move || table.copy_by(peer))));
        let trial = Trial::hold("snapshot", data.name(), &bench.rounds, contenders)?;
        Ok(trial.of_row_bytes(table.row_bytes))
    });
    trials.collect()
}

struct Table {
    db: Db,
    folder: PathBuf,
    data: Data,
    rows: u64,
    row_bytes: f64,
    /// The page that divides it in two.
    middle: u64,
}

impl Table {
    fn fill(bench: &Bench, data: Data, rows: u64) -> Result<Table> {
        let db = bench.server.database(&format!("copy_{}", data.name()));
        let mut session = postgres::hurried(&db);
        let name = data.name();
        for statement in [
            data.create(name),
            data.fill(name, rows, BULK),
            format!("vacuum analyze {name}"),
        ] {
            postgres::rows(&mut session, &statement)?;
        }
        let pages =
            format!("select pg_relation_size('{name}') / current_setting('block_size')::int / 2");
        let middle = session.value(&pages).parse();
        Ok(Table {
            folder: bench.folder.path().join(db.name()),
            row_bytes: postgres::row_bytes(&mut session, name)?,
            middle: middle.map_err(|error| format!("the table's size: {error}"))?,
            db,
            data,
            rows,
        })
    }

    /// One `copy` for each half, to `target`.
    fn copies(&self, target: &str) -> [String; 2] {
        let Table { data, middle, .. } = self;
        ["<", ">="].map(|side| {
            let name = data.name();
            format!("copy (select * from {name} where ctid {side} '({middle},0)') to {target} (format binary)")
        })
    }

    /// Both halves at once by the server's own client, which throws them away.
    fn copy_by_psql(&self) -> Result<Reading> {
        self.measured(|| {
            let halves = self.copies("stdout").map(|copy| {
                let mut command = postgres::client(&self.db, "psql");
                command.args(["--no-psqlrc", "--quiet", "--command", &copy]);
                command.stdout(std::process::Stdio::null());
                Running::start("psql", &mut command)
            });
            let [first, second] = halves;
            let ended = [first?.wait(PATIENCE)?, second?.wait(PATIENCE)?];
            let usage = ended
                .iter()
                .map(|ended| ended.usage)
                .fold(Usage::default(), Usage::and);
            match ended.iter().find(|ended| !ended.status.success()) {
                Some(failed) => Err(format!("psql: {}", failed.status)),
                None => Ok(usage),
            }
        })
    }

    /// Both halves at once by the server itself: not even a socket between.
    fn copy_by_server(&self) -> Result<Reading> {
        self.measured(|| {
            std::thread::scope(|scope| {
                let halves = self.copies("'/dev/null'");
                let halves = halves.map(|copy| {
                    scope.spawn(move || postgres::rows(&mut self.db.session(), &copy).map(drop))
                });
                let ended =
                    halves.map(|half| half.join().map_err(|_| "a copy panicked".to_owned())?);
                ended.into_iter().collect::<Result<()>>()
            })?;
            Ok(Usage::default())
        })
    }

    /// Somebody else, into Parquet.
    fn copy_by(&self, peer: &Found) -> Result<Reading> {
        let lake = folder::empty(self.folder.join("peer"))?.join("lake");
        let words = [&self.db.url(), self.data.name()];
        let mut reading = self.measured(|| Ok(peer.work(&words, &lake, self.rows)?.usage))?;
        expect_rows_in_files(&lake, self.rows)?;
        reading.lake_bytes = folder::bytes(&lake);
        Ok(reading)
    }

    fn measured(&self, copy: impl FnOnce() -> Result<Usage>) -> Result<Reading> {
        ceiling::settle_disk();
        let (before, started) = (self.server_cpu_seconds(), Instant::now());
        let own = copy()?;
        Ok(Reading {
            rows: self.rows,
            seconds: started.elapsed().as_secs_f64(),
            own,
            server_cpu_seconds: self.server_cpu_seconds() - before,
            ..Reading::default()
        })
    }

    fn server_cpu_seconds(&self) -> f64 {
        meter::server_cpu_seconds(self.db.server().pid())
    }

    /// Our program of this build, with a store and a slot that are new.
    fn snapshot(&self, build: &Build, sink: Sink) -> Result<Reading> {
        folder::remove(&self.folder)?;
        let slot = format!("{}_{}", self.db.name(), sink.name());
        let what = Following {
            db: &self.db,
            slot: &slot,
            sink,
            copied: true,
            age: AGE,
        };
        let program = Program::following(build, &self.folder, &what)?;
        ceiling::settle_disk();
        let before = self.server_cpu_seconds();
        let ended = program.catch_up(&[])?;
        postgres::drop_slot(&mut self.db.session(), &slot)?;
        self.reading(&ended, before, sink, &program.lake())
    }

    fn reading(&self, ended: &Ended, before: f64, sink: Sink, lake: &Path) -> Result<Reading> {
        if sink == Sink::Parquet {
            expect_rows(lake, self.rows)?;
        }
        Ok(Reading {
            rows: self.rows,
            seconds: ended.seconds,
            own: ended.usage,
            server_cpu_seconds: self.server_cpu_seconds() - before,
            lake_bytes: folder::bytes(lake),
            ..Reading::default()
        })
    }
}
