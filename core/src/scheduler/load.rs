//! One load: the batch decoded on its own thread while the action takes the rows.
//!
//! The action runs apart from everything else, so that one which panics, hangs or blocks its thread harms nobody
//! but its own batch: on a runtime with several threads each load has a further one for itself.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::routing::Routing;
use super::settle::Close;
use crate::destination::{Action, Piece, Queue, QueueFeed, Rows, Then, Thens, Toolkit};
use crate::error::{Error, Result};
use crate::event::{Block, FormatId, LaneId};
use crate::job::QueuedJob;
use crate::position::{Position, Span};
use crate::rows;
use crate::source::{
    Asked, Completed, Decoded, Decoding, Format, Formats, Limits, Parked, StoreSchemas, Takes,
    Wanted,
};
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

/// Parked events of one load that are logged one by one; the others are counted.
const PARKED_LOGGED_MAX: usize = 10;

/// What the decoder has done so far. The load may be given up before it ends.
#[derive(Debug, Default)]
struct Handed {
    /// What could not be decoded, and why.
    parked: BTreeMap<Position, Error>,
    /// The jobs that the action was given, if it takes jobs.
    jobs: Spans,
    /// Whether it was given rows, whose positions are not noted.
    rows: bool,
    /// Whether that is all.
    ended: bool,
}

type SharedHanded = Arc<Mutex<Handed>>;

impl Loader {
    pub(super) fn asked(&self, takes: Takes) -> Asked {
        Asked {
            schemas: Arc::new(StoreSchemas(Arc::clone(&self.store))),
            limits: self.limits,
            takes,
            event_ids: self.action.event_ids(),
            store: self.store.id(),
            lane: self.lane,
            default_version: self.default_version.clone(),
        }
    }

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
        let decoder = Decoder {
            loader: self.clone(),
            takes: self.action.takes(),
            spans: work.spans,
            handed: Arc::clone(&handed),
        };
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
        let decoder = Decoder {
            loader: self.clone(),
            takes: Takes::Jobs,
            spans,
            handed: SharedHanded::default(),
        };
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

fn lock(handed: &SharedHanded) -> std::sync::MutexGuard<'_, Handed> {
    handed.lock().unwrap_or_else(PoisonError::into_inner)
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Error::stopped(format!("the action panicked: {text}"))
        .help("this is a bug in the action; please report it")
}

struct Decoder {
    loader: Loader,
    takes: Takes,
    spans: Spans,
    handed: SharedHanded,
}

/// Behind a block from this size on the decoder rests until the action asks for more: it holds one large event then, and
/// not another while the action works on the one before.
const LARGE_BLOCK_BYTES: usize = 8 << 20;
/// Positions between two spans of a batch that are read over; beyond that the next span is looked up.
const READ_OVER_MAX: u64 = 100_000;

impl Decoder {
    /// Feeds the queue to its end.
    fn run(self, cached: Option<Vec<Block>>, feed: QueueFeed) {
        match self.decode(cached, &feed) {
            Ok(completed) => {
                lock(&self.handed).ended = true;
                feed.finish(completed);
            }
            Err(Ended::Gone) => {}
            Err(Ended::Failed(error)) => {
                // The action sees the error as the end of its queue, and fails the batch with it.
                let _gone = !feed.push(Err(error));
            }
        }
        let unsaid = lock(&self.handed)
            .parked
            .len()
            .saturating_sub(PARKED_LOGGED_MAX);
        if unsaid > 0 {
            tracing::error!(spans = %self.spans, events = unsaid, "more events parked: they cannot be decoded");
        }
    }

    fn decode(
        &self,
        cached: Option<Vec<Block>>,
        feed: &QueueFeed,
    ) -> Result<Option<Completed>, Ended> {
        let mut decoders = Decoders::default();
        match cached {
            Some(blocks) => {
                for block in &blocks {
                    self.push(block, &mut decoders, feed)?;
                }
            }
            None => self.read(&mut decoders, feed)?,
        }
        let mut completed = None;
        let mut out = Vec::new();
        for (_, mut decoding) in decoders {
            decoding.finish(&mut out)?;
            self.hand_on(&mut out, feed)?;
            completed = completed.max_by_lsn(decoding.completed());
        }
        Ok(completed)
    }

    fn push(&self, block: &Block, decoders: &mut Decoders, feed: &QueueFeed) -> Result<(), Ended> {
        let at = self.decoder(block.format, decoders)?;
        let routing = Arc::clone(&self.loader.routing);
        let leads = |schema| routing.leads(schema);
        let Some(wanted) = Wanted::of(&self.spans, &leads) else {
            return Ok(());
        };
        let mut out = Vec::new();
        decoders[at].1.push(block, &wanted, &mut out)?;
        self.hand_on(&mut out, feed)
    }

