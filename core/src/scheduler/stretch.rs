//! The blocks of a batch, in stretches that are decoded each by itself.

use crate::error::{Error, Result};
use crate::event::Block;
use crate::position::Position;
use crate::spans::Spans;
use crate::store::{Blocks, Store};

use super::routing::Routing;
use super::turns::Turn;

/// A block from this size on holds one large event.
const LARGE_BLOCK_BYTES: usize = 8 << 20;
/// Positions between two spans of a batch that are read over; beyond that the next span is looked up.
const READ_OVER_MAX: u64 = 100_000;

/// What is decoded at a time.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) turn: Turn,
    pub(super) blocks: Vec<Block>,
    /// Whether nothing comes behind it.
    pub(super) is_last: bool,
    /// Whether its last block holds one large event: nothing else should be in memory beside it.
    pub(super) is_large: bool,
}

/// Gives out the stretches of one batch.
pub(super) struct Stretches<'a> {
    blocks: BatchBlocks<'a>,
    /// A stretch ends with the block that brings it to this size.
    stretch_bytes: usize,
    given: u64,
    is_over: bool,
}

impl<'a> Stretches<'a> {
    /// Those of the blocks at `spans` that `routing` leads here, `cached` or out of the store; `stretch_bytes` each, and one block more.
    pub(super) fn new(
        store: &'a dyn Store,
        routing: &'a Routing,
        spans: &'a Spans,
        cached: Option<Vec<Block>>,
        stretch_bytes: usize,
    ) -> Stretches<'a> {
        let blocks = match cached {
            Some(blocks) => BatchBlocks::Cached(blocks.into_iter()),
            None => BatchBlocks::Stored(Reading {
                store,
                routing,
                spans,
                next: spans.next_at(Position::ZERO),
                blocks: None,
            }),
        };
        Stretches {
            blocks,
            stretch_bytes,
            given: 0,
            is_over: false,
        }
    }

    /// The next stretch, or why there is none although it has its turn; none when all was given out.
    pub(super) fn take(&mut self) -> Option<(Turn, Result<Stretch>)> {
        if self.is_over {
            return None;
        }
        let turn = Turn(self.given);
        self.given += 1;
        let stretch = self.read(turn);
        self.is_over = stretch.as_ref().map_or(true, |stretch| stretch.is_last);
        Some((turn, stretch))
    }

    fn read(&mut self, turn: Turn) -> Result<Stretch> {
        let mut stretch = Stretch {
            turn,
            blocks: Vec::new(),
            is_last: false,
            is_large: false,
        };
        let mut bytes = 0;
        while bytes < self.stretch_bytes && !stretch.is_large {
            let Some(block) = self.blocks.next()? else {
                stretch.is_last = true;
                break;
            };
            bytes += block.body.len();
            stretch.is_large = block.body.len() >= LARGE_BLOCK_BYTES;
            stretch.blocks.push(block);
        }
        Ok(stretch)
    }
}

/// The blocks of one batch that hold something for its lane.
enum BatchBlocks<'a> {
    Cached(std::vec::IntoIter<Block>),
    Stored(Reading<'a>),
}

impl BatchBlocks<'_> {
    fn next(&mut self) -> Result<Option<Block>> {
        match self {
            BatchBlocks::Cached(blocks) => Ok(blocks.next()),
            BatchBlocks::Stored(reading) => reading.next(),
        }
    }
}

/// Reads the spans of a batch from the store.
struct Reading<'a> {
    store: &'a dyn Store,
    routing: &'a Routing,
    spans: &'a Spans,
    /// The next position that is wanted; none at the end of the batch.
    next: Option<Position>,
    /// From that position on, unless it has to be looked up.
    blocks: Option<Box<dyn Blocks>>,
}

impl Reading<'_> {
    fn next(&mut self) -> Result<Option<Block>> {
        while let Some(first) = self.next {
            let store = self.store;
            let blocks = self.blocks.get_or_insert_with(|| store.blocks(first));
            let Some(block) = blocks.next()? else {
                let spans = self.spans;
                return Err(Error::damaged(format!("the store ends before {spans}")));
            };
            let Some(span) = block.span() else { continue };
            self.next = self.spans.next_at(span.last.next());
            if self
                .next
                .is_some_and(|next| next.since(span.last) > READ_OVER_MAX)
            {
                self.blocks = None;
            }
            if self.spans.intersects(span) && self.is_wanted(&block) {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    fn is_wanted(&self, block: &Block) -> bool {
        let mut schemas = block.tally.iter().map(|tally| tally.schema);
        schemas.any(|schema| self.routing.leads(schema))
    }
}
