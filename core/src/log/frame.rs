//! A frame: the unit that is appended, checked and read back. 64 bytes of header, then a body.
//!
//! | bytes | field | meaning |
//! |---|---|---|
//! | 0-3 | magic | `BSf1` |
//! | 4-7 | header checksum | CRC-32 of bytes 8-63 |
//! | 8-11 | body checksum | CRC-32 of the body, padding excluded |
//! | 12-15 | body length | bytes, at most [`BODY_BYTES_MAX`] |
//! | 16 | kind | the caller's; from [`KIND_MAX`] + 1 the log's own |
//! | 17 | flags | bit 0: the body begins with a [`StageRef`] |
//! | 18-19 | | zero |
//! | 20-23 | count | positions this frame takes, may be 0 |
//! | 24-31 | first | its first position, from 1 on; with count 0 the next one to be given |
//! | 32-39 | segment | id of the segment it was written into |
//! | 40-43 | epoch | how many times the log had been opened |
//! | 44-47 | offset | where it starts in the segment, in units of 8 bytes |
//! | 48-51 | durable before | up to which offset the segment was synced when this was written, in units of 8 bytes |
//! | 52-55 | chain | header checksum of the frame before |
//! | 56-63 | store | id of the store |
//!
//! All numbers are little-endian. Frames start at multiples of 8; the gap is zero.

use bytes::{BufMut, Bytes, BytesMut};

use crate::position::{Position, Span};

/// The longest body, in bytes: 64 MiB. Longer ones are refused, and a header that claims more is damaged.
pub const BODY_BYTES_MAX: usize = 64 << 20;
/// The highest kind a caller may use; those above are the log's own.
pub const KIND_MAX: u8 = 239;

/// The log's own kinds: what a segment starts with, what an opening leaves, what an idle writer
/// leaves, and what stays behind the end of a segment when the next one is there.
pub(super) const KIND_SNAPSHOT: u8 = 255;
pub(super) const KIND_OPENED: u8 = 254;
pub(super) const KIND_HEARTBEAT: u8 = 253;
pub(super) const KIND_CONTINUED: u8 = 252;
/// A piece of a snapshot that more pieces follow; the last is a [`KIND_SNAPSHOT`].
pub(super) const KIND_SNAPSHOT_PIECE: u8 = 251;

/// What salvaging left in the place of something that did not hold, with the positions that were in it. The frame
/// behind it chains to what was there before. Readers that [want](super::Reader::want) it are given it, with a body
/// that says nothing.
pub const KIND_LOST: u8 = 250;

pub(super) const HEADER_BYTES: usize = 64;
const MAGIC: u32 = u32::from_le_bytes(*b"BSf1");
const FLAG_STAGED: u8 = 1;
const UNIT: u64 = 8;

/// Bytes of a frame or chunk with `header` and `body` bytes, padding included.
pub(super) const fn padded_bytes(header: usize, body: usize) -> u64 {
    ((header + body) as u64).next_multiple_of(UNIT)
}

/// The zeros that follow a body up to the next multiple of 8.
pub(super) fn padding(body: usize) -> &'static [u8] {
    const ZEROS: [u8; 8] = [0; 8];
    let gap = body.next_multiple_of(8) - body;
    ZEROS.get(..gap).unwrap_or_default()
}

/// CRC-32 over several parts as if they were one.
pub(super) fn checksum<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// Takes fixed fields off the front of a byte slice; `None` once it is too short.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*chunk)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.chunk().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
}

/// The header of a frame; `crc` is its own checksum, which the next frame chains to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) body_crc: u32,
    pub(super) body_bytes: u32,
    pub(super) kind: u8,
    pub(super) staged: bool,
    pub(super) count: u32,
    pub(super) first: Position,
    pub(super) segment: u64,
    pub(super) epoch: u32,
    pub(super) offset: u64,
    pub(super) durable_before: u64,
    pub(super) chain: u32,
    pub(super) store: u64,
    pub(super) crc: u32,
}

impl Header {
    /// The bytes of this header; sets `crc`.
    pub(super) fn encode(&mut self) -> [u8; HEADER_BYTES] {
        let mut fields = Vec::with_capacity(HEADER_BYTES);
        fields.put_u32_le(self.body_crc);
        fields.put_u32_le(self.body_bytes);
        fields.put_u8(self.kind);
        fields.put_u8(if self.staged { FLAG_STAGED } else { 0 });
        fields.put_u16_le(0);
        fields.put_u32_le(self.count);
        fields.put_u64_le(self.first.0);
        fields.put_u64_le(self.segment);
        fields.put_u32_le(self.epoch);
        fields.put_u32_le((self.offset / UNIT) as u32);
        fields.put_u32_le((self.durable_before / UNIT) as u32);
        fields.put_u32_le(self.chain);
        fields.put_u64_le(self.store);
        self.crc = crc32fast::hash(&fields);
        let mut bytes = [0; HEADER_BYTES];
        let mut rest = bytes.as_mut_slice();
        rest.put_u32_le(MAGIC);
        rest.put_u32_le(self.crc);
        rest.put_slice(&fields);
        bytes
    }

