//! What a source is: where events come from, and how their bytes are read again.
//!
//! Implement [`Source`] and a [`Trigger`] for each way in which events come. The trigger's [`Mode`] names the rest: [`ExtractHttp`]
//! for requests, [`ExtractCron`] for the clock, [`ExtractMessage`] for a broker's messages, [`Listen`] for whatever has to be
//! listened to. The first three return an [`Event`], which the gateway stores; the last one writes to the [door](crate::door) itself, in a
//! [`Format`] of its own if it likes. Sources that need no code are [`crate::gateway::cron::Ticks`] and, with the feature `http`, `gateway::http::HttpSource`.

mod change_log;
mod event;
mod format;
mod trigger;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::Result;
use crate::finding::Finding;
use crate::schedule::Interval;
use crate::service::Toolkit;
use crate::version::Versions;

pub use change_log::{SCHEMA_KEY, SCHEMA_TABLE, SYSTEM_COLUMNS};
pub use event::{Event, SubEvent};
pub use format::{
    Asked, Completed, Decoded, Decoding, Format, Formats, Limits, Parked, Schemas, StoreSchemas,
    Takes, Wanted, by_number,
};
pub use trigger::{
    ExtractCron, ExtractHttp, ExtractMessage, Listen, Listening, Message, Mode, Request, Route,
    Subscription, Trigger,
};

/// A named system that events come from, as a group of triggers.
///
/// # Contract
/// The gateway calls [`Source::init`] once before any of its triggers' `init`, and [`Source::shutdown`] once after
/// the last of theirs. An error of `init` stops the process gracefully; one of `shutdown` is logged.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// Its name, by which flows, queries and metrics know it: 1 to 63 letters, digits, `_` and `-`, unlike that of any other source. The same at
    /// every call; what is stored stands under it.
    fn name(&self) -> &str;

    /// Versions of its events, and when its cron triggers run.
    fn options(&self) -> SourceOptions {
        SourceOptions::default()
    }

    /// Its triggers. The same ones at every call, also before `init`: an application is validated without starting it.
    fn triggers(&self) -> Vec<Arc<dyn Trigger>>;

    /// How the bytes of its blocks are read, if it has a format of its own.
    fn formats(&self) -> Vec<Arc<dyn Format>> {
        Vec::new()
    }

    /// Prepares the source for this process: connections, files, clients.
    ///
    /// # Errors
    /// What keeps it from working: the process stops gracefully, with an exit code other than 0.
    async fn init(&self, _toolkit: &Toolkit) -> Result<()> {
        Ok(())
    }

    /// Lets go of what `init` took. Called when all its triggers have come to their end; not after a second signal.
    ///
    /// # Errors
    /// What went wrong: it is logged, and the process stops all the same.
    async fn shutdown(&self, _toolkit: &Toolkit) -> Result<()> {
        Ok(())
    }

    /// How far it has come. Called about every second; must not wait.
    fn progress(&self) -> SourceProgress {
        SourceProgress::default()
    }

    /// Everything that stands in the way, and everything worth knowing, without changing anything.
    async fn check(&self) -> Vec<Finding> {
        Vec::new()
    }
}

/// What holds for all triggers of a source.
#[derive(Debug, Clone, Default)]
pub struct SourceOptions {
    /// Versions that events may be written in. Default: none, which turns versions off.
    pub versions: Versions,
    /// When cron triggers that say nothing else run. Default: `@every 1h`.
    pub interval: Option<Interval>,
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
