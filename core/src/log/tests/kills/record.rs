//! Events that say themselves whose they are and whether they are whole, and the state folded from them.

use bytes::{BufMut, Bytes};

use crate::error::{Error, Result};
use crate::log::frame::Fields;
use crate::log::tests::{HEAD_BYTES, PIECES, body};
use crate::log::{Fold, FrameRef};

pub(super) const WRITERS: usize = 8;
/// The kind of frames that hold one record.
pub(super) const RECORD: u8 = 1;
/// The kind of frames that commit a staged file of records; the body is that file's writer, first number, and count.
pub(super) const COMMIT: u8 = 9;

const HEADER_BYTES: usize = 4 + 4 + 8 + 4;

/// One event: the `number`th of its writer, begun in this life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) writer: u32,
    pub(super) life: u32,
    pub(super) number: u64,
    /// Bytes of content, which follows from everything else.
    pub(super) len: u32,
}

impl Record {
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.len as usize);
        bytes.put_u32_le(self.writer);
        bytes.put_u32_le(self.life);
        bytes.put_u64_le(self.number);
        bytes.put_u32_le(self.len);
        bytes.extend_from_slice(&self.content());
        bytes.into()
    }

    fn content(&self) -> Bytes {
        let own = u64::from(self.writer) << 56 ^ u64::from(self.life) << 40 ^ self.number;
        body(own, self.len as usize)
    }

    /// The record that `fields` begin with, whole.
    fn decode(fields: &mut Fields<'_>) -> Option<Record> {
        let record = Record {
            writer: fields.u32()?,
            life: fields.u32()?,
            number: fields.u64()?,
            len: fields.u32()?,
        };
        let len = record.len as usize;
        let (content, rest) = (fields.0.get(..len)?, fields.0.get(len..)?);
        fields.0 = rest;
        (record.content() == content).then_some(record)
    }

    /// All records of a row.
    pub(super) fn row(bytes: &[u8]) -> Result<Vec<Record>, String> {
        let mut fields = Fields(bytes);
        let mut row = Vec::new();
        while !fields.0.is_empty() {
            let at = bytes.len() - fields.0.len();
            let record = Record::decode(&mut fields);
            row.push(record.ok_or_else(|| format!("byte {at} of {} is no record", bytes.len()))?);
        }
        Ok(row)
    }
}

/// The number of each writer's last event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Heads(pub(super) [u64; WRITERS]);

impl Heads {
    fn follow(&mut self, writer: u32, first: u64, count: u64) -> Result<()> {
        let head = self.0.get_mut(writer as usize);
        let head = head.ok_or_else(|| Error::invalid(format!("there is no writer {writer}")))?;
        if first != *head + 1 {
            let what = format!("event {first} of writer {writer} follows its {head}th");
            return Err(Error::invalid(what));
        }
        *head += count;
        Ok(())
    }
}

/// What a commit says: writer, first number, count.
pub(super) fn commit(writer: u32, first: u64, count: u64) -> Bytes {
    let mut bytes = Vec::with_capacity(20);
    bytes.put_u32_le(writer);
    bytes.put_u64_le(first);
    bytes.put_u64_le(count);
    bytes.into()
}

impl Fold for Heads {
    fn apply(&mut self, frame: &FrameRef<'_>) -> Result<()> {
        let body = frame.body();
        if frame.kind == COMMIT {
            let mut fields = Fields(&body);
            let (writer, first, count) = (fields.u32(), fields.u64(), fields.u64());
            let whole = writer.zip(first).zip(count);
            let ((writer, first), count) = whole.ok_or_else(|| Error::damaged("half a commit"))?;
            return self.follow(writer, first, count);
        }
        let head = if frame.kind == PIECES { HEAD_BYTES } else { 0 };
        let mut next = self.clone();
        for record in Record::row(&body[head..]).map_err(Error::damaged)? {
            next.follow(record.writer, record.number, 1)?;
        }
        *self = next;
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|head| head.to_le_bytes()).collect()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<()> {
        let mut fields = Fields(snapshot);
        for head in &mut self.0 {
            *head = fields.u64().ok_or_else(|| Error::damaged("half a state"))?;
        }
        Ok(())
    }
}
