//! What a destination is: where events are loaded, by its actions.
//!
//! Implement [`Destination`] and, for each way to load, an [`Action`]: for jobs as they are, or for Arrow record batches when its
//! [`Action::takes`] says so; or a [`TypedAction`] for a type of your own. [`Action::load`] is given a [`Queue`], one batch, and
//! reports through [`Thens`] what became of each job: a [`Then`] names jobs, their [`Outcome`], and what follows.

mod limits;
mod queue;
mod then;
mod typed;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::error::Result;
use crate::event::StoreId;
use crate::finding::Finding;
use crate::job::Job;
use crate::logger::Logger;
use crate::position::Position;
use crate::schedule::PartialSchedule;
use crate::service::Service;
use crate::source::Takes;
use crate::version::Versions;

pub use limits::{
    CONCURRENCY_MAX, LoadLimits, OnUnknown, PartialLoadLimits, Rate, TIMEOUT_DEFAULT,
};
pub use queue::{Piece, Queue, QueueFeed, Rows};
pub use then::{Jobs, Outcome, Then, Thens};
pub use typed::{TypedAction, TypedJob, TypedQueue};

/// What a destination is called where kinds of parts are told apart.
pub const INTERFACE_DESTINATION: &str = "destination";
/// What an action is called there: its address follows the same form, `destination/action`.
pub const INTERFACE_ACTION: &str = "destination/action";

/// A named system that events are loaded into, as a group of actions.
///
/// # Contract
/// [`Destination::init`] is called once before any of its actions' `init`; [`Destination::shutdown`]
/// once after the last of theirs. An error of `init` stops the process; one of `shutdown` is logged.
#[async_trait]
pub trait Destination: fmt::Debug + Send + Sync + 'static {
    /// Its name, by which flows, queries and metrics know it: 1 to 63 letters, digits, `_` and `-`, unlike that of any other destination. The same
    /// at every call; what is stored stands under it.
    fn name(&self) -> &str;

    /// Versions of the jobs it takes, and the schedule of its actions.
    fn options(&self) -> DestinationOptions {
        DestinationOptions::default()
    }

    /// Its actions. The same ones at every call, also before `init`.
    fn actions(&self) -> Vec<Arc<dyn Action>>;

    /// Prepares the destination for this process and this store: connections, files, clients.
    ///
    /// # Errors
    /// What keeps it from working: the process stops gracefully, with an exit code other than 0.
    async fn init(&self, _toolkit: &Toolkit) -> Result<()> {
        Ok(())
    }

    /// Lets go of what `init` took. Called when no load is in hand any more; not after a second signal.
    ///
    /// # Errors
    /// What went wrong: it is logged, and the process stops all the same.
    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }

    /// Everything that stands in the way, without changing anything that exists.
    async fn check(&self) -> Vec<Finding> {
        Vec::new()
    }
}

/// What holds for all actions of a destination.
#[derive(Debug, Clone, Default)]
pub struct DestinationOptions {
    /// Versions that jobs may be written in. Default: none, which turns versions off.
    pub versions: Versions,
    /// The schedule of actions that say nothing else, field by field over the default. What the
    /// configuration says goes over it.
    pub schedule: PartialSchedule,
}

/// How an action wants its failures treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordering {
    /// A failed job waits for its retry and holds up nobody. Blacksmith's own rule.
    Unordered,
    /// A failed range holds back what comes after it in the lane and nothing else. It is never
    /// discarded because its retries ran out, unless `max_retries` was set by the user: it holds,
    /// says so, and goes on by itself when the cause is gone.
    Ordered,
}

