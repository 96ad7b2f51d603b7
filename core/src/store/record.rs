//! What the store writes into the log: ten kinds of records, each the body of one frame.
//!
//! A record is a short head, encoded here, and for events the bytes as they arrived, untouched:
//! `[head length u32][head][events]`. Integers are little-endian, strings and lists are preceded by
//! their length. Every length is checked against what is there before anything is allocated.
//!
//! | kind | record | takes positions |
//! |---|---|---|
//! | 1 | a source has this number and name | no |
//! | 2 | a lane has this number and name, and begins here | no |
//! | 3 | a schema version | no |
//! | 4 | events of one source | one each |
//! | 5 | a staged transaction is committed | one for each event not excluded |
//! | 6 | what a source remembers | no |
//! | 7 | transitions of jobs | no |
//! | 8 | transitions of jobs, and the jobs that follow them up | one for each job that follows |
//! | 9 | an operator let go of a lane | no |
//! | 10 | events of one source that are alike: one schema, received at one time | one each |
//!
//! Kind 10 is what single documents are written as. Its head does not say how many they are (the frame does), so
//! heads of documents that arrive together are the same bytes, and the log can make one frame of them
//! ([`crate::log::Log::append_piece`]).

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::event::{
    About, Draft, Excluded, FormatId, LaneId, Schema, SchemaId, SourceId, StateChange, Tally,
};
use crate::job::{Command, Status, Transition};
use crate::position::{Position, Span};

/// One record's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Source {
        id: SourceId,
        name: String,
    },
    Lane {
        id: LaneId,
        name: String,
        start: Position,
    },
    Schema(Schema),
    Events(EventsHead),
    Commit {
        events: EventsHead,
        excluded: Excluded,
    },
    State {
        source: SourceId,
        changes: Vec<StateChange>,
    },
    Transitions(Vec<Transition>),
    FollowUp {
        transitions: Vec<Transition>,
        jobs: EventsHead,
    },
    Forget {
        id: LaneId,
    },
    Alike(AlikeHead),
}

/// What precedes the bytes of events that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AlikeHead {
    pub(super) source: SourceId,
    pub(super) format: FormatId,
    pub(super) received_at: Timestamp,
    pub(super) schema: SchemaId,
}

impl AlikeHead {
    /// What `draft` says of its events, when it says nothing more than that they are alike, and their bytes
    /// can be followed by those of others.
    pub(super) fn of(source: SourceId, draft: &Draft) -> Option<AlikeHead> {
        let [tally] = draft.tally[..] else {
            return None;
        };
        let more = !draft.envelope.is_empty() || !draft.state.is_empty() || tally.group != 0;
        (draft.format == FormatId::JSON && tally.count > 0 && !more).then_some(AlikeHead {
            source,
            format: draft.format,
            received_at: draft.received_at,
            schema: tally.schema,
        })
    }

    /// The same, for `count` events, in the form that says everything.
    pub(super) fn events(self, count: u32) -> EventsHead {
        EventsHead {
            source: self.source,
            format: self.format,
            received_at: self.received_at,
            tally: vec![Tally {
                schema: self.schema,
                group: 0,
                count,
            }],
            envelope: Bytes::new(),
            state: Vec::new(),
        }
    }
}

/// What precedes the bytes of events, and what is said at the commit of staged ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EventsHead {
    pub(super) source: SourceId,
    pub(super) format: FormatId,
    pub(super) received_at: Timestamp,
    pub(super) tally: Vec<Tally>,
    pub(super) envelope: Bytes,
    pub(super) state: Vec<StateChange>,
}

/// Frame kind of events: what a reader of blocks looks for.
pub(super) const KIND_EVENTS: u8 = 4;
/// Frame kind of commits of staged transactions.
pub(super) const KIND_COMMIT: u8 = 5;
/// Frame kind of transitions.
pub(super) const KIND_TRANSITIONS: u8 = 7;
/// Frame kind of transitions with the jobs that follow them up.
pub(super) const KIND_FOLLOW_UP: u8 = 8;
/// Frame kind of events that are alike.
pub(super) const KIND_ALIKE: u8 = 10;

impl Record {
    pub(super) fn kind(&self) -> u8 {
        match self {
            Record::Source { .. } => 1,
            Record::Lane { .. } => 2,
            Record::Schema(_) => 3,
            Record::Events(_) => KIND_EVENTS,
            Record::Commit { .. } => KIND_COMMIT,
            Record::State { .. } => 6,
            Record::Transitions(_) => KIND_TRANSITIONS,
            Record::FollowUp { .. } => KIND_FOLLOW_UP,
            Record::Forget { .. } => 9,
            Record::Alike(_) => KIND_ALIKE,
        }
    }

