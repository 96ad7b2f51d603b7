//! The store in the embedded event log: the default, which needs no server.
//!
//! A thin layer: records in, frames out ([`super::record`] has the forms), and the
//! [`catalog`](super::catalog) as the log's fold. The log gives order, positions and durability.
//! `blocks` reads events out of it, `stage` writes what may never be committed.

mod blocks;
mod stage;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::catalog::{Catalog, Lane};
use super::follow::{Following, Reopen};
use super::purge::{Purge, Purged, ripe};
use super::record::{AlikeHead, EventsHead, KIND_FOLLOW_UP, KIND_TRANSITIONS, Record};
use super::tail::{Entrance, Tail};
use super::{Blocks, Changes, FOLLOW_UPS, Stage, Statistics, Store};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::event::{
    About, Draft, LaneId, Refusal, Schema, SchemaId, SourceId, StateChange, StoreId,
};
use crate::job::Transition;
use crate::log::{
    self, AppendError, Disk, Durable, Fold, FrameRef, Frozen, Log, LogOptions, Receipt, Recovery,
    Retention,
};
use crate::position::{Position, Span};

use blocks::Origin;
pub(super) use blocks::block_of;
use stage::LogStage;

/// How long a small record waits for room in the log before it is an error.
const ROOM_WAIT: Duration = Duration::from_secs(60);

impl Fold for Catalog {
    fn apply(&mut self, frame: &FrameRef<'_>) -> Result<()> {
        let head = frame.parts.first().cloned().unwrap_or_default();
        let (record, _) = Record::decode(frame.kind, &head)?;
        Catalog::apply(self, &record)?;
        self.note(&record, frame.first, frame.count);
        Ok(())
    }

    fn freeze(&self) -> Frozen {
        let frozen = self.clone();
        Frozen::new(self.encoded_bytes(), move || Catalog::encode(&frozen))
    }

    fn seal(&mut self, segment: u64) {
        Catalog::seal(self, segment);
    }

    fn forget_before(&mut self, oldest: Position) {
        self.trim(oldest);
    }

    fn encode(&self) -> Vec<u8> {
        Catalog::encode(self)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<()> {
        *self = Catalog::decode(snapshot)?;
        Ok(())
    }
}

/// A store in a directory.
#[derive(Debug)]
pub struct LogStore {
    id: StoreId,
    origin: Origin,
    retention: Retention,
    /// Where lanes begin to follow; none when nobody writes.
    entrance: Option<Entrance>,
}

impl LogStore {
    /// Opens the store in `dir`, which is made when it does not exist; this process owns it until
    /// it is closed.
    ///
    /// # Errors
    /// `Refused` when another process owns it, `Damaged` when acknowledged data is.
    pub fn open(
        dir: &Path,
        options: LogOptions,
        disk: Arc<dyn Disk>,
        retention: Retention,
    ) -> Result<(LogStore, Recovery)> {
        let (tail, entrance) = Tail::new(options.recent_bytes_max);
        let tail = Some(Box::new(tail) as _);
        let opened = Log::open_heard(dir, options, disk, Catalog::default(), tail)?;
        let id = short(opened.recovery.store);
        Ok((
            LogStore {
                id,
                origin: Origin::Own(opened.log),
                retention,
                entrance: Some(entrance),
            },
            opened.recovery,
        ))
    }

    /// Opens the store in `dir` for looking at it, while another process may own it.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open_read_only(dir: &Path) -> Result<LogStore> {
        let log = log::open_read_only(dir, Catalog::default())?;
        Ok(LogStore::looking_at(log))
    }

    pub(super) fn looking_at(log: log::ReadOnlyLog<Catalog>) -> LogStore {
        LogStore {
            id: short(log.store()),
            origin: Origin::ReadOnly(Arc::new(log)),
            retention: Retention::default(),
            entrance: None,
        }
    }

    /// What files it consists of, oldest first.
    #[must_use]
    pub fn segments(&self) -> Vec<log::SegmentInfo> {
        match &self.origin {
            Origin::Own(log) => log.segments(),
            Origin::ReadOnly(log) => log.segments(),
        }
    }

