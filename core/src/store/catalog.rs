//! What the records add up to: names, schemas, what sources remember, and where lanes stand.
//!
//! The catalog is a pure fold over the records of the log, the same at append as at recovery. Its
//! snapshot opens every segment, so that a restart reads one segment and old ones can be dropped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::intervals::{Intervals, JobState};
use super::record::{Decoder, Encoder, EventsHead, Record};
use super::statistics::Statistics;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::event::{LaneId, Schema, SchemaId, SourceId, StateChange};
use crate::job::{Status, Transition};
use crate::position::{Position, Span};

/// One action's lane: which of its jobs stand where. Cheap to clone, and a clone stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Its number.
    pub id: LaneId,
    /// `destination/action`.
    pub name: Arc<str>,
    /// The first position it is responsible for.
    pub start: Position,
    /// Every job up to here is settled. Goes back when an operator takes up a settled job again.
    pub settled_upto: Position,
    /// Whether an operator let go of it: what it has not settled keeps nothing in the store.
    pub forgotten: bool,
    states: Intervals,
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
    /// Since when. Not kept for what succeeded.
    pub at: Option<Timestamp>,
    /// Why, when it failed.
    pub error: Option<Arc<str>>,
}

/// Everything that may have happened to a job.
const TOUCHED: [Status; 6] = [
    Status::Awaiting,
    Status::Executing,
    Status::Succeeded,
    Status::Failed,
    Status::Discarded,
    Status::Unknown,
];

impl Lane {
    /// A lane of which nothing has happened yet.
    #[must_use]
    pub fn new(id: LaneId, name: &str, start: Position) -> Lane {
        Lane {
            id,
            name: Arc::from(name),
            start,
            settled_upto: start.previous(),
            forgotten: false,
            states: Intervals::new(start),
        }
    }

    /// Takes a transition into account. The first final state of a job wins, except that an operator's
    /// command may have it tried again.
    pub fn apply(&mut self, transition: &Transition) {
        let reopens = transition.command.is_some() && !transition.status.is_settled();
        let succeeded = transition.status == Status::Succeeded;
        let state = JobState {
            status: transition.status,
            attempt: transition.attempt,
            at: (!succeeded).then_some(transition.at),
            error: transition.error.as_deref().map(shortened),
        };
        let stays = |own: &JobState| own.status.is_settled() && !reopens;
        let Some(changed) = self.states.set(transition.span, state, stays) else {
            return;
        };
        if changed <= self.settled_upto {
            self.settled_upto = changed.previous();
        } else if changed == self.settled_upto.next() {
            self.settled_upto = self.states.settled_upto(changed);
        }
    }

    /// The spans beyond `settled_upto` that have been touched, in order. What is not settled is cut as it
    /// was reported. What is in no span is acknowledged.
    pub fn open(&self) -> impl Iterator<Item = OpenSpan> {
        let behind = Span::new(self.settled_upto.next(), Position::MAX);
        self.spans(behind, &TOUCHED)
    }

    /// Jobs given up, as spans in order: kept visible while their events are in the store.
    pub fn discarded(&self) -> impl Iterator<Item = OpenSpan> {
        self.spans(Span::new(self.start, Position::MAX), &[Status::Discarded])
    }

    /// The touched spans inside `within` that stand in one of `statuses`, in order.
    pub fn spans(&self, within: Span, statuses: &[Status]) -> impl Iterator<Item = OpenSpan> {
        let touched = self.states.touched(within, statuses);
        touched.map(|(span, state)| OpenSpan::new(span, state))
    }

    /// All positions inside `within` that the lane is responsible for and the store still knows of, as
    /// spans in order; those that nothing has happened to are `acknowledged`.
    pub fn all(&self, within: Span) -> impl Iterator<Item = OpenSpan> {
        let all = self.states.all(within);
        all.map(|(span, state)| OpenSpan::new(span, state))
    }

    /// Where the job at `position` stands.
    #[must_use]
    pub fn state(&self, position: Position) -> JobState {
        self.states.get(position)
    }

    /// The last position that anything has happened to.
    #[must_use]
    pub fn touched_upto(&self) -> Position {
        self.states.touched_upto()
    }

    /// How many spans are kept: what its state costs, at about 24 bytes each.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.states.len()
    }

    /// Forgets jobs whose events are not in the store any more.
    pub(super) fn trim(&mut self, oldest: Position) {
        self.states.trim(oldest);
        // What a forgotten lane had not settled may be gone, too.
        self.settled_upto = self.settled_upto.max(self.states.first().previous());
        self.settled_upto = self.states.settled_upto(self.settled_upto.next());
    }
}

/// Bytes of an error that are kept in memory; the history has the whole of it.
const ERROR_BYTES_MAX: usize = 512;

