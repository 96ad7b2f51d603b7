//! The segment that is written: how it comes to be and how frames get into it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::failpoint;
use crate::log::SyncMode;
use crate::log::batch::Batch;
use crate::log::disk::{Access, Disk, DiskFile, write_all};
use crate::log::durable::Fence;
use crate::log::frame::{
    HEADER_BYTES, Header, KIND_SNAPSHOT, KIND_SNAPSHOT_PIECE, checksum, padding,
};
use crate::log::reserve::{Room, insist};
use crate::log::segment::{Name, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::log::snapshot::Snapshot;
use crate::position::Position;

/// Small commits find zeros written ahead up to the next multiple of this, so that most of them
/// change no file length and no extent, and their sync costs one write instead of a journal commit.
/// A commit of this size or more just grows the file: zeros first would only double its writes. Smaller ones are worth the
/// zeros: a backlog that is streamed in commits of 100 to 200 KiB came to 0.90 and 0.94 of what merely reading it does where
/// they grew the file from 64 KiB on, and to 0.95 and 0.99 with zeros.
const ZERO_AHEAD_BYTES: u64 = 1 << 20;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The fence for a call of the disk that failed.
pub(super) fn failed(act: &str, path: &Path, error: &io::Error) -> Fence {
    let help = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: free some space, then start again; everything acknowledged is kept"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make the store's folder writable, then start again; everything acknowledged is kept"
        }
        _ => "check the disk, then start again; everything acknowledged is kept",
    };
    Fence {
        what: format!("{}: cannot {act}: {error}", path.display()),
        help: help.to_owned(),
    }
}

/// What a frame is, before it has a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content {
    pub(super) kind: u8,
    pub(super) first: Position,
    pub(super) count: u32,
    pub(super) staged: bool,
    pub(super) body_bytes: usize,
    pub(super) body_crc: u32,
}

impl Content {
    /// A frame of the log's own without a body.
    pub(super) fn mark(kind: u8, first: Position) -> Content {
        Content {
            kind,
            first,
            count: 0,
            staged: false,
            body_bytes: 0,
            body_crc: 0,
        }
    }
}

/// The segment that is written.
pub(super) struct Active {
    pub(super) store: u64,
    pub(super) id: u64,
    pub(super) epoch: u32,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    /// Length of the file; everything behind `offset` is zeros or stale.
    pub(super) file_bytes: u64,
    /// Where the next frame goes, counting those in `batch`.
    pub(super) offset: u64,
    /// Up to where it is written and synced; `batch` goes there.
    pub(super) durable: u64,
    /// Header checksum of the last frame.
    pub(super) chain: u32,
    pub(super) batch: Batch,
    /// How long the segment is meant to become: zeros are not written ahead past it.
    pub(super) planned_bytes: u64,
    pub(super) sync: SyncMode,
}

impl fmt::Debug for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Active")
            .field("path", &self.path)
            .field("offset", &self.offset)
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}

/// What a new segment is made from.
#[derive(Debug)]
pub(super) struct Birth<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) room: &'a dyn Room,
    pub(super) dir: &'a Path,
    pub(super) header: SegmentHeader,
    pub(super) snapshot: Snapshot,
    /// Bytes of one frame of it, at most.
    pub(super) snapshot_frame_bytes: usize,
    /// A dropped segment to write over.
    pub(super) spare: Option<u64>,
    pub(super) planned_bytes: u64,
    pub(super) sync: SyncMode,
}

