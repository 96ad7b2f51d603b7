//! Events as the engine moves them: in blocks, as they arrived, with positions.
//!
//! An event is one change of one row, one HTTP request, one tick of a cron: whatever a trigger
//! extracts. The engine never holds an event as an object of its own. Producers hand in a
//! [`Draft`]: many events of one source in the bytes they came in, with a [`Tally`] that says how
//! many of them belong to which schema. The store gives the draft a run of positions and turns
//! it into a [`Block`]. Only the [`Format`](crate::source::Format) that wrote the bytes reads them again.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::position::{Position, Span};

/// A store's own random number, made once with the store; part of every [`crate::id::Id`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub u32);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A source's number within one store, given at registration. 1-based.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// A schema version's number within one store. 1-based.
///
/// A schema names the trigger that its events belong to and holds, in the format's own encoding,
/// what is needed to read them (for a table: its columns and types at that time).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub u32);

/// A lane's number within one store: one lane per action. 1-based; 0 in ids stands for the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u32);

/// One version of what a trigger's events look like, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Its number.
    pub id: SchemaId,
    /// Whose events it describes.
    pub source: SourceId,
    /// What it says.
    pub about: About,
}

impl Schema {
    /// The trigger, for a table `schema.table`.
    #[must_use]
    pub fn trigger(&self) -> &Arc<str> {
        &self.about.trigger
    }

    /// The format's own description.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.about.body
    }
}

/// What a schema says of its events. Who calls what is part of it, so that counting events by
/// schema counts jobs too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct About {
    /// The trigger, for a table `schema.table`.
    pub trigger: Arc<str>,
    /// The source's version, if it has versions.
    pub version: Option<Arc<str>>,
    /// The actions that each of these events calls by name, as `destination/action`, sorted. Routes
    /// lead to others besides.
    pub calls: Arc<[Arc<str>]>,
    /// Whether positions of this schema are no events but further jobs of events elsewhere:
    /// follow-ups, and second calls of the same action. Routes do not apply to them.
    pub only_jobs: bool,
    /// The format's own description.
    pub body: Bytes,
}

/// What the body of a schema of documents says: it needs no description of its own.
const DOCUMENTS: &[u8] = b"documents";

impl About {
    /// Documents of `trigger`, each calling the actions `calls` (sorted, as `destination/action`).
    #[must_use]
    pub fn documents(
        trigger: Arc<str>,
        version: Option<Arc<str>>,
        calls: Arc<[Arc<str>]>,
        only_jobs: bool,
    ) -> About {
        About {
            trigger,
            version,
            calls,
            only_jobs,
            body: Bytes::from_static(DOCUMENTS),
        }
    }

    /// Whether these events are documents ([`crate::document`]).
    #[must_use]
    pub fn is_documents(&self) -> bool {
        &self.body[..] == DOCUMENTS
    }

    /// Events of `trigger` that call nothing by name.
    #[must_use]
    pub fn trigger(trigger: impl Into<Arc<str>>, body: Bytes) -> About {
        About {
            trigger: trigger.into(),
            version: None,
            calls: Arc::from([]),
            only_jobs: false,
            body,
        }
    }
}

/// How many events of a block belong to one schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// The schema.
    pub schema: SchemaId,
    /// Which part of a staged transaction they came in (a subtransaction's id); 0 elsewhere.
    /// A part that was rolled back is named in [`Excluded::groups`].
    pub group: u32,
    /// How many events.
    pub count: u32,
}

/// What of a staged transaction is left out because it was rolled back or is not wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excluded {
    /// Schemas whose events are left out, sorted.
    pub schemas: Vec<SchemaId>,
    /// Groups (aborted subtransactions) whose events are left out, sorted.
    pub groups: Vec<u32>,
}

impl Excluded {
    /// Whether events of this schema and group are left out.
    #[must_use]
    pub fn covers(&self, schema: SchemaId, group: u32) -> bool {
        self.schemas.binary_search(&schema).is_ok() || self.groups.binary_search(&group).is_ok()
    }

