//! What the records add up to: names, schemas, what sources remember, and where lanes stand.
//!
//! The catalog is a pure fold over the records of the log, the same at append as at recovery. Its
//! snapshot opens every segment, so that a restart reads one segment and old ones can be dropped.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::record::{Decoder, Encoder, EventsHead, Record};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::event::{LaneId, Schema, SchemaId, SourceId, StateChange};
use crate::job::{Status, Transition};
use crate::position::{Position, Span};

/// One action's lane: everything up to `settled_upto` is settled, and beyond it these spans have
/// a history. What is in no span is acknowledged, or awaiting once the scheduler has filed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Its number.
    pub id: LaneId,
    /// `destination/action`.
    pub name: Arc<str>,
    /// The first position it is responsible for.
    pub start: Position,
    /// Every job up to here is settled.
    pub settled_upto: Position,
    /// Spans beyond `settled_upto` that have been touched, in order, none overlapping.
    pub open: Vec<OpenSpan>,
    /// Jobs given up, as spans in order: kept visible while their events are in the store.
    pub discarded: Vec<OpenSpan>,
}

/// A span of jobs in the same state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSpan {
    /// The positions.
    pub span: Span,
    /// The state.
    pub status: Status,
    /// The attempt it belongs to.
    pub attempt: u32,
    /// Since when.
    pub at: Timestamp,
    /// Why, when it failed.
    pub error: Option<Arc<str>>,
}

impl Lane {
    fn new(id: LaneId, name: &str, start: Position) -> Lane {
        Lane {
            id,
            name: Arc::from(name),
            start,
            settled_upto: start.previous(),
            open: Vec::new(),
            discarded: Vec::new(),
        }
    }

    /// Takes a transition into account. The first final state of a job wins.
    fn apply(&mut self, transition: &Transition) {
        let Some(span) = self.beyond_settled(transition.span) else {
            return;
        };
        let changed = OpenSpan {
            span,
            status: transition.status,
            attempt: transition.attempt,
            at: transition.at,
            error: transition.error.as_deref().map(Arc::from),
        };
        let fresh = self.carve(span);
        if changed.status == Status::Discarded {
            for span in &fresh {
                insert(&mut self.discarded, changed.over(*span));
            }
        }
        for span in fresh {
            insert(&mut self.open, changed.over(span));
        }
        self.advance();
    }

    fn beyond_settled(&self, span: Span) -> Option<Span> {
        let first = span.first.max(self.settled_upto.next());
        (first <= span.last).then_some(Span {
            first,
            last: span.last,
        })
    }

    /// Makes room for `span`: unsettled open spans are cut back, settled ones keep their place.
    /// Returns the parts of `span` that are free now.
    fn carve(&mut self, span: Span) -> Vec<Span> {
        let touched = touched(&self.open, span);
        let mut free = Vec::new();
        let mut kept = Vec::new();
        let mut next = span.first;
        for open in &self.open[touched.clone()] {
            if open.status.is_settled() {
                free.push(Span::new(next, open.span.first.previous()));
                next = open.span.last.next();
                kept.push(open.clone());
                continue;
            }
            let before = Span::new(open.span.first, span.first.previous());
            let after = Span::new(span.last.next(), open.span.last);
            let left = [before, after].into_iter().filter(|left| !left.is_empty());
            kept.extend(left.map(|left| open.over(left)));
        }
        free.push(Span::new(next, span.last));
        free.retain(|part| !part.is_empty());
        self.open.splice(touched, kept);
        free
    }

    fn advance(&mut self) {
        let mut settled = 0;
        for open in &self.open {
            if !open.status.is_settled() || open.span.first > self.settled_upto.next() {
                break;
            }
            self.settled_upto = open.span.last;
            settled += 1;
        }
        self.open.drain(..settled);
    }
}

impl OpenSpan {
    /// The same state over another span.
    fn over(&self, span: Span) -> OpenSpan {
        OpenSpan {
            span,
            ..self.clone()
        }
    }
}

/// The spans of a sorted row, none overlapping, that `span` touches.
fn touched(row: &[OpenSpan], span: Span) -> Range<usize> {
    let first = row.partition_point(|open| open.span.last < span.first);
    let end = row.partition_point(|open| open.span.first <= span.last);
    first..end.max(first)
}

/// Puts `open` into its place in a sorted row; most come in order, at the end.
fn insert(row: &mut Vec<OpenSpan>, open: OpenSpan) {
    let at = row.partition_point(|other| other.span.first < open.span.first);
    row.insert(at, open);
}

/// The fold itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Catalog {
    pub(super) sources: BTreeMap<SourceId, Arc<str>>,
    pub(super) lanes: BTreeMap<LaneId, Lane>,
    pub(super) schemas: BTreeMap<SchemaId, Arc<Schema>>,
    pub(super) states: BTreeMap<(SourceId, String), Bytes>,
}