    /// The head with its length before it.
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Encoder {
            out: Vec::with_capacity(64),
        };
        out.u32(0);
        match self {
            Record::Source { id, name } => {
                out.u32(id.0);
                out.text(name);
            }
            Record::Lane { id, name, start } => {
                out.u32(id.0);
                out.text(name);
                out.u64(start.0);
            }
            Record::Schema(schema) => out.schema(schema),
            Record::Events(events) => out.events(events),
            Record::Commit { events, excluded } => {
                out.events(events);
                out.list(&excluded.schemas, |out, schema| out.u32(schema.0));
                out.list(&excluded.groups, |out, group| out.u32(*group));
            }
            Record::State { source, changes } => {
                out.u32(source.0);
                out.state(changes);
            }
            Record::Transitions(transitions) => out.list(transitions, Encoder::transition),
            Record::FollowUp { transitions, jobs } => {
                out.list(transitions, Encoder::transition);
                out.events(jobs);
            }
            Record::Forget { id } => out.u32(id.0),
            Record::Alike(head) => out.alike(*head),
        }
        out.finish()
    }

    /// Reads a record from a frame's body; returns the bytes of the events behind the head, too.
    pub(super) fn decode(kind: u8, body: &Bytes) -> Result<(Record, Bytes)> {
        let mut whole = Decoder::new(body.clone());
        let head = whole.bytes()?;
        let rest = whole.rest();
        let mut head = Decoder::new(head);
        let record = match kind {
            1 => Record::Source {
                id: SourceId(head.u32()?),
                name: head.text()?,
            },
            2 => Record::Lane {
                id: LaneId(head.u32()?),
                name: head.text()?,
                start: Position(head.u64()?),
            },
            3 => Record::Schema(head.schema()?),
            KIND_EVENTS => Record::Events(head.events()?),
            KIND_COMMIT => Record::Commit {
                events: head.events()?,
                excluded: Excluded {
                    schemas: head.list(|head| head.u32().map(SchemaId))?,
                    groups: head.list(Decoder::u32)?,
                },
            },
            6 => Record::State {
                source: SourceId(head.u32()?),
                changes: head.state()?,
            },
            KIND_TRANSITIONS => Record::Transitions(head.list(Decoder::transition)?),
            KIND_FOLLOW_UP => Record::FollowUp {
                transitions: head.list(Decoder::transition)?,
                jobs: head.events()?,
            },
            9 => Record::Forget {
                id: LaneId(head.u32()?),
            },
            KIND_ALIKE => Record::Alike(head.alike()?),
            other => {
                return Err(Error::damaged(format!(
                    "the log holds a record of unknown kind {other}"
                ))
                .help("it was written by a newer version; use that one"));
            }
        };
        Ok((record, rest))
    }
}

/// The number a command is stored as; 0 for none.
fn command_code(command: Option<Command>) -> u8 {
    command.map_or(0, |command| command as u8 + 1)
}

/// Writes heads. Also used for the catalog's snapshot and for the heads of staged chunks.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    out: Vec<u8>,
}

