//! Staged files: the chunks of a transaction that is not committed yet.
//!
//! They have no positions and no reader sees them. A commit frame gives them all a place at once;
//! without one they are removed, when the [`Stage`] is dropped or when the log is next opened.
//!
//! A file `staged/<id>.stage` is a row of chunks, each with 32 bytes of header, its body, and zeros
//! up to the next multiple of 8:
//!
//! | bytes | field | meaning |
//! |---|---|---|
//! | 0-3 | magic | `BSc1` |
//! | 4-7 | header checksum | CRC-32 of bytes 8-31 |
//! | 8-11 | body checksum | CRC-32 of the body |
//! | 12-15 | body length | bytes, at most [`CHUNK_BYTES_MAX`] |
//! | 16-19 | count | the caller's: how many positions the chunk will take |
//! | 20-23 | chain | header checksum of the chunk before; of the first: CRC-32 of store and stage id |
//! | 24-31 | stage | id of the staged file |
//!
//! The commit frame names id, length, number of chunks, sum of counts and last header checksum, so
//! nothing can be missing, added or exchanged unseen.

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use crate::error::{Error, Result};
use crate::log::catalog::Shared;
use crate::log::disk::Access;
use crate::log::frame::{Fields, Frame, StageRef, checksum, padded_bytes, padding};
use crate::log::hopper::{AppendError, StageWork, Work};
use crate::log::segment::Name;
use crate::log::walk::{Window, damaged, unreadable};

/// Longest body of a chunk: a row may hold a value of 1 GiB, and a row is never divided.
pub const CHUNK_BYTES_MAX: usize = (1 << 30) + (64 << 20);

const CHUNK_HEADER_BYTES: usize = 32;
const MAGIC: u32 = u32::from_le_bytes(*b"BSc1");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ChunkHeader {
    body_crc: u32,
    body_bytes: u32,
    count: u32,
    chain: u32,
    stage: u64,
    crc: u32,
}

impl ChunkHeader {
    fn encode(&mut self) -> Bytes {
        let mut fields = Vec::with_capacity(CHUNK_HEADER_BYTES);
        fields.put_u32_le(self.body_crc);
        fields.put_u32_le(self.body_bytes);
        fields.put_u32_le(self.count);
        fields.put_u32_le(self.chain);
        fields.put_u64_le(self.stage);
        self.crc = crc32fast::hash(&fields);
        let mut bytes = Vec::with_capacity(CHUNK_HEADER_BYTES);
        bytes.put_u32_le(MAGIC);
        bytes.put_u32_le(self.crc);
        bytes.put_slice(&fields);
        bytes.into()
    }

    fn decode(bytes: &[u8]) -> Option<ChunkHeader> {
        let mut fields = Fields(bytes.get(..CHUNK_HEADER_BYTES)?);
        let magic = fields.u32()?;
        let crc = fields.u32()?;
        if magic != MAGIC || crc32fast::hash(fields.0) != crc {
            return None;
        }
        let header = ChunkHeader {
            body_crc: fields.u32()?,
            body_bytes: fields.u32()?,
            count: fields.u32()?,
            chain: fields.u32()?,
            stage: fields.u64()?,
            crc,
        };
        (header.body_bytes as usize <= CHUNK_BYTES_MAX).then_some(header)
    }
}

/// What the first chunk of a staged file chains to.
fn seed(store: u64, stage: u64) -> u32 {
    checksum([store.to_le_bytes().as_slice(), &stage.to_le_bytes()])
}

/// A place in a staged file to come back to: what a savepoint needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageMark {
    bytes: u64,
    chunks: u64,
    count: u64,
    chain: u32,
}

/// A staged file being filled. Dropping it without a commit removes the file.
#[derive(Debug)]
pub struct Stage {
    id: u64,
    shared: Arc<Shared>,
    end: StageMark,
    committed: bool,
}

impl Stage {
    pub(super) fn new(id: u64, shared: Arc<Shared>) -> Stage {
        let chain = seed(shared.store, id);
        Stage {
            id,
            shared,
            end: StageMark {
                bytes: 0,
                chunks: 0,
                count: 0,
                chain,
            },
            committed: false,
        }
    }

