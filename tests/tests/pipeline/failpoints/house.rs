//! One life: a program that does some work and dies at a place, or does not, and one that goes on.

use std::process::ExitStatus;
use std::time::Duration;

use blacksmith_tests::db::Db;
use blacksmith_tests::lake::Lake;
use blacksmith_tests::stream::{Pipeline, Running};
use blacksmith_tests::wait;

use super::requests::{REQUESTS, Requests};
use super::work::Work;
use crate::arrange::server;

const WEBHOOK: &str = include_str!("../../../../examples/webhook-to-parquet.toml");

/// How long the armed program may take to do its work or to die.
const WORK_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the program that comes after it may take for the rest.
const REST_TIMEOUT: Duration = Duration::from_secs(60);
/// The same with bugs in it: one that never gets there is caught, and should be soon.
const REST_TIMEOUT_OF_BUGS: Duration = Duration::from_secs(10);

/// A pipeline with its work.
#[derive(Debug)]
pub(super) struct House {
    work: Work,
    db: Option<Db>,
    requests: Requests,
    pub(super) pipeline: Pipeline,
    /// Bugs that are planted in every program of this house.
    bugs: &'static str,
}

impl House {
    pub(super) fn new(work: Work, bugs: &'static str) -> House {
        let (db, mut pipeline) = match work {
            Work::Webhook => {
                let often = WEBHOOK.replace("max_age = \"1s\"", "max_age = \"100ms\"");
                (None, Pipeline::shipped(work.name(), &often))
            }
            _ => {
                let db = server().database(work.name());
                work.prepare(&db);
                let mut pipeline = Pipeline::new(&db);
                pipeline.set("destinations.lake", "batch", "{ max_age = \"100ms\" }");
                (Some(db), pipeline)
            }
        };
        let purge = "[{ interval = \"@daily\", status = [\"succeeded\"], older_than = \"0s\" }]";
        if work == Work::Backlog {
            pipeline.set("sources.shop", "catch_up_from", "\"64KiB\"");
        }
        pipeline.set("store", "path", "\"data\"");
        pipeline.set("store", "segment_bytes", "\"1MiB\"");
        pipeline.set("store", "purge", purge);
        House {
            work,
            db,
            requests: Requests::default(),
            pipeline,
            bugs,
        }
    }

    /// Does the work with a program that does what `plan` says: until it died or all is done, and what is settled purged.
    /// Says how it ended.
    pub(super) fn live(&self, plan: &str) -> ExitStatus {
        if let Some(db) = self.db.as_ref().filter(|_| self.work == Work::Backlog) {
            let status = self
                .start(&["run", "--until", "caught-up"])
                .wait(REST_TIMEOUT);
            assert_eq!(status.code(), Some(0), "{}", self.pipeline.said_last());
            self.work.write(db);
        }
        let mut program = self.pipeline.spawn_armed(&self.armed(plan), &["run"]);
        self.write(&mut program);
        let ended = wait::poll(WORK_TIMEOUT, || {
            (!program.runs() || self.is_done()).then_some(())
        });
        let said = || self.pipeline.said_last();
        assert!(
            ended.is_some(),
            "{plan}: it neither ends nor goes on\n{}",
            said()
        );
        let status = program.stop();
        match status.code() {
            Some(0) => self.die_again(plan, &["store", "purge"]),
            _ => status,
        }
    }

    /// Goes on with a program that does what `plan` says, through one command. Says how it ended.
    pub(super) fn die_again(&self, plan: &str, arguments: &[&str]) -> ExitStatus {
        let program = self.pipeline.spawn_armed(&self.armed(plan), arguments);
        program.wait(REST_TIMEOUT)
    }