    /// Up to where `purge` has nothing against dropping.
    fn reach(&self, purge: &Purge) -> Position {
        let durable = self.durable().upto();
        let reach = self.with_catalog(|catalog| purge.reach(catalog, durable));
        reach.min(self.settled_upto())
    }

    fn has_segment(&self, id: u64) -> bool {
        self.segments().iter().any(|segment| segment.id == id)
    }

    fn own(&self) -> Result<&Log<Catalog>> {
        match &self.origin {
            Origin::Own(log) => Ok(log),
            Origin::ReadOnly(_) => Err(Error::refused("the store is open for reading only")),
        }
    }

    fn with_catalog<R>(&self, look: impl FnOnce(&Catalog) -> R) -> R {
        match &self.origin {
            Origin::Own(log) => log.with_fold(look),
            Origin::ReadOnly(log) => look(log.fold()),
        }
    }

    /// Appends a small record made from the catalog as it is at that moment, waiting for room.
    fn append_record(&self, build: impl Fn(&Catalog) -> Result<Record>) -> Result<Receipt> {
        self.append_frame(|catalog| {
            let record = build(catalog)?;
            Ok(log::Draft {
                kind: record.kind(),
                count: 0,
                parts: vec![record.encode()],
            })
        })
    }

    fn append_frame(&self, build: impl Fn(&Catalog) -> Result<log::Draft>) -> Result<Receipt> {
        let log = self.own()?;
        loop {
            match log.append_with(|catalog, _| build(catalog)) {
                Err(AppendError::Full) => {
                    log.wait_for_room(0, ROOM_WAIT)?;
                }
                other => return Ok(other?),
            }
        }
    }

    /// Registers something by name: gives the number it has, or appends the record for a new one.
    fn register<Id: Copy>(
        &self,
        find: impl Fn(&Catalog) -> Result<Id, Id>,
        record: impl Fn(Id) -> Record,
    ) -> Result<Id> {
        if let Ok(known) = self.with_catalog(&find) {
            return Ok(known);
        }
        let given = std::cell::Cell::new(None);
        let appended = self.append_record(|catalog| match find(catalog) {
            Ok(known) => {
                given.set(Some(known));
                Err(Error::invalid("registered meanwhile"))
            }
            Err(new) => {
                given.set(Some(new));
                Ok(record(new))
            }
        });
        match (given.get(), appended) {
            (Some(id), Ok(_)) => Ok(id),
            (_, Err(error)) => self.with_catalog(&find).map_err(|_| error),
            (None, Ok(_)) => Err(Error::stopped(
                "the log appended a record that was not made",
            )),
        }
    }
}

fn short(store: u64) -> StoreId {
    StoreId((store ^ (store >> 32)) as u32)
}

fn refuse<T>(error: AppendError, given_back: T) -> Refusal<T> {
    match error {
        AppendError::Full => Refusal::Full(Box::new(given_back)),
        other => Refusal::Failed(other.into()),
    }
}

/// What a frame can count.
pub(super) fn event_count(count: u64) -> Result<u32> {
    u32::try_from(count).map_err(|_| {
        Error::refused(format!("a transaction of {count} events"))
            .help("one transaction has at most 4,294,967,295; write it in several")
    })
}

impl Store for LogStore {
    fn id(&self) -> StoreId {
        self.id
    }

    fn register_source(&self, name: &str) -> Result<SourceId> {
        let record = |id| Record::Source {
            id,
            name: name.to_owned(),
        };
        self.register(|catalog| catalog.source_named(name), record)
    }

    fn register_lane(&self, action: &str) -> Result<LaneId> {
        let start = self.oldest();
        let record = |id| Record::Lane {
            id,
            name: action.to_owned(),
            start,
        };
        self.register(|catalog| catalog.lane_named(action), record)
    }

    fn sources(&self) -> Vec<(SourceId, Arc<str>)> {
        self.with_catalog(|catalog| {
            catalog
                .sources
                .iter()
                .map(|(id, name)| (*id, Arc::clone(name)))
                .collect()
        })
    }

    fn lanes(&self) -> Vec<Lane> {
        self.with_catalog(|catalog| catalog.lanes.values().cloned().collect())
    }

