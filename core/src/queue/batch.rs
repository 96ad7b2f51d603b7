//! A batch as it gathers, and when it closes. Pure decisions: time is handed in.

use std::time::Duration;

use crate::clock::{Now, Timestamp};
use crate::event::Block;
use crate::position::{Position, Span};

/// When a batch is complete: whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Events. At least 1.
    pub rows_max: u64,
    /// Bytes as they arrived.
    pub bytes_max: u64,
    /// Time since the oldest event was received.
    pub age_max: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        BatchLimits {
            rows_max: 1_000_000,
            bytes_max: 128 << 20,
            age_max: Duration::from_secs(10),
        }
    }
}

impl BatchLimits {
    /// When an event that was received at `received_at` has waited long enough, on the clock that never goes back. The
    /// wall clock says only how long it has waited by `now`: set back or forward later, it changes nothing.
    #[must_use]
    pub fn due(&self, received_at: Timestamp, now: Now) -> Duration {
        let waited = now.wall.since(received_at);
        now.elapsed
            .saturating_add(self.age_max.saturating_sub(waited))
    }
}

/// Why a batch is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// It holds as many events as it may.
    Rows,
    /// It holds as many bytes as it may.
    Bytes,
    /// Its oldest event has waited long enough.
    Age,
}

/// Bytes of blocks that a batch keeps in memory for the load that follows.
const CACHED_BYTES_MAX: u64 = 16 << 20;

/// A run of positions for one load, and how much in it is routed to the lane.
#[derive(Debug, Default)]
pub struct Batch {
    span: Option<Span>,
    events: u64,
    bytes: u64,
    due: Option<Duration>,
    cached: Option<Vec<Block>>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Batch {
        Batch {
            cached: Some(Vec::new()),
            ..Batch::default()
        }
    }

