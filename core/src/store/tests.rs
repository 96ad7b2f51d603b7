//! Both stores against the contract, and what is the log's own: what a directory keeps.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::clock::Timestamp;
use crate::event::{About, FormatId};
use crate::job::Status;
use crate::log::{LogOptions, Retention, SystemDisk};
use crate::store::log::LogStore;
use crate::store::memory::MemoryStore;

fn open(dir: &tempfile::TempDir) -> LogStore {
    let options = LogOptions {
        segment_bytes: 1 << 20,
        ..LogOptions::default()
    };
    LogStore::open(
        dir.path(),
        options,
        SystemDisk::shared(),
        Retention::default(),
    )
    .unwrap()
    .0
}

fn draft(schema: SchemaId, count: u32, state: Vec<StateChange>) -> Draft {
    Draft {
        format: FormatId::JSON,
        received_at: Timestamp(5),
        tally: vec![Tally {
            schema,
            group: 0,
            count,
        }],
        envelope: Bytes::from_static(b"env"),
        body: Bytes::from(vec![b'x'; 100]),
        state,
    }
}

fn spans(store: &LogStore, from: u64) -> Vec<(u64, u64)> {
    let mut blocks = store.blocks(Position(from));
    let mut found = Vec::new();
    while let Some(block) = blocks.next().unwrap() {
        found.extend(block.span().map(|span| (span.first.0, span.last.0)));
    }
    found
}

/// Runs every claim of the contract on a new store, and names the one that does not hold.
fn keeps_the_contract(mut store: impl FnMut() -> Arc<dyn Store>) {
    for (name, claim) in conformance::ALL {
        println!("{name}");
        claim(store());
    }
}

/// STO-01 STO-04 STO-08
#[test]
fn the_log_keeps_the_contract() {
    let mut dirs = Vec::new();
    keeps_the_contract(|| {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(open(&dir));
        dirs.push(dir);
        store
    });
}

#[test]
fn memory_keeps_the_contract() {
    keeps_the_contract(|| Arc::new(MemoryStore::new(Retention::default()).unwrap()));
}

const WAIT: Duration = Duration::from_secs(10);

#[test]
fn what_is_appended_is_there_after_a_restart_with_all_names_and_state() {
    let dir = tempfile::tempdir().unwrap();
    let (source, lane, schema) = {
        let store = open(&dir);
        let source = store.register_source("shop").unwrap();
        assert_eq!(store.register_source("shop").unwrap(), source);
        let lane = store.register_lane("lake/append").unwrap();
        let schema = store
            .define(
                source,
                About::trigger("public.orders", Bytes::from_static(b"s")),
            )
            .unwrap();
        let state = vec![StateChange {
            key: "resume".into(),
            value: Bytes::from_static(b"7"),
        }];
        store
            .append(source, draft(schema, 10, state))
            .unwrap()
            .wait(WAIT)
            .unwrap();
        let span = Span::new(Position(1), Position(10));
        let transition = Transition {
            lane,
            span,
            status: Status::Executing,
            attempt: 1,
            at: Timestamp(1),
            error: None,
            command: None,
        };
        store.record(&[transition]).unwrap().wait(WAIT).unwrap();
        store.close().unwrap();
        (source, lane, schema)
    };
    let store = open(&dir);
    assert_eq!(store.register_source("shop").unwrap(), source);
    assert_eq!(store.register_lane("lake/append").unwrap(), lane);
    assert_eq!(&**store.schema(schema).unwrap().trigger(), "public.orders");
    assert_eq!(store.recall(source, "resume").unwrap(), "7");
    assert_eq!(spans(&store, 1), [(1, 10)]);
    let open: Vec<_> = store.lanes()[0].open().map(|open| open.status).collect();
    assert_eq!(open, [Status::Executing]);
    let history = store
        .transitions(Some(lane), Span::new(Position(3), Position(3)), 10)
        .unwrap();
    assert_eq!(history.len(), 1);
}

#[test]
fn a_stage_that_is_dropped_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let source = store.register_source("shop").unwrap();
    let schema = store
        .define(source, About::trigger("public.orders", Bytes::new()))
        .unwrap();
    let mut stage = store.stage(source).unwrap();
    stage
        .push(
            &[Tally {
                schema,
                group: 0,
                count: 4,
            }],
            vec![Bytes::from_static(b"a")],
        )
        .unwrap();
    drop(stage);
    store
        .append(source, draft(schema, 1, Vec::new()))
        .unwrap()
        .wait(WAIT)
        .unwrap();
    assert_eq!(spans(&store, 1), [(1, 1)]);
    let left = std::fs::read_dir(dir.path().join("staged"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "the staged file is gone");
}

#[test]
fn another_process_may_look_while_one_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let source = store.register_source("shop").unwrap();
    let schema = store
        .define(source, About::trigger("public.orders", Bytes::new()))
        .unwrap();
    store
        .append(source, draft(schema, 3, Vec::new()))
        .unwrap()
        .wait(WAIT)
        .unwrap();
    let looking = LogStore::open_read_only(dir.path()).unwrap();
    assert_eq!(looking.id(), store.id());
    assert_eq!(spans(&looking, 1), [(1, 3)]);
    assert!(looking.register_source("other").is_err());
    let looking: Arc<dyn Store> = Arc::new(looking);
    assert_eq!(looking.durable().upto(), Position(3));
}

/// A state of several frames: 20,000 scattered failures, each with a reason of its own.
#[test]
fn a_state_larger_than_a_frame_is_whole_after_a_restart_and_so_are_the_statistics() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let options = LogOptions {
            segment_bytes: 1 << 20,
            snapshot_frame_bytes: 10_000,
            ..LogOptions::default()
        };
        let retention = Retention::default();
        let opened = LogStore::open(dir.path(), options, SystemDisk::shared(), retention);
        opened.unwrap().0
    };
    let before = {
        let store = open();
        let source = store.register_source("shop").unwrap();
        let lane = store.register_lane("lake/append").unwrap();
        let about = About::trigger("public.orders", Bytes::new());
        let schema = store.define(source, about).unwrap();
        let append = || {
            let mut draft = draft(schema, 50_000, Vec::new());
            draft.body = Bytes::from(vec![b'x'; 700 << 10]);
            store.append(source, draft).unwrap().wait(WAIT).unwrap();
        };
        append();
        let failures = (0..20_000).map(|index| Transition {
            lane,
            span: Span::starting(Position(2 * index + 1), 1),
            status: Status::Failed,
            attempt: 1,
            at: Timestamp(5),
            error: Some(format!("order {index} is locked")),
            command: None,
        });
        let failures: Vec<_> = failures.collect();
        store.record(&failures).unwrap().wait(WAIT).unwrap();
        (0..4).for_each(|_| append());
        let seen = (store.lanes(), store.statistics());
        store.close().unwrap();
        seen
    };
    let store = open();
    assert!(store.segments().len() >= 3);
    assert_eq!((store.lanes(), store.statistics()), before);
    let lane = &before.0[0];
    assert_eq!(lane.open().count(), 20_000);
    assert_eq!(
        lane.state(Position(39_999)).error.as_deref(),
        Some("order 19999 is locked")
    );
}