    fn lane(&self, id: LaneId) -> Option<Lane> {
        self.with_catalog(|catalog| catalog.lanes.get(&id).cloned())
    }

    fn forget_lane(&self, action: &str) -> Result<()> {
        let forgotten = self.append_record(|catalog| {
            let id = catalog.lane_to_forget(action)?;
            Ok(Record::Forget { id })
        });
        forgotten?.wait(ROOM_WAIT)
    }

    fn settled_in(&self, lane: LaneId) -> Option<Position> {
        self.with_catalog(|catalog| Some(catalog.lanes.get(&lane)?.settled_upto))
    }

    fn define(&self, source: SourceId, about: About) -> Result<SchemaId> {
        let given = std::cell::Cell::new(SchemaId(0));
        self.append_record(|catalog| {
            let id = catalog.next_schema();
            given.set(id);
            Ok(Record::Schema(Schema {
                id,
                source,
                about: about.clone(),
            }))
        })?;
        Ok(given.get())
    }

    fn schema(&self, id: SchemaId) -> Option<Arc<Schema>> {
        self.with_catalog(|catalog| catalog.schemas.get(&id).cloned())
    }

    fn schemas(&self) -> Vec<Arc<Schema>> {
        self.with_catalog(|catalog| catalog.schemas.values().cloned().collect())
    }

    fn append(&self, source: SourceId, draft: Draft) -> Result<Receipt, Refusal<Draft>> {
        let log = self.own()?;
        if log.is_short() {
            return Err(Refusal::Full(Box::new(draft)));
        }
        let count = draft.count();
        if let Some(head) = AlikeHead::of(source, &draft) {
            let record = Record::Alike(head);
            let appended = log.append_piece(record.kind(), count, &record.encode(), &draft.body);
            return appended.map_err(|error| refuse(error, draft));
        }
        let Draft {
            format,
            received_at,
            tally,
            envelope,
            body,
            state,
        } = draft;
        let head = EventsHead {
            source,
            format,
            received_at,
            tally,
            envelope,
            state,
        };
        let record = Record::Events(head);
        let appended = log.append(record.kind(), count, &[record.encode(), body.clone()]);
        appended.map_err(|error| {
            let Record::Events(head) = record else {
                return Refusal::Failed(error.into());
            };
            let EventsHead {
                format,
                received_at,
                tally,
                envelope,
                state,
                ..
            } = head;
            refuse(
                error,
                Draft {
                    format,
                    received_at,
                    tally,
                    envelope,
                    body,
                    state,
                },
            )
        })
    }

    fn remember(
        &self,
        source: SourceId,
        changes: Vec<StateChange>,
    ) -> Result<Receipt, Refusal<Vec<StateChange>>> {
        let log = self.own()?;
        let record = Record::State {
            source,
            changes: changes.clone(),
        };
        let appended = log.append(record.kind(), 0, &[record.encode()]);
        appended.map_err(|error| refuse(error, changes))
    }

    fn recall(&self, source: SourceId, key: &str) -> Option<Bytes> {
        self.with_catalog(|catalog| catalog.recall(source, key))
    }

    fn recall_all(&self, source: SourceId, prefix: &str) -> Vec<(String, Bytes)> {
        self.with_catalog(|catalog| catalog.recall_all(source, prefix))
    }

    fn stage(&self, source: SourceId) -> Result<Box<dyn Stage>> {
        let log = self.own()?.clone();
        let stage = log.stage()?;
        Ok(Box::new(LogStage {
            log,
            source,
            stage,
            tally: Vec::new(),
        }))
    }

    fn record(&self, transitions: &[Transition]) -> Result<Receipt> {
        self.append_record(|_| Ok(Record::Transitions(transitions.to_vec())))
    }

    fn follow_up(&self, transitions: &[Transition], jobs: Draft) -> Result<Receipt> {
        let source = self.register_source(FOLLOW_UPS)?;
        let count = jobs.count();
        let body = jobs.body;
        let record = Record::FollowUp {
            transitions: transitions.to_vec(),
            jobs: EventsHead {
                source,
                format: jobs.format,
                received_at: jobs.received_at,
                tally: jobs.tally,
                envelope: jobs.envelope,
                state: jobs.state,
            },
        };
        let head = record.encode();
        self.append_frame(|_| {
            Ok(log::Draft {
                kind: record.kind(),
                count,
                parts: vec![head.clone(), body.clone()],
            })
        })
    }