/// One way to load into a destination.
///
/// # Contract
/// [`Action::load`] is called with one batch at a time for an ordered action, in order of position; for an unordered
/// one with up to `max_concurrency` at a time. The batch was recorded as `executing` before. A load that panics,
/// takes longer than its `timeout` or blocks its thread fails what it has not reported and harms nobody else. The action reports jobs through [`Thens`] and
/// returns: an `Ok` without a report for a job makes that job `unknown`; an `Err` fails every job
/// that it has not reported. The first report of a job wins.
///
/// After a crash the same span is loaded again, with `attempt + 1`: an action whose effect depends
/// only on the span and on what is in it is loaded exactly once in its effect. Dropping the future
/// (a timeout, a second signal) counts as a crash of that load.
#[async_trait]
pub trait Action: fmt::Debug + Send + Sync + 'static {
    /// Its name inside the destination: 1 to 63 letters, digits, `_` and `-`. The same at every call; its lane in the store
    /// is called `destination/action`, so another name is another lane, with nothing loaded yet.
    fn name(&self) -> &str;

    /// Its own schedule, field by field over the destination's.
    fn schedule(&self) -> PartialSchedule {
        PartialSchedule::default()
    }

    /// How failures are treated.
    fn ordering(&self) -> Ordering {
        Ordering::Unordered
    }

    /// What it is given.
    fn takes(&self) -> Takes {
        Takes::Jobs
    }

    /// Whether rows of tables are to carry the id of their event, in a column `_event_id`.
    fn event_ids(&self) -> bool {
        false
    }

    /// How much of it may go on at a time, how long and how fast, field by field over the defaults. What the
    /// configuration says goes over it.
    fn limits(&self) -> PartialLoadLimits {
        PartialLoadLimits::default()
    }

    /// Whether [`Action::marshal`] is to be asked. When not, jobs made by routes pass their event through.
    fn marshals(&self) -> bool {
        false
    }

    /// What becomes of an event that a route leads here; none when no job is wanted. The gateway calls it
    /// before the event is stored, for events that triggers extract as documents; events that are kept raw,
    /// such as changes of a database, are not read on the way in and always pass through. It must not wait, and cannot use
    /// what `init` opened, which the scheduler calls.
    ///
    /// # Errors
    /// As [`Marshal::marshal`](crate::call::Marshal::marshal).
    fn marshal(
        &self,
        _toolkit: &crate::service::Toolkit,
        _event: &crate::source::Event,
    ) -> Result<Option<Job>> {
        Ok(Some(Job::default()))
    }

    /// Prepares the action, after its destination.
    ///
    /// # Errors
    /// As [`Destination::init`].
    async fn init(&self, _toolkit: &Toolkit) -> Result<()> {
        Ok(())
    }

    /// Lets go of what `init` took, before its destination.
    ///
    /// # Errors
    /// As [`Destination::shutdown`].
    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }

    /// Loads one batch.
    ///
    /// # Errors
    /// Whatever kept the unreported jobs from being loaded: they become `failed` and are retried.
    /// Only [`Then::discarded`], or retries that ran out, give a job up.
    async fn load(&self, toolkit: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()>;
}

/// What an action may use while it is initialised and while it loads. Event and job have no place in it:
/// a load concerns many, each with its own ids in the queue.
#[derive(Debug, Clone)]
pub struct Toolkit {
    /// `destination/action`; log lines of the action carry it.
    pub action: Arc<str>,
    /// The store whose positions the queue counts.
    pub store: StoreId,
    /// The highest position that the store had made durable when the action was called.
    pub head: Position,
    /// Where log lines of the action belong: enter it, or name it as parent.
    pub logger: Logger,
    /// The service that calls: the scheduler.
    pub service: Arc<Service>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How many bytes the action may hold in memory, about: a quarter of what the process may.
    pub memory_bytes: usize,
    /// Cancelled when the process is to stop at once.
    pub stop: CancellationToken,
}

impl Toolkit {
    /// What an action needs when it is called by hand, as a test of it does: 64 MiB of memory, and no scheduler.
    #[must_use]
    pub fn by_hand(action: &str, store: StoreId, clock: Arc<dyn Clock>) -> Toolkit {
        Toolkit {
            action: Arc::from(action),
            store,
            head: Position::ZERO,
            logger: Logger::none(),
            service: Arc::new(Service::new(String::new(), Service::SCHEDULER)),
            clock,
            memory_bytes: 64 << 20,
            stop: CancellationToken::new(),
        }
    }
}
