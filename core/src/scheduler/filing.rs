//! A lane's place in the store, and what it has gathered there for its next load.

use std::sync::Arc;

use super::routing::Routing;
use crate::clock::Now;
use crate::error::{Error, Result};
use crate::position::{Position, Span};
use crate::queue::{Batch, BatchLimits, LaneReader};
use crate::spans::Spans;
use crate::store::Store;

/// What was read, and what is to be left out when it is loaded.
#[derive(Debug)]
pub(super) struct Filing {
    reader: LaneReader,
    pub(super) batch: Batch,
    limits: BatchLimits,
    /// Positions beyond what was loaded that have a history already: an operator decided them.
    claimed: Spans,
}

impl Filing {
    /// Reads from `next` on; what is `claimed` behind it is left out.
    pub(super) fn new(
        store: &Arc<dyn Store>,
        next: Position,
        claimed: Spans,
        limits: BatchLimits,
    ) -> Filing {
        Filing {
            reader: LaneReader::new(store, next),
            batch: Batch::new(),
            limits,
            claimed,
        }
    }

    /// Reads on up to `upto`, away from the async threads: a lane that is behind reads much from the disk.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn gather(
        mut self,
        routing: &Arc<Routing>,
        upto: Position,
        now: Now,
    ) -> Result<Filing> {
        if self.read_upto() >= upto || self.is_full() {
            return Ok(self);
        }
        let routing = Arc::clone(routing);
        let gathering = tokio::task::spawn_blocking(move || {
            let routed = |schema| routing.leads(schema);
            let Filing {
                reader,
                batch,
                limits,
                ..
            } = &mut self;
            let gathered = reader.gather(batch, limits, &routed, upto, now);
            gathered.map(|()| self)
        });
        gathering
            .await
            .map_err(|error| Error::stopped("gathering panicked").because(error))?
    }

    /// The last position gathered so far.
    pub(super) fn read_upto(&self) -> Position {
        self.reader.read_upto()
    }

    /// Whether the batch holds as much as it may.
    pub(super) fn is_full(&self) -> bool {
        self.batch.is_full(&self.limits)
    }

    /// Whether the batch has begun and is far from full.
    pub(super) fn is_young(&self) -> bool {
        self.batch.is_young(&self.limits)
    }

    /// Takes the batch, and which of its positions are to be loaded.
    pub(super) fn take(&mut self) -> (Batch, Spans) {
        let batch = std::mem::replace(&mut self.batch, Batch::new());
        let whole = batch.span().unwrap_or(Span::starting(Position::FIRST, 0));
        let spans = [whole].into_iter().collect::<Spans>().minus(&self.claimed);
        self.claimed.remove(Span::new(Position::FIRST, whole.last));
        (batch, spans)
    }

    /// Leaves out what of `span` has not been loaded yet.
    pub(super) fn claim(&mut self, span: Span) {
        let next = self.next();
        self.claimed.add(Span::new(span.first.max(next), span.last));
    }

    /// Has what of `span` has not been loaded yet loaded in its turn; returns the rest, which had its turn.
    pub(super) fn give_back(&mut self, span: Span) -> Span {
        let next = self.next();
        self.claimed
            .remove(Span::new(span.first.max(next), span.last));
        Span::new(span.first, span.last.min(next.previous()))
    }

    /// The first position that no load has been given.
    fn next(&self) -> Position {
        let gathered = self.batch.span();
        gathered.map_or(self.read_upto().next(), |own| own.first)
    }
}
