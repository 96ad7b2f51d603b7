//! What a query reads: few segments, however many there are.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::house::{House, ROWS};
use crate::clock::Timestamp;
use crate::job::{Status, Transition};
use crate::log::{Access, Disk, DiskFile, Lock, LogOptions, Retention, SystemDisk};
use crate::position::{Position, Span};
use crate::query::{Filter, Page, Times};
use crate::store::log::LogStore;

/// Notes which segments are opened for reading.
#[derive(Debug)]
struct Watched {
    disk: Arc<dyn Disk>,
    read: Mutex<BTreeSet<PathBuf>>,
}

impl Disk for Watched {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        if access == Access::Read && path.extension().is_some_and(|kind| kind == "seg") {
            self.read.lock().unwrap().insert(path.to_owned());
        }
        self.disk.open(path, access)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }

    fn lock(&self, path: &Path, note: &str) -> io::Result<Option<Lock>> {
        self.disk.lock(path, note)
    }
}

const BLOCKS: u64 = 60;
const EACH: u64 = 10;

/// A store of some twenty segments: 60 blocks of 10 events, received one second after the other, each
/// loaded right away, every fifth block failed.
fn filled(disk: &Arc<Watched>, dir: &Path) -> House {
    let options = LogOptions {
        segment_bytes: 1 << 20,
        ..LogOptions::default()
    };
    let disk = Arc::clone(disk) as Arc<dyn Disk>;
    let store = LogStore::open(dir, options, disk, Retention::default()).unwrap();
    assert!(store.0.segments().len() == 1);
    let house = House::over(Arc::new(store.0));
    for block in 0..BLOCKS {
        let at = Timestamp(block as i64 * 1_000_000);
        let kinds = [ROWS, ROWS + 1].repeat(EACH as usize / 2);
        let receipt = house.append(house.rows(&kinds, at, 300 << 10));
        let status = match block % 5 {
            0 => Status::Failed,
            _ => Status::Succeeded,
        };
        let change = |status| Transition {
            lane: house.lanes[0],
            span: Span::new(receipt.first, receipt.last),
            status,
            attempt: 1,
            at,
            error: None,
            command: None,
        };
        house.record(&[change(Status::Executing)]);
        house.record(&[change(status)]);
    }
    house
}

/// STO-05 STO-06
#[test]
fn a_query_over_many_segments_reads_only_those_at_its_edges() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Watched {
        disk: SystemDisk::shared(),
        read: Mutex::default(),
    });
    let house = filled(&disk, dir.path());
    let parts = house.store.statistics().len();
    assert!(parts >= 15, "{parts} segments");
    let reads = |what: &str, at_most: usize, ask: &dyn Fn()| {
        disk.read.lock().unwrap().clear();
        ask();
        let read = disk.read.lock().unwrap().len();
        assert!(read <= at_most, "{what} read {read} of {parts} segments");
    };
    let query = &house.query;
    let all = Filter::default();
    reads("counting all events", 0, &|| {
        assert_eq!(query.count_events(&all).unwrap(), BLOCKS * EACH);
    });
    reads("counting all jobs", 0, &|| {
        // Half of the rows are routed.
        assert_eq!(query.count_jobs(&all).unwrap(), BLOCKS * EACH / 2);
    });
    let second = Filter {
        received: Times {
            since: Some(Timestamp(20_000_000)),
            before: Some(Timestamp(40_000_000)),
        },
        ..Filter::default()
    };
    reads("counting by time", 4, &|| {
        assert_eq!(query.count_events(&second).unwrap(), 20 * EACH);
    });
    let span = Filter {
        positions: Some(Span::new(Position(105), Position(495))),
        ..Filter::default()
    };
    reads("counting by position", 4, &|| {
        assert_eq!(query.count_events(&span).unwrap(), 391);
    });
    reads("the newest jobs", 2, &|| {
        let page = Page {
            limit: 5,
            ..Page::default()
        };
        assert_eq!(query.jobs(&all, &page).unwrap().rows.len(), 5);
    });
    reads("one event", 3, &|| {
        let event = query.event(Position(301)).unwrap();
        assert_eq!(event.row.received_at, Timestamp(30_000_000));
        assert_eq!(event.jobs.len(), 1);
    });
    reads("one job's history", 2, &|| {
        let filter = Filter {
            job: Some((house.lanes[0], Position(301))),
            ..Filter::default()
        };
        let found = query.transitions(&filter, &Page::default()).unwrap();
        assert_eq!(found.len(), 2);
    });
    reads("counting transitions", 0, &|| {
        assert_eq!(query.count_transitions(&all).unwrap(), 2 * BLOCKS);
    });
}