impl Birth<'_> {
    /// Makes the segment: header and snapshot durable first, then its name, so that a file with
    /// that name is always whole up to there.
    pub(super) fn create(self) -> Result<Active, Fence> {
        let id = self.header.id;
        let (old, access) = match self.spare {
            Some(spare) => (Name::Spare(spare).path(self.dir), Access::Write),
            None => (Name::New(id).path(self.dir), Access::Create),
        };
        let path = Name::Segment(id).path(self.dir);
        let file = insist(self.room, || self.disk.open(&old, access));
        let file = file.map_err(|error| failed("open", &old, &error))?;
        let file_bytes = file.bytes().map_err(|error| failed("stat", &old, &error))?;
        let mut active = Active {
            store: self.header.store,
            id,
            epoch: self.header.epoch,
            path: old.clone(),
            file,
            file_bytes,
            offset: 0,
            durable: 0,
            chain: self.header.chain,
            batch: Batch::default(),
            planned_bytes: self.planned_bytes,
            sync: self.sync,
        };
        active.batch.copy(&self.header.encode());
        active.offset = SEGMENT_HEADER_BYTES as u64;
        let mut rest = self.snapshot.encode();
        while rest.len() > self.snapshot_frame_bytes {
            let piece = rest.split_to(self.snapshot_frame_bytes);
            active.mark(KIND_SNAPSHOT_PIECE, self.header.first, piece);
        }
        active.mark(KIND_SNAPSHOT, self.header.first, rest);
        active.flush(self.room)?;
        failpoint!(SegmentWritten?);
        let renamed = insist(self.room, || self.disk.rename(&old, &path));
        renamed.map_err(|error| failed("rename", &old, &error))?;
        failpoint!(SegmentRenamed?);
        let synced = self.disk.sync_dir(self.dir);
        synced.map_err(|error| failed("sync", self.dir, &error))?;
        active.path = path;
        Ok(active)
    }
}

impl Active {
    /// Adds a frame to the batch; returns where it will start.
    pub(super) fn frame(&mut self, content: Content, parts: &[Bytes]) -> u64 {
        let mut header = Header {
            body_crc: content.body_crc,
            body_bytes: content.body_bytes as u32,
            kind: content.kind,
            staged: content.staged,
            count: content.count,
            first: content.first,
            segment: self.id,
            epoch: self.epoch,
            offset: self.offset,
            durable_before: self.durable,
            chain: self.chain,
            store: self.store,
            crc: 0,
        };
        self.batch.copy(&header.encode());
        for part in parts {
            self.batch.push(part);
        }
        self.batch.copy(padding(HEADER_BYTES + content.body_bytes));
        self.chain = header.crc;
        self.offset = header.end();
        header.offset
    }

    /// Adds a frame of the log's own.
    fn mark(&mut self, kind: u8, first: Position, body: Bytes) {
        let content = Content {
            body_bytes: body.len(),
            body_crc: checksum([body.as_ref()]),
            ..Content::mark(kind, first)
        };
        self.frame(content, &[body]);
    }

    /// Writes the batch and syncs it.
    pub(super) fn flush(&mut self, room: &dyn Room) -> Result<(), Fence> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.write(room)?;
        failpoint!(LogWritten?);
        self.sync_file()?;
        self.durable = self.offset;
        Ok(())
    }

    /// Writes the batch, and zeros behind it where they are due.
    pub(super) fn write(&mut self, room: &dyn Room) -> Result<(), Fence> {
        let target = self.zero_target();
        let mut parts = self.batch.slices();
        let mut end = self.offset;
        while end < target {
            let rest = usize::try_from(target - end).unwrap_or(usize::MAX);
            let zeros = ZEROS.get(..rest).unwrap_or(&ZEROS);
            parts.push(zeros);
            end += zeros.len() as u64;
        }
        // Nothing of it was promised, so on a full disk the same bytes may be written to the same place again.
        insist(room, || write_all(self.file.as_ref(), &parts, self.durable))
            .map_err(|error| failed("write", &self.path, &error))?;
        self.file_bytes = self.file_bytes.max(end);
        self.batch.clear();
        Ok(())
    }

    fn sync_file(&self) -> Result<(), Fence> {
        match self.sync {
            SyncMode::Never => Ok(()),
            SyncMode::Always => self
                .file
                .sync()
                .map_err(|error| failed("sync", &self.path, &error)),
        }
    }

    /// Up to where zeros go along with this batch.
    fn zero_target(&self) -> u64 {
        let grows = self.offset > self.file_bytes;
        if !grows || self.batch.bytes() >= ZERO_AHEAD_BYTES {
            return self.offset;
        }
        let ahead = self.offset.next_multiple_of(ZERO_AHEAD_BYTES);
        ahead.min(self.planned_bytes).max(self.offset)
    }
}
