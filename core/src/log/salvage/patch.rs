//! Writing over what does not hold, after it was copied aside.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::disk::{Access, Disk, DiskFile, read_full, write_all};
use crate::log::frame::{BODY_BYTES_MAX, HEADER_BYTES, Header, KIND_LOST};
use crate::log::verify::Damage;
use crate::log::walk::{Walk, Window, unreadable};
use crate::position::{Position, Span};

/// Bytes copied at a time.
const STEP_BYTES: u64 = 1 << 20;
/// Bytes of one frame that says what is lost, at most.
const LOST_BYTES_MAX: u64 = (BODY_BYTES_MAX as u64) / 2;

/// A place between two frames, and what a frame there must say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) store: u64,
    pub(super) segment: u64,
    pub(super) epoch: u32,
    pub(super) offset: u64,
    /// Header checksum of the frame before.
    pub(super) chain: u32,
    /// The next position.
    pub(super) next: Position,
}

impl Mark {
    /// A frame of the log's own at this place.
    pub(super) fn frame(&self, kind: u8, count: u32, zeros: usize) -> Header {
        Header {
            body_crc: zeros_crc(zeros),
            body_bytes: zeros as u32,
            kind,
            staged: false,
            count,
            first: self.next,
            segment: self.segment,
            epoch: self.epoch,
            offset: self.offset,
            durable_before: self.offset,
            chain: self.chain,
            store: self.store,
            crc: 0,
        }
    }
}

fn zeros_crc(count: usize) -> u32 {
    let zeros = [0; 4096];
    let mut hasher = crc32fast::Hasher::new();
    let mut left = count;
    while left > 0 {
        let step = left.min(zeros.len());
        hasher.update(zeros.get(..step).unwrap_or_default());
        left -= step;
    }
    hasher.finalize()
}

/// Changes files of a log, and keeps what was there.
#[derive(Debug)]
pub(super) struct Patcher {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    pub(super) damages: Vec<Damage>,
}

impl Patcher {
    pub(super) fn new(dir: &Path, disk: Arc<dyn Disk>) -> Patcher {
        Patcher {
            dir: dir.to_owned(),
            disk,
            damages: Vec::new(),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Where copies go.
    pub(super) fn saved_to(&self) -> PathBuf {
        self.dir.join("salvaged")
    }

    /// Says that the bytes from `mark` up to `end` are lost, with the positions `lost`, and puts the walk at the
    /// frame that says so.
    pub(super) fn lose(
        &mut self,
        walk: &mut Walk,
        mark: Mark,
        end: u64,
        lost: Span,
        what: String,
    ) -> Result<()> {
        let path = walk.path.clone();
        self.save(&path, mark.offset, end)?;
        self.damages.push(Damage {
            path: path.clone(),
            offset: mark.offset,
            span: lost,
            what,
        });
        self.write_lost(&path, mark, end, lost)?;
        let file = self.open(&path, Access::Write)?;
        walk.window = Window::new(file);
        Ok(())
    }

    /// Fills the file from `mark` to `end` with frames that take the positions `lost`; returns the header checksum
    /// of the last.
    pub(super) fn write_lost(&self, path: &Path, mark: Mark, end: u64, lost: Span) -> Result<Mark> {
        let mut mark = mark;
        let mut left = lost.len();
        while mark.offset < end {
            let room = end - mark.offset;
            if room < HEADER_BYTES as u64 {
                let what = format!("{room} bytes at byte {} are too few", mark.offset);
                return Err(Error::refused(what)
                    .at(path.display())
                    .help("report this with the output of `store verify`"));
            }
            let bytes = match room >= LOST_BYTES_MAX + HEADER_BYTES as u64 {
                true => LOST_BYTES_MAX,
                false => room,
            };
            let count = u32::try_from(left).unwrap_or(u32::MAX);
            let zeros = (bytes as usize).saturating_sub(HEADER_BYTES);
            let mut header = mark.frame(KIND_LOST, count, zeros);
            let parts = [header.encode().to_vec(), vec![0; zeros]];
            self.write(path, &parts, mark.offset)?;
            left -= u64::from(count);
            mark.offset += bytes;
            mark.chain = header.crc;
            mark.next = header.next();
        }
        match left {
            0 => Ok(mark),
            _ => Err(
                Error::refused(format!("{left} positions more are lost than can be said"))
                    .at(path.display())
                    .help("report this with the output of `store verify`"),
            ),
        }
    }

    /// Writes and syncs.
    pub(super) fn write(&self, path: &Path, parts: &[impl AsRef<[u8]>], offset: u64) -> Result<()> {
        let file = self.open(path, Access::Write)?;
        let parts: Vec<&[u8]> = parts.iter().map(AsRef::as_ref).collect();
        write_all(file.as_ref(), &parts, offset).map_err(|error| unwritable(path, error))?;
        file.sync().map_err(|error| unwritable(path, error))
    }

    /// Makes a file with these bytes, durable with its name, or replaces it.
    pub(super) fn create(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let file = self.open(path, Access::Create)?;
        write_all(file.as_ref(), &[bytes], 0).map_err(|error| unwritable(path, error))?;
        file.sync().map_err(|error| unwritable(path, error))?;
        let synced = self.disk.sync_dir(&self.dir);
        synced.map_err(|error| unwritable(&self.dir, error))
    }

    /// Copies the bytes of a file from `start` to `end`, as far as they are there.
    pub(super) fn save(&self, path: &Path, start: u64, end: u64) -> Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let copy = self.saved_to().join(format!("{name}.{start}"));
        let made = self.disk.create_dir(&self.saved_to());
        made.and_then(|()| self.disk.sync_dir(&self.dir))
            .map_err(|error| unwritable(&self.saved_to(), error))?;
        let from = self.open(path, Access::Read)?;
        let to = self.open(&copy, Access::Create)?;
        let mut at = start;
        while at < end {
            let mut bytes = vec![0; (end - at).min(STEP_BYTES) as usize];
            let read = read_full(from.as_ref(), &mut bytes, at);
            let read = read.map_err(|error| unreadable(path, error))?;
            bytes.truncate(read);
            write_all(to.as_ref(), &[&bytes], at - start)
                .map_err(|error| unwritable(&copy, error))?;
            if read == 0 {
                break;
            }
            at += read as u64;
        }
        to.sync().map_err(|error| unwritable(&copy, error))?;
        let synced = self.disk.sync_dir(&self.saved_to());
        synced.map_err(|error| unwritable(&copy, error))
    }

    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, access);
        file.map_err(|error| unreadable(path, error))
    }
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable("cannot be written while the log is salvaged")
        .at(path.display())
        .because(error)
        .help("make room or give the right to write, and run it again: it goes on where it stopped")
}