fn shortened(error: &str) -> Arc<str> {
    match error.len() <= ERROR_BYTES_MAX {
        true => Arc::from(error),
        false => {
            let kept = &error[..error.floor_char_boundary(ERROR_BYTES_MAX)];
            Arc::from(format!("{kept}…"))
        }
    }
}

impl OpenSpan {
    fn new(span: Span, state: &JobState) -> OpenSpan {
        OpenSpan {
            span,
            status: state.status,
            attempt: state.attempt,
            at: state.at,
            error: state.error.clone(),
        }
    }
}

/// The fold itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Catalog {
    pub(super) sources: BTreeMap<SourceId, Arc<str>>,
    pub(super) lanes: BTreeMap<LaneId, Lane>,
    pub(super) schemas: BTreeMap<SchemaId, Arc<Schema>>,
    pub(super) states: BTreeMap<(SourceId, String), Bytes>,
    /// The statistics of complete segments, oldest first.
    sealed: VecDeque<Arc<Statistics>>,
    /// Those of the segment that is written.
    running: Statistics,
}

impl Catalog {
    /// Counts a record that was applied.
    pub(super) fn note(&mut self, record: &Record, first: Position, count: u32) {
        self.running.note(record, first, count);
    }

    /// The segment that was written is complete.
    pub(super) fn seal(&mut self, segment: u64) {
        let mut statistics = std::mem::take(&mut self.running);
        statistics.segment = segment;
        if let Some(own) = self.sealed.pop_back_if(|own| own.segment == segment) {
            statistics = Statistics::clone(&own).and(statistics);
        }
        self.sealed.push_back(Arc::new(statistics));
    }

    /// The statistics of all segments, oldest first; `written` is the one that is written.
    pub(super) fn statistics(&self, written: u64) -> Vec<Arc<Statistics>> {
        let running = Statistics {
            segment: written,
            ..self.running.clone()
        };
        let sealed = self.sealed.iter().map(Arc::clone);
        sealed.chain([Arc::new(running)]).collect()
    }

