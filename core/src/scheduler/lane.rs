//! A running lane, as the application holds it.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::counters::LaneCounters;
use super::follow::Follower;
use super::hands::Hands;
use super::load::Loader;
use super::pace::Pace;
use super::retries::Retries;
use super::routing::Routing;
use super::runner::Runner;
use super::settle::Rules;
use super::timing::Timing;
use crate::clock::Clock;
use crate::destination::{Action, LoadLimits, Toolkit};
use crate::error::{Error, Result};
use crate::event::LaneId;
use crate::gateway::Registry;
use crate::operate::{Operator, paused};
use crate::position::{Position, Span};
use crate::queue::BatchLimits;
use crate::schedule::Schedule;
use crate::source::{Formats, Limits};
use crate::spans::Spans;
use crate::store::Store;
use crate::watermark::Watermark;

/// What one lane runs with.
#[derive(Debug)]
pub struct LaneSettings {
    /// The action.
    pub action: Arc<dyn Action>,
    /// `destination/action`.
    pub name: Arc<str>,
    /// Its schedule, settled.
    pub schedule: Schedule,
    /// When batches close. With a rate limit they hold at most its burst.
    pub batch: BatchLimits,
    /// How much may go on at a time, how long, and how fast.
    pub load: LoadLimits,
    /// All actions, of which those of the same destination can be called by reports.
    pub registry: Arc<Registry>,
    /// Through whom operators' orders come.
    pub operator: Operator,
    /// What it may use.
    pub toolkit: Toolkit,
    /// Which events are its.
    pub routing: Arc<Routing>,
    /// How much decoding may hold.
    pub limits: Limits,
    /// The version of jobs that name none; none when the destination has no versions.
    pub default_version: Option<Arc<str>>,
}

/// How far a lane has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// Every job up to here is settled.
    pub(super) settled: Position,
    /// Everything asked for was done, but for what only an operator can let go on.
    pub(super) stuck: Option<Stuck>,
}

/// What a lane waits for an operator with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stuck {
    /// The outcome of these jobs is unknown.
    Unknown(Span),
    /// These jobs are paused.
    Held(Span),
    /// The action is paused.
    Paused,
}

impl Stuck {
    fn error(self, lane: &str) -> Error {
        let (what, help) = match self {
            Stuck::Unknown(span) => (
                format!("the outcome of jobs {span} is unknown"),
                "they are held: see whether they took effect, then retry or discard them; and mend the action, which returned without reporting them",
            ),
            Stuck::Held(span) => (format!("jobs {span} are paused"), "resume or discard them"),
            Stuck::Paused => ("the action is paused".to_owned(), "resume it"),
        };
        Error::refused(format!("lane {lane}: {what}")).help(help)
    }
}

/// A running lane. Dropping it drops the load in hand, as a crash would.
#[derive(Debug)]
pub struct LaneHandle {
    /// Its number.
    pub id: LaneId,
    /// `destination/action`.
    pub name: Arc<str>,
    /// What it has done so far.
    pub counters: Arc<LaneCounters>,
    flush: watch::Sender<Position>,
    standing: watch::Receiver<Standing>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<()>>,
}

impl LaneHandle {
    /// Loads everything up to `position` whatever the schedule, and returns when it is settled.
    ///
    /// # Errors
    /// Refused when nothing is left but jobs that are held for an operator; stopped when the lane
    /// stopped before.
    pub async fn flush(&self, position: Position) -> Result<()> {
        self.flush.send_if_modified(|upto| {
            let later = position > *upto;
            *upto = position.max(*upto);
            later
        });
        let done = |standing: &Standing| standing.settled >= position || standing.stuck.is_some();
        let standing = self.reached(done).await?;
        let stuck = standing.stuck.filter(|_| standing.settled < position);
        stuck.map_or(Ok(()), |stuck| Err(stuck.error(&self.name)))
    }

