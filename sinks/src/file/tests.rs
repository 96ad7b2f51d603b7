//! What is in the folder after loads, crashes and mistakes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::by_hand::{STORE, jobs, load, load_with, toolkit};
use blacksmith_core::clock::{Clock, Timestamp};
use blacksmith_core::destination::Piece;
use blacksmith_core::event::StoreId;
use blacksmith_core::position::{Position, Span};

fn action(options: &FileOptions) -> Arc<dyn Action> {
    FileSink::new(options).actions().remove(0)
}

fn options(folder: &Path) -> FileOptions {
    let mut options = FileOptions::new("out", folder);
    options.content = Content::Data;
    options
}

/// The files of the folder, without the ledger, decompressed.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == ledger::LEDGER {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let mut text = String::new();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => drop(
                flate2::read::MultiGzDecoder::new(&bytes[..])
                    .read_to_string(&mut text)
                    .unwrap(),
            ),
            Some("zst") => {
                text = String::from_utf8(zstd::stream::decode_all(&bytes[..]).unwrap()).unwrap();
            }
            _ => text = String::from_utf8(bytes).unwrap(),
        }
        files.insert(name, text);
    }
    files
}

fn name(first: u64, rest: &str) -> String {
    format!("{first:020}-{rest}")
}

fn ended(first: u64, last: u64) -> String {
    format!("{first:020}-{last:020}.ndjson")
}

#[tokio::test]
async fn loads_are_appended_to_one_file_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/archive");
    let action = action(&options(&path));
    action.init(&toolkit()).await.unwrap();
    assert!(load(&*action, jobs(1, 4), 1).await.all_succeeded());
    assert!(load(&*action, jobs(6, 7), 1).await.all_succeeded());
    let expected = [(name(1, "open.ndjson"), "1\n2\n3\n4\n6\n7\n".to_owned())];
    assert_eq!(files(&path), expected.into());
}

#[tokio::test]
async fn a_file_ends_by_size_or_by_age_and_is_named_after_its_positions() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    options.rotate.bytes_max = 8;
    let small = action(&options);
    for (first, last) in [(1, 2), (3, 4), (5, 6)] {
        load(&*small, jobs(first, last), 1).await;
    }
    let expected = [
        (ended(1, 4), "1\n2\n3\n4\n".to_owned()),
        (name(5, "open.ndjson"), "5\n6\n".to_owned()),
    ];
    assert_eq!(files(folder.path()), expected.into());
    options.rotate.age_max = Duration::ZERO;
    load(&*action(&options), jobs(7, 7), 1).await;
    let names: Vec<_> = files(folder.path()).into_keys().collect();
    assert_eq!(names, [ended(1, 4), ended(5, 6), ended(7, 7)]);
}

/// Scenario 49
#[tokio::test]
async fn a_torn_end_is_cut_off_and_a_load_that_was_written_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    load(&*action(&options), jobs(1, 2), 1).await;
    let open = folder.path().join(name(1, "open.ndjson"));
    let torn = [&fs::read(&open).unwrap()[..], b"3\n4\n{\"torn"].concat();
    fs::write(&open, torn).unwrap();
    // As a process that starts again after the crash.
    let after = action(&options);
    after.init(&toolkit()).await.unwrap();
    assert_eq!(fs::read(&open).unwrap(), b"1\n2\n");
    assert!(load(&*after, jobs(3, 5), 2).await.all_succeeded());
    // The crash came between the ledger and the report.
    assert!(
        load(&*action(&options), jobs(3, 5), 3)
            .await
            .all_succeeded()
    );
    assert_eq!(fs::read(&open).unwrap(), b"1\n2\n3\n4\n5\n");
}

#[tokio::test]
async fn a_load_that_breaks_off_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let action = action(&options(folder.path()));
    load(&*action, jobs(1, 2), 1).await;
    let span = Span::new(Position(3), Position(9));
    let (mut queue, feed) = Queue::new(span, 7, 1);
    let feeding = std::thread::spawn(move || {
        let piece = Piece::Jobs(jobs(3, 4));
        assert!(feed.push(Ok(piece)));
        assert!(feed.push(Err(Error::unavailable("the disk of the store is gone"))));
    });
    let then = Thens::default();
    let broken = action.load(&toolkit(), &mut queue, &then).await;
    feeding.join().unwrap();
    assert!(broken.is_err() && then.take().is_empty());
    assert!(load(&*action, jobs(3, 9), 2).await.all_succeeded());
    let text = files(folder.path())
        .remove(&name(1, "open.ndjson"))
        .unwrap();
    assert_eq!(text, "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
}

