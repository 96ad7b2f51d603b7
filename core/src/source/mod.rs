//! What a source is: where events come from, and how their bytes are read again.

mod format;

use std::fmt;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::door::Door;
use crate::error::Result;
use crate::finding::Finding;

pub use format::{Completed, Decoded, Decoding, Format, Limits, Parked, Schemas, Wanted};

/// A named system that events come from.
///
/// # Contract
/// The gateway calls [`Source::listen`] once per process after every action has been initialised.
/// `listen` hands every event to the [`Door`] in the order of the source and confirms to the source
/// only what the door says is durable. It never waits for a destination. When the store has no
/// room it stops reading and goes on answering the source's own keep-alives.
///
/// After a crash `listen` is called again with the state that was durable: events that were durable
/// are not handed in again, all others are.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// How the bytes of its blocks are read.
    fn formats(&self) -> Vec<std::sync::Arc<dyn Format>>;

    /// Extracts until `listening.stop`, or, with `until_end`, until everything that the source held
    /// when `listen` was called is durable.
    ///
    /// # Errors
    /// What cannot be mended by trying again; a source mends the rest itself, with backoff.
    async fn listen(&self, door: Door, listening: Listening) -> Result<()>;

    /// How far it has come. Called about every second; must not wait.
    fn progress(&self) -> SourceProgress;

    /// Everything that stands in the way, and everything worth knowing, without changing anything.
    async fn check(&self) -> Vec<Finding>;
}

/// How far a source has come, for people to watch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceProgress {
    /// What it is doing, in a few words: `snapshot`, `streaming`, `reconnecting`.
    pub phase: String,
    /// Snapshots that are under way or were finished by this process.
    pub snapshots: Vec<SnapshotProgress>,
    /// Events handed in since the process started.
    pub events: u64,
    /// Bytes of the source's own log that it has produced and we have not confirmed.
    pub lag_bytes: Option<u64>,
    /// When the newest transaction that was handed in was committed.
    pub committed_at: Option<Timestamp>,
}

/// How far the first copy of one trigger has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotProgress {
    /// The trigger, for a table `schema.table`.
    pub trigger: String,
    /// Parts copied.
    pub done: u64,
    /// Parts in all.
    pub total: u64,
    /// Rows copied by this process.
    pub rows: u64,
}

/// How long a source is to listen.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Cancelled when the source should come to an end, gracefully.
    pub stop: CancellationToken,
    /// Return once everything present at the start is durable.
    pub until_end: bool,
}