    /// Which of `decoders` reads blocks of this format; one format may read several.
    fn decoder(&self, id: FormatId, decoders: &mut Decoders) -> Result<usize, Ended> {
        let format = self.format(id)?;
        let identity = Arc::as_ptr(format).cast::<()>();
        if let Some(at) = decoders.iter().position(|(known, _)| *known == identity) {
            return Ok(at);
        }
        let decoding = rows::decoding(format.as_ref(), self.loader.asked(self.takes));
        decoders.push((identity, decoding));
        Ok(decoders.len() - 1)
    }

    fn read(&self, decoders: &mut Decoders, feed: &QueueFeed) -> Result<(), Ended> {
        let mut next = self.spans.next_at(Position::ZERO);
        while let Some(first) = next {
            next = self.read_on(first, decoders, feed)?;
        }
        Ok(())
    }

    /// Reads from `first` on, up to a gap that is worth jumping over; returns what comes behind it.
    fn read_on(
        &self,
        first: Position,
        decoders: &mut Decoders,
        feed: &QueueFeed,
    ) -> Result<Option<Position>, Ended> {
        let mut blocks = self.loader.store.blocks(first);
        while let Some(block) = blocks.next()? {
            let Some(span) = block.span() else { continue };
            if self.spans.intersects(span) && self.is_wanted(&block) {
                self.push(&block, decoders, feed)?;
                let large = block.body.len() >= LARGE_BLOCK_BYTES;
                drop(block);
                if large {
                    feed.rest();
                }
            }
            let next = self.spans.next_at(span.last.next());
            if next.is_none_or(|next| next.since(span.last) > READ_OVER_MAX) {
                return Ok(next);
            }
        }
        Err(Ended::Failed(Error::damaged(format!(
            "the store ends before {}",
            self.spans
        ))))
    }

    fn is_wanted(&self, block: &Block) -> bool {
        block
            .tally
            .iter()
            .any(|tally| self.loader.routing.leads(tally.schema))
    }

    fn format(&self, id: FormatId) -> Result<&Arc<dyn Format>, Ended> {
        self.loader.formats.get(&id).ok_or_else(|| {
            let what = format!(
                "no source that is configured reads blocks of format {}",
                id.0
            );
            Ended::Failed(Error::config(what).help("configure the source that wrote them"))
        })
    }

    fn hand_on(&self, out: &mut Vec<Decoded>, feed: &QueueFeed) -> Result<(), Ended> {
        for decoded in out.drain(..) {
            match decoded {
                Decoded::Rows {
                    schema,
                    trigger,
                    rows,
                    span,
                } => {
                    let rows = Rows {
                        schema,
                        trigger,
                        rows,
                        span,
                    };
                    lock(&self.handed).rows = true;
                    push(feed, Piece::Rows(rows))?;
                }
                Decoded::Jobs(jobs) => {
                    self.note(&jobs);
                    push(feed, Piece::Jobs(jobs))?;
                }
                Decoded::Parked(parked) => self.park(parked),
            }
        }
        Ok(())
    }

    fn note(&self, jobs: &[QueuedJob]) {
        let mut handed = lock(&self.handed);
        for job in jobs {
            handed.jobs.add(Span::new(job.position, job.position));
        }
    }

    fn park(&self, parked: Parked) {
        let reason = Error::invalid(parked.reason).at(&parked.trigger);
        let all = &mut lock(&self.handed).parked;
        if all.len() < PARKED_LOGGED_MAX {
            tracing::error!(position = parked.position.0, table = %parked.trigger, reason = %reason, "event parked: it cannot be decoded");
        }
        all.insert(parked.position, reason);
    }
}

fn push(feed: &QueueFeed, piece: Piece) -> Result<(), Ended> {
    if feed.push(Ok(piece)) {
        Ok(())
    } else {
        Err(Ended::Gone)
    }
}

/// The decoders of one batch, by the format that made them.
type Decoders = Vec<(*const (), Box<dyn Decoding>)>;

/// Why decoding came to an end before the batch did.
enum Ended {
    /// The action returned and takes no more rows.
    Gone,
    Failed(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Ended::Failed(error)
    }
}

trait Latest {
    fn max_by_lsn(self, other: Self) -> Self;
}

impl Latest for Option<Completed> {
    fn max_by_lsn(self, other: Self) -> Self {
        match (self, other) {
            (Some(own), Some(other)) if own.lsn > other.lsn => Some(own),
            (own, other) => other.or(own),
        }
    }
}