impl Encoder {
    pub(super) fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// Seven bits in each byte, the lowest first; the top bit says that more follow.
    pub(super) fn varint(&mut self, value: u64) {
        let mut rest = value;
        while rest >= 0x80 {
            self.out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }

    pub(super) fn bytes(&mut self, value: &[u8]) {
        // Every producer is bounded far below 4 GiB: frames hold 64 MiB.
        self.u32(value.len() as u32);
        self.out.extend_from_slice(value);
    }

    pub(super) fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    pub(super) fn list<T>(&mut self, items: &[T], each: impl Fn(&mut Encoder, &T)) {
        self.u32(items.len() as u32);
        for item in items {
            each(self, item);
        }
    }

    pub(super) fn tally(&mut self, tally: &[Tally]) {
        self.list(tally, |out, tally| {
            out.u32(tally.schema.0);
            out.u32(tally.group);
            out.u32(tally.count);
        });
    }

    pub(super) fn state(&mut self, changes: &[StateChange]) {
        self.list(changes, |out, change| {
            out.text(&change.key);
            out.bytes(&change.value);
        });
    }

    pub(super) fn schema(&mut self, schema: &Schema) {
        self.u32(schema.id.0);
        self.u32(schema.source.0);
        self.about(&schema.about);
    }

    fn about(&mut self, about: &About) {
        self.text(&about.trigger);
        self.text(about.version.as_deref().unwrap_or_default());
        self.list(&about.calls, |out, call| out.text(call));
        self.u8(u8::from(about.only_jobs));
        self.bytes(&about.body);
    }

    pub(super) fn transition(&mut self, transition: &Transition) {
        self.u32(transition.lane.0);
        self.u64(transition.span.first.0);
        self.u64(transition.span.last.0);
        self.u8(transition.status.code());
        self.u32(transition.attempt);
        self.u64(transition.at.0.cast_unsigned());
        self.text(transition.error.as_deref().unwrap_or_default());
        self.u8(command_code(transition.command));
    }

    fn events(&mut self, events: &EventsHead) {
        self.u32(events.source.0);
        self.u8(events.format.0);
        self.u64(events.received_at.0.cast_unsigned());
        self.tally(&events.tally);
        self.bytes(&events.envelope);
        self.state(&events.state);
    }

    fn alike(&mut self, head: AlikeHead) {
        self.u32(head.source.0);
        self.u8(head.format.0);
        self.u64(head.received_at.0.cast_unsigned());
        self.u32(head.schema.0);
    }

    /// The bytes, their first four filled with the length of the rest.
    pub(super) fn finish(mut self) -> Bytes {
        let length = (self.out.len() - 4) as u32;
        self.out[..4].copy_from_slice(&length.to_le_bytes());
        Bytes::from(self.out)
    }

    /// The bytes as they are.
    pub(super) fn into_inner(self) -> Vec<u8> {
        self.out
    }
}

/// Reads heads. Integers are read where they lie: sharing bytes costs an atomic instruction each time.
#[derive(Debug)]
pub(super) struct Decoder {
    whole: Bytes,
    /// Up to where it is read.
    at: usize,
}

fn too_short() -> Error {
    Error::damaged("a record of the log ends too early")
}

impl Decoder {
    pub(super) fn new(bytes: Bytes) -> Decoder {
        Decoder {
            whole: bytes,
            at: 0,
        }
    }

    fn take(&mut self, length: usize) -> Result<Bytes> {
        if length > self.left() {
            return Err(too_short());
        }
        let start = self.at;
        self.at += length;
        Ok(self.whole.slice(start..self.at))
    }

    /// Bytes that have not been read.
    fn left(&self) -> usize {
        self.whole.len() - self.at
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let rest = &self.whole[self.at..];
        let array = rest.first_chunk().ok_or_else(too_short)?;
        self.at += N;
        Ok(*array)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::damaged("a record of the log holds a broken number"))
    }

