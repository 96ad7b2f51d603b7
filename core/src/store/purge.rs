//! Purging: letting settled segments go earlier than retention would.
//!
//! The store drops whole segments, the oldest first, and never one with a job that is not settled. A policy says
//! which of them may go before retention comes for them: those that hold nothing but jobs in certain final
//! states, and were complete for a while. This differs from deleting rows: one discarded job keeps its
//! neighbours, and an event of which no policy speaks keeps the segments behind it, until retention drops them all.

use std::time::Duration;

use super::catalog::Catalog;
use crate::clock::Timestamp;
use crate::job::Status;
use crate::log::{Retention, SegmentInfo};
use crate::position::{Position, Span};

/// Which segments may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// The states that every job of a segment must be in; of these `succeeded` and `discarded` count, as
    /// no other is final.
    pub statuses: Vec<Status>,
    /// How long ago the segment was written to for the last time.
    pub older_than: Duration,
}

/// What was let go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// How many segments.
    pub segments: usize,
    /// The positions in them; none when nothing went.
    pub span: Option<Span>,
    /// The bytes freed. A segment that is kept to be written over counts, too.
    pub bytes: u64,
}

impl Purged {
    pub(super) fn of(segments: &[SegmentInfo]) -> Purged {
        let ends = segments.first().zip(segments.last());
        Purged {
            segments: segments.len(),
            span: ends.map(|(first, last)| Span::new(first.span.first, last.span.last)),
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
        }
    }
}

impl Purge {
    /// The same in words of the log: age alone decides, whatever the size.
    pub(super) fn retention(&self) -> Retention {
        Retention {
            max_age: self.older_than,
            max_bytes: u64::MAX,
        }
    }

    /// Up to where every job of every lane that counts is in one of the states; `upto` when there is
    /// no lane.
    pub(super) fn reach(&self, catalog: &Catalog, upto: Position) -> Position {
        let others: Vec<Status> = Status::ALL
            .into_iter()
            .filter(|status| !(status.is_settled() && self.statuses.contains(status)))
            .collect();
        let lanes = catalog.lanes.values().filter(|lane| !lane.forgotten);
        let reached = lanes.map(|lane| {
            let mut held = lane.all(Span::new(lane.start, Position::MAX));
            let held = held.find(|open| others.contains(&open.status));
            held.map_or(upto, |open| open.span.first.previous())
        });
        reached.min().unwrap_or(upto).min(upto)
    }
}

/// The oldest of `segments` that end at or before `settled` and were complete for `max_age`.
pub(super) fn ripe(
    segments: &[SegmentInfo],
    settled: Position,
    max_age: Duration,
    now: Timestamp,
) -> &[SegmentInfo] {
    let goes = |pair: &&[SegmentInfo]| match pair {
        [own, next] => own.span.last <= settled && now.since(next.created_at) > max_age,
        _ => false,
    };
    let count = segments.windows(2).take_while(goes).count();
    &segments[..count]
}