    /// Returns when every job up to `position` is settled, in the lane's own time.
    ///
    /// # Errors
    /// When the lane stopped before.
    pub async fn settled(&self, position: Position) -> Result<()> {
        let settled = self.reached(|standing| standing.settled >= position);
        settled.await.map(drop)
    }

    async fn reached(&self, done: impl FnMut(&Standing) -> bool) -> Result<Standing> {
        let mut standing = self.standing.clone();
        let reached = standing.wait_for(done).await;
        reached
            .map(|standing| *standing)
            .map_err(|_| Error::stopped(format!("lane {} stopped", self.name)))
    }

    /// Returns when the lane has come to an end.
    pub async fn ended(&self) {
        // The runner lets go of its end when it returns, and when it panics.
        _ = self.reached(|_| false).await;
    }

    /// Asks it to stop: no load begins after this, and the one in hand goes on to its end.
    pub fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    /// Lets the load in hand come to its end, and stops.
    ///
    /// # Errors
    /// What ended the lane, if it was not this call.
    pub async fn stop(mut self) -> Result<()> {
        self.ask_to_stop();
        match (&mut self.task).await {
            Ok(ended) => ended,
            Err(error) => {
                Err(Error::stopped(format!("lane {} panicked", self.name)).because(error))
            }
        }
    }
}

impl Drop for LaneHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a lane. It takes up what was `executing` or `failed` when the process last stopped.
///
/// # Errors
/// When the store does not register the lane.
pub fn start_lane(
    store: &Arc<dyn Store>,
    formats: &Arc<Formats>,
    clock: &Arc<dyn Clock>,
    settings: LaneSettings,
) -> Result<LaneHandle> {
    let id = store.register_lane(&settings.name)?;
    // Before the lane is looked at: what is ordered from now on comes here, and what was before is in the store.
    let attendance = settings.operator.attend(id);
    let lane = store
        .lane(id)
        .ok_or_else(|| Error::stopped(format!("the store does not know its own lane {}", id.0)))?;
    let (flush, flush_upto) = watch::channel(Position::ZERO);
    let (standing_in, standing) = watch::channel(Standing {
        settled: lane.settled_upto,
        stuck: None,
    });
    let stop = CancellationToken::new();
    let name = Arc::clone(&settings.name);
    let counters = Arc::new(LaneCounters::default());
    let ordering = settings.action.ordering();
    let rate = settings.load.rate_limit;
    let rows_max = settings.batch.rows_max;
    let rows_max = rate.map_or(rows_max, |rate| rows_max.min(rate.burst()));
    let loader = Loader {
        store: Arc::clone(store),
        formats: Arc::clone(formats),
        routing: settings.routing,
        action: settings.action,
        toolkit: settings.toolkit,
        limits: settings.limits,
        lane: id,
        default_version: settings.default_version,
    };
    let destination = name.split('/').next().unwrap_or_default();
    let runner = Runner {
        id,
        name: settings.name,
        follower: Follower {
            loader: loader.clone(),
            registry: settings.registry,
            destination: Arc::from(destination),
            counters: Arc::clone(&counters),
            clock: Arc::clone(clock),
            schemas: Mutex::default(),
        },
        loader,
        rules: Rules {
            ordering,
            on_unknown: settings.load.on_unknown,
            schedule: settings.schedule,
        },
        limits: BatchLimits {
            rows_max,
            ..settings.batch
        },
        load_limits: settings.load,
        clock: Arc::clone(clock),
        watermark: Watermark::new(store.durable()),
        flush: flush_upto,
        standing: standing_in,
        stop: stop.clone(),
        counters: Arc::clone(&counters),
        hands: Hands::default(),
        retries: Retries::new(ordering, rows_max),
        unknown: Spans::default(),
        held: Spans::default(),
        paused: paused(store.as_ref(), &name).is_some(),
        attendance,
        pace: rate.map(|rate| Pace::new(rate, clock.elapsed())),
        timing: Timing::default(),
    };
    Ok(LaneHandle {
        id,
        name,
        counters,
        flush,
        standing,
        stop,
        task: tokio::spawn(runner.run(lane)),
    })
}
