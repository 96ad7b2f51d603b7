//! Which folder belongs to which store, and what was committed before.

use blacksmith_core::error::{Advice, Kind};
use blacksmith_core::event::StoreId;
use blacksmith_core::finding::Severity;
use blacksmith_core::position::{Position, Span};

use super::*;
use crate::parquet::folder::memory::{MemoryFolder, Step};
use crate::parquet::folder::{Folder, LocalFolder};
use crate::parquet::{Parquet, ParquetOptions};
use blacksmith_core::destination::{Destination, Rows};

fn one_table(first: u64, last: u64) -> Batch {
    Batch::new(first, last, vec![rows(1, "a.t", first, last)])
}

#[tokio::test]
async fn a_load_that_is_committed_succeeds_again_and_changes_nothing() {
    let folder = MemoryFolder::default();
    let before = lake(folder.clone());
    load(&before, one_table(1, 3)).await.unwrap();
    load(&before, one_table(4, 6)).await.unwrap();
    let paths = folder.paths();
    // Nothing may be written: whatever is tried fails.
    folder.fail_at(Step::Put, 0);
    for again in [one_table(4, 6), one_table(1, 3)] {
        assert!(load(&lake(folder.clone()), again.attempt(2)).await.unwrap());
    }
    assert_eq!(folder.paths(), paths);
    assert_eq!(sequence(&folder).await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_load_that_is_committed_in_other_pieces_is_refused() {
    let folder = MemoryFolder::default();
    let lake = lake(folder.clone());
    load(&lake, one_table(1, 3)).await.unwrap();
    load(&lake, one_table(4, 6)).await.unwrap();
    for (first, last) in [(4, 7), (3, 6), (5, 6), (1, 6), (2, 2), (6, 9)] {
        let error = load(&lake, one_table(first, last)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{first}..{last}");
        assert!(
            error.advised().unwrap().contains("restore the store"),
            "{error:?}"
        );
    }
    assert_eq!(sequence(&folder).await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn rows_that_are_not_where_their_span_or_their_order_says_are_refused() {
    let misplaced = |positions: &[u64], span: Span| Rows {
        span,
        ..rows_at(1, "a.t", positions)
    };
    let cases = [
        (
            misplaced(&[2, 3], span(1, 3)),
            "the first is at 2, the last at 3",
        ),
        (
            misplaced(&[1, 2], span(1, 3)),
            "the first is at 1, the last at 2",
        ),
        (
            misplaced(&[1, 3, 2, 3], span(1, 3)),
            "row 2 is at 2, behind 3",
        ),
    ];
    for (rows, why) in cases {
        let folder = MemoryFolder::default();
        let lake = lake(folder.clone());
        let refused = load(&lake, Batch::new(1, 3, [rows])).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Refused);
        assert!(refused.to_string().contains(why), "{refused}");
        assert!(sequence(&folder).await.is_empty());
    }
    // Both rows of a key that changed have one position.
    let folder = MemoryFolder::default();
    let pair = [misplaced(&[1, 2, 2, 3], span(1, 3))];
    assert!(
        load(&lake(folder.clone()), Batch::new(1, 3, pair))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_folder_of_another_store_is_never_written() {
    let folder = MemoryFolder::default();
    load(&lake(folder.clone()), one_table(1, 3)).await.unwrap();
    let paths = folder.paths();
    let mut other = toolkit();
    other.store = StoreId(0xbad);
    let lake = lake(folder.clone());
    let error = init(&lake, &other).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(
        error
            .report()
            .contains("another store (00c0ffee, this one is 00000bad)"),
        "{error:?}"
    );
    let error = load_with(&lake, &other, one_table(4, 6)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert_eq!(folder.paths(), paths);
}

#[tokio::test]
async fn a_folder_ahead_of_its_store_is_refused() {
    let folder = MemoryFolder::default();
    load(&lake(folder.clone()), one_table(1, 30)).await.unwrap();
    let mut restored = toolkit();
    restored.head = Position(29);
    let error = init(&lake(folder.clone()), &restored).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(
        error
            .report()
            .contains("up to position 30, the store only up to 29"),
        "{error:?}"
    );
    restored.head = Position(30);
    init(&lake(folder), &restored).await.unwrap();
}

#[tokio::test]
async fn files_without_any_record_are_not_taken_for_leftovers() {
    let folder = MemoryFolder::default();
    load(&lake(folder.clone()), one_table(1, 3)).await.unwrap();
    folder
        .remove("_commits/00000000000000000003.json")
        .await
        .unwrap();
    let paths = folder.paths();
    let error = init(&lake(folder.clone()), &toolkit()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.report().contains("no commit record"), "{error:?}");
    assert_eq!(folder.paths(), paths);
}

#[tokio::test]
async fn files_past_the_newest_record_and_drafts_are_removed_at_the_start_and_no_others() {
    let outer = tempfile::tempdir().unwrap();
    let folder = LocalFolder::new(outer.path());
    load(&lake(folder.clone()), one_table(1, 3)).await.unwrap();
    let path = |name: &str| outer.path().join(name);
    let left = [
        "a.t/00000000000000000004-00000000000000000006.parquet",
        "a.t/.00000000000000000004.1.tmp",
        "_commits/.00000000000000000006.json.tmp",
        "_commits/..pending.tmp",
    ];
    let foreign = [
        "a.t/notes.txt",
        "a.t/.someone.tmp",
        "readme.md",
        "a.t/9-9.parquet",
    ];
    for name in left.iter().chain(&foreign) {
        std::fs::write(path(name), b"left").unwrap();
    }
    init(&lake(folder), &toolkit()).await.unwrap();
    assert_eq!(left.map(|name| path(name).exists()), [false; 4]);
    assert_eq!(foreign.map(|name| path(name).exists()), [true; 4]);
    assert!(path("a.t/00000000000000000001-00000000000000000003.parquet").exists());
}

#[tokio::test]
async fn a_pending_record_never_costs_a_committed_or_a_foreign_file() {
    let folder = MemoryFolder::default();
    load(&lake(folder.clone()), one_table(1, 3)).await.unwrap();
    let committed = record(&folder, 3).await;
    let mut pending = committed.clone();
    (pending.first_position, pending.last_position) = (4, 6);
    let mut foreign = committed.files[0].clone();
    for path in [
        "../other/00000000000000000004-00000000000000000006.parquet",
        "a.t/mine.parquet",
        "_commits/00000000000000000004-00000000000000000006.parquet",
    ] {
        foreign.path = path.into();
        pending.files.push(foreign.clone());
        folder.put(path, "foreign".into()).await.unwrap();
    }
    let paths = folder.paths();
    crate::parquet::commit::announce(&folder, &pending)
        .await
        .unwrap();
    load(&lake(folder.clone()), Batch::new(4, 6, vec![]))
        .await
        .unwrap();
    let mut expected = paths;
    expected.push("_commits/00000000000000000006.json".into());
    expected.sort();
    // A directory of that name is none of ours, so the sweep leaves it alone as well.
    assert_eq!(folder.paths(), expected);
}

#[tokio::test]
async fn a_damaged_record_stops_with_its_name() {
    let folder = MemoryFolder::default();
    folder
        .put("_commits/00000000000000000003.json", "{".into())
        .await
        .unwrap();
    let error = init(&lake(folder), &toolkit()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(
        error
            .to_string()
            .contains("_commits/00000000000000000003.json"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_folder_that_vanishes_is_waited_for_and_never_made_anew() {
    let outer = tempfile::tempdir().unwrap();
    let (root, away) = (outer.path().join("lake"), outer.path().join("away"));
    let lake = Parquet::new(&ParquetOptions::new("lake", root.to_str().unwrap())).unwrap();
    init(&lake, &toolkit()).await.unwrap();
    load(&lake, one_table(1, 3)).await.unwrap();
    std::fs::rename(&root, &away).unwrap();
    let gone = load(&lake, one_table(4, 6)).await.unwrap_err();
    assert_eq!(gone.advice(), Advice::Retry, "{gone:?}");
    // As an unmounted disk: an empty folder in its place.
    std::fs::create_dir(&root).unwrap();
    let emptied = load(&lake, one_table(4, 6)).await.unwrap_err();
    assert_eq!(emptied.advice(), Advice::Retry, "{emptied:?}");
    assert!(emptied.report().contains("unmounted"), "{emptied:?}");
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    std::fs::remove_dir(&root).unwrap();
    std::fs::rename(&away, &root).unwrap();
    assert!(load(&lake, one_table(4, 6).attempt(3)).await.unwrap());
    assert_eq!(sequence(&LocalFolder::new(root)).await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_reached_at_the_start_stops_nothing() {
    let outer = tempfile::tempdir().unwrap();
    let blocked = outer.path().join("file");
    std::fs::write(&blocked, b"").unwrap();
    let root = blocked.join("lake");
    let lake = Parquet::new(&ParquetOptions::new("lake", root.to_str().unwrap())).unwrap();
    init(&lake, &toolkit()).await.unwrap();
    let error = load(&lake, one_table(1, 3)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(
        lake.check()
            .await
            .iter()
            .any(|found| found.severity == Severity::Problem)
    );
    std::fs::remove_file(&blocked).unwrap();
    std::fs::create_dir(&blocked).unwrap();
    assert!(load(&lake, one_table(1, 3).attempt(2)).await.unwrap());
    assert_eq!(sequence(&LocalFolder::new(root)).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_check_tells_what_is_there_and_creates_nothing() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("lake");
    let lake = Parquet::new(&ParquetOptions::new("lake", root.to_str().unwrap())).unwrap();
    let found = lake.check().await;
    assert!(
        found
            .iter()
            .all(|finding| finding.severity != Severity::Problem),
        "{found:?}"
    );
    assert!(!root.exists());
    load(&lake, one_table(1, 3)).await.unwrap();
    let pending = record(&LocalFolder::new(&*root), 3).await;
    crate::parquet::commit::announce(&LocalFolder::new(&*root), &pending)
        .await
        .unwrap();
    let found: Vec<_> = lake
        .check()
        .await
        .into_iter()
        .map(|finding| finding.what)
        .collect();
    let all = found.join("\n");
    for expected in [
        "can be written",
        "MiB are free",
        "position 3 of store 00c0ffee",
        "interrupted",
    ] {
        assert!(all.contains(expected), "{expected} in {all}");
    }
}
