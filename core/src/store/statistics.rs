//! What each segment of the log holds, in numbers, so that counting and searching read only the segments
//! that matter.
//!
//! Statistics are part of the [`catalog`](super::catalog): a fold over the same records, kept in the snapshot
//! that opens the next segment. So they cannot disagree with the log, and cost no file of their own.

use std::collections::BTreeMap;

use super::record::{Decoder, Encoder, EventsHead, Record};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::event::{LaneId, SchemaId};
use crate::job::Transition;
use crate::position::{Position, Span};

/// The numbers of one segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The segment.
    pub segment: u64,
    /// The positions given in it; none when there are none.
    pub positions: Option<Span>,
    /// When the first and the last of its events were received.
    pub received: Option<Range>,
    /// How many positions belong to each schema.
    pub events: BTreeMap<SchemaId, u64>,
    /// The transitions recorded in it, by lane.
    pub lanes: BTreeMap<LaneId, Changes>,
}

/// From a first to a last moment, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
}

/// What a segment says of the jobs of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changes {
    /// How many transitions.
    pub count: u64,
    /// The first and the last position that they touch; not all between need be touched.
    pub span: Span,
    /// When they were made.
    pub at: Range,
    /// Which statuses occur: bit n for code n.
    pub statuses: u8,
    /// The lowest and the highest attempt.
    pub attempts: (u32, u32),
}

impl Range {
    fn add(own: Option<Range>, at: Timestamp) -> Range {
        let own = own.unwrap_or(Range {
            first: at,
            last: at,
        });
        Range {
            first: own.first.min(at),
            last: own.last.max(at),
        }
    }

    /// Whether some moment from `since` on and before `before` is inside.
    #[must_use]
    pub fn meets(self, since: Option<Timestamp>, before: Option<Timestamp>) -> bool {
        since.is_none_or(|since| self.last >= since)
            && before.is_none_or(|before| self.first < before)
    }

    /// Whether all moments lie from `since` on and before `before`.
    #[must_use]
    pub fn within(self, since: Option<Timestamp>, before: Option<Timestamp>) -> bool {
        since.is_none_or(|since| self.first >= since)
            && before.is_none_or(|before| self.last < before)
    }
}

impl Statistics {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.positions.is_none() && self.lanes.is_empty()
    }

    /// Counts what a record says; its events begin at `first`.
    pub(super) fn note(&mut self, record: &Record, first: Position, count: u32) {
        match record {
            Record::Events(head) | Record::Commit { events: head, .. } => {
                self.note_events(head, first, count);
            }
            Record::Alike(head) if count > 0 => {
                self.note_received(head.received_at, first, count);
                self.add_events(head.schema, u64::from(count));
            }
            Record::Transitions(transitions) => self.note_transitions(transitions),
            Record::FollowUp { transitions, jobs } => {
                self.note_transitions(transitions);
                self.note_events(jobs, first, count);
            }
            _ => {}
        }
    }

    fn note_events(&mut self, head: &EventsHead, first: Position, count: u32) {
        if count == 0 {
            return;
        }
        self.note_received(head.received_at, first, count);
        for tally in &head.tally {
            self.add_events(tally.schema, u64::from(tally.count));
        }
    }

    fn note_received(&mut self, at: Timestamp, first: Position, count: u32) {
        self.add_positions(Span::starting(first, u64::from(count)));
        self.add_received(at);
    }

    pub(super) fn add_positions(&mut self, added: Span) {
        let own = self.positions.unwrap_or(added);
        self.positions = Some(Span::new(
            own.first.min(added.first),
            own.last.max(added.last),
        ));
    }

    pub(super) fn add_received(&mut self, at: Timestamp) {
        self.received = Some(Range::add(self.received, at));
    }

    pub(super) fn add_events(&mut self, schema: SchemaId, count: u64) {
        if count > 0 {
            let own = self.events.entry(schema).or_default();
            *own = own.saturating_add(count);
        }
    }

    pub(super) fn note_transitions(&mut self, transitions: &[Transition]) {
        for transition in transitions {
            let one = Changes::of(transition);
            let own = self
                .lanes
                .entry(transition.lane)
                .or_insert(Changes { count: 0, ..one });
            *own = own.and(one);
        }
    }

    /// These numbers together with those of a later part of the same segment.
    pub(super) fn and(mut self, later: Statistics) -> Statistics {
        if let Some(positions) = later.positions {
            self.add_positions(positions);
        }
        for at in later.received.iter().flat_map(|r| [r.first, r.last]) {
            self.add_received(at);
        }
        for (schema, count) in later.events {
            self.add_events(schema, count);
        }
        for (lane, changes) in later.lanes {
            let own = self.lanes.get(&lane).map(|own| own.and(changes));
            self.lanes.insert(lane, own.unwrap_or(changes));
        }
        self
    }

    pub(super) fn encode(&self, out: &mut Encoder) {
        out.varint(self.segment);
        let positions = self
            .positions
            .unwrap_or(Span::new(Position(1), Position(0)));
        out.varint(positions.first.0);
        out.varint(positions.last.0);
        out.u8(u8::from(self.received.is_some()));
        if let Some(received) = self.received {
            encode_range(out, received);
        }
        out.varint(self.events.len() as u64);
        for (schema, count) in &self.events {
            out.varint(u64::from(schema.0));
            out.varint(*count);
        }
        out.varint(self.lanes.len() as u64);
        for (lane, changes) in &self.lanes {
            out.varint(u64::from(lane.0));
            changes.encode(out);
        }
    }

    pub(super) fn decode(input: &mut Decoder) -> Result<Statistics> {
        let segment = input.varint()?;
        let positions = Span::new(Position(input.varint()?), Position(input.varint()?));
        let received = match input.u8()? {
            0 => None,
            _ => Some(decode_range(input)?),
        };
        let mut statistics = Statistics {
            segment,
            positions: Some(positions).filter(|span| !span.is_empty()),
            received,
            ..Statistics::default()
        };
        for _ in 0..input.varint()? {
            let schema = SchemaId(input.number()?);
            statistics.add_events(schema, input.varint()?);
        }
        for _ in 0..input.varint()? {
            let lane = LaneId(input.number()?);
            statistics.lanes.insert(lane, Changes::decode(input)?);
        }
        Ok(statistics)
    }
}

