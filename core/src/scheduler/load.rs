//! One load: the batch decoded on threads of its own while the action takes the rows.
//!
//! The action runs apart from everything else, so that one which panics, hangs or blocks its thread harms nobody
//! but its own batch: on a runtime with several threads each load has a further one for itself.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::decode::{Decoder, Handed, SharedHanded, lock};
use super::routing::Routing;
use super::settle::Close;
use crate::destination::{Action, Queue, Then, Thens, Toolkit};
use crate::error::{Error, Result};
use crate::event::{Block, LaneId};
use crate::position::Position;
use crate::source::{Formats, Limits, Takes};
use crate::spans::Spans;
use crate::store::Store;

/// What a load needs.
#[derive(Debug, Clone)]
pub(super) struct Loader {
    pub(super) store: Arc<dyn Store>,
    pub(super) formats: Arc<Formats>,
    pub(super) routing: Arc<Routing>,
    pub(super) action: Arc<dyn Action>,
    pub(super) toolkit: Toolkit,
    pub(super) limits: Limits,
    pub(super) lane: LaneId,
    /// The version of jobs that name none.
    pub(super) default_version: Option<Arc<str>>,
}

/// One batch to load.
#[derive(Debug)]
pub(super) struct Work {
    /// Not empty; of an ordered action exactly one span.
    pub(super) spans: Spans,
    pub(super) events: u64,
    pub(super) attempt: u32,
    /// The blocks, when they are still in memory.
    pub(super) cached: Option<Vec<Block>>,
}

/// What came of a load.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) thens: Vec<Then>,
    /// Events that could not be decoded, and why.
    pub(super) parked: BTreeMap<Position, Error>,
    /// Where jobs were, if the action was given jobs and all of them: elsewhere nothing is routed here.
    pub(super) jobs: Option<Spans>,
    pub(super) close: Close,
}

impl Loader {
    /// Runs the action over `work`, until it returns, `timeout` has passed or `cancel` is cancelled. Panics of the
    /// action become its error.
    pub(super) async fn load(
        &self,
        work: Work,
        timeout: Option<Duration>,
        cancel: &CancellationToken,
    ) -> Loaded {
        let thens = Arc::new(Thens::default());
        let (queue, feed) = Queue::new(work.spans.clone(), work.events, work.attempt);
        let handed = SharedHanded::default();
        let decoder = Decoder::new(self, self.action.takes(), work.spans, &handed);
        let decoding = tokio::task::spawn_blocking(move || decoder.run(work.cached, feed));
        let drop_it = CancellationToken::new();
        // Whoever drops this future drops the load.
        let _guard = drop_it.clone().drop_guard();
        let loading = apart(self.call(queue, Arc::clone(&thens), drop_it));
        let close = tokio::select! {
            biased;
            // An operator wants the load dropped.
            () = cancel.cancelled() => Close::Cancelled,
            // The action came to its end.
            result = returned(loading, decoding) => match result {
                Ok(()) => Close::Returned,
                Err(error) => Close::Failed(error),
            },
            // It had time enough.
            timeout = passed(timeout) => Close::TimedOut(timed_out(timeout)),
        };
        let Handed {
            parked,
            jobs,
            rows,
            ended,
        } = std::mem::take(&mut *lock(&handed));
        let is_known = ended && !rows && self.action.takes() == Takes::Jobs;
        Loaded {
            thens: thens.take(),
            parked,
            jobs: is_known.then_some(jobs),
            close,
        }
    }

    /// The jobs in `spans`, as an action that takes jobs is given them.
    pub(super) fn queue_of_jobs(&self, spans: Spans) -> Queue {
        let (queue, feed) = Queue::new(spans.clone(), spans.positions(), 0);
        let decoder = Decoder::new(self, Takes::Jobs, spans, &SharedHanded::default());
        // It ends with its queue.
        drop(tokio::task::spawn_blocking(move || decoder.run(None, feed)));
        queue
    }

    /// The action's own future, which ends early when it is to be dropped.
    fn call(
        &self,
        mut queue: Queue,
        thens: Arc<Thens>,
        drop_it: CancellationToken,
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        let action = Arc::clone(&self.action);
        let toolkit = Toolkit {
            // What an earlier load of this process left at the other side is not from a newer copy of the store.
            head: self.store.durable().upto(),
            ..self.toolkit.clone()
        };
        async move {
            let load = async { action.load(&toolkit, &mut queue, &thens).await };
            let load = AssertUnwindSafe(load).catch_unwind();
            tokio::select! {
                biased;
                () = drop_it.cancelled() => Err(Error::stopped("the load was dropped")),
                result = load => result.unwrap_or_else(|panic| Err(panicked(panic.as_ref()))),
            }
        }
    }
}

/// Runs a future where it can block nobody: on a thread of its own, if the runtime has several. With one thread there
/// is nothing beside it that could go on.
fn apart(load: impl Future<Output = Result<()>> + Send + 'static) -> JoinHandle<Result<()>> {
    let runtime = Handle::current();
    match runtime.runtime_flavor() {
        RuntimeFlavor::CurrentThread => runtime.spawn(load),
        _ => tokio::task::spawn_blocking(move || Handle::current().block_on(load)),
    }
}

/// What came of a load, once the decoder has come to its end, too.
async fn returned(loading: JoinHandle<Result<()>>, decoding: JoinHandle<()>) -> Result<()> {
    let stopped = |what: &str, error| Err(Error::stopped(what).because(error));
    let loaded = loading.await;
    let loaded = loaded.unwrap_or_else(|error| stopped("the load's thread panicked", error));
    match decoding.await {
        Ok(()) => loaded,
        Err(panic) => loaded.and(stopped("the decoder panicked", panic)),
    }
}

/// Returns after `timeout`; never when there is none.
async fn passed(timeout: Option<Duration>) -> Duration {
    match timeout {
        Some(timeout) => {
            tokio::time::sleep(timeout).await;
            timeout
        }
        None => std::future::pending().await,
    }
}

fn timed_out(after: Duration) -> Error {
    Error::unavailable(format!("timed out: the load took longer than {after:?}")).help(
        "see what the other side is doing; the action's timeout and max_rows can be set to fit",
    )
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Error::stopped(format!("the action panicked: {text}"))
        .help("this is a bug in the action; please report it")
}
