//! A lane's way through the store: from memory while it keeps up, from the log where it does not.
//!
//! There is no switch that could be in the wrong position. At each step the lane knows the next position it needs. What
//! the tail handed over is looked through for it first; what lies before it is passed over, and when the run that comes
//! next lies beyond it, or leads nowhere any more, the log is read until there is one that does not. So each position
//! is seen once and in order, whatever was dropped at the seam.
//!
//! The watermark is looked at *before* the ring. The writer hands over before it moves the watermark, so what is
//! durable and not in the ring was left out, and is in the log.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Blocks;
use super::tail::{Recent, Run};
use crate::error::Result;
use crate::event::Block;
use crate::log::Durable;
use crate::position::Position;
use crate::ring::Consumer;

/// Opens the log at a position.
pub(super) type Reopen = Box<dyn Fn(Position) -> Box<dyn Blocks> + Send>;

/// Reads blocks as they become durable.
pub(super) struct Following {
    durable: Durable,
    next: Position,
    runs: Consumer<Run>,
    /// Taken from the ring, not looked at yet: no more than the ring holds.
    waiting: VecDeque<Run>,
    at: Option<At>,
    /// While what comes next is not in memory.
    pub(super) log: Option<Box<dyn Blocks>>,
    reopen: Reopen,
}

/// What is in memory about the next position.
enum Remembered {
    Block(Block),
    /// Not it, but something later, or nothing.
    Not,
    /// Only what lies before it.
    Passed,
}

/// A place in what one sync made durable.
struct At {
    recent: Arc<Recent>,
    index: usize,
}

impl At {
    fn block(&mut self, next: Position) -> Remembered {
        while let Some(block) = self.recent.blocks().get(self.index) {
            if block.first > next {
                return Remembered::Not;
            }
            if block.span().is_some_and(|span| span.last >= next) {
                return Remembered::Block(block.clone());
            }
            self.index += 1;
        }
        Remembered::Passed
    }
}

impl Following {
    /// Follows from `next` on what `runs` brings, and what [`Reopen`] reads.
    pub(super) fn new(
        durable: Durable,
        next: Position,
        runs: Consumer<Run>,
        reopen: Reopen,
    ) -> Following {
        Following {
            durable,
            next,
            runs,
            waiting: VecDeque::new(),
            at: None,
            log: None,
            reopen,
        }
    }

    /// The block with the next position, if it is in memory.
    fn remembered(&mut self) -> Option<Block> {
        loop {
            if let Some(at) = &mut self.at {
                match at.block(self.next) {
                    Remembered::Block(block) => return Some(block),
                    Remembered::Not => return None,
                    Remembered::Passed => self.at = None,
                }
            }
            self.at = Some(At {
                recent: self.recent()?,
                index: 0,
            });
        }
    }

    /// What the next run leads to, unless that lies beyond the next position.
    fn recent(&mut self) -> Option<Arc<Recent>> {
        loop {
            if self.waiting.is_empty() && self.runs.take_all(&mut self.waiting) == 0 {
                return None;
            }
            let run = self.waiting.front()?;
            if run.recent.strong_count() > 0 && run.first > self.next {
                return None;
            }
            // What leads nowhere makes room, near or far.
            let run = self.waiting.pop_front()?;
            if let Some(recent) = run.recent.upgrade() {
                return Some(recent);
            }
        }
    }