#[tokio::test]
async fn a_crash_while_a_file_was_ended_loses_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    load(&*action(&options), jobs(1, 2), 1).await;
    let open = folder.path().join(name(1, "open.ndjson"));
    fs::rename(&open, folder.path().join(ended(1, 2))).unwrap();
    assert!(
        load(&*action(&options), jobs(3, 3), 1)
            .await
            .all_succeeded()
    );
    let expected = [
        (ended(1, 2), "1\n2\n".to_owned()),
        (name(3, "open.ndjson"), "3\n".to_owned()),
    ];
    assert_eq!(files(folder.path()), expected.into());
}

#[tokio::test]
async fn what_a_crash_left_of_the_very_first_load_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    action(&options).init(&toolkit()).await.unwrap();
    fs::write(folder.path().join(name(1, "open.ndjson")), "1\n{\"to").unwrap();
    load(&*action(&options), jobs(5, 5), 1).await;
    let names: Vec<_> = files(folder.path()).into_keys().collect();
    assert_eq!(names, [name(5, "open.ndjson")]);
}

#[tokio::test]
async fn compressed_loads_read_as_one_file_and_another_compression_begins_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    options.compression = Compression::Gzip;
    load(&*action(&options), jobs(1, 2), 1).await;
    load(&*action(&options), jobs(3, 4), 1).await;
    options.compression = Compression::Zstd;
    load(&*action(&options), jobs(5, 6), 1).await;
    load(&*action(&options), jobs(7, 7), 1).await;
    let expected = [
        (
            format!("{:020}-{:020}.ndjson.gz", 1, 4),
            "1\n2\n3\n4\n".to_owned(),
        ),
        (name(5, "open.ndjson.zst"), "5\n6\n7\n".to_owned()),
    ];
    assert_eq!(files(folder.path()), expected.into());
}

#[tokio::test]
async fn a_folder_that_does_not_belong_to_the_store_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path());
    load(&*action(&options), jobs(1, 2), 1).await;
    let before = files(folder.path());
    let foreign = Toolkit {
        store: StoreId(STORE.0 + 1),
        ..toolkit()
    };
    let refused = action(&options).init(&foreign).await.unwrap_err();
    assert!(
        refused.report().contains("another store"),
        "{}",
        refused.report()
    );
    let behind = Toolkit {
        head: Position(1),
        ..toolkit()
    };
    let refused = action(&options).init(&behind).await.unwrap_err();
    assert!(
        refused.report().contains("only up to 1"),
        "{}",
        refused.report()
    );
    let overlapping = load(&*action(&options), jobs(2, 5), 1).await;
    assert!(
        overlapping.error().contains("in other pieces"),
        "{}",
        overlapping.error()
    );
    assert_eq!(files(folder.path()), before);
}

#[tokio::test]
async fn a_folder_that_went_missing_is_not_taken_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let action = action(&options(folder.path()));
    load(&*action, jobs(1, 2), 1).await;
    let ledger = folder.path().join(ledger::LEDGER);
    let kept = fs::read(&ledger).unwrap();
    fs::remove_file(&ledger).unwrap();
    let missing = load(&*action, jobs(3, 4), 1).await;
    assert!(missing.error().contains("unmounted"), "{}", missing.error());
    fs::write(&ledger, kept).unwrap();
    assert!(load(&*action, jobs(3, 4), 2).await.all_succeeded());
}

/// Goes with the time that the test lets pass.
#[derive(Debug)]
struct Passing(tokio::time::Instant);

impl Clock for Passing {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000_000).after(self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_ends_at_its_age_also_when_nothing_is_loaded_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let action = action(&options(folder.path()));
    let toolkit = Toolkit {
        clock: Arc::new(Passing(tokio::time::Instant::now())),
        ..toolkit()
    };
    action.init(&toolkit).await.unwrap();
    for (first, last) in [(1, 2), (3, 4)] {
        let span = Span::new(Position(first), Position(last));
        let pieces = vec![Piece::Jobs(jobs(first, last))];
        let loaded = load_with(&*action, &toolkit, span, pieces, 1).await;
        assert!(loaded.all_succeeded());
        let open = [name(first, "open.ndjson")];
        assert!(files(folder.path()).keys().any(|name| open.contains(name)));
        tokio::time::sleep(Duration::from_secs(3_590)).await;
        assert!(
            files(folder.path()).keys().any(|name| open.contains(name)),
            "not yet"
        );
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(files(folder.path()).contains_key(&ended(first, last)));
    }
    action.shutdown().await.unwrap();
    let names: Vec<_> = files(folder.path()).into_keys().collect();
    assert_eq!(names, [ended(1, 2), ended(3, 4)]);
}