impl Catalog {
    pub(super) fn apply(&mut self, record: &Record) -> Result<()> {
        match record {
            Record::Source { id, name } => {
                self.sources.insert(*id, Arc::from(name.as_str()));
            }
            Record::Lane { id, name, start } => {
                self.lanes.insert(*id, Lane::new(*id, name, *start));
            }
            Record::Schema(schema) => {
                self.schemas.insert(schema.id, Arc::new(schema.clone()));
            }
            Record::Events(events) | Record::Commit { events, .. } => self.remember_with(events),
            Record::State { source, changes } => self.remember(*source, changes),
            Record::Transitions(transitions) => self.change(transitions)?,
            Record::FollowUp { transitions, jobs } => {
                self.change(transitions)?;
                self.remember_with(jobs);
            }
        }
        Ok(())
    }

    /// Applies all or none: judged before the first is applied.
    fn change(&mut self, transitions: &[Transition]) -> Result<()> {
        if let Some(lane) = self.unknown_lane(transitions) {
            let what = format!("a transition names unknown lane {}", lane.0);
            return Err(Error::damaged(what));
        }
        for transition in transitions {
            if let Some(lane) = self.lanes.get_mut(&transition.lane) {
                lane.apply(transition);
            }
        }
        Ok(())
    }

    fn unknown_lane(&self, transitions: &[Transition]) -> Option<LaneId> {
        let lanes = transitions.iter().map(|transition| transition.lane);
        lanes
            .into_iter()
            .find(|lane| !self.lanes.contains_key(lane))
    }

    fn remember_with(&mut self, events: &EventsHead) {
        self.remember(events.source, &events.state);
    }

    fn remember(&mut self, source: SourceId, changes: &[StateChange]) {
        for change in changes {
            let key = (source, change.key.clone());
            if change.value.is_empty() {
                self.states.remove(&key);
            } else {
                self.states.insert(key, change.value.clone());
            }
        }
    }

    /// The source called `name`, or the number that it gets.
    pub(super) fn source_named(&self, name: &str) -> Result<SourceId, SourceId> {
        let known = self.sources.iter().find(|(_, known)| &***known == name);
        known
            .map(|(id, _)| *id)
            .ok_or(SourceId(self.sources.len() as u32 + 1))
    }

    /// The lane called `name`, or the number that it gets.
    pub(super) fn lane_named(&self, name: &str) -> Result<LaneId, LaneId> {
        let known = self.lanes.values().find(|lane| &*lane.name == name);
        known
            .map(|lane| lane.id)
            .ok_or(LaneId(self.lanes.len() as u32 + 1))
    }

    pub(super) fn next_schema(&self) -> SchemaId {
        SchemaId(self.schemas.last_key_value().map_or(0, |(id, _)| id.0) + 1)
    }

    pub(super) fn recall(&self, source: SourceId, key: &str) -> Option<Bytes> {
        self.states.get(&(source, key.to_owned())).cloned()
    }

    pub(super) fn recall_all(&self, source: SourceId, prefix: &str) -> Vec<(String, Bytes)> {
        let from = (source, prefix.to_owned());
        let entries = self.states.range(from..);
        entries
            .take_while(|((owner, key), _)| *owner == source && key.starts_with(prefix))
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect()
    }

    /// The position up to which every lane is settled; none when there is no lane.
    pub(super) fn settled_upto(&self) -> Option<Position> {
        self.lanes.values().map(|lane| lane.settled_upto).min()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.u8(SNAPSHOT_VERSION);
        let sources: Vec<_> = self.sources.iter().collect();
        out.list(&sources, |out, (id, name)| {
            out.u32(id.0);
            out.text(name);
        });
        let lanes: Vec<_> = self.lanes.values().collect();
        out.list(&lanes, |out, lane| encode_lane(out, lane));
        let schemas: Vec<_> = self.schemas.values().collect();
        out.list(&schemas, |out, schema| out.schema(schema));
        let states: Vec<_> = self.states.iter().collect();
        out.list(&states, |out, ((source, key), value)| {
            out.u32(source.0);
            out.text(key);
            out.bytes(value);
        });
        out.into_inner()
    }

    pub(super) fn decode(snapshot: &[u8]) -> Result<Catalog> {
        let mut input = Decoder::new(Bytes::copy_from_slice(snapshot));
        let version = input.u8()?;
        if version != SNAPSHOT_VERSION {
            return Err(Error::damaged(format!(
                "the store's catalog has unknown version {version}"
            ))
            .help("it was written by a newer version; use that one"));
        }
        let sources = input.list(|input| Ok((SourceId(input.u32()?), Arc::from(input.text()?))))?;
        let lanes = input.list(decode_lane)?;
        let schemas = input.list(Decoder::schema)?;
        let states =
            input.list(|input| Ok(((SourceId(input.u32()?), input.text()?), input.bytes()?)))?;
        Ok(Catalog {
            sources: sources.into_iter().collect(),
            lanes: lanes.into_iter().map(|lane| (lane.id, lane)).collect(),
            schemas: schemas
                .into_iter()
                .map(|schema| (schema.id, Arc::new(schema)))
                .collect(),
            states: states.into_iter().collect(),
        })
    }
}