    /// The header in `bytes`, or `None` when it is not one or is damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Header> {
        let mut fields = Fields(bytes.get(..HEADER_BYTES)?);
        let magic = fields.u32()?;
        let crc = fields.u32()?;
        if magic != MAGIC || crc32fast::hash(fields.0) != crc {
            return None;
        }
        let body_crc = fields.u32()?;
        let body_bytes = fields.u32()?;
        let kind = fields.u8()?;
        let flags = fields.u8()?;
        let zero = fields.u16()?;
        let header = Header {
            body_crc,
            body_bytes,
            kind,
            staged: flags == FLAG_STAGED,
            count: fields.u32()?,
            first: Position(fields.u64()?),
            segment: fields.u64()?,
            epoch: fields.u32()?,
            offset: u64::from(fields.u32()?) * UNIT,
            durable_before: u64::from(fields.u32()?) * UNIT,
            chain: fields.u32()?,
            store: fields.u64()?,
            crc,
        };
        let sound = header.body_bytes as usize <= BODY_BYTES_MAX
            && flags <= FLAG_STAGED
            && zero == 0
            && header.first > Position::ZERO
            && header
                .first
                .0
                .checked_add(u64::from(header.count))
                .is_some();
        sound.then_some(header)
    }

    /// Whether `bytes` could be the start of a header: the cheap test before [`Header::decode`].
    pub(super) fn may_start(bytes: &[u8]) -> bool {
        bytes.first_chunk::<4>() == Some(&MAGIC.to_le_bytes())
    }

    /// Bytes it takes in the segment, with body and padding.
    pub(super) fn frame_bytes(&self) -> u64 {
        padded_bytes(HEADER_BYTES, self.body_bytes as usize)
    }

    /// Where the frame after it starts.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.frame_bytes()
    }

    /// The positions it takes.
    pub(super) fn span(&self) -> Span {
        Span::starting(self.first, u64::from(self.count))
    }

    /// The next position after it.
    pub(super) fn next(&self) -> Position {
        self.first.plus(u64::from(self.count))
    }

    /// Whether the log wrote it for itself.
    pub(super) fn is_internal(&self) -> bool {
        self.kind > KIND_MAX
    }
}

/// What a commit frame says of its staged file: enough to know it is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageRef {
    /// Number of the staged file.
    pub id: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many chunks it holds.
    pub chunks: u64,
    /// The sum of the chunks' counts.
    pub count: u64,
    /// Checksum of its last chunk's header, which chains all before.
    pub(super) chain: u32,
}

pub(super) const STAGE_REF_BYTES: usize = 40;

impl StageRef {
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(STAGE_REF_BYTES);
        bytes.put_u64_le(self.id);
        bytes.put_u64_le(self.bytes);
        bytes.put_u64_le(self.chunks);
        bytes.put_u64_le(self.count);
        bytes.put_u32_le(self.chain);
        bytes.put_u32_le(0);
        bytes.freeze()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<StageRef> {
        let mut fields = Fields(bytes.get(..STAGE_REF_BYTES)?);
        Some(StageRef {
            id: fields.u64()?,
            bytes: fields.u64()?,
            chunks: fields.u64()?,
            count: fields.u64()?,
            chain: fields.u32()?,
        })
    }
}

/// A frame read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The caller's kind.
    pub kind: u8,
    /// Its first position; with count 0 the next one that was to be given.
    pub first: Position,
    /// How many positions it takes.
    pub count: u32,
    /// The staged file it commits, if it is a commit.
    pub staged: Option<StageRef>,
    /// What the caller appended.
    pub body: Bytes,
    /// The segment it is in.
    pub segment: u64,
    /// Where it starts in the segment.
    pub offset: u64,
}

impl Frame {
    /// The positions it takes; empty when it takes none.
    #[must_use]
    pub fn span(&self) -> Span {
        Span::starting(self.first, u64::from(self.count))
    }

    /// The frame as a [`super::Fold`] sees it.
    #[must_use]
    pub fn by_ref(&self) -> FrameRef<'_> {
        FrameRef {
            kind: self.kind,
            first: self.first,
            count: self.count,
            staged: self.staged,
            parts: std::slice::from_ref(&self.body),
        }
    }

    /// Puts header and body together; `None` when the body is too short for what the header says.
    pub(super) fn assemble(header: &Header, mut body: Bytes) -> Option<Frame> {
        let mut staged = None;
        if header.staged {
            staged = Some(StageRef::decode(&body)?);
            body = body.slice(STAGE_REF_BYTES..);
        }
        Some(Frame {
            kind: header.kind,
            first: header.first,
            count: header.count,
            staged,
            body,
            segment: header.segment,
            offset: header.offset,
        })
    }
}

/// A frame as it passes by, when appended or recovered. Its body may be in several parts.
#[derive(Debug, Clone, Copy)]
pub struct FrameRef<'a> {
    /// The caller's kind.
    pub kind: u8,
    /// Its first position; with count 0 the next one to be given.
    pub first: Position,
    /// How many positions it takes.
    pub count: u32,
    /// The staged file it commits, if it is a commit.
    pub staged: Option<StageRef>,
    /// The body, in as many parts as the caller gave; in one when read back.
    pub parts: &'a [Bytes],
}

impl FrameRef<'_> {
    /// The positions it takes; empty when it takes none.
    #[must_use]
    pub fn span(&self) -> Span {
        Span::starting(self.first, u64::from(self.count))
    }

    /// The body in one piece; copied only when it came in several.
    #[must_use]
    pub fn body(&self) -> Bytes {
        match self.parts {
            [] => Bytes::new(),
            [body] => body.clone(),
            parts => parts.concat().into(),
        }
    }
}
