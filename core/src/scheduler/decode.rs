//! Decoding of one batch: out of the store, through the decoder of its format, to the action.
//!
//! A batch is divided into stretches ([`Stretches`]). A thread takes the next one, decodes it, and hands on what came out when
//! its turn has come ([`Turns`]), so the action sees the order of the log however many threads there are. Small batches have one
//! stretch and one thread; others join behind the first stretch of a larger one, where there are cores and the action takes rows. What waits for
//! its turn is bounded like what is in the decoders: by [`Limits::held_bytes`], of which each thread has its share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use super::load::Loader;
use super::stretch::{Stretch, Stretches};
use super::turns::{Turn, Turns};
use crate::destination::{Piece, QueueFeed, Rows};
use crate::error::{Error, Result};
use crate::event::{Block, FormatId};
use crate::job::QueuedJob;
use crate::position::{Position, Span};
use crate::rows;
use crate::source::{
    Asked, Completed, Decoded, Decoding, Format, Limits, Parked, StoreSchemas, Takes, Wanted,
};
use crate::spans::Spans;

/// Threads that decode one batch, at most.
const THREADS_MAX: usize = 4;
/// Bytes of blocks that a thread takes at a time, at most; half of its share of [`Limits::held_bytes`], if that is less.
const STRETCH_BYTES_MAX: usize = 8 << 20;
/// Parked events of one load that are logged one by one; the others are counted.
const PARKED_LOGGED_MAX: usize = 10;

/// What has been handed to the action so far. The load may be given up before it ends.
#[derive(Debug, Default)]
pub(super) struct Handed {
    /// What could not be decoded, and why.
    pub(super) parked: BTreeMap<Position, Error>,
    /// The jobs that the action was given, if it takes jobs.
    pub(super) jobs: Spans,
    /// Whether it was given rows, whose positions are not noted.
    pub(super) rows: bool,
    /// Whether that is all.
    pub(super) ended: bool,
}

/// The same, seen by the load.
pub(super) type SharedHanded = Arc<Mutex<Handed>>;

/// Decodes one batch.
pub(super) struct Decoder {
    loader: Loader,
    takes: Takes,
    spans: Spans,
    handed: SharedHanded,
}

impl Decoder {
    /// For the batch at `spans`, as an action that `takes` such is given it.
    pub(super) fn new(
        loader: &Loader,
        takes: Takes,
        spans: Spans,
        handed: &SharedHanded,
    ) -> Decoder {
        Decoder {
            loader: loader.clone(),
            takes,
            spans,
            handed: Arc::clone(handed),
        }
    }

    /// Feeds the queue to its end. Blocks.
    pub(super) fn run(self, cached: Option<Vec<Block>>, feed: QueueFeed) {
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
        let (store, routing) = (&*self.loader.store, &*self.loader.routing);
        let threads = match self.takes {
            Takes::Rows => std::thread::available_parallelism().map_or(1, usize::from),
            Takes::Jobs => 1,
        };
        let threads = threads.min(THREADS_MAX);
        let held_bytes = self.loader.limits.held_bytes / threads;
        let stretch_bytes = (held_bytes / 2).clamp(1, STRETCH_BYTES_MAX);
        let stretches = Stretches::new(store, routing, &self.spans, cached, stretch_bytes);
        let bench = Bench {
            decoder: self,
            feed,
            threads,
            held_bytes,
            stretches: Mutex::new(stretches),
            turns: Turns::default(),
            outcome: Mutex::new(Ok(None)),
        };
        std::thread::scope(|scope| bench.work(Some(scope)));
        bench
            .outcome
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self, limits: Limits) -> Asked {
        let Loader {
            store,
            action,
            lane,
            default_version,
            ..
        } = &self.loader;
        Asked {
            schemas: Arc::new(StoreSchemas(Arc::clone(store))),
            limits,
            takes: self.takes,
            event_ids: action.event_ids(),
            store: store.id(),
            lane: *lane,
            default_version: default_version.clone(),
        }
    }

