//! Every supported version of Postgres.

use std::time::Duration;

use blacksmith_tests::server::{Server, binaries};
use blacksmith_tests::stream::Pipeline;
use blacksmith_tests::wait;
use blacksmith_tests::workload::Workload;

use crate::arrange::{SOON, options};
use crate::catch_up;
use crate::relay::Relay;

/// A server of this version, with the settings of this tier.
fn server_of(version: u32) -> Server {
    let mut options = options();
    options.version = Some(version);
    Server::start(options)
}

#[test]
fn every_supported_version_streams_exactly() {
    for version in binaries::versions() {
        let db = server_of(version).database("version");
        let mut workload = Workload::small(u64::from(version));
        workload.transactions = 40;
        workload.create(&db);
        let pipeline = Pipeline::new(&db);
        let mut program = pipeline.start();
        let summary = workload.run(&db);
        wait::poll(Duration::from_millis(200), || {
            (!program.runs()).then_some(())
        });
        program.kill9();
        pipeline.catch_up();
        let tables = Workload::published(&db);
        let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
        eprintln!("version {version}: {summary:?}");
        pipeline.assert_equal(&db, &tables);
    }
}

/// A server forgets what is committed in its first wait while it makes a slot: by itself it would
/// then decode `t` without its new column, and of `u` nothing at all.
#[test]
fn a_slot_made_while_tables_change_knows_them_as_they_are() {
    for version in binaries::versions() {
        let db = server_of(version).database("amid_changes");
        db.execute(
            "create table t (id int primary key, a text); insert into t values (1, 'old');
             create table u (id int primary key); insert into u values (1)",
        );
        let pipeline = Pipeline::new(&db);
        let mut relay = Relay::begin(&db);
        let program = pipeline.start();
        relay.run_until_begun(&pipeline.slot());
        relay.hand_over(|_| db.execute("alter table t add b text; truncate u"));
        relay.wait_awaited();
        relay.hand_over(|next| {
            next.execute("insert into t values (2, 'new', 'column'); insert into u values (2)");
        });
        relay.end();
        db.execute("insert into t values (3, 'newer', 'column'); insert into u values (3)");
        pipeline.wait_equal(&db, &["public.t", "public.u"], SOON);
        assert!(program.terminate().success());
        let digests = pipeline.assert_equal(&db, &["public.t", "public.u"]);
        assert_eq!(
            (digests[0].rows, digests[1].rows),
            (3, 2),
            "version {version}"
        );
    }
}

#[test]
fn every_supported_version_gives_a_backlog_in_batches() {
    for version in binaries::versions() {
        let db = server_of(version).database("backlog");
        db.execute(catch_up::TABLES);
        let mut pipeline = Pipeline::new(&db);
        pipeline.set("sources.shop", "catch_up_from", "\"64KiB\"");
        pipeline.catch_up();
        catch_up::fall_behind(&db, 1);
        pipeline.catch_up();
        let said = pipeline.said();
        assert!(said.contains(catch_up::ENDS), "version {version}: {said}");
        pipeline.assert_equal(&db, &catch_up::COMPARED);
    }
}
