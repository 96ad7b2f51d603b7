//! The only door into the store: where events get their positions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::event::{About, Commit, Draft, Refusal, Schema, SchemaId, SourceId, StateChange, Tally};
use crate::log::Receipt;
use crate::position::Position;
use crate::store::{Stage, Store};

/// How long async code waits for room before it looks again.
const ROOM_WAIT: Duration = Duration::from_millis(100);

/// One source's door into the store. Cheap to clone; never blocks on the disk.
#[derive(Debug, Clone)]
pub struct Door {
    store: Arc<dyn Store>,
    source: SourceId,
    clock: Arc<dyn Clock>,
}

impl Door {
    /// Opens the door for the source called `name`, which is registered when it is new.
    ///
    /// # Errors
    /// When the store is fenced.
    pub fn open(store: Arc<dyn Store>, name: &str, clock: Arc<dyn Clock>) -> Result<Door> {
        let source = store.register_source(name)?;
        Ok(Door {
            store,
            source,
            clock,
        })
    }

    /// The time that events received now carry.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock behind [`Door::now`].
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Makes a new schema version known, before the first block that uses it.
    ///
    /// # Errors
    /// When the store is fenced.
    pub fn define(&self, about: About) -> Result<SchemaId> {
        self.store.define(self.source, about)
    }

    /// Every schema of this source that the store knows, oldest first.
    #[must_use]
    pub fn schemas(&self) -> Vec<Arc<Schema>> {
        self.store
            .schemas()
            .into_iter()
            .filter(|schema| schema.source == self.source)
            .collect()
    }

    /// Appends events. They have positions at once and are durable when the receipt says so.
    ///
    /// # Errors
    /// [`Refusal::Full`] hands the draft back: offer it again when the store has caught up.
    pub fn append(&self, draft: Draft) -> Result<Receipt, Refusal<Draft>> {
        self.store.append(self.source, draft)
    }

    /// Remembers something without events.
    ///
    /// # Errors
    /// [`Refusal::Full`] hands the changes back.
    pub fn remember(
        &self,
        changes: Vec<StateChange>,
    ) -> Result<Receipt, Refusal<Vec<StateChange>>> {
        self.store.remember(self.source, changes)
    }

    /// What was remembered under `key`, whether durable already or about to be.
    #[must_use]
    pub fn recall(&self, key: &str) -> Option<Bytes> {
        self.store.recall(self.source, key)
    }

    /// Everything remembered under keys that begin with `prefix`, sorted by key.
    #[must_use]
    pub fn recall_all(&self, prefix: &str) -> Vec<(String, Bytes)> {
        self.store.recall_all(self.source, prefix)
    }

    /// Begins to stage a transaction whose end is not known yet: it has no positions and is not
    /// seen by anybody before it is committed, and leaves no trace when it is dropped.
    ///
    /// # Errors
    /// When the store is fenced.
    pub fn stage(&self) -> Result<Staging> {
        Ok(Staging {
            stage: self.store.stage(self.source)?,
        })
    }

    /// Waits until more is durable, for at most `timeout`: what to do after [`Refusal::Full`].
    ///
    /// # Errors
    /// When the store is fenced.
    pub fn wait_for_room(&self, timeout: Duration) -> Result<()> {
        let durable = self.store.durable();
        durable.wait_frames(durable.frames(), timeout).map(drop)
    }

    /// As [`Door::wait_for_room`], for async code.
    ///
    /// # Errors
    /// When the store is fenced.
    pub async fn room(&self) -> Result<()> {
        let door = self.clone();
        let waited = tokio::task::spawn_blocking(move || door.wait_for_room(ROOM_WAIT)).await;
        waited.map_err(|error| Error::stopped("waiting for the store panicked").because(error))?
    }

    /// The position up to which everything is durable.
    #[must_use]
    pub fn durable_upto(&self) -> Position {
        self.store.durable().upto()
    }

    /// The position up to which every lane has settled every job: what `ack = "sink"` waits for.
    #[must_use]
    pub fn settled_upto(&self) -> Position {
        self.store.settled_upto()
    }
}

/// A transaction being staged. Dropping it aborts it.
#[derive(Debug)]
pub struct Staging {
    stage: Box<dyn Stage>,
}

impl Staging {
    /// Adds a chunk of events in the order in which they are to be read. Its body is given in parts, one behind the
    /// other, so that a large event need not be in one piece.
    ///
    /// # Errors
    /// [`Refusal::Full`] hands the bytes back.
    pub fn push(&mut self, tally: &[Tally], body: Vec<Bytes>) -> Result<(), Refusal<Vec<Bytes>>> {
        self.stage.push(tally, body)
    }

    /// Bytes staged so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.stage.bytes()
    }

    /// Commits: the staged events, but for what is excluded, get the next positions.
    ///
    /// # Errors
    /// [`Refusal::Full`] hands the staging back.
    pub fn commit(self, commit: Commit) -> Result<Receipt, Refusal<(Staging, Commit)>> {
        self.stage.commit(commit).map_err(|refusal| match refusal {
            Refusal::Full(back) => {
                let (stage, commit) = *back;
                Refusal::Full(Box::new((Staging { stage }, commit)))
            }
            Refusal::Failed(error) => Refusal::Failed(error),
        })
    }
}