impl Changes {
    fn of(transition: &Transition) -> Changes {
        Changes {
            count: 1,
            span: transition.span,
            at: Range::add(None, transition.at),
            statuses: 1 << transition.status.code(),
            attempts: (transition.attempt, transition.attempt),
        }
    }

    fn and(self, other: Changes) -> Changes {
        Changes {
            count: self.count.saturating_add(other.count),
            span: Span::new(
                self.span.first.min(other.span.first),
                self.span.last.max(other.span.last),
            ),
            at: Range {
                first: self.at.first.min(other.at.first),
                last: self.at.last.max(other.at.last),
            },
            statuses: self.statuses | other.statuses,
            attempts: (
                self.attempts.0.min(other.attempts.0),
                self.attempts.1.max(other.attempts.1),
            ),
        }
    }

    fn encode(&self, out: &mut Encoder) {
        out.varint(self.count);
        out.varint(self.span.first.0);
        out.varint(self.span.last.0);
        encode_range(out, self.at);
        out.u8(self.statuses);
        out.varint(u64::from(self.attempts.0));
        out.varint(u64::from(self.attempts.1));
    }

    fn decode(input: &mut Decoder) -> Result<Changes> {
        let count = input.varint()?;
        let span = Span::new(Position(input.varint()?), Position(input.varint()?));
        if span.is_empty() {
            return Err(Error::damaged(
                "statistics of the log name an impossible span",
            ));
        }
        Ok(Changes {
            count,
            span,
            at: decode_range(input)?,
            statuses: input.u8()?,
            attempts: (input.number()?, input.number()?),
        })
    }
}

fn encode_range(out: &mut Encoder, range: Range) {
    out.u64(range.first.0.cast_unsigned());
    out.u64(range.last.0.cast_unsigned());
}

fn decode_range(input: &mut Decoder) -> Result<Range> {
    Ok(Range {
        first: Timestamp(input.u64()?.cast_signed()),
        last: Timestamp(input.u64()?.cast_signed()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{FormatId, SourceId, Tally};
    use crate::job::Status;

    fn events(at: i64, counts: &[(u32, u32)]) -> Record {
        let tally = counts.iter().map(|(schema, count)| Tally {
            schema: SchemaId(*schema),
            group: 0,
            count: *count,
        });
        Record::Events(EventsHead {
            source: SourceId(1),
            format: FormatId::JSON,
            received_at: Timestamp(at),
            tally: tally.collect(),
            envelope: bytes::Bytes::new(),
            state: Vec::new(),
        })
    }

    #[test]
    fn numbers_beyond_all_numbers_are_the_largest_one() {
        let mut statistics = Statistics::default();
        statistics.add_events(SchemaId(1), u64::MAX);
        statistics.add_events(SchemaId(1), 2);
        assert_eq!(statistics.events[&SchemaId(1)], u64::MAX);
    }

    #[test]
    fn a_record_of_no_events_counts_nothing() {
        let head = crate::store::record::AlikeHead {
            source: SourceId(1),
            format: FormatId::JSON,
            received_at: Timestamp(5),
            schema: SchemaId(1),
        };
        let mut statistics = Statistics::default();
        statistics.note(&Record::Alike(head), Position(1), 0);
        statistics.note(&events(7, &[(1, 0)]), Position(1), 0);
        assert_eq!(statistics, Statistics::default());
    }

    #[test]
    fn numbers_add_up_and_survive_their_bytes() {
        let mut statistics = Statistics {
            segment: 7,
            ..Statistics::default()
        };
        statistics.note(&events(50, &[(1, 3), (2, 2)]), Position(11), 5);
        statistics.note(&events(40, &[(2, 4)]), Position(16), 4);
        let transition = |first, last, status, attempt| Transition {
            lane: LaneId(3),
            span: Span::new(Position(first), Position(last)),
            status,
            attempt,
            at: Timestamp(60),
            error: None,
            command: None,
        };
        let transitions = vec![
            transition(5, 6, Status::Failed, 2),
            transition(1, 1, Status::Succeeded, 1),
        ];
        statistics.note(&Record::Transitions(transitions), Position(20), 0);
        assert_eq!(
            statistics.positions,
            Some(Span::new(Position(11), Position(19)))
        );
        assert_eq!(
            statistics.events,
            BTreeMap::from([(SchemaId(1), 3), (SchemaId(2), 6)])
        );
        let lane = statistics.lanes[&LaneId(3)];
        assert_eq!((lane.count, lane.attempts), (2, (1, 2)));
        assert_eq!(lane.span, Span::new(Position(1), Position(6)));
        let received = statistics.received.unwrap();
        assert!(received.meets(Some(Timestamp(50)), None));
        assert!(!received.meets(Some(Timestamp(51)), None));
        assert!(!received.within(Some(Timestamp(41)), None));
        assert!(!received.meets(None, Some(Timestamp(40))));
        let mut out = Encoder::default();
        statistics.encode(&mut out);
        let mut input = Decoder::new(bytes::Bytes::from(out.into_inner()));
        assert_eq!(Statistics::decode(&mut input).unwrap(), statistics);
    }
}