    fn is_short(&self) -> bool {
        self.own().is_ok_and(Log::is_short)
    }

    fn durable(&self) -> Durable {
        match &self.origin {
            Origin::Own(log) => log.durable(),
            Origin::ReadOnly(log) => log.durable(),
        }
    }

    fn settled_upto(&self) -> Position {
        let settled = self.with_catalog(Catalog::settled_upto);
        settled.unwrap_or_else(|| self.durable().upto())
    }

    fn blocks(&self, from: Position) -> Box<dyn Blocks> {
        self.origin.blocks(from)
    }

    fn follow(&self, from: Position) -> Box<dyn Blocks> {
        let Some(entrance) = &self.entrance else {
            return self.blocks(from);
        };
        let origin = self.origin.clone();
        let reopen: Reopen = Box::new(move |from| origin.blocks(from));
        Box::new(Following::new(
            self.durable(),
            from,
            entrance.join(),
            reopen,
        ))
    }

    fn transitions(
        &self,
        lane: Option<LaneId>,
        span: Span,
        limit: usize,
    ) -> Result<Vec<Transition>> {
        let mut found = Vec::new();
        for part in self.statistics() {
            let may_touch = |(own, changes): (&LaneId, &Changes)| {
                changes.span.intersects(span) && lane.is_none_or(|lane| lane == *own)
            };
            if found.len() >= limit {
                break;
            }
            if part.lanes.iter().any(may_touch) {
                let transitions = self.transitions_in(&part)?.into_iter();
                found.extend(transitions.filter(|transition| {
                    transition.span.intersects(span)
                        && lane.is_none_or(|lane| lane == transition.lane)
                }));
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    fn statistics(&self) -> Vec<Arc<Statistics>> {
        match &self.origin {
            // Segments are counted up by the fold, which may be ahead of the disk.
            Origin::Own(log) => log.with_fold_and_segment(Catalog::statistics),
            Origin::ReadOnly(log) => {
                let newest = log.segments().last().map_or(0, |segment| segment.id);
                log.fold().statistics(newest)
            }
        }
    }

    fn transitions_in(&self, part: &Statistics) -> Result<Vec<Transition>> {
        let wanted = [KIND_TRANSITIONS, KIND_FOLLOW_UP];
        let mut reader = match self.origin.segment_reader(part.segment) {
            Ok(reader) => reader.want(&wanted),
            // Not on the disk yet, so nothing of it is durable; or dropped meanwhile.
            Err(_) if !self.has_segment(part.segment) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        while let Some(frame) = reader.next()? {
            if let Record::Transitions(transitions) | Record::FollowUp { transitions, .. } =
                Record::decode(frame.kind, &frame.body)?.0
            {
                found.extend(transitions);
            }
        }
        Ok(found)
    }

    fn oldest(&self) -> Position {
        self.segments().first().map_or(Position::FIRST, |segment| {
            segment.span.first.max(Position::FIRST)
        })
    }

    fn retain(&self, now: Timestamp) -> Result<Option<Span>> {
        let dropped = self
            .own()?
            .retain(self.settled_upto(), &self.retention, now)?;
        let (Some(first), Some(last)) = (dropped.first(), dropped.last()) else {
            return Ok(None);
        };
        Ok(Some(Span {
            first: first.span.first,
            last: last.span.last,
        }))
    }

    fn purge(&self, purge: &Purge, now: Timestamp) -> Result<Purged> {
        let reach = self.reach(purge);
        let dropped = self.own()?.retain(reach, &purge.retention(), now)?;
        Ok(Purged::of(&dropped))
    }

    fn purgeable(&self, purge: &Purge, now: Timestamp) -> Purged {
        let segments = self.segments();
        let reach = self.reach(purge);
        Purged::of(ripe(&segments, reach, purge.older_than, now))
    }

    fn close(&self) -> Result<()> {
        match &self.origin {
            Origin::Own(log) => log.clone().close(),
            Origin::ReadOnly(_) => Ok(()),
        }
    }
}