    fn format(&self, id: FormatId) -> Result<&Arc<dyn Format>> {
        self.loader.formats.get(&id).ok_or_else(|| {
            let what = format!(
                "no source that is configured reads blocks of format {}",
                id.0
            );
            Error::config(what).help("configure the source that wrote them")
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

/// Takes the lock of what a panic cannot leave half done.
pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn push(feed: &QueueFeed, piece: Piece) -> Result<(), Ended> {
    match feed.push(Ok(piece)) {
        true => Ok(()),
        false => Err(Ended::Gone),
    }
}

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

/// What the threads of one batch share.
struct Bench<'a> {
    decoder: &'a Decoder,
    feed: &'a QueueFeed,
    /// How many may work.
    threads: usize,
    /// What each of them may hold, decoded or nearly.
    held_bytes: usize,
    stretches: Mutex<Stretches<'a>>,
    turns: Turns,
    outcome: Mutex<Result<Option<Completed>, Ended>>,
}

impl Bench<'_> {
    /// Decodes stretches until none is left. Who is given a `scope` brings in the others when it turns out that there is more than one.
    fn work<'scope>(&'scope self, scope: Option<&'scope Scope<'scope, '_>>) {
        let _guard = self.turns.guard();
        let mut hand = Hand::of(self);
        let mut helpers = scope.map_or(0..0, |_| 1..self.threads);
        loop {
            let mut stretches = lock(&self.stretches);
            let Some((turn, stretch)) = stretches.take() else {
                break;
            };
            // Beside a large event nobody holds another.
            let is_large = stretch.as_ref().is_ok_and(|stretch| stretch.is_large);
            let alone = is_large.then_some(stretches);
            if let (Some(scope), Ok(Stretch { is_last: false, .. })) = (scope, &stretch) {
                for _ in helpers.by_ref() {
                    scope.spawn(|| self.work(None));
                }
            }
            let done = stretch
                .map_err(Ended::from)
                .and_then(|stretch| hand.decode(stretch));
            match done {
                Ok(()) => self.turns.pass(),
                Err(ended) => return self.end(turn, ended),
            }
            drop(alone);
        }
        let mut outcome = lock(&self.outcome);
        if let Ok(completed) = &mut *outcome {
            *completed = completed.max_by_lsn(hand.completed());
        }
    }

    /// Ends the batch for everybody, behind what was handed on before.
    fn end(&self, turn: Turn, ended: Ended) {
        if self.turns.wait(turn) {
            *lock(&self.outcome) = Err(ended);
            self.turns.end();
        }
    }
}

/// The decoders of one thread, by the format that made them.
type Decoders = Vec<(*const (), Box<dyn Decoding>)>;

/// One thread that decodes.
struct Hand<'a, 'b> {
    bench: &'a Bench<'b>,
    limits: Limits,
    decoders: Decoders,
    /// Decoded, and not handed on.
    out: Vec<Decoded>,
}

impl<'a, 'b> Hand<'a, 'b> {
    fn of(bench: &'a Bench<'b>) -> Hand<'a, 'b> {
        let limits = bench.decoder.loader.limits;
        Hand {
            bench,
            limits: Limits {
                held_bytes: bench.held_bytes,
                ..limits
            },
            decoders: Decoders::default(),
            out: Vec::new(),
        }
    }

    /// Decodes a stretch and hands it on. When the last block is one of several stretches, nothing of it is left in the decoders.
    fn decode(&mut self, stretch: Stretch) -> Result<(), Ended> {
        let Stretch {
            turn,
            blocks,
            is_last,
            is_large,
        } = stretch;
        for block in blocks {
            self.push(&block)?;
            self.give(turn)?;
        }
        if is_last || self.bench.threads > 1 {
            for (_, decoding) in &mut self.decoders {
                decoding.finish(&mut self.out)?;
            }
        }
        if !self.bench.turns.wait(turn) {
            return Err(Ended::Gone);
        }
        self.hand_on()?;
        if is_large {
            self.bench.feed.rest();
        }
        Ok(())
    }

    fn push(&mut self, block: &Block) -> Result<(), Ended> {
        let decoder = self.bench.decoder;
        let leads = |schema| decoder.loader.routing.leads(schema);
        let Some(wanted) = Wanted::of(&decoder.spans, &leads) else {
            return Ok(());
        };
        let at = self.decoder_of(block.format)?;
        Ok(self.decoders[at].1.push(block, &wanted, &mut self.out)?)
    }

    /// Which of the decoders reads blocks of this format; one format may read several.
    fn decoder_of(&mut self, id: FormatId) -> Result<usize> {
        let decoder = self.bench.decoder;
        let format = decoder.format(id)?;
        let identity = Arc::as_ptr(format).cast::<()>();
        let known = self.decoders.iter().position(|(own, _)| *own == identity);
        Ok(known.unwrap_or_else(|| {
            let decoding = rows::decoding(format.as_ref(), decoder.asked(self.limits));
            self.decoders.push((identity, decoding));
            self.decoders.len() - 1
        }))
    }

    /// Hands on what there is, if its turn has come or it is too much to be kept until then.
    fn give(&mut self, turn: Turn) -> Result<(), Ended> {
        let turns = &self.bench.turns;
        if self.out.is_empty()
            || !turns.has_come(turn) && bytes_of(&self.out) <= self.limits.held_bytes
        {
            return Ok(());
        }
        match turns.wait(turn) {
            true => self.hand_on(),
            false => Err(Ended::Gone),
        }
    }

    fn hand_on(&mut self) -> Result<(), Ended> {
        let Bench { decoder, feed, .. } = self.bench;
        decoder.hand_on(&mut self.out, feed)
    }

    fn completed(&self) -> Option<Completed> {
        let all = self.decoders.iter().map(|(_, own)| own.completed());
        all.fold(None, Latest::max_by_lsn)
    }
}

/// What rows take in memory.
fn bytes_of(out: &[Decoded]) -> usize {
    let bytes = out.iter().map(|decoded| match decoded {
        Decoded::Rows { rows, .. } => rows.get_array_memory_size(),
        Decoded::Jobs(_) | Decoded::Parked(_) => 0,
    });
    bytes.sum()
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
