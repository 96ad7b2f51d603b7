//! A lane's own reading of the store: block by block into the batch that gathers.

use std::sync::Arc;

use super::batch::{Batch, BatchLimits};
use crate::clock::Now;
use crate::error::Result;
use crate::event::{Block, SchemaId};
use crate::position::{Position, Span};
use crate::store::{Blocks, Store};

/// Bytes of blocks that are looked at in one go: after that the lane hears what else is asked of it.
const GATHER_BYTES_MAX: usize = 64 << 20;

/// Follows the store from a position on and fills batches.
pub struct LaneReader {
    blocks: Box<dyn Blocks>,
    next: Position,
    /// The block that did not fit whole into the last batch.
    left: Option<Block>,
}

impl std::fmt::Debug for LaneReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneReader")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl LaneReader {
    /// Reads `store` from `next` on.
    #[must_use]
    pub fn new(store: &Arc<dyn Store>, next: Position) -> LaneReader {
        LaneReader {
            blocks: store.follow(next),
            next,
            left: None,
        }
    }

    /// Adds durable events to `batch` until it is full, none are left, or much was looked at. Never
    /// goes past `upto`. What the clocks say at the beginning is `now`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn gather(
        &mut self,
        batch: &mut Batch,
        limits: &BatchLimits,
        routed: &dyn Fn(SchemaId) -> bool,
        upto: Position,
        now: Now,
    ) -> Result<()> {
        let mut seen_bytes = 0;
        while !batch.is_full(limits) && self.next <= upto && seen_bytes < GATHER_BYTES_MAX {
            let Some(block) = self.take()? else { break };
            seen_bytes += block.body.len();
            let Some(part) = self.part_of(&block, upto) else {
                continue;
            };
            let own = routed_events(&block, routed);
            let room = batch.room(limits, u32::try_from(part.len()).unwrap_or(u32::MAX), own);
            let span = Span::starting(part.first, u64::from(room));
            let due = limits.due(block.received_at, now);
            batch.add(&block, span, own.min(room), due);
            self.next = span.last.next();
            if block.span().is_some_and(|whole| whole.last > span.last) {
                self.left = Some(block);
            }
        }
        Ok(())
    }

    /// The last position gathered so far.
    #[must_use]
    pub fn read_upto(&self) -> Position {
        self.next.previous()
    }

    fn take(&mut self) -> Result<Option<Block>> {
        match self.left.take() {
            Some(block) => Ok(Some(block)),
            None => self.blocks.next(),
        }
    }

    /// The part of `block` that has not been gathered.
    fn part_of(&self, block: &Block, upto: Position) -> Option<Span> {
        block.span()?.intersection(Span {
            first: self.next,
            last: upto,
        })
    }
}

fn routed_events(block: &Block, routed: &dyn Fn(SchemaId) -> bool) -> u32 {
    let kept = block
        .tally
        .iter()
        .filter(|t| !block.excluded.covers(t.schema, t.group));
    kept.filter(|t| routed(t.schema)).map(|t| t.count).sum()
}