    /// A varint of at most 32 bits.
    pub(super) fn number(&mut self) -> Result<u32> {
        let number = u32::try_from(self.varint()?);
        number.map_err(|_| Error::damaged("a record of the log holds a number that is too large"))
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<String> {
        let bytes = self.bytes()?;
        let text = std::str::from_utf8(&bytes);
        text.map(str::to_owned)
            .map_err(|_| Error::damaged("a record of the log holds a broken text"))
    }

    pub(super) fn list<T>(&mut self, each: impl Fn(&mut Decoder) -> Result<T>) -> Result<Vec<T>> {
        let count = self.u32()? as usize;
        // A broken count allocates no more bytes than there are. Items are larger in memory than here, so a real list may grow once or twice.
        let mut items = Vec::with_capacity(count.min(self.left() / size_of::<T>().max(1)));
        for _ in 0..count {
            items.push(each(self)?);
        }
        Ok(items)
    }

    pub(super) fn tally(&mut self) -> Result<Vec<Tally>> {
        self.list(|head| {
            Ok(Tally {
                schema: SchemaId(head.u32()?),
                group: head.u32()?,
                count: head.u32()?,
            })
        })
    }

    pub(super) fn state(&mut self) -> Result<Vec<StateChange>> {
        self.list(|head| {
            Ok(StateChange {
                key: head.text()?,
                value: head.bytes()?,
            })
        })
    }

    pub(super) fn schema(&mut self) -> Result<Schema> {
        Ok(Schema {
            id: SchemaId(self.u32()?),
            source: SourceId(self.u32()?),
            about: self.about()?,
        })
    }

    fn about(&mut self) -> Result<About> {
        Ok(About {
            trigger: Arc::from(self.text()?),
            version: Some(self.text()?)
                .filter(|version| !version.is_empty())
                .map(Arc::from),
            calls: self.list(|head| head.text().map(Arc::from))?.into(),
            only_jobs: self.u8()? != 0,
            body: self.bytes()?,
        })
    }

    pub(super) fn transition(&mut self) -> Result<Transition> {
        let lane = LaneId(self.u32()?);
        let (first, last) = (self.u64()?, self.u64()?);
        if first == 0 || first > last {
            return Err(Error::damaged(
                "a transition of the log has an impossible span",
            ));
        }
        let code = self.u8()?;
        let status = Status::from_code(code).ok_or_else(|| {
            Error::damaged(format!("a transition of the log has unknown status {code}"))
        })?;
        Ok(Transition {
            lane,
            span: Span {
                first: Position(first),
                last: Position(last),
            },
            status,
            attempt: self.u32()?,
            at: Timestamp(self.u64()?.cast_signed()),
            error: Some(self.text()?).filter(|error| !error.is_empty()),
            command: self.command()?,
        })
    }

    fn command(&mut self) -> Result<Option<Command>> {
        let code = self.u8()?;
        let mut known = Command::ALL.into_iter().map(Some).chain([None]);
        known
            .find(|command| command_code(*command) == code)
            .ok_or_else(|| {
                Error::damaged(format!(
                    "a transition of the log names unknown command {code}"
                ))
            })
    }

    fn events(&mut self) -> Result<EventsHead> {
        Ok(EventsHead {
            source: SourceId(self.u32()?),
            format: FormatId(self.u8()?),
            received_at: Timestamp(self.u64()?.cast_signed()),
            tally: self.tally()?,
            envelope: self.bytes()?,
            state: self.state()?,
        })
    }

    fn alike(&mut self) -> Result<AlikeHead> {
        Ok(AlikeHead {
            source: SourceId(self.u32()?),
            format: FormatId(self.u8()?),
            received_at: Timestamp(self.u64()?.cast_signed()),
            schema: SchemaId(self.u32()?),
        })
    }

    /// What has not been read.
    pub(super) fn rest(self) -> Bytes {
        self.whole.slice(self.at..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn samples() -> Vec<Record> {
        let events = EventsHead {
            source: SourceId(2),
            format: FormatId::PGOUTPUT,
            received_at: Timestamp(-5),
            tally: vec![Tally {
                schema: SchemaId(3),
                group: 9,
                count: 4,
            }],
            envelope: Bytes::from_static(b"envelope"),
            state: vec![StateChange {
                key: "lsn".into(),
                value: Bytes::from_static(b"1"),
            }],
        };
        let excluded = Excluded {
            schemas: vec![SchemaId(1)],
            groups: vec![7, 8],
        };
        let schema = Schema {
            id: SchemaId(3),
            source: SourceId(2),
            about: About {
                trigger: Arc::from("orders"),
                version: Some(Arc::from("v2")),
                calls: Arc::from([Arc::from("crm/register")]),
                only_jobs: true,
                body: Bytes::from_static(b"{}"),
            },
        };
        let transition = Transition {
            lane: LaneId(1),
            span: Span {
                first: Position(1),
                last: Position(10),
            },
            status: Status::Failed,
            attempt: 3,
            at: Timestamp(1),
            error: Some("disk full".into()),
            command: Some(Command::Retry),
        };
        vec![
            Record::Source {
                id: SourceId(1),
                name: "shop".into(),
            },
            Record::Lane {
                id: LaneId(1),
                name: "lake/append".into(),
                start: Position(1),
            },
            Record::Schema(schema),
            Record::Events(events.clone()),
            Record::FollowUp {
                transitions: vec![transition.clone()],
                jobs: events.clone(),
            },
            Record::Commit { events, excluded },
            Record::State {
                source: SourceId(1),
                changes: Vec::new(),
            },
            Record::Transitions(vec![transition]),
            Record::Forget { id: LaneId(7) },
            Record::Alike(AlikeHead {
                source: SourceId(2),
                format: FormatId::JSON,
                received_at: Timestamp(-5),
                schema: SchemaId(3),
            }),
        ]
    }

    #[test]
    fn every_record_survives_its_bytes_and_keeps_the_events_behind_it() {
        for record in samples() {
            let mut body = record.encode().to_vec();
            body.extend_from_slice(b"events");
            let (read, rest) = Record::decode(record.kind(), &Bytes::from(body)).unwrap();
            assert_eq!(read, record);
            assert_eq!(&rest[..], b"events");
        }
    }

    #[test]
    fn a_record_cut_anywhere_is_an_error() {
        for record in samples() {
            let body = record.encode();
            for length in 0..body.len() {
                assert!(Record::decode(record.kind(), &body.slice(..length)).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(kind in 0u8..11, body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut framed = (body.len() as u32).to_le_bytes().to_vec();
            framed.extend_from_slice(&body);
            for bytes in [body, framed] {
                if let Ok((record, _)) = Record::decode(kind, &Bytes::from(bytes)) {
                    prop_assert_eq!(record.kind(), kind);
                }
            }
        }
    }
}