    /// Lets the program stand still at `place`, at the given time of passing it, until its store has more behind it, and kills it.
    pub(super) fn die_with_more_behind(&self, place: &str, time: u64) {
        let db = self.db.as_ref().expect("work with a database");
        let mark = self.pipeline.path().join("stands-still");
        let plan = self.armed(&format!("{place}=pause:{}@{time}", mark.display()));
        let mut program = self.pipeline.spawn_armed(&plan, &["run"]);
        self.write(&mut program);
        wait::until(WORK_TIMEOUT, "the place", || mark.exists().then_some(()));
        self.work.write(db);
        let behind = db.value("select pg_current_wal_lsn()");
        self.work.write(db);
        let slot = self.pipeline.slot();
        let is_told = format!(
            "select confirmed_flush_lsn >= '{behind}' from pg_replication_slots where slot_name = '{slot}'"
        );
        wait::until(WORK_TIMEOUT, "the store to have more", || {
            (db.value(&is_told) == "t").then_some(())
        });
        program.kill9();
    }

    fn armed(&self, plan: &str) -> String {
        format!("{plan};{}", self.bugs)
    }

    /// The work, which goes on whether the program lives or not; but tables are there before their changes are.
    fn write(&self, program: &mut Running) {
        match &self.db {
            None => self.send(program),
            Some(db) => {
                // A slot that is being made is active, too, and what is written then is copied.
                let streams = format!(
                    "select count(*) from pg_replication_slots s join pg_stat_replication r on r.pid = s.active_pid
                     where slot_name = '{}' and state in ('catchup', 'streaming')",
                    self.pipeline.slot()
                );
                let mut session = db.session();
                wait::until(WORK_TIMEOUT, "the stream", || {
                    (!program.runs() || session.value(&streams) == "1").then_some(())
                });
                self.work.write(db);
            }
        }
    }

    fn send(&self, program: &mut Running) {
        let address = wait::poll(WORK_TIMEOUT, || match program.runs() {
            true => program.gateway_now().map(Some),
            false => Some(None),
        });
        if let Some(address) = address.flatten() {
            self.requests.send(&address);
        }
    }

    /// Whether everything is in the lake.
    fn is_done(&self) -> bool {
        let Some(db) = &self.db else {
            let lake = Lake::open(&self.pipeline.lake_path());
            return self.requests.are_answered()
                && lake.is_ok_and(|lake| lake.rows() == REQUESTS as u64);
        };
        let difference = self.pipeline.difference(db, self.work.tables());
        difference.is_some_and(|why| why.is_empty())
    }

    /// Goes on with a program in which nothing dies, to the end, and checks what is in the lake.
    pub(super) fn recover(&self) {
        if self.db.is_none() {
            let program = self.start(&["run"]);
            let address = program.gateway();
            self.requests.send(&address);
            let status = program.stop();
            assert_eq!(status.code(), Some(0), "{}", self.pipeline.said_last());
        }
        let patience = match self.bugs {
            "" => REST_TIMEOUT,
            _ => REST_TIMEOUT_OF_BUGS,
        };
        let rest = self.start(&["run", "--until", "caught-up"]);
        let status = rest.wait(patience);
        assert_eq!(status.code(), Some(0), "{}", self.pipeline.said_last());
        match &self.db {
            None => {
                assert!(self.requests.are_answered());
                self.requests.assert_stored(&self.pipeline.lake());
            }
            Some(db) => drop(self.pipeline.assert_equal(db, self.work.tables())),
        }
    }

    fn start(&self, arguments: &[&str]) -> Running {
        match self.bugs {
            "" => self.pipeline.spawn(arguments),
            bugs => self.pipeline.spawn_armed(bugs, arguments),
        }
    }

    /// How often each failpoint was passed, as far as the plan had it said: the most of one process.
    pub(super) fn passed(&self, name: &str) -> u64 {
        let said = self.pipeline.said();
        let begin = format!("failpoint {name}: ");
        let lines = said.lines().filter_map(|line| line.strip_prefix(&begin));
        let times = lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok());
        times.max().unwrap_or(0)
    }
}
