//! Walking the frames of one segment, each checked against the one before.
//!
//! Reader, recovery and verification all step through a segment with [`Walk`]; they differ only in
//! what they make of a frame that does not hold.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::error::{Error, Result};
use crate::large::LargeBuffer;
use crate::log::disk::{DiskFile, read_full};
use crate::log::frame::{HEADER_BYTES, Header, KIND_LOST};
use crate::position::{Position, Span};

/// Bytes read ahead while walking straight on; and after a body was passed over.
const READ_AHEAD_BYTES: usize = 512 << 10;
const READ_CAREFULLY_BYTES: usize = 4 << 10;
/// What is at least this long is read by itself, with the header behind it: who reads ahead would read most of the next one twice.
const READ_ALONE_BYTES: usize = READ_AHEAD_BYTES / 4;
/// A body longer than this has a buffer of its own, which goes when the body goes.
const WINDOW_BYTES_MAX: usize = 4 << 20;

/// A stretch of a file held in memory.
#[derive(Debug)]
pub(super) struct Window {
    file: Arc<dyn DiskFile>,
    bytes: Bytes,
    start: u64,
    ahead: usize,
}

impl Window {
    pub(super) fn new(file: Arc<dyn DiskFile>) -> Window {
        Window {
            file,
            bytes: Bytes::new(),
            start: 0,
            ahead: READ_AHEAD_BYTES,
        }
    }

    pub(super) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    /// The bytes from `offset` on, at least `len` of them, or `None` when they would pass `limit`
    /// or the end of the file. Nothing at or after `limit` is read: it may still change.
    pub(super) fn read(
        &mut self,
        offset: u64,
        len: usize,
        limit: u64,
    ) -> io::Result<Option<Bytes>> {
        if offset.saturating_add(len as u64) > limit {
            return Ok(None);
        }
        if let Some(held) = self.held(offset, len) {
            return Ok(Some(held));
        }
        if len > WINDOW_BYTES_MAX {
            return self.read_apart(offset, len);
        }
        let room = usize::try_from(limit - offset).unwrap_or(usize::MAX);
        self.fill(offset, self.stretch(len).min(room))?;
        Ok(self.held(offset, len))
    }

    /// How much is read at once where `len` bytes are wanted.
    fn stretch(&self, len: usize) -> usize {
        match len >= READ_ALONE_BYTES {
            true => len + HEADER_BYTES,
            false => len.max(self.ahead),
        }
    }

    /// Exactly `len` bytes, of which the window keeps nothing.
    fn read_apart(&self, offset: u64, len: usize) -> io::Result<Option<Bytes>> {
        let mut buffer = LargeBuffer::new(len);
        let filled = read_full(self.file.as_ref(), &mut buffer, offset)?;
        Ok((filled == len).then(|| buffer.freeze()))
    }

    fn held(&self, offset: u64, len: usize) -> Option<Bytes> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        (from.checked_add(len)? <= self.bytes.len()).then(|| self.bytes.slice(from..))
    }

    fn fill(&mut self, offset: u64, len: usize) -> io::Result<()> {
        // The old buffer is used again, if it is large enough and nobody still holds a frame in it.
        let old = std::mem::take(&mut self.bytes).try_into_mut().ok();
        let old = old.filter(|buffer| buffer.capacity() >= len);
        let mut buffer = old.unwrap_or_else(|| BytesMut::zeroed(len));
        buffer.resize(len, 0);
        let filled = read_full(self.file.as_ref(), &mut buffer, offset)?;
        buffer.truncate(filled);
        self.bytes = buffer.freeze();
        self.start = offset;
        Ok(())
    }

    /// Tells the window that a body of `len` bytes was passed over, or (0) that one was read.
    fn passed(&mut self, len: usize) {
        self.ahead = match len >= READ_ALONE_BYTES {
            true => READ_CAREFULLY_BYTES,
            false => READ_AHEAD_BYTES,
        };
    }
}

/// What is at the place where a frame should start.
#[derive(Debug)]
pub(super) enum Found {
    /// A header that holds; its body is not read yet.
    Frame(Header),
    /// The limit.
    End,
    /// Nothing that holds, and why.
    Bad(&'static str),
}

/// Which segment is walked, and what must be true of its next frame.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) path: PathBuf,
    pub(super) store: u64,
    pub(super) segment: u64,
    /// Where the next frame starts.
    pub(super) offset: u64,
    /// Where the frames end, as far as known.
    pub(super) limit: u64,
    /// Header checksum of the frame before; unknown after a jump.
    pub(super) chain: Option<u32>,
    /// The next position; unknown after a jump.
    pub(super) next: Option<Position>,
    /// The epoch of the frame before.
    pub(super) epoch: u32,
    pub(super) window: Window,
}

