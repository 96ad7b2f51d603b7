//! One load: the batch decoded on its own thread while the action takes the rows.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use super::routing::Routing;
use crate::destination::{Action, Piece, Queue, QueueFeed, Rows, Then, Thens, Toolkit};
use crate::error::{Error, Result};
use crate::event::{Block, FormatId, LaneId};
use crate::position::{Position, Span};
use crate::rows;
use crate::source::{
    Asked, Completed, Decoded, Decoding, Format, Limits, Parked, StoreSchemas, Wanted,
};
use crate::store::Store;

/// The formats that blocks may be in, by number.
pub type Formats = HashMap<FormatId, Arc<dyn Format>>;

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
    pub(super) span: Span,
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
    pub(super) result: Result<()>,
}

/// Parked events of one load that are logged one by one; the others are counted.
const PARKED_LOGGED_MAX: usize = 10;

impl Loader {
    fn asked(&self) -> Asked {
        Asked {
            schemas: Arc::new(StoreSchemas(Arc::clone(&self.store))),
            limits: self.limits,
            takes: self.action.takes(),
            store: self.store.id(),
            lane: self.lane,
            default_version: self.default_version.clone(),
        }
    }

    /// Runs the action over `work`. Panics of the action become its error.
    pub(super) async fn load(&self, work: Work) -> Loaded {
        let thens = Thens::default();
        let (mut queue, feed) = Queue::new(work.span, work.events, work.attempt);
        let decoder = Decoder {
            loader: self.clone(),
            span: work.span,
            parked: BTreeMap::new(),
        };
        let decoding = tokio::task::spawn_blocking(move || decoder.run(work.cached, feed));
        let load = self.action.load(&self.toolkit, &mut queue, &thens);
        let result = AssertUnwindSafe(load).catch_unwind().await;
        drop(queue);
        let decoded = decoding.await;
        let result = result.unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
        let decoded =
            decoded.map_err(|error| Error::stopped("the decoder panicked").because(error));
        let (parked, result) = match decoded {
            Ok(parked) => (parked, result),
            Err(panic) => (BTreeMap::new(), result.and(Err(panic))),
        };
        Loaded {
            thens: thens.take(),
            parked,
            result,
        }
    }
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
    span: Span,
    parked: BTreeMap<Position, Error>,
}

impl Decoder {
    /// Feeds the queue to its end; returns what could not be decoded.
    fn run(mut self, cached: Option<Vec<Block>>, feed: QueueFeed) -> BTreeMap<Position, Error> {
        match self.decode(cached, &feed) {
            Ok(completed) => feed.finish(completed),
            Err(Ended::Gone) => {}
            Err(Ended::Failed(error)) => {
                // The action sees the error as the end of its queue, and fails the batch with it.
                let _gone = !feed.push(Err(error));
            }
        }
        let unsaid = self.parked.len().saturating_sub(PARKED_LOGGED_MAX);
        if unsaid > 0 {
            tracing::error!(span = %self.span, events = unsaid, "more events parked: they cannot be decoded");
        }
        self.parked
    }

    fn decode(
        &mut self,
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

    fn push(
        &mut self,
        block: &Block,
        decoders: &mut Decoders,
        feed: &QueueFeed,
    ) -> Result<(), Ended> {
        let at = self.decoder(block.format, decoders)?;
        let routing = Arc::clone(&self.loader.routing);
        let wanted = Wanted {
            span: self.span,
            schema: &|schema| routing.leads(schema),
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
        let decoding = rows::decoding(format.as_ref(), self.loader.asked());
        decoders.push((identity, decoding));
        Ok(decoders.len() - 1)
    }

    fn read(&mut self, decoders: &mut Decoders, feed: &QueueFeed) -> Result<(), Ended> {
        let mut blocks = self.loader.store.blocks(self.span.first);
        while let Some(block) = blocks.next()? {
            if block.first > self.span.last {
                return Ok(());
            }
            if self.is_wanted(&block) {
                self.push(&block, decoders, feed)?;
            }
            if block.span().is_some_and(|span| span.last >= self.span.last) {
                return Ok(());
            }
        }
        Err(Ended::Failed(Error::damaged(format!(
            "the store ends before {}",
            self.span.last
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

    fn hand_on(&mut self, out: &mut Vec<Decoded>, feed: &QueueFeed) -> Result<(), Ended> {
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
                    push(feed, Piece::Rows(rows))?;
                }
                Decoded::Jobs(jobs) => push(feed, Piece::Jobs(jobs))?,
                Decoded::Parked(parked) => self.park(parked),
            }
        }
        Ok(())
    }

    fn park(&mut self, parked: Parked) {
        let reason = Error::invalid(parked.reason).at(&parked.trigger);
        if self.parked.len() < PARKED_LOGGED_MAX {
            tracing::error!(position = parked.position.0, table = %parked.trigger, reason = %reason, "event parked: it cannot be decoded");
        }
        self.parked.insert(parked.position, reason);
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
