//! The event log: appended to by some, and read back.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use blacksmith_core::log::{AppendError, Log, LogOptions, SyncMode, SystemDisk};
use blacksmith_core::position::Position;
use bytes::Bytes;
use tempfile::TempDir;

use super::{Piece, Work};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Frames that are read back, and their bytes.
const READ: [(u64, usize); 2] = [(20_000, 256), (500, 64 << 10)];

/// Producers that append frames to a log in a folder, and wait until all of them are durable.
#[derive(Debug)]
pub struct Appending {
    log: Log<()>,
    producers: u64,
    body: Bytes,
    frames: u64,
    _folder: TempDir,
}

impl Appending {
    /// A new log in a folder of its own below `parent`; `producers` will append `frames` of `frame_bytes` each turn.
    ///
    /// # Panics
    /// When the disk refuses.
    #[must_use]
    pub fn new(parent: &Path, producers: u64, frame_bytes: usize, frames: u64) -> Appending {
        let (log, folder) = open(parent, SyncMode::Always);
        Appending {
            log,
            producers,
            body: Bytes::from(vec![7; frame_bytes]),
            frames: frames / producers * producers,
            _folder: folder,
        }
    }

    /// Frames of one turn.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// One turn: until everything is durable.
    ///
    /// # Panics
    /// When the log stops.
    pub fn turn(&self) {
        std::thread::scope(|scope| {
            for _ in 0..self.producers {
                scope.spawn(|| append(&self.log, &self.body, self.frames / self.producers));
            }
        });
        wait_durable(&self.log);
    }
}

/// Frames read back, checksums looked at, from the page cache.
#[must_use]
pub fn replays() -> Vec<Piece> {
    let pieces = READ.map(|(frames, frame_bytes)| {
        let name = format!("replay of frames of {frame_bytes} B");
        Piece::new(name, move || replay(frames, frame_bytes))
    });
    pieces.into()
}

fn replay(frames: u64, frame_bytes: usize) -> Work {
    let (log, folder) = open(&std::env::temp_dir(), SyncMode::Never);
    append(&log, &Bytes::from(vec![7; frame_bytes]), frames);
    wait_durable(&log);
    let bytes = frames * frame_bytes as u64;
    Work::new(frames, bytes, move || {
        let _kept = &folder;
        let mut reader = log.reader(Position::FIRST);
        let mut read = 0;
        while let Some(frame) = reader.next().expect("a frame") {
            read += black_box(frame).body.len() as u64;
        }
        assert_eq!(read, bytes, "everything is read back");
    })
}

fn wait_durable(log: &Log<()>) {
    let last = log.next_position().previous();
    let durable = log.durable();
    durable
        .wait_past(last.previous(), PATIENCE)
        .expect("durable");
}

fn open(parent: &Path, sync: SyncMode) -> (Log<()>, TempDir) {
    let folder = tempfile::tempdir_in(parent).expect("a folder");
    let options = LogOptions {
        sync,
        ..LogOptions::default()
    };
    let opened = Log::open(folder.path(), options, SystemDisk::shared(), ());
    (opened.expect("a new log").log, folder)
}

fn append(log: &Log<()>, body: &Bytes, frames: u64) {
    for _ in 0..frames {
        loop {
            match log.append(1, 1, std::slice::from_ref(body)) {
                Ok(_) => break,
                Err(AppendError::Full) => {
                    let room = log.wait_for_room(body.len(), PATIENCE);
                    assert!(room.is_ok(), "the log stopped: {room:?}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}
