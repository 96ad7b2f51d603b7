//! Messages gathered into one body, each behind its length, and counted by schema.

use blacksmith_core::event::{SchemaId, Tally};
use bytes::Bytes;

use crate::body::Body;

/// How many of the newest counts are looked through for one to add to. Rows mostly follow rows of
/// their own table and subtransaction; a loop with a savepoint in each turn never comes back to one.
const RECENT_TALLIES: usize = 64;

/// A message as it arrived.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arrived<'a> {
    /// In memory that is used again.
    Whole(&'a [u8]),
    /// Many MiB, in memory that can be kept.
    Pieces(&'a [Bytes]),
}

/// A body being filled.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    body: Body,
    tally: Vec<Tally>,
}

impl Chunk {
    /// Adds a message that is no event of its own.
    pub(super) fn note(&mut self, message: &[u8]) {
        self.body.push(message);
    }

    /// Adds a message that is one event of `schema`.
    pub(super) fn push(&mut self, message: Arrived<'_>, schema: SchemaId, group: u32) {
        match message {
            Arrived::Whole(message) => self.body.push(message),
            Arrived::Pieces(pieces) => self.body.push_large(pieces),
        }
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
        self.body.append(&mut other.body);
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
    }

    /// Takes what was gathered, its body in parts, and begins anew.
    pub(super) fn take(&mut self) -> (Vec<Tally>, Vec<Bytes>) {
        (std::mem::take(&mut self.tally), self.body.take())
    }

    /// As [`Chunk::take`], with the body in one piece.
    pub(super) fn take_whole(&mut self) -> (Vec<Tally>, Bytes) {
        (std::mem::take(&mut self.tally), self.body.take_whole())
    }
}