    pub(super) fn apply(&mut self, record: &Record) -> Result<()> {
        match record {
            Record::Source { id, name } => {
                self.sources.insert(*id, Arc::from(name.as_str()));
            }
            Record::Lane { id, name, start } => {
                let lane = self.lanes.entry(*id);
                let lane = lane.or_insert_with(|| Lane::new(*id, name, *start));
                lane.forgotten = false;
            }
            Record::Forget { id } => {
                if let Some(lane) = self.lanes.get_mut(id) {
                    lane.forgotten = true;
                }
            }
            Record::Schema(schema) => {
                self.schemas.insert(schema.id, Arc::new(schema.clone()));
            }
            Record::Events(events) | Record::Commit { events, .. } => self.remember_with(events),
            Record::Alike(_) => {} // they are counted, and bring nothing to remember
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

    /// The lane called `name`, or the number that it gets: its own again, when it was forgotten.
    pub(super) fn lane_named(&self, name: &str) -> Result<LaneId, LaneId> {
        let known = self.lanes.values().find(|lane| &*lane.name == name);
        match known {
            Some(lane) if lane.forgotten => Err(lane.id),
            Some(lane) => Ok(lane.id),
            None => Err(LaneId(self.lanes.len() as u32 + 1)),
        }
    }

    pub(super) fn lane_to_forget(&self, name: &str) -> Result<LaneId> {
        let known = self.lanes.values().find(|lane| &*lane.name == name);
        known.map(|lane| lane.id).ok_or_else(|| {
            let names: Vec<&str> = self.lanes.values().map(|lane| &*lane.name).collect();
            Error::invalid(format!("no lane is called {name}"))
                .help(format!("there is {}", names.join(", ")))
        })
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

    /// The position up to which every lane that counts is settled; none when there is no such lane.
    pub(super) fn settled_upto(&self) -> Option<Position> {
        let counting = self.lanes.values().filter(|lane| !lane.forgotten);
        counting.map(|lane| lane.settled_upto).min()
    }

    /// Forgets what concerns only events before `oldest`.
    pub(super) fn trim(&mut self, oldest: Position) {
        for lane in self.lanes.values_mut() {
            lane.trim(oldest);
        }
        while let Some(next) = self.sealed.get(1)
            && next
                .positions
                .is_some_and(|positions| positions.first <= oldest)
        {
            self.sealed.pop_front();
        }
    }

    /// How many bytes [`Catalog::encode`] gives, about; found without looking at each state.
    pub(super) fn encoded_bytes(&self) -> usize {
        let lanes = self.lanes.values().map(|lane| lane.states.encoded_bytes());
        let states = self
            .states
            .iter()
            .map(|((_, key), value)| key.len() + value.len() + 12);
        let schemas = self
            .schemas
            .values()
            .map(|schema| schema.body().len() + 100);
        let segments = self.sealed.len() * 100;
        lanes.sum::<usize>() + states.sum::<usize>() + schemas.sum::<usize>() + segments
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
        out.varint(self.sealed.len() as u64);
        for statistics in &self.sealed {
            statistics.encode(&mut out);
        }
        self.running.encode(&mut out);
        out.into_inner()
    }

    pub(super) fn decode(snapshot: &[u8]) -> Result<Catalog> {
        let mut input = Decoder::new(Bytes::copy_from_slice(snapshot));
        let version = input.u8()?;
        if version != SNAPSHOT_VERSION {
            return Err(Error::damaged(format!(
                "the store's catalog has unknown version {version}"
            ))
            .help("it was written by another version of this program; use that one"));
        }
        let sources = input.list(|input| Ok((SourceId(input.u32()?), Arc::from(input.text()?))))?;
        let lanes = input.list(decode_lane)?;
        let schemas = input.list(Decoder::schema)?;
        let states =
            input.list(|input| Ok(((SourceId(input.u32()?), input.text()?), input.bytes()?)))?;
        let mut sealed = VecDeque::new();
        for _ in 0..input.varint()? {
            sealed.push_back(Arc::new(Statistics::decode(&mut input)?));
        }
        Ok(Catalog {
            sealed,
            running: Statistics::decode(&mut input)?,
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

const SNAPSHOT_VERSION: u8 = 4;

fn encode_lane(out: &mut Encoder, lane: &Lane) {
    out.u32(lane.id.0);
    out.text(&lane.name);
    out.u64(lane.start.0);
    out.u64(lane.settled_upto.0);
    out.u8(u8::from(lane.forgotten));
    lane.states.encode(out);
}

fn decode_lane(input: &mut Decoder) -> Result<Lane> {
    Ok(Lane {
        id: LaneId(input.u32()?),
        name: Arc::from(input.text()?),
        start: Position(input.u64()?),
        settled_upto: Position(input.u64()?),
        forgotten: input.u8()? != 0,
        states: Intervals::decode(input)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::About;
    use crate::job::Command;

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
            command: (status == Status::Awaiting).then_some(Command::Retry),
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
        assert_eq!(lane.open().count(), 0);
    }

    #[test]
    fn the_first_final_state_of_a_job_wins() {
        let mut catalog = catalog();
        put(&mut catalog, 1, 10, Status::Executing, 1);
        put(&mut catalog, 4, 4, Status::Discarded, 1);
        put(&mut catalog, 1, 10, Status::Failed, 1);
        let lane = catalog.lanes[&LaneId(1)].clone();
        let states: Vec<_> = lane.open().map(|open| (open.span, open.status)).collect();
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
        let discarded: Vec<_> = lane.discarded().map(|open| open.span).collect();
        assert_eq!(discarded, [span(4, 4)]);
    }

    #[test]
    fn an_operator_takes_up_settled_jobs_again_and_an_action_does_not() {
        let mut catalog = catalog();
        put(&mut catalog, 1, 10, Status::Succeeded, 1);
        put(&mut catalog, 5, 5, Status::Failed, 2);
        assert_eq!(catalog.lanes[&LaneId(1)].settled_upto, Position(10));
        put(&mut catalog, 5, 6, Status::Awaiting, 1);
        let lane = &catalog.lanes[&LaneId(1)];
        assert_eq!(lane.settled_upto, Position(4));
        let open: Vec<_> = lane.open().map(|open| (open.span, open.status)).collect();
        let expected = [
            (span(5, 6), Status::Awaiting),
            (span(7, 10), Status::Succeeded),
        ];
        assert_eq!(open, expected);
        put(&mut catalog, 5, 6, Status::Executing, 2);
        put(&mut catalog, 5, 6, Status::Succeeded, 2);
        assert_eq!(catalog.lanes[&LaneId(1)].settled_upto, Position(10));
    }

    #[test]
    fn a_forgotten_lane_holds_nothing_until_it_is_registered_again() {
        let mut catalog = catalog();
        put(&mut catalog, 1, 3, Status::Succeeded, 1);
        assert_eq!(catalog.settled_upto(), Some(Position(3)));
        let id = LaneId(1);
        catalog.apply(&Record::Forget { id }).unwrap();
        assert_eq!(catalog.settled_upto(), None);
        catalog.trim(Position(8));
        let lane = Record::Lane {
            id,
            name: "lake/append".into(),
            start: Position(8),
        };
        catalog.apply(&lane).unwrap();
        assert_eq!(catalog.settled_upto(), Some(Position(7)));
        assert_eq!(catalog.lanes[&id].start, Position(1));
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
