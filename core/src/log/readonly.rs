//! Looking into a log that another process may be writing.

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::log::catalog::{SegmentInfo, Shared};
use crate::log::disk::{Access, Disk, SystemDisk};
use crate::log::durable::{Durable, End, Mark};
use crate::log::frame::Frame;
use crate::log::reader::Reader;
use crate::log::recovery::{Torn, read_segments};
use crate::log::snapshot::Fold;
use crate::log::stage::StagedReader;
use crate::log::survey::survey;
use crate::position::Position;

/// A log as it was when opened for reading only. Nothing is locked or written, and nothing that
/// happens later is seen; segments that the owner drops later can no longer be read.
#[derive(Debug)]
pub struct ReadOnlyLog<F: Fold> {
    fold: F,
    shared: Arc<Shared>,
    next: Position,
    epoch: u32,
    unfinished: Option<Torn>,
}

/// Opens the log in `dir` for reading only; `fold` is brought up to date. What is found valid at its
/// end may be a write in flight that is not durable yet.
///
/// # Errors
/// Invalid when there is no log; damaged when acknowledged data does not hold; refused or unavailable when
/// it cannot be read.
pub fn open_read_only<F: Fold>(dir: impl AsRef<Path>, fold: F) -> Result<ReadOnlyLog<F>> {
    open_on(dir.as_ref(), SystemDisk::shared(), fold)
}

pub(super) fn open_on<F: Fold>(
    dir: &Path,
    disk: Arc<dyn Disk>,
    mut fold: F,
) -> Result<ReadOnlyLog<F>> {
    let found = survey(disk.as_ref(), dir)?;
    let (catalog, last, scanned) =
        read_segments(dir, disk.as_ref(), &found, &mut fold, Access::Read)?;
    let end = End {
        mark: Mark {
            upto: scanned.next.previous(),
            frames: 0,
        },
        segment: last.header.id,
        offset: scanned.end,
    };
    let unfinished = (scanned.torn_bytes > 0).then(|| Torn {
        path: last.path.clone(),
        segment: last.header.id,
        offset: scanned.end,
        bytes: scanned.torn_bytes,
    });
    let (store, durable) = (last.header.store, Durable::at(end));
    let shared = Shared::read_only(disk, dir, store, catalog, durable);
    Ok(ReadOnlyLog {
        fold,
        shared: Arc::new(shared),
        next: scanned.next,
        epoch: scanned.epoch,
        unfinished,
    })
}

impl<F: Fold> ReadOnlyLog<F> {
    /// The state folded up to the end.
    #[must_use]
    pub fn fold(&self) -> &F {
        &self.fold
    }

    /// Identity of the store.
    #[must_use]
    pub fn store(&self) -> u64 {
        self.shared.store
    }

    /// How many times the log had been opened for writing.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The position after the last.
    #[must_use]
    pub fn next_position(&self) -> Position {
        self.next
    }

    /// The watermark as it was when the log was opened; it does not move.
    #[must_use]
    pub fn durable(&self) -> Durable {
        self.shared.durable.clone()
    }

    /// Bytes at the end that are no whole frame: a write in flight, or cut off by a crash.
    #[must_use]
    pub fn unfinished(&self) -> Option<&Torn> {
        self.unfinished.as_ref()
    }

    /// Reads frames in order, as [`super::Log::reader`].
    #[must_use]
    pub fn reader(&self, from: Position) -> Reader {
        Reader::new(Arc::clone(&self.shared), from)
    }

    /// Reads the frames of one segment, as [`super::Log::segment_reader`].
    ///
    /// # Errors
    /// As [`super::Log::segment_reader`].
    pub fn segment_reader(&self, segment: u64) -> Result<Reader> {
        Reader::of_segment(Arc::clone(&self.shared), segment)
    }

    /// The chunks that a commit frame made part of the log.
    ///
    /// # Errors
    /// As [`super::Log::staged`].
    pub fn staged(&self, commit: &Frame) -> Result<StagedReader> {
        StagedReader::open(&self.shared, commit)
    }

    /// The segments, oldest first.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.shared.segments()
    }
}