impl Walk {
    /// The header at the current place.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn header(&mut self) -> Result<Found> {
        if self.offset >= self.limit {
            return Ok(Found::End);
        }
        let Some(bytes) = self.read(self.offset, HEADER_BYTES)? else {
            return Ok(Found::Bad("the file ends inside a frame header"));
        };
        Ok(match Header::decode(&bytes) {
            None => Found::Bad("no valid frame header"),
            Some(header) => match self.flaw(&header) {
                Some(flaw) => Found::Bad(flaw),
                None => Found::Frame(header),
            },
        })
    }

    fn flaw(&self, header: &Header) -> Option<&'static str> {
        if header.store != self.store {
            Some("a frame of another store")
        } else if header.segment != self.segment {
            Some("a frame of another segment")
        } else if header.offset != self.offset {
            Some("a frame of another place")
        } else if header.epoch < self.epoch {
            Some("a frame of an earlier time")
        } else if self.chain.is_some_and(|chain| chain != header.chain) {
            Some("a frame that does not follow the one before")
        } else if self.next.is_some_and(|next| next != header.first) {
            Some("a frame with a position out of order")
        } else if header.end() > self.limit {
            Some("the segment ends inside a frame")
        } else {
            None
        }
    }

    /// The body that belongs to `header`, or `None` when it is short or does not match its checksum.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn body(&mut self, header: &Header) -> Result<Option<Bytes>> {
        let len = header.body_bytes as usize;
        let Some(bytes) = self.read(header.offset + HEADER_BYTES as u64, len)? else {
            return Ok(None);
        };
        self.window.passed(0);
        let body = bytes.slice(..len);
        Ok((crc32fast::hash(&body) == header.body_crc).then_some(body))
    }

    /// Goes on behind `header`, whose body was read.
    pub(super) fn pass(&mut self, header: &Header) {
        self.offset = header.end();
        self.chain = (header.kind != KIND_LOST).then_some(header.crc);
        self.next = Some(header.next());
        self.epoch = header.epoch;
    }

    /// Goes on behind `header`, whose body was not read.
    pub(super) fn skip(&mut self, header: &Header) {
        self.window.passed(header.body_bytes as usize);
        self.pass(header);
    }

    /// The error for a frame that should be here and is not.
    pub(super) fn damaged(&self, why: &str, lost: Span) -> Error {
        damaged(&self.path, self.offset, why, lost)
    }

    fn read(&mut self, offset: u64, len: usize) -> Result<Option<Bytes>> {
        let limit = self.limit;
        self.window
            .read(offset, len, limit)
            .map_err(|error| unreadable(&self.path, error))
    }
}

/// The error for acknowledged data that does not hold.
pub(super) fn damaged(path: &std::path::Path, offset: u64, why: &str, lost: Span) -> Error {
    let concerned = match lost.is_empty() {
        true => "no event, but the log's own records".to_owned(),
        false => format!("positions {lost}"),
    };
    Error::damaged(format!("damaged at byte {offset}: {why}; this concerns {concerned}"))
        .at(path.display())
        .help("nothing was changed; `store verify` lists all damage; put an undamaged copy of the file back, or keep what holds with `store repair --salvage`")
}

/// The error for a file that cannot be opened or read.
pub(super) fn unreadable(path: &std::path::Path, error: io::Error) -> Error {
    let what = "cannot be read";
    match error.kind() {
        io::ErrorKind::PermissionDenied => Error::refused(what)
            .help("give this user the right to read and write the store's folder"),
        _ => Error::unavailable(what),
    }
    .at(path.display())
    .because(error)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::log::{Access, SystemDisk};

    #[test]
    fn a_window_keeps_nothing_of_a_long_body_and_reads_on_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        let long = WINDOW_BYTES_MAX + 5;
        let written: Vec<u8> = (0..long + 100).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &written).unwrap();
        let file = SystemDisk::shared().open(&path, Access::Read).unwrap();
        let mut window = Window::new(file);
        let limit = written.len() as u64;
        let head = window.read(0, 3, limit).unwrap().unwrap();
        assert!(written.starts_with(&head.slice(..3)));
        let body = window.read(3, long, limit).unwrap().unwrap();
        assert!(written.get(3..3 + long) == Some(&body));
        assert!(window.bytes.len() <= READ_AHEAD_BYTES);
        let behind = window.read(3 + long as u64, 97, limit).unwrap().unwrap();
        assert!(written.ends_with(&behind) && behind.len() == 97);
        let past = window.read(limit - 1, WINDOW_BYTES_MAX + 1, limit);
        assert!(past.unwrap().is_none());
    }

    /// A file that counts what is read of it.
    #[derive(Debug)]
    struct Counted(Arc<dyn DiskFile>, AtomicUsize);

    impl DiskFile for Counted {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let read = self.0.read_at(buffer, offset)?;
            self.1.fetch_add(read, Ordering::SeqCst);
            Ok(read)
        }

        fn write_at(&self, parts: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
            self.0.write_at(parts, offset)
        }

        fn sync(&self) -> io::Result<()> {
            self.0.sync()
        }

        fn truncate(&self, bytes: u64) -> io::Result<()> {
            self.0.truncate(bytes)
        }

        fn allocate(&self, bytes: u64) -> io::Result<bool> {
            self.0.allocate(bytes)
        }

        fn bytes(&self) -> io::Result<u64> {
            self.0.bytes()
        }
    }

    #[test]
    fn frames_are_read_about_once_whatever_their_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frames");
        for body in [
            1_000,
            READ_ALONE_BYTES,
            READ_AHEAD_BYTES - 1,
            READ_AHEAD_BYTES * 3,
        ] {
            let frames = (16 << 20) / body;
            let written: Vec<u8> = (0..frames * (HEADER_BYTES + body))
                .map(|at| at as u8)
                .collect();
            std::fs::write(&path, &written).unwrap();
            let file = SystemDisk::shared().open(&path, Access::Read).unwrap();
            let file = Arc::new(Counted(file, AtomicUsize::new(0)));
            let mut window = Window::new(Arc::clone(&file) as Arc<dyn DiskFile>);
            let (mut at, limit) = (0, written.len());
            while at < limit {
                for len in [HEADER_BYTES, body] {
                    let read = window.read(at as u64, len, limit as u64).unwrap().unwrap();
                    assert!(read.get(..len) == written.get(at..at + len));
                    at += len;
                }
            }
            let read = file.1.load(Ordering::SeqCst);
            let most = limit + limit / 50 + READ_AHEAD_BYTES;
            assert!(read <= most, "bodies of {body}: {read} bytes of {limit}");
        }
    }
}
