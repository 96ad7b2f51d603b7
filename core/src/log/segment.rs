//! A segment file: its name and its first 4 KiB.
//!
//! | bytes | field | meaning |
//! |---|---|---|
//! | 0-7 | magic | `BSMITHsg` |
//! | 8-11 | version | of the format, [`VERSION`] |
//! | 12-15 | checksum | CRC-32 of bytes 16-4095 |
//! | 16-23 | store | id of the store, random at its birth |
//! | 24-31 | segment | counts up by one, as the file's name does |
//! | 32-35 | epoch | of the writer that made it |
//! | 36-39 | flags | bit 0: the file was recycled, so bytes after the last frame may be another segment's |
//! | 40-47 | first | the next position when it was made |
//! | 48-55 | created at | microseconds since 1970 |
//! | 56-63 | previous end | where the segment before it ends, in bytes |
//! | 64-67 | chain | header checksum of the last frame of the segment before it |
//! | 68-4095 | | zero |
//!
//! Magic, version and checksum stay where they are in every version to come. A file has the name
//! `<id>.seg` only when its header and its snapshot frame are durable, and only when the segment
//! before it is complete and durable.

use std::path::{Path, PathBuf};

use bytes::BufMut;

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::log::frame::Fields;
use crate::position::Position;

/// Version of the format on disk.
pub(super) const VERSION: u32 = 1;
/// Bytes before the first frame.
pub(super) const SEGMENT_HEADER_BYTES: usize = 4096;

const MAGIC: &[u8; 8] = b"BSMITHsg";
const PREFIX_BYTES: usize = 16;
const FLAG_RECYCLED: u32 = 1;

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) store: u64,
    pub(super) id: u64,
    pub(super) epoch: u32,
    pub(super) recycled: bool,
    pub(super) first: Position,
    pub(super) created_at: Timestamp,
    pub(super) previous_end: u64,
    pub(super) chain: u32,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        fields.put_u64_le(self.store);
        fields.put_u64_le(self.id);
        fields.put_u32_le(self.epoch);
        fields.put_u32_le(if self.recycled { FLAG_RECYCLED } else { 0 });
        fields.put_u64_le(self.first.0);
        fields.put_i64_le(self.created_at.0);
        fields.put_u64_le(self.previous_end);
        fields.put_u32_le(self.chain);
        fields.resize(SEGMENT_HEADER_BYTES - PREFIX_BYTES, 0);
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.put_slice(MAGIC);
        bytes.put_u32_le(VERSION);
        bytes.put_u32_le(crc32fast::hash(&fields));
        bytes.put_slice(&fields);
        bytes
    }

    /// The header of the file at `path`, whose first bytes are given.
    ///
    /// # Errors
    /// Damaged, or refused when another version wrote it.
    pub(super) fn decode(bytes: &[u8], path: &Path) -> Result<SegmentHeader> {
        let header = SegmentHeader::parse(bytes);
        let Some((version, header)) = header else {
            return Err(Error::damaged("the header of this segment is damaged")
                .at(path.display())
                .help("`store verify` shows which positions are concerned"));
        };
        if version != VERSION {
            let what = format!("written in format {version}; this program knows format {VERSION}");
            return Err(Error::refused(what)
                .at(path.display())
                .help("use the program version that wrote it, or a later one"));
        }
        header.ok_or_else(|| {
            Error::damaged("the header of this segment contradicts itself").at(path.display())
        })
    }

    fn parse(bytes: &[u8]) -> Option<(u32, Option<SegmentHeader>)> {
        let mut fields = Fields(bytes.get(..SEGMENT_HEADER_BYTES)?);
        let magic = fields.bytes(MAGIC.len())?;
        let version = fields.u32()?;
        let checksum = fields.u32()?;
        let sound = magic == MAGIC && crc32fast::hash(fields.0) == checksum;
        sound.then(|| (version, SegmentHeader::parse_fields(fields)))
    }

    fn parse_fields(mut fields: Fields<'_>) -> Option<SegmentHeader> {
        Some(SegmentHeader {
            store: fields.u64()?,
            id: fields.u64()?,
            epoch: fields.u32()?,
            recycled: fields.u32()? & FLAG_RECYCLED != 0,
            first: Position(fields.u64()?),
            created_at: Timestamp(fields.u64()?.cast_signed()),
            previous_end: fields.u64()?,
            chain: fields.u32()?,
        })
    }
}

/// What a file in the log's folder is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// A segment.
    Segment(u64),
    /// A dropped segment kept to be written over.
    Spare(u64),
    /// A segment that was being made.
    New(u64),
    /// A staged file.
    Stage(u64),
}

impl Name {
    pub(super) fn parse(name: &str) -> Option<Name> {
        let (digits, kind) = name.split_once('.')?;
        let id = match digits.len() {
            20 => digits.parse().ok()?,
            _ => return None,
        };
        match kind {
            "seg" => Some(Name::Segment(id)),
            "spare" => Some(Name::Spare(id)),
            "new" => Some(Name::New(id)),
            "stage" => Some(Name::Stage(id)),
            _ => None,
        }
    }

    pub(super) fn path(self, dir: &Path) -> PathBuf {
        match self {
            Name::Segment(id) => dir.join(format!("{id:020}.seg")),
            Name::Spare(id) => dir.join(format!("{id:020}.spare")),
            Name::New(id) => dir.join(format!("{id:020}.new")),
            Name::Stage(id) => stage_dir(dir).join(format!("{id:020}.stage")),
        }
    }
}

/// The folder of the staged files.
pub(super) fn stage_dir(dir: &Path) -> PathBuf {
    dir.join("staged")
}