    /// How many events of `tally` remain.
    #[must_use]
    pub fn remaining(&self, tally: &[Tally]) -> u64 {
        self.kept(tally).map(|t| u64::from(t.count)).sum()
    }

    /// What of `tally` remains.
    pub fn kept<'a>(&self, tally: &'a [Tally]) -> impl Iterator<Item = &'a Tally> + use<'a, '_> {
        tally.iter().filter(|t| !self.covers(t.schema, t.group))
    }
}

/// A change of what a source remembers (its resume position, finished snapshot ranges, …),
/// durable together with the events it is appended with. An empty value forgets the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// The source's own key.
    pub key: String,
    /// The new value.
    pub value: Bytes,
}

/// How a block's bytes are to be read: the number and name of a [`Format`](crate::source::Format).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FormatId(pub u8);

impl FormatId {
    /// JSON documents: what triggers extract, and the jobs made of it ([`crate::document`]).
    pub const JSON: FormatId = FormatId(1);
    /// Postgres `pgoutput` messages.
    pub const PGOUTPUT: FormatId = FormatId(2);
    /// Rows of Postgres `COPY … (FORMAT text)`.
    pub const PGCOPY_TEXT: FormatId = FormatId(3);
    /// Rows of Postgres `COPY … (FORMAT binary)`.
    pub const PGCOPY_BINARY: FormatId = FormatId(4);
}

/// Events on their way into the store, without positions yet.
#[derive(Debug, Clone)]
pub struct Draft {
    /// How the body is to be read.
    pub format: FormatId,
    /// When the events were received.
    pub received_at: Timestamp,
    /// How many events of which schema; their sum is the number of events.
    pub tally: Vec<Tally>,
    /// What all events of the block share, in the format's own encoding. At most 64 KiB.
    pub envelope: Bytes,
    /// The events, as they arrived. At most 48 MiB.
    pub body: Bytes,
    /// What the source remembers with them.
    pub state: Vec<StateChange>,
}

impl Draft {
    /// The number of events.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.tally.iter().map(|t| t.count).sum()
    }
}

/// What is said at the commit of a staged transaction.
#[derive(Debug, Clone)]
pub struct Commit {
    /// How the chunks are to be read.
    pub format: FormatId,
    /// When the events were received.
    pub received_at: Timestamp,
    /// What all events share.
    pub envelope: Bytes,
    /// What is left out.
    pub excluded: Excluded,
    /// What the source remembers with them.
    pub state: Vec<StateChange>,
}

/// Why something was not taken into the store.
#[derive(Debug)]
pub enum Refusal<T> {
    /// The store has as much in hand as it may; keep this and offer it again later.
    Full(Box<T>),
    /// The store takes nothing any more.
    Failed(Error),
}

impl<T> From<Error> for Refusal<T> {
    fn from(error: Error) -> Self {
        Refusal::Failed(error)
    }
}

/// A run of events with positions, as read back from the store.
#[derive(Debug, Clone)]
pub struct Block {
    /// The source they came from.
    pub source: SourceId,
    /// How the body is to be read.
    pub format: FormatId,
    /// When they were received.
    pub received_at: Timestamp,
    /// Position of the first event that is not excluded.
    pub first: Position,
    /// Number of events, not counting excluded ones.
    pub count: u32,
    /// For a part of a staged transaction, the positions of the whole of it.
    pub transaction: Option<Span>,
    /// Events by schema and group, excluded ones included.
    pub tally: Arc<[Tally]>,
    /// Events in the body that have no position and are to be skipped.
    pub excluded: Arc<Excluded>,
    /// What all events share.
    pub envelope: Bytes,
    /// The events.
    pub body: Bytes,
}

impl Block {
    /// The positions of the block's events; none when all were excluded.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        let last = u64::from(self.count).checked_sub(1)?;
        Some(Span {
            first: self.first,
            last: self.first.plus(last),
        })
    }
}