    /// The positions gathered so far.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.span
    }

    /// Events in it that are routed to the lane.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The blocks of the batch, if they all fit in memory; else the load reads them again.
    pub fn take_cached(&mut self) -> Option<Vec<Block>> {
        self.cached.take()
    }

    /// How many events of a block with `routed` of `count` events still fit.
    #[must_use]
    pub fn room(&self, limits: &BatchLimits, count: u32, routed: u32) -> u32 {
        let left = limits.rows_max.saturating_sub(self.events);
        if u64::from(routed) <= left {
            count
        } else {
            u32::try_from(left).unwrap_or(u32::MAX).min(count)
        }
    }

    /// Adds the part `span` of `block`, of whose events `routed` are the lane's. They have waited long enough at `due`.
    pub fn add(&mut self, block: &Block, span: Span, routed: u32, due: Duration) {
        let first = self.span.map_or(span.first, |own| own.first);
        self.span = Some(Span {
            first,
            last: span.last,
        });
        self.due = Some(self.due.map_or(due, |own| own.min(due)));
        if routed == 0 {
            return;
        }
        let bytes = block.body.len() as u64 * span.len() / u64::from(block.count.max(1));
        self.events += u64::from(routed).min(span.len());
        self.bytes += bytes;
        self.cache(block);
    }

    fn cache(&mut self, block: &Block) {
        if self.bytes > CACHED_BYTES_MAX {
            self.cached = None;
        } else if let Some(cached) = &mut self.cached {
            cached.push(block.clone());
        }
    }

    /// Whether the batch is complete at `now`, on the clock that never goes back.
    #[must_use]
    pub fn close(&self, limits: &BatchLimits, now: Duration) -> Option<Close> {
        if self.events >= limits.rows_max {
            Some(Close::Rows)
        } else if self.bytes >= limits.bytes_max {
            Some(Close::Bytes)
        } else if self.due.is_some_and(|due| due <= now) {
            Some(Close::Age)
        } else {
            None
        }
    }

    /// Whether it is full, whatever the time.
    #[must_use]
    pub fn is_full(&self, limits: &BatchLimits) -> bool {
        self.events >= limits.rows_max || self.bytes >= limits.bytes_max
    }

    /// Whether it has begun, and has room for as much again as it holds.
    #[must_use]
    pub fn is_young(&self, limits: &BatchLimits) -> bool {
        let (events, bytes) = (limits.rows_max / 2, limits.bytes_max / 2);
        self.span.is_some() && self.events <= events && self.bytes <= bytes
    }

    /// When the batch closes by age, on the clock that never goes back; none while it is empty.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        self.due
    }

    /// The position behind it.
    #[must_use]
    pub fn next(&self) -> Option<Position> {
        self.span.map(|span| span.last.next())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::event::{Excluded, FormatId, SourceId};

    fn block(first: u64, count: u32, bytes: usize, at: i64) -> Block {
        Block {
            source: SourceId(1),
            format: FormatId::JSON,
            received_at: Timestamp(at),
            first: Position(first),
            count,
            transaction: None,
            tally: Arc::from([]),
            excluded: Arc::new(Excluded::default()),
            envelope: Bytes::new(),
            body: Bytes::from(vec![0; bytes]),
        }
    }

    fn limits() -> BatchLimits {
        BatchLimits {
            rows_max: 100,
            bytes_max: 1_000,
            age_max: Duration::from_micros(50),
        }
    }

    fn add(batch: &mut Batch, block: &Block, routed: u32) {
        let now = Now {
            wall: block.received_at,
            elapsed: Duration::from_micros(block.received_at.0 as u64),
        };
        let due = limits().due(block.received_at, now);
        batch.add(block, block.span().unwrap(), routed, due);
    }

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn the_age_of_an_event_is_what_it_was_when_it_was_gathered_and_steady_time_since() {
        let due = |wall| {
            let (wall, elapsed) = (Timestamp(wall), micros(1_000));
            limits().due(Timestamp(500), Now { wall, elapsed })
        };
        assert_eq!(due(500), micros(1_050));
        assert_eq!(due(520), micros(1_030));
        assert_eq!(due(9_000), micros(1_000), "it waited while nothing ran");
        assert_eq!(due(0), micros(1_050), "the wall clock was set back");
    }

    #[test]
    fn a_batch_closes_by_rows_bytes_or_age_whichever_comes_first() {
        let mut rows = Batch::new();
        add(&mut rows, &block(1, 100, 10, 0), 100);
        assert_eq!(rows.close(&limits(), micros(0)), Some(Close::Rows));
        let mut bytes = Batch::new();
        add(&mut bytes, &block(1, 1, 1_000, 0), 1);
        assert_eq!(bytes.close(&limits(), micros(0)), Some(Close::Bytes));
        let mut age = Batch::new();
        add(&mut age, &block(1, 1, 1, 7), 1);
        assert_eq!(age.close(&limits(), micros(56)), None);
        assert_eq!(age.close(&limits(), micros(57)), Some(Close::Age));
    }

    #[test]
    fn what_is_not_routed_extends_the_span_and_fills_nothing() {
        let mut batch = Batch::new();
        add(&mut batch, &block(1, 500, 5_000, 0), 0);
        assert_eq!(
            (batch.events(), batch.close(&limits(), micros(49))),
            (0, None)
        );
        assert_eq!(batch.close(&limits(), micros(50)), Some(Close::Age));
        assert_eq!(batch.next(), Some(Position(501)));
    }

    #[test]
    fn a_block_that_does_not_fit_is_cut_at_the_limit() {
        let mut batch = Batch::new();
        add(&mut batch, &block(1, 90, 10, 0), 90);
        assert_eq!(batch.room(&limits(), 30, 30), 10);
        assert_eq!(batch.room(&limits(), 30, 10), 30);
    }

    #[test]
    fn a_batch_larger_than_the_cache_keeps_no_block() {
        let mut batch = Batch::new();
        add(&mut batch, &block(1, 1, 10, 0), 1);
        add(&mut batch, &block(2, 1, 17 << 20, 0), 1);
        assert!(batch.take_cached().is_none());
    }
}