    /// Its number; never used again in this store.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Bytes it takes on disk, headers included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end.bytes
    }

    /// The sum of the counts of its chunks.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.end.count
    }

    /// Adds a chunk that will take `count` positions. Never waits for the disk.
    ///
    /// # Errors
    /// Full, too large or fenced; then nothing was added.
    pub fn push(&mut self, count: u32, parts: &[Bytes]) -> Result<(), AppendError> {
        if self.committed {
            let error = Error::invalid(format!("staged file {} is already committed", self.id));
            return Err(AppendError::Declined(error));
        }
        let len = parts.iter().map(Bytes::len).sum();
        if len > CHUNK_BYTES_MAX {
            return Err(AppendError::TooLarge(len));
        }
        let mut header = ChunkHeader {
            body_crc: checksum(parts.iter().map(Bytes::as_ref)),
            body_bytes: len as u32,
            count,
            chain: self.end.chain,
            stage: self.id,
            crc: 0,
        };
        let mut chunk = Vec::with_capacity(parts.len() + 2);
        chunk.push(header.encode());
        chunk.extend_from_slice(parts);
        chunk.push(Bytes::from_static(padding(len)));
        let bytes = padded_bytes(CHUNK_HEADER_BYTES, len);
        let offset = self.end.bytes;
        let write = StageWork::Write {
            offset,
            parts: chunk,
        };
        self.shared
            .hopper
            .offer(Work::Stage(self.id, write), bytes as usize)?;
        self.end = StageMark {
            bytes: offset + bytes,
            chunks: self.end.chunks + 1,
            count: self.end.count + u64::from(count),
            chain: header.crc,
        };
        Ok(())
    }

    /// The current end, to come back to with [`Stage::truncate`].
    #[must_use]
    pub fn mark(&self) -> StageMark {
        self.end
    }

    /// Drops every chunk pushed since `mark` was taken from this stage. Does nothing when the stage
    /// is shorter than that or committed.
    pub fn truncate(&mut self, mark: StageMark) {
        if self.committed || mark.bytes >= self.end.bytes {
            return;
        }
        let cut = Work::Stage(self.id, StageWork::Truncate(mark.bytes));
        self.shared.hopper.push([cut], 0);
        self.end = mark;
    }

    pub(super) fn reference(&self) -> StageRef {
        StageRef {
            id: self.id,
            bytes: self.end.bytes,
            chunks: self.end.chunks,
            count: self.end.count,
            chain: self.end.chain,
        }
    }

    pub(super) fn is_committed(&self) -> bool {
        self.committed
    }

    pub(super) fn set_committed(&mut self) {
        self.committed = true;
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.committed {
            let abort = Work::Stage(self.id, StageWork::Abort);
            self.shared.hopper.push([abort], 0);
        }
    }
}

/// One chunk of a committed staged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The count it was pushed with.
    pub count: u32,
    /// Its body.
    pub body: Bytes,
}

/// Reads the chunks of a committed staged file in order, each checked.
#[derive(Debug)]
pub struct StagedReader {
    commit: Frame,
    staged: StageRef,
    path: std::path::PathBuf,
    window: Window,
    offset: u64,
    chain: u32,
    chunks: u64,
}

impl StagedReader {
    /// # Errors
    /// Invalid when the frame is no commit; damaged when its file is not there.
    pub(super) fn open(shared: &Shared, commit: &Frame) -> Result<StagedReader> {
        let Some(staged) = commit.staged else {
            return Err(Error::invalid("this frame commits no staged file"));
        };
        let path = Name::Stage(staged.id).path(&shared.dir);
        let file = shared.disk.open(&path, Access::Read);
        let file = file.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => damaged(&path, 0, "the file is missing", commit.span()),
            _ => unreadable(&path, error),
        })?;
        Ok(StagedReader {
            commit: commit.clone(),
            staged,
            path,
            window: Window::new(file),
            offset: 0,
            chain: seed(shared.store, staged.id),
            chunks: 0,
        })
    }

    /// The next chunk; `None` after the last.
    ///
    /// # Errors
    /// Damaged when a chunk does not hold; unavailable when the file cannot be read.
    #[expect(
        clippy::should_implement_trait,
        reason = "an error is not an item; `?` must stay natural"
    )]
    pub fn next(&mut self) -> Result<Option<Chunk>> {
        let Some(header) = self.header()? else {
            return Ok(None);
        };
        let len = header.body_bytes as usize;
        let body = match self.read(self.offset + CHUNK_HEADER_BYTES as u64, len)? {
            Some(bytes) => bytes.slice(..len),
            None => return Err(self.damaged("the file ends inside a chunk")),
        };
        if crc32fast::hash(&body) != header.body_crc {
            return Err(self.damaged("the checksum of a chunk does not match"));
        }
        self.pass(&header)?;
        let count = header.count;
        Ok(Some(Chunk { count, body }))
    }

    /// Passes over chunks, without reading their bodies, as long as their counts stay within `count`
    /// together; returns the sum that was passed.
    ///
    /// # Errors
    /// As [`StagedReader::next`].
    pub fn skip(&mut self, count: u64) -> Result<u64> {
        let mut passed = 0;
        while let Some(header) = self.header()? {
            let sum = passed + u64::from(header.count);
            if sum > count {
                break;
            }
            passed = sum;
            self.pass(&header)?;
        }
        Ok(passed)
    }

    /// Where the next chunk starts in the file.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    fn header(&mut self) -> Result<Option<ChunkHeader>> {
        if self.offset >= self.staged.bytes {
            return Ok(None);
        }
        let Some(bytes) = self.read(self.offset, CHUNK_HEADER_BYTES)? else {
            return Err(self.damaged("the file is too short"));
        };
        match ChunkHeader::decode(&bytes) {
            None => Err(self.damaged("no valid chunk header")),
            Some(header) if header.stage != self.staged.id || header.chain != self.chain => {
                Err(self.damaged("a chunk that does not follow the one before"))
            }
            Some(header) => Ok(Some(header)),
        }
    }

    fn pass(&mut self, header: &ChunkHeader) -> Result<()> {
        self.offset += padded_bytes(CHUNK_HEADER_BYTES, header.body_bytes as usize);
        self.chain = header.crc;
        self.chunks += 1;
        let last = self.offset >= self.staged.bytes;
        let whole = self.offset == self.staged.bytes
            && self.chain == self.staged.chain
            && self.chunks == self.staged.chunks;
        match last && !whole {
            true => Err(self.damaged("it does not end as its commit says")),
            false => Ok(()),
        }
    }

    fn read(&mut self, offset: u64, len: usize) -> Result<Option<Bytes>> {
        self.window
            .read(offset, len, self.staged.bytes)
            .map_err(|error| unreadable(&self.path, error))
    }

    fn damaged(&self, why: &str) -> Error {
        damaged(&self.path, self.offset, why, self.commit.span())
    }
}
