//! How the bytes of a block become jobs or Arrow record batches.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::event::{Block, FormatId, LaneId, Schema, SchemaId, SourceId, StoreId};
use crate::job::QueuedJob;
use crate::position::{Position, Span};
use crate::spans::Spans;
use crate::store::Store;

/// Reads the blocks of one or several [`FormatId`]s, such as those of one source.
pub trait Format: fmt::Debug + Send + Sync + 'static {
    /// The numbers that its blocks carry.
    fn ids(&self) -> &'static [FormatId];

    /// Its name, as people see it.
    fn name(&self) -> &'static str;

    /// Whether it hands out rows whatever is asked; [`crate::rows::decoding`] makes jobs of them then.
    fn only_rows(&self) -> bool {
        false
    }

    /// Starts decoding one batch.
    fn decoding(&self, asked: Asked) -> Box<dyn Decoding>;
}

/// The formats that blocks may be in, by number.
pub type Formats = HashMap<FormatId, Arc<dyn Format>>;

/// These formats, by their numbers.
pub fn by_number(formats: impl IntoIterator<Item = Arc<dyn Format>>) -> Formats {
    let numbered = formats.into_iter().flat_map(|format| {
        let ids = format.ids().iter();
        ids.map(move |id| (*id, Arc::clone(&format)))
    });
    numbered.collect()
}

/// What an action is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Takes {
    /// Jobs, each with its context and data as JSON. Rows of tables become JSON objects.
    #[default]
    Jobs,
    /// Arrow record batches: rows of tables as they are; documents with the columns `_event_id`,
    /// `_received_at`, `_source`, `_trigger`, `_version`, `context` and `data`.
    Rows,
}

/// What one batch is decoded for.
#[derive(Clone)]
pub struct Asked {
    /// Where schemas and names are looked up.
    pub schemas: Arc<dyn Schemas>,
    /// How much decoding may hold.
    pub limits: Limits,
    /// What the action is given.
    pub takes: Takes,
    /// The store whose positions they are.
    pub store: StoreId,
    /// The action's lane.
    pub lane: LaneId,
    /// The version of jobs that name none.
    pub default_version: Option<Arc<str>>,
    /// Whether rows of tables carry the id of their event, as `_event_id`; documents always do.
    pub event_ids: bool,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked")
            .field("takes", &self.takes)
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

/// Where schema versions and the names of sources are looked up.
pub trait Schemas: Send + Sync {
    /// The schema with this number, if the store knows it.
    fn schema(&self, id: SchemaId) -> Option<Arc<Schema>>;

    /// The name of the source with this number, if the store knows it.
    fn source(&self, id: SourceId) -> Option<Arc<str>>;
}

/// What a store knows of schemas and sources.
#[derive(Debug, Clone)]
pub struct StoreSchemas(pub Arc<dyn Store>);

impl Schemas for StoreSchemas {
    fn schema(&self, id: SchemaId) -> Option<Arc<Schema>> {
        self.0.schema(id)
    }

    fn source(&self, id: SourceId) -> Option<Arc<str>> {
        let mut sources = self.0.sources().into_iter();
        sources.find(|(own, _)| *own == id).map(|(_, name)| name)
    }
}

/// How much decoding may hold at a time.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows of one record batch, at most.
    pub batch_rows: usize,
    /// Bytes in all builders together, about; the largest is handed out when they exceed it.
    pub held_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            batch_rows: 65_536,
            held_bytes: 32 << 20,
        }
    }
}

/// Which events a batch wants.
pub struct Wanted<'a> {
    /// From the first position that is wanted to the last.
    pub span: Span,
    /// The positions; events of a block outside them are passed over.
    pub spans: &'a Spans,
    /// The triggers, by schema.
    pub schema: &'a (dyn Fn(SchemaId) -> bool + 'a),
}

impl<'a> Wanted<'a> {
    /// The events at `spans` of the triggers that `schema` lets through; none when there is no position.
    #[must_use]
    pub fn of(spans: &'a Spans, schema: &'a (dyn Fn(SchemaId) -> bool + 'a)) -> Option<Wanted<'a>> {
        let span = spans.hull()?;
        Some(Wanted {
            span,
            spans,
            schema,
        })
    }

    /// Whether the event at `position` is wanted, if its trigger is.
    #[must_use]
    pub fn has(&self, position: Position) -> bool {
        let is_whole = self.spans.as_slice().len() == 1;
        self.span.contains(position) && (is_whole || self.spans.contains(position))
    }
}

impl fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted")
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

/// Decoding of a batch, or of parts of it that lie one behind the other: blocks in, in order of position; record batches out.
/// Other parts may be decoded at the same time, each by a decoding of its own.
///
/// An event that cannot be decoded is parked, never guessed, and the rest goes on.
pub trait Decoding: Send {
    /// Decodes what is wanted of `block`, and hands out what is complete.
    ///
    /// # Errors
    /// Only when the block as a whole makes no sense ([`crate::error::Kind::Damaged`]).
    fn push(&mut self, block: &Block, wanted: &Wanted<'_>, out: &mut Vec<Decoded>) -> Result<()>;

    /// Hands out the rest. More blocks may come, of a part further on.
    ///
    /// # Errors
    /// As [`Decoding::push`].
    fn finish(&mut self, out: &mut Vec<Decoded>) -> Result<()>;

    /// The last transaction whose events all lie at or before the last one pushed; none when no
    /// transaction ended there.
    fn completed(&self) -> Option<Completed>;
}

/// The end of a transaction at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completed {
    /// Its place in the source's own order (for Postgres the LSN of its commit record).
    pub lsn: u64,
    /// When it was committed.
    pub at: Timestamp,
}

/// What decoding hands out.
#[derive(Debug)]
pub enum Decoded {
    /// Jobs, in order of position.
    Jobs(Vec<QueuedJob>),
    /// Rows of one schema version, in order of position.
    Rows {
        /// The schema.
        schema: SchemaId,
        /// The trigger they belong to.
        trigger: Arc<str>,
        /// The rows. The Arrow schema's metadata describes the table for whoever stores it.
        rows: RecordBatch,
        /// Positions of the first and the last row.
        span: Span,
    },
    /// An event that could not be decoded.
    Parked(Parked),
}

/// An event that could not be decoded: put aside, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Its position.
    pub position: Position,
    /// Its trigger.
    pub trigger: Arc<str>,
    /// Why. Names columns and types, never values.
    pub reason: String,
}
