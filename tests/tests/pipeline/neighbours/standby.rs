//! A standby that is promoted: the same cluster by its number, another timeline, and maybe without our slot.

use blacksmith_tests::db::Db;
use blacksmith_tests::server::{Options, Server, Stop};
use blacksmith_tests::stream::Pipeline;
use blacksmith_tests::wait;

use super::writer::{SQL, TABLES};
use crate::arrange::{SOON, options};

/// A primary, its standby, and a pipeline whose URL names both and asks for whichever is the primary.
struct Pair {
    primary: Server,
    standby: Server,
    db: Db,
    pipeline: Pipeline,
}

impl Pair {
    fn start(options: Options, name: &str, standby: &[(&str, &str)]) -> Pair {
        let primary = Server::start(options);
        let db = primary.database(name);
        db.execute(SQL);
        let mut pipeline = Pipeline::new(&db);
        if !standby.is_empty() {
            db.execute("select pg_create_physical_replication_slot('standby', true)");
        }
        let standby = primary.standby(standby);
        let host = |server: &Server| format!("127.0.0.1:{}", server.port());
        let both = format!("{},{}", host(&primary), host(&standby));
        let url = db.program_url().replace(&host(&primary), &both);
        pipeline.set_url(&format!("{url}?target_session_attrs=primary"));
        Pair {
            primary,
            standby,
            db,
            pipeline,
        }
    }

    /// The database on the standby.
    fn twin(&self) -> Db {
        self.standby.existing(self.db.name())
    }

    /// Writes a row, and waits until lake and standby have it; then the standby takes over.
    fn fail_over(&self) {
        self.db
            .execute("insert into b values (100001, 'the last of the old primary')");
        self.pipeline.wait_equal(&self.db, &TABLES, SOON);
        let twin = self.twin();
        wait::until(SOON, "the standby to have the last row", || {
            twin.rows("select 1 from b where id = 100001").pop()
        });
        self.primary.stop(Stop::Fast);
        self.standby.promote();
    }

    /// How many changes of `public.b` are in the lake, whatever they are.
    fn changes_of_b(&self) -> usize {
        let log = self.pipeline.lake().change_log("public.b").unwrap();
        log.entries().unwrap().len()
    }
}

#[test]
fn a_promoted_standby_without_our_slot_is_refused_and_what_to_do_is_said() {
    let mut pair = Pair::start(options(), "promoted", &[]);
    let program = pair.pipeline.start();
    pair.pipeline.wait_equal(&pair.db, &TABLES, SOON);
    pair.fail_over();
    let status = program.wait(SOON);
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
    let said = pair.pipeline.said();
    for word in [
        "the server was promoted: timeline 1 became 2",
        "timeline = 2",
        "begin anew",
    ] {
        assert!(
            said.contains(word),
            "nothing about {word:?}:\n{}",
            pair.pipeline.said_last()
        );
    }
    // Rows that only the new primary has, and the timeline accepted: without a slot nothing goes on silently.
    pair.twin()
        .execute("insert into b values (100002, 'lost to everybody without a slot')");
    pair.pipeline.set("sources.shop", "timeline", "2");
    let before = pair.pipeline.said().len();
    let status = pair.pipeline.spawn(&["run"]).wait(SOON);
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
    let said = pair.pipeline.said()[before..].to_owned();
    assert!(said.contains("does not exist any more"), "{said}");
    let slots = pair
        .twin()
        .value("select count(*) from pg_replication_slots");
    assert_eq!(slots, "0", "a slot was made unasked");
    // What the old primary had is there, once.
    assert_eq!(pair.changes_of_b(), 5001);
}

/// PostgreSQL 17 and later carry a slot over, when they are told to.
#[test]
fn a_failover_slot_goes_on_at_the_promoted_standby_once_the_timeline_is_accepted() {
    for version in [17, 18] {
        if !blacksmith_tests::server::binaries::versions().contains(&version) {
            continue; // BLACKSMITH_ONE_VERSION asks for the machine's own only
        }
        let mut settings = options();
        settings.version = Some(version);
        let standby = [
            ("primary_slot_name", "standby"),
            ("hot_standby_feedback", "on"),
            ("sync_replication_slots", "on"),
            ("synchronized_standby_slots", ""), // it has no standby of its own when it is promoted
        ];
        let settings = settings.set("synchronized_standby_slots", "standby");
        let mut pair = Pair::start(settings, "carried_over", &standby);
        pair.pipeline.set("sources.shop", "failover", "true");
        let program = pair.pipeline.start();
        pair.pipeline.wait_equal(&pair.db, &TABLES, SOON);
        let synced = format!(
            "select 1 from pg_replication_slots where slot_name = '{}' and synced and not temporary",
            pair.pipeline.slot()
        );
        let twin = pair.twin();
        wait::until(SOON, "the slot to be carried over", || {
            pair.db.execute("select pg_log_standby_snapshot()");
            twin.rows(&synced).pop()
        });
        pair.fail_over();
        let status = program.wait(SOON);
        assert!(status.code().is_some_and(|code| code != 0), "{status}");
        assert!(
            pair.pipeline.said().contains("set `timeline = 2`"),
            "{}",
            pair.pipeline.said_last()
        );
        twin.execute("insert into b values (100002, 'the first of the new primary'); delete from a where id < 50");
        pair.pipeline.set("sources.shop", "timeline", "2");
        let program = pair.pipeline.start();
        pair.pipeline.wait_equal(&twin, &TABLES, SOON);
        assert!(program.terminate().success());
        pair.pipeline.assert_equal(&twin, &TABLES);
        assert_eq!(pair.changes_of_b(), 5002);
    }
}