const SNAPSHOT_VERSION: u8 = 2;

fn encode_lane(out: &mut Encoder, lane: &Lane) {
    out.u32(lane.id.0);
    out.text(&lane.name);
    out.u64(lane.start.0);
    out.u64(lane.settled_upto.0);
    out.list(&lane.open, |out, open| encode_open(out, lane.id, open));
    out.list(&lane.discarded, |out, open| encode_open(out, lane.id, open));
}

fn encode_open(out: &mut Encoder, lane: LaneId, open: &OpenSpan) {
    out.transition(&Transition {
        lane,
        span: open.span,
        status: open.status,
        attempt: open.attempt,
        at: open.at,
        error: open.error.as_deref().map(str::to_owned),
        command: None,
    });
}

fn decode_lane(input: &mut Decoder) -> Result<Lane> {
    Ok(Lane {
        id: LaneId(input.u32()?),
        name: Arc::from(input.text()?),
        start: Position(input.u64()?),
        settled_upto: Position(input.u64()?),
        open: input.list(decode_open)?,
        discarded: input.list(decode_open)?,
    })
}

fn decode_open(input: &mut Decoder) -> Result<OpenSpan> {
    let transition = input.transition()?;
    Ok(OpenSpan {
        span: transition.span,
        status: transition.status,
        attempt: transition.attempt,
        at: transition.at,
        error: transition.error.map(Arc::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::About;

    fn span(first: u64, last: u64) -> Span {
        Span {
            first: Position(first),
            last: Position(last),
        }
    }

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        let lane = Record::Lane {
            id: LaneId(1),
            name: "lake/append".into(),
            start: Position(1),
        };
        catalog.apply(&lane).unwrap();
        catalog
    }

    fn put(catalog: &mut Catalog, first: u64, last: u64, status: Status, attempt: u32) {
        let error = matches!(status, Status::Failed | Status::Discarded).then(|| "why".to_owned());
        let at = Timestamp(7);
        let transition = Transition {
            lane: LaneId(1),
            span: span(first, last),
            status,
            attempt,
            at,
            error,
            command: None,
        };
        catalog
            .apply(&Record::Transitions(vec![transition]))
            .unwrap();
    }

    #[test]
    fn a_lane_advances_over_what_is_settled_without_a_gap() {
        let mut catalog = catalog();
        put(&mut catalog, 1, 10, Status::Executing, 1);
        put(&mut catalog, 11, 20, Status::Executing, 1);
        put(&mut catalog, 11, 20, Status::Succeeded, 1);
        assert_eq!(catalog.lanes[&LaneId(1)].settled_upto, Position(0));
        put(&mut catalog, 1, 10, Status::Succeeded, 1);
        let lane = &catalog.lanes[&LaneId(1)];
        assert_eq!(lane.settled_upto, Position(20));
        assert!(lane.open.is_empty());
    }

    #[test]
    fn the_first_final_state_of_a_job_wins() {
        let mut catalog = catalog();
        put(&mut catalog, 1, 10, Status::Executing, 1);
        put(&mut catalog, 4, 4, Status::Discarded, 1);
        put(&mut catalog, 1, 10, Status::Failed, 1);
        let lane = catalog.lanes[&LaneId(1)].clone();
        let states: Vec<_> = lane
            .open
            .iter()
            .map(|open| (open.span, open.status))
            .collect();
        let failed = Status::Failed;
        assert_eq!(
            states,
            [
                (span(1, 3), failed),
                (span(4, 4), Status::Discarded),
                (span(5, 10), failed)
            ]
        );
        put(&mut catalog, 1, 10, Status::Succeeded, 2);
        let lane = &catalog.lanes[&LaneId(1)];
        assert_eq!(lane.settled_upto, Position(10));
        assert_eq!(lane.discarded.len(), 1);
        assert_eq!(lane.discarded[0].span, span(4, 4));
    }

    #[test]
    fn a_snapshot_holds_everything() {
        let mut catalog = catalog();
        catalog
            .apply(&Record::Source {
                id: SourceId(1),
                name: "shop".into(),
            })
            .unwrap();
        let schema = Schema {
            id: SchemaId(1),
            source: SourceId(1),
            about: About::trigger("public.orders", Bytes::from_static(b"x")),
        };
        catalog.apply(&Record::Schema(schema)).unwrap();
        let changes = vec![StateChange {
            key: "a/1".into(),
            value: Bytes::from_static(b"v"),
        }];
        catalog
            .apply(&Record::State {
                source: SourceId(1),
                changes,
            })
            .unwrap();
        put(&mut catalog, 1, 10, Status::Executing, 1);
        put(&mut catalog, 3, 3, Status::Discarded, 1);
        assert_eq!(Catalog::decode(&catalog.encode()).unwrap(), catalog);
        assert_eq!(catalog.recall_all(SourceId(1), "a/").len(), 1);
        assert_eq!(catalog.recall_all(SourceId(1), "b").len(), 0);
    }
}
