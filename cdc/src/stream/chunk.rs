//! Messages gathered into one body, each behind its length, and counted by schema.

use blacksmith_core::event::{SchemaId, Tally};
use bytes::{BufMut, Bytes, BytesMut};

/// How many of the newest counts are looked through for one to add to. Rows mostly follow rows of
/// their own table and subtransaction; a loop with a savepoint in each turn never comes back to one.
const RECENT_TALLIES: usize = 64;

/// A body being filled.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    body: BytesMut,
    tally: Vec<Tally>,
}

impl Chunk {
    /// Adds a message that is no event of its own.
    pub(super) fn note(&mut self, message: &[u8]) {
        // Messages are below 1 GiB: the connection refuses longer ones.
        self.body.put_u32_le(message.len() as u32);
        self.body.put_slice(message);
    }

    /// Adds a message that is one event of `schema`.
    pub(super) fn push(&mut self, message: &[u8], schema: SchemaId, group: u32) {
        self.note(message);
        self.count(schema, group);
    }

    /// Counts an event of a message that was noted.
    pub(super) fn count(&mut self, schema: SchemaId, group: u32) {
        let known = self
            .tally
            .iter_mut()
            .rev()
            .take(RECENT_TALLIES)
            .find(|t| t.schema == schema && t.group == group);
        match known {
            Some(tally) => tally.count += 1,
            None => self.tally.push(Tally {
                schema,
                group,
                count: 1,
            }),
        }
    }

    /// Whether it holds an event of any of `schemas`.
    pub(super) fn holds(&self, schema: SchemaId) -> bool {
        self.tally.iter().any(|tally| tally.schema == schema)
    }

    pub(super) fn len(&self) -> usize {
        self.body.len()
    }

    pub(super) fn has_events(&self) -> bool {
        !self.tally.is_empty()
    }

    pub(super) fn events(&self) -> u64 {
        self.tally.iter().map(|tally| u64::from(tally.count)).sum()
    }

    /// Moves everything of `other` behind what is here.
    pub(super) fn append(&mut self, other: &mut Chunk) {
        if self.body.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        self.body.put_slice(&other.body);
        for tally in other.tally.drain(..) {
            match self
                .tally
                .iter_mut()
                .find(|t| t.schema == tally.schema && t.group == tally.group)
            {
                Some(own) => own.count += tally.count,
                None => self.tally.push(tally),
            }
        }
        other.body.clear();
    }

    /// Takes what was gathered and begins anew.
    pub(super) fn take(&mut self) -> (Vec<Tally>, Bytes) {
        (std::mem::take(&mut self.tally), self.body.split().freeze())
    }
}
