//! The store: the queue itself, of which memory is only a cache.
//!
//! Everything that must survive goes through here: events, schemas, what sources remember, and the
//! transitions of jobs. One order for all of it. [`log`](log/index.html) keeps it in the embedded
//! event log, [`memory`] in memory; `conformance` (a feature, for tests) is what both have to keep.

mod record;
mod intervals;
mod statistics;
pub mod catalog;
mod purge;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod tail;
mod follow;
pub mod log;
mod salvage;
pub mod memory;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(feature = "measured")]
#[doc(hidden)]
pub mod measured;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::event::{
    About, Block, Commit, Draft, LaneId, Refusal, Schema, SchemaId, SourceId, StateChange, StoreId,
    Tally,
};
use crate::job::Transition;
use crate::log::{Durable, Receipt};
use crate::position::{Position, Span};

pub use catalog::{Lane, OpenSpan};
pub use intervals::JobState;
pub use purge::{Purge, Purged};
pub use salvage::salvage;
pub use statistics::{Changes, Range, Statistics};

/// The name under which jobs that follow others up are kept: no source of a user can be called so.
pub const FOLLOW_UPS: &str = "@follow-ups";

/// The append-only store.
///
/// # Contract
/// Appends come from any thread and never wait for a disk or a network: they take a place in the
/// one order of the store at once, and are durable when their [`Receipt`] says so, in that order.
/// Readers see only what is durable. After the first I/O error the store is fenced: every waiting
/// and later append fails, and the process has to open it again.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The store's own random number.
    fn id(&self) -> StoreId;

    /// The number of the source called `name`, registered when new.
    ///
    /// # Errors
    /// When the store is fenced.
    fn register_source(&self, name: &str) -> Result<SourceId>;

    /// The lane of the action called `destination/action`, registered when new. A new lane is
    /// responsible for everything from the oldest event that the store still has.
    ///
    /// # Errors
    /// When the store is fenced.
    fn register_lane(&self, action: &str) -> Result<LaneId>;

    /// Names of all sources, by number.
    fn sources(&self) -> Vec<(SourceId, Arc<str>)>;

    /// All lanes and where they stand. Cheap: the states of jobs are shared, not copied.
    fn lanes(&self) -> Vec<Lane>;

    /// The lane with this number, as [`Store::lanes`] gives it.
    fn lane(&self, id: LaneId) -> Option<Lane>;

    /// Lets go of the lane called `destination/action`: what it has not settled is not kept for it any
    /// more. Registering it again takes it up where it stood, as far as its events are still there.
    ///
    /// # Errors
    /// `Invalid` when there is no such lane, or the store is fenced.
    fn forget_lane(&self, action: &str) -> Result<()>;

    /// The position up to which `lane` has settled every job; none when there is no such lane.
    fn settled_in(&self, lane: LaneId) -> Option<Position>;

    /// A new schema version.
    ///
    /// # Errors
    /// When the store is fenced.
    fn define(&self, source: SourceId, about: About) -> Result<SchemaId>;

    /// The schema with this number.
    fn schema(&self, id: SchemaId) -> Option<Arc<Schema>>;

    /// All schemas, oldest first.
    fn schemas(&self) -> Vec<Arc<Schema>>;

    /// Appends events of a source.
    ///
    /// # Errors
    /// [`Refusal::Full`] when too much is waiting to be written, or the disk is full.
    fn append(&self, source: SourceId, draft: Draft) -> Result<Receipt, Refusal<Draft>>;

    /// Remembers something for a source.
    ///
    /// # Errors
    /// [`Refusal::Full`] when too much is waiting to be written.
    fn remember(
        &self,
        source: SourceId,
        changes: Vec<StateChange>,
    ) -> Result<Receipt, Refusal<Vec<StateChange>>>;

    /// What a source remembers under `key`.
    fn recall(&self, source: SourceId, key: &str) -> Option<Bytes>;

    /// What a source remembers under keys that begin with `prefix`, sorted.
    fn recall_all(&self, source: SourceId, prefix: &str) -> Vec<(String, Bytes)>;

    /// Begins a staged transaction.
    ///
    /// # Errors
    /// When the store is fenced.
    fn stage(&self, source: SourceId) -> Result<Box<dyn Stage>>;

    /// Records changes of state of jobs, all or none of them.
    ///
    /// # Errors
    /// When the store is fenced, or knows no such lane. Waits for room instead of refusing, for at most one write.
    fn record(&self, transitions: &[Transition]) -> Result<Receipt>;

    /// Records changes of state of jobs together with the jobs that follow them up, all or nothing:
    /// so a follow-up is created exactly once. Its positions are given as those of events are; blocks of
    /// them belong to the source [`FOLLOW_UPS`].
    ///
    /// # Errors
    /// As [`Store::record`].
    fn follow_up(&self, transitions: &[Transition], jobs: Draft) -> Result<Receipt>;

    /// Whether the store has no room for more events, until somebody makes some: everything offered is refused
    /// as full then, and everything else goes on.
    fn is_short(&self) -> bool {
        false
    }

    /// The watermark that readers follow.
    fn durable(&self) -> Durable;

    /// The position up to which every lane has settled every job; `durable` when there is no lane.
    fn settled_upto(&self) -> Position;

    /// Reads blocks from `from` on.
    fn blocks(&self, from: Position) -> Box<dyn Blocks>;

    /// Reads blocks from `from` on for somebody who keeps up: what became durable a moment ago comes from memory.
    /// The same blocks, in the same order, as [`Store::blocks`].
    fn follow(&self, from: Position) -> Box<dyn Blocks> {
        self.blocks(from)
    }

    /// Reads the history: transitions of `lane` (of all when none) that touch `span`, oldest
    /// first, at most `limit`. Parts of the store that cannot hold any are not read.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn transitions(
        &self,
        lane: Option<LaneId>,
        span: Span,
        limit: usize,
    ) -> Result<Vec<Transition>>;

    /// What each part of the store holds, in numbers, oldest first. The last part may count what is not
    /// durable yet.
    fn statistics(&self) -> Vec<Arc<Statistics>>;

    /// Reads the transitions recorded in one part of the store, oldest first.
    ///
    /// # Errors
    /// When the part was dropped or cannot be read.
    fn transitions_in(&self, part: &Statistics) -> Result<Vec<Transition>>;

    /// The oldest position that the store still has.
    fn oldest(&self) -> Position;

    /// Drops what is settled in every lane and older or more than the retention policy keeps.
    /// Returns the positions dropped, if any.
    ///
    /// # Errors
    /// When the store cannot be changed.
    fn retain(&self, now: Timestamp) -> Result<Option<Span>>;

    /// Drops what `purge` lets go at the time `now`; what is not settled stays.
    ///
    /// # Errors
    /// When the store cannot be changed.
    fn purge(&self, purge: &Purge, now: Timestamp) -> Result<Purged>;

    /// What [`Store::purge`] would drop.
    fn purgeable(&self, purge: &Purge, now: Timestamp) -> Purged;

    /// Writes out what waits and lets go of the store. Later calls fail.
    ///
    /// # Errors
    /// When the last writes fail.
    fn close(&self) -> Result<()>;
}

/// A transaction that is being staged in a store.
pub trait Stage: fmt::Debug + Send {
    /// Adds a chunk, whose body is given in parts, one behind the other.
    ///
    /// # Errors
    /// [`Refusal::Full`] hands the bytes back.
    fn push(&mut self, tally: &[Tally], body: Vec<Bytes>) -> Result<(), Refusal<Vec<Bytes>>>;

    /// Bytes staged so far.
    fn bytes(&self) -> u64;

    /// Gives the staged events their positions.
    ///
    /// # Errors
    /// [`Refusal::Full`] hands everything back.
    #[expect(
        clippy::type_complexity,
        reason = "what was not taken is handed back whole"
    )]
    fn commit(
        self: Box<Self>,
        commit: Commit,
    ) -> Result<Receipt, Refusal<(Box<dyn Stage>, Commit)>>;
}

/// Reads blocks in order of position.
pub trait Blocks: Send {
    /// The next durable block, whole, even if it begins before the position asked for; none at the
    /// present end: ask again when [`Store::durable`] has moved.
    ///
    /// # Errors
    /// [`crate::error::Kind::Damaged`] when acknowledged data cannot be read.
    fn next(&mut self) -> Result<Option<Block>>;
}

#[cfg(test)]
mod tests;
