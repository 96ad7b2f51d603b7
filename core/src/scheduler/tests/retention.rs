//! What a real log may drop behind a lane.

use std::path::Path;

use super::*;
use crate::event::{Commit, Excluded};
use crate::log::{LogOptions, SyncMode, SystemDisk};
use crate::store::log::LogStore;

/// A log of the smallest segments that keeps nothing settled.
fn open_log(dir: &Path) -> Arc<LogStore> {
    let options = LogOptions {
        segment_bytes: 1 << 20,
        sync: SyncMode::Never,
        ..LogOptions::default()
    };
    let nothing = Retention {
        max_age: Duration::ZERO,
        max_bytes: 0,
    };
    let opened = LogStore::open(dir, options, SystemDisk::shared(), nothing);
    Arc::new(opened.unwrap().0)
}

/// A block of five numbers that fills more than half a segment.
fn append_large(lab: &Lab) {
    let padding = "0".repeat(120_000);
    let lines: Vec<_> = (1..=5).map(|n| format!("{padding}{n}")).collect();
    lab.append_lines(lab.routed, &lines);
}

fn lab(store: Arc<dyn Store>, turns: Vec<Turn>) -> Lab {
    let mut setup = Setup::default().turns(turns);
    setup.batch.rows_max = 5;
    setup.batch.age_max = Duration::ZERO;
    setup.open_over(store)
}

#[tokio::test]
async fn segments_go_when_they_are_settled_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_log(dir.path());
    let told = Arc::new(Notify::new());
    let turns = vec![Turn::Succeed, Turn::Succeed, Turn::Wait(Arc::clone(&told))];
    let mut lab = lab(Arc::clone(&store) as Arc<dyn Store>, turns);
    for _ in 0..6 {
        append_large(&lab);
    }
    for _ in 0..3 {
        lab.next().await;
    }
    // The third batch is in hand: positions 11 to 15 are not settled.
    let end = Timestamp(i64::MAX);
    store.retain(end).unwrap();
    assert!(
        (Position(2)..=Position(11)).contains(&store.oldest()),
        "{}",
        store.oldest()
    );
    let mut blocks = store.blocks(Position(11));
    assert_eq!(blocks.next().unwrap().unwrap().first, Position(11));
    told.notify_one();
    lab.settled(30).await;
    store.retain(end).unwrap();
    assert_eq!(store.segments().len(), 1, "the one being written stays");
    assert!(store.oldest() > Position(11));
}

#[tokio::test]
async fn staged_files_go_with_their_segments() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_log(dir.path());
    let lab = lab(Arc::clone(&store) as Arc<dyn Store>, Vec::new());
    let mut stage = store.stage(lab.source).unwrap();
    let tally = Tally {
        schema: lab.routed,
        group: 0,
        count: 2,
    };
    stage
        .push(&[tally], vec![Bytes::from_static(b"1\n2")])
        .unwrap();
    let commit = Commit {
        format: FormatId::JSON,
        received_at: Timestamp(0),
        envelope: Bytes::new(),
        excluded: Excluded::default(),
        state: Vec::new(),
    };
    stage.commit(commit).unwrap();
    let staged = || {
        std::fs::read_dir(dir.path().join("staged"))
            .unwrap()
            .count()
    };
    lab.settled(2).await;
    assert_eq!(staged(), 1);
    for _ in 0..3 {
        append_large(&lab);
    }
    lab.settled(17).await;
    store.retain(Timestamp(i64::MAX)).unwrap();
    assert_eq!(staged(), 0);
    assert!(store.oldest() > Position(2));
}
