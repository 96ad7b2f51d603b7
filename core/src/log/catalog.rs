//! What is on disk and shared by everyone: segments, staged files, watermark, queue.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};

use crate::clock::Timestamp;
use crate::log::disk::Disk;
use crate::log::durable::{Durable, lock};
use crate::log::hopper::Hopper;
use crate::log::reserve::Reserve;
use crate::log::segment::{Name, SegmentHeader};
use crate::position::{Position, Span};

/// The end of a segment, once it has one, shared with its readers.
pub(super) type Lease = Arc<OnceLock<u64>>;

/// A segment as known in memory.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) header: SegmentHeader,
    /// Bytes it takes on disk.
    pub(super) file_bytes: u64,
    /// Frames of callers in it, when counted.
    pub(super) frames: Option<u64>,
    /// Where frames start, in order: (first position, offset), sparse.
    pub(super) index: Vec<(Position, u64)>,
    /// Where its frames end, set when it is complete. Readers hold it too: while they do, the file is
    /// not written over under them.
    pub(super) lease: Lease,
}

impl Segment {
    /// Distance between two entries of the index, in bytes of the segment.
    pub(super) const INDEX_STEP_BYTES: u64 = 256 << 10;

    pub(super) fn new(header: SegmentHeader, file_bytes: u64) -> Segment {
        Segment {
            header,
            file_bytes,
            frames: None,
            index: Vec::new(),
            lease: Lease::default(),
        }
    }

    /// Says where the segment ends, now that another follows.
    pub(super) fn seal(&self, end: u64) {
        // A segment ends once; the writer alone decides where.
        _ = self.lease.set(end);
    }

    /// Remembers where a frame starts, when it is far enough from what is known.
    pub(super) fn note(&mut self, first: Position, offset: u64) {
        let known = self.index.last().map_or(0, |(_, offset)| *offset);
        if offset >= known + Segment::INDEX_STEP_BYTES {
            self.index.push((first, offset));
        }
    }

    /// Where to start looking for the frame with `position`: at or before it.
    pub(super) fn seek(&self, position: Position) -> Option<u64> {
        // A frame that starts exactly there may have zero-count frames before it that belong to
        // the same place, so only strictly earlier starts will do.
        let later = self.index.partition_point(|(first, _)| *first < position);
        let (_, offset) = self.index.get(later.checked_sub(1)?)?;
        Some(*offset)
    }
}

/// All segments, oldest first, and the files kept to be written over.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub(super) segments: VecDeque<Segment>,
    pub(super) spares: Vec<u64>,
}

impl Catalog {
    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Segment> {
        // Ids follow each other without gaps.
        let oldest = self.segments.front()?.header.id;
        let index = usize::try_from(id.checked_sub(oldest)?).ok()?;
        self.segments.get_mut(index)
    }

    /// The segment that holds `position`, or the oldest one when it is before all.
    pub(super) fn holding(&self, position: Position) -> Option<&Segment> {
        // Strictly before, for the sake of zero-count frames that belong to the same place.
        let later = self
            .segments
            .partition_point(|segment| segment.header.first < position);
        self.segments.get(later.saturating_sub(1))
    }

    /// The last position of the segment at `index`; `upto` is the last of all.
    pub(super) fn last(&self, index: usize, upto: Position) -> Position {
        match self.segments.get(index + 1) {
            Some(next) => next.header.first.previous(),
            None => upto,
        }
    }
}

/// What the handle, the writer, stages and readers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) store: u64,
    pub(super) catalog: Mutex<Catalog>,
    pub(super) hopper: Hopper,
    pub(super) durable: Durable,
    pub(super) next_stage: AtomicU64,
    pub(super) reserve: Arc<Reserve>,
    /// How many dropped segments are kept to be written over.
    pub(super) spare_segments: usize,
}

/// A segment, for people and for retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub id: u64,
    /// Its file.
    pub path: PathBuf,
    /// The positions in it; empty when it has none.
    pub span: Span,
    /// Bytes in use.
    pub bytes: u64,
    /// When it was begun.
    pub created_at: Timestamp,
    /// Appended frames in it, when this process counted them.
    pub frames: Option<u64>,
}

impl Shared {
    /// For readers of a log that is not written.
    pub(super) fn read_only(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: u64,
        catalog: Catalog,
        durable: Durable,
    ) -> Shared {
        Shared {
            reserve: Arc::new(Reserve::of(dir, Arc::clone(&disk), 0)),
            disk,
            dir: dir.to_owned(),
            store,
            catalog: Mutex::new(catalog),
            hopper: Hopper::new(0),
            durable,
            next_stage: AtomicU64::new(0),
            spare_segments: 0,
        }
    }

    /// All segments, oldest first.
    pub(super) fn segments(&self) -> Vec<SegmentInfo> {
        let catalog = lock(&self.catalog);
        let end = self.durable.end();
        let info = |(index, segment): (usize, &Segment)| SegmentInfo {
            id: segment.header.id,
            path: Name::Segment(segment.header.id).path(&self.dir),
            span: Span::new(segment.header.first, catalog.last(index, end.mark.upto)),
            bytes: segment.lease.get().copied().unwrap_or(end.offset),
            created_at: segment.header.created_at,
            frames: segment.frames,
        };
        catalog.segments.iter().enumerate().map(info).collect()
    }
}