    fn read(&mut self) -> Result<Option<Block>> {
        let log = self.log.get_or_insert_with(|| (self.reopen)(self.next));
        while let Some(block) = log.next()? {
            if block.span().is_some_and(|span| span.last >= self.next) {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }
}

impl Blocks for Following {
    fn next(&mut self) -> Result<Option<Block>> {
        if self.next > self.durable.upto() {
            return Ok(None);
        }
        let block = match self.remembered() {
            Some(block) => {
                self.log = None;
                Some(block)
            }
            None => self.read()?,
        };
        if let Some(span) = block.as_ref().and_then(Block::span) {
            self.next = span.last.next();
        }
        Ok(block)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::record::{EventsHead, Record};
    use super::super::tail::{Entrance, Tail};
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::{Excluded, FormatId, SourceId};
    use crate::log::{Listener, Mark, Written};

    /// The writer and the log by hand: one event in a block, one block in a sync.
    struct Writer {
        tail: Tail,
        entrance: Entrance,
        durable: Durable,
    }

    impl Writer {
        fn new(recent_bytes_max: usize) -> Writer {
            let (tail, entrance) = Tail::new(recent_bytes_max);
            let durable = Durable::default();
            Writer {
                tail,
                entrance,
                durable,
            }
        }

        /// Makes one event durable. Nobody is told yet.
        fn hand_over(&mut self, position: u64) {
            let head = Record::Events(EventsHead {
                source: SourceId(1),
                format: FormatId::JSON,
                received_at: Timestamp(0),
                tally: Vec::new(),
                envelope: Bytes::new(),
                state: Vec::new(),
            });
            let written = Written {
                kind: head.kind(),
                first: Position(position),
                count: 1,
                parts: vec![head.encode(), Bytes::from_static(b"memory")],
            };
            self.tail.durable(vec![written]);
        }

        fn announce(&self, upto: u64) {
            let upto = Position(upto);
            self.durable.place(Mark { upto, frames: 0 });
        }

        fn write(&mut self, positions: std::ops::RangeInclusive<u64>) {
            let last = *positions.end();
            positions.for_each(|position| self.hand_over(position));
            self.announce(last);
        }

        fn follow(&self) -> Following {
            let durable = self.durable.clone();
            let reopen: Reopen = Box::new(move |from| {
                let durable = durable.clone();
                Box::new(FromDisk(from, durable))
            });
            let runs = self.entrance.join();
            Following::new(self.durable.clone(), Position::FIRST, runs, reopen)
        }
    }

    /// What the log says: every event up to the watermark.
    struct FromDisk(Position, Durable);

    impl Blocks for FromDisk {
        fn next(&mut self) -> Result<Option<Block>> {
            let first = self.0;
            self.0 = first.next();
            let block = Block {
                source: SourceId(1),
                format: FormatId::JSON,
                received_at: Timestamp(0),
                first,
                count: 1,
                transaction: None,
                tally: Arc::from([]),
                excluded: Arc::new(Excluded::default()),
                envelope: Bytes::new(),
                body: Bytes::from_static(b"disk"),
            };
            Ok((first <= self.1.upto()).then_some(block))
        }
    }

    /// Everything that is there, as runs of positions by where they came from.
    fn read(following: &mut Following) -> Vec<(u64, u64, &'static str)> {
        let mut runs: Vec<(u64, u64, &str)> = Vec::new();
        while let Some(block) = following.next().unwrap() {
            let from = match &block.body[..] {
                b"memory" => "memory",
                _ => "disk",
            };
            match runs.last_mut() {
                Some((_, last, source)) if *source == from && *last + 1 == block.first.0 => {
                    *last += 1;
                }
                _ => runs.push((block.first.0, block.first.0, from)),
            }
        }
        runs
    }

    #[test]
    fn a_lane_that_keeps_up_never_touches_the_disk() {
        let mut writer = Writer::new(1 << 20);
        let mut lane = writer.follow();
        for first in [1, 4, 7] {
            writer.write(first..=first + 2);
            assert_eq!(read(&mut lane), [(first, first + 2, "memory")]);
        }
    }

    #[test]
    fn what_is_handed_over_is_not_seen_before_the_watermark_says_so() {
        let mut writer = Writer::new(1 << 20);
        let mut lane = writer.follow();
        writer.hand_over(1);
        writer.hand_over(2);
        assert_eq!(read(&mut lane), []);
        writer.announce(2);
        assert_eq!(read(&mut lane), [(1, 2, "memory")]);
    }

    #[test]
    fn a_lane_that_comes_late_reads_what_was_before_it_and_keeps_up_from_there() {
        let mut writer = Writer::new(1 << 20);
        let mut first = writer.follow();
        writer.write(1..=5);
        let mut second = writer.follow();
        writer.write(6..=9);
        assert_eq!(read(&mut first), [(1, 9, "memory")]);
        assert_eq!(read(&mut second), [(1, 5, "disk"), (6, 9, "memory")]);
        assert!(second.log.is_none(), "the log is let go of");
    }

    #[test]
    fn what_has_left_memory_is_read_from_the_log_and_the_lane_comes_back_by_itself() {
        // Room for four frames and not for five.
        let mut writer = Writer::new(1_400);
        let mut lane = writer.follow();
        writer.write(1..=20);
        assert_eq!(read(&mut lane), [(1, 16, "disk"), (17, 20, "memory")]);
        writer.write(21..=22);
        assert_eq!(read(&mut lane), [(21, 22, "memory")]);
    }

    #[test]
    fn a_full_ring_holds_up_nobody_and_what_it_had_no_room_for_is_read_from_the_log() {
        let mut writer = Writer::new(64 << 20);
        let mut lane = writer.follow();
        writer.write(1..=2_000);
        assert_eq!(
            read(&mut lane),
            [(1, 1_024, "memory"), (1_025, 2_000, "disk")]
        );
        writer.write(2_001..=2_002);
        assert_eq!(read(&mut lane), [(2_001, 2_002, "memory")]);
    }

    #[test]
    fn what_was_staged_is_read_from_the_log_in_its_place() {
        let mut writer = Writer::new(1 << 20);
        let mut lane = writer.follow();
        writer.write(1..=2);
        // Positions 3 to 6 are a staged transaction's: the writer hands over no such thing.
        writer.write(7..=8);
        let expected = [(1, 2, "memory"), (3, 6, "disk"), (7, 8, "memory")];
        assert_eq!(read(&mut lane), expected);
    }

    #[test]
    fn with_nobody_there_nothing_is_kept() {
        let mut writer = Writer::new(1 << 20);
        assert!(!writer.tail.listens());
        let lane = writer.follow();
        assert!(writer.tail.listens());
        writer.write(1..=2);
        drop(lane);
        writer.write(3..=3);
        assert!(!writer.tail.listens());
    }
}
