//! The store in memory: the simplest true one, of which nothing is left when the process ends.
//!
//! Blocks and transitions lie in rows behind one lock; the [`catalog`](super::catalog) folds the
//! same records as in the log. What is appended is durable at once, in the only sense memory knows.
//!
//! Events may take `max_bytes` of its retention: settled ones make room first, and then appends are
//! refused as full until lanes have settled more. A single draft or transaction larger than that is
//! taken only by an empty store, or refused.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::catalog::{Catalog, Lane};
use super::log::event_count;
use super::purge::{Purge, Purged};
use super::record::Record;
use super::{Blocks, FOLLOW_UPS, Stage, Statistics, Store};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::event::{
    About, Block, Commit, Draft, Excluded, LaneId, Refusal, Schema, SchemaId, SourceId,
    StateChange, StoreId, Tally,
};
use crate::job::Transition;
use crate::log::{Durable, Mark, Receipt, Retention};
use crate::position::{Position, Span};

/// A store in memory. Cheap to clone: clones are the same store.
#[derive(Debug, Clone)]
pub struct MemoryStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: StoreId,
    retention: Retention,
    durable: Durable,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    catalog: Catalog,
    /// In order of position, without gaps.
    blocks: VecDeque<Block>,
    /// Bytes of their events.
    bytes: u64,
    /// Oldest first; what concerns dropped events only is dropped with them.
    transitions: Vec<Transition>,
    /// What is appended next.
    next: Position,
    /// How many records were appended.
    records: u64,
    closed: bool,
}

impl Held {
    fn oldest(&self) -> Position {
        self.blocks.front().map_or(self.next, |block| block.first)
    }

    fn push(&mut self, block: Block) {
        self.bytes += block.body.len() as u64;
        self.blocks.push_back(block);
    }

    /// Puts a draft behind everything; returns how many events it has.
    fn append(&mut self, source: SourceId, draft: Draft) -> Result<u32> {
        let count = draft.count();
        let changes = draft.state;
        self.catalog.apply(&Record::State { source, changes })?;
        if count > 0 {
            self.push(Block {
                source,
                format: draft.format,
                received_at: draft.received_at,
                first: self.next,
                count,
                transaction: None,
                tally: Arc::from(draft.tally),
                excluded: Arc::default(),
                envelope: draft.envelope,
                body: draft.body,
            });
        }
        Ok(count)
    }

    /// The oldest blocks that `purge` lets go.
    fn purgeable(&self, purge: &Purge, now: Timestamp) -> Purged {
        let settled = settled_upto(self);
        let reach = purge
            .reach(&self.catalog, self.next.previous())
            .min(settled);
        let goes = |block: &&Block| {
            last_of(block) <= reach && now.since(block.received_at) > purge.older_than
        };
        let blocks: Vec<&Block> = self.blocks.iter().take_while(goes).collect();
        let ends = blocks.first().zip(blocks.last());
        Purged {
            segments: blocks.len(),
            span: ends.map(|(first, last)| Span::new(first.first, last_of(last))),
            bytes: blocks.iter().map(|block| block.body.len() as u64).sum(),
        }
    }

    /// Drops the oldest blocks that are settled, as long as `goes` says so of one.
    fn drop_settled(&mut self, settled: Position, goes: impl Fn(&Held, &Block) -> bool) -> Span {
        let first = self.oldest();
        while let Some(block) = self.blocks.front()
            && last_of(block) <= settled
            && goes(self, block)
        {
            self.bytes -= block.body.len() as u64;
            self.blocks.pop_front();
        }
        let dropped = Span::new(first, self.oldest().previous());
        if !dropped.is_empty() {
            let oldest = self.oldest();
            self.catalog.trim(oldest);
            self.transitions.retain(|kept| kept.span.last >= oldest);
        }
        dropped
    }
}

/// The last position of a block, of which none is empty in here.
fn last_of(block: &Block) -> Position {
    block.span().map_or(block.first, |span| span.last)
}

fn closed() -> Error {
    Error::stopped("the store is closed").help("start again")
}

impl MemoryStore {
    /// An empty store that keeps settled events as `retention` says.
    ///
    /// # Errors
    /// When the system has no randomness for its number.
    pub fn new(retention: Retention) -> Result<MemoryStore> {
        let id = getrandom::u32().map_err(|error| {
            Error::unavailable(format!("the system gives no random numbers: {error}"))
        })?;
        Ok(MemoryStore(Arc::new(Inner {
            id: StoreId(id),
            retention,
            durable: Durable::default(),
            held: Mutex::new(Held {
                catalog: Catalog::default(),
                blocks: VecDeque::new(),
                bytes: 0,
                transitions: Vec::new(),
                next: Position::FIRST,
                records: 0,
                closed: false,
            }),
        })))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Every statement leaves what is held consistent, so a panic elsewhere does not matter.
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one change under the lock, counts it as a record of `count` events, and tells everybody
    /// who follows.
    fn change<T, E: From<Error>>(
        &self,
        make: impl FnOnce(&mut Held) -> Result<(T, u32), E>,
    ) -> Result<(T, Receipt), E> {
        let mut held = self.held();
        if held.closed {
            return Err(closed().into());
        }
        let first = held.next;
        let (made, count) = make(&mut held)?;
        held.next = first.plus(u64::from(count));
        held.records += 1;
        let receipt = Receipt::new(first, count, held.records, self.0.durable.clone());
        drop(held);
        self.publish();
        Ok((made, receipt))
    }

    /// Moves the watermark to what is held. Whoever comes last moves it furthest.
    fn publish(&self) {
        let held = self.held();
        let mark = Mark {
            upto: held.next.previous(),
            frames: held.records,
        };
        self.0.durable.place(mark);
        drop(held);
        self.0.durable.tell();
    }

    /// Whether `bytes` more fit, when what is settled has made room.
    fn has_room(&self, held: &mut Held, bytes: u64) -> bool {
        let max_bytes = self.0.retention.max_bytes;
        if held.bytes + bytes > max_bytes {
            let settled = settled_upto(held);
            held.drop_settled(settled, |held, _| held.bytes + bytes > max_bytes);
        }
        held.blocks.is_empty() || held.bytes + bytes <= max_bytes
    }
}

fn settled_upto(held: &Held) -> Position {
    let settled = held.catalog.settled_upto();
    settled.unwrap_or(held.next.previous())
}

impl Store for MemoryStore {
    fn id(&self) -> StoreId {
        self.0.id
    }

    fn register_source(&self, name: &str) -> Result<SourceId> {
        let known = self.held().catalog.source_named(name);
        if let Ok(id) = known {
            return Ok(id);
        }
        let registered = self.change(|held| {
            let id = held.catalog.source_named(name).unwrap_or_else(|new| new);
            let name = name.to_owned();
            held.catalog.apply(&Record::Source { id, name })?;
            Ok((id, 0))
        });
        registered.map(|(id, _): (SourceId, Receipt)| id)
    }

    fn register_lane(&self, action: &str) -> Result<LaneId> {
        let known = self.held().catalog.lane_named(action);
        if let Ok(id) = known {
            return Ok(id);
        }
        let registered: Result<_> = self.change(|held| match held.catalog.lane_named(action) {
            // Registered meanwhile: it stands where it stands.
            Ok(id) => Ok((id, 0)),
            Err(id) => {
                let (name, start) = (action.to_owned(), held.oldest());
                held.catalog.apply(&Record::Lane { id, name, start })?;
                Ok((id, 0))
            }
        });
        registered.map(|(id, _)| id)
    }

    fn sources(&self) -> Vec<(SourceId, Arc<str>)> {
        let held = self.held();
        let sources = held.catalog.sources.iter();
        sources.map(|(id, name)| (*id, Arc::clone(name))).collect()
    }

    fn lanes(&self) -> Vec<Lane> {
        self.held().catalog.lanes.values().cloned().collect()
    }

    fn lane(&self, id: LaneId) -> Option<Lane> {
        self.held().catalog.lanes.get(&id).cloned()
    }

    fn forget_lane(&self, action: &str) -> Result<()> {
        let forgotten: Result<_> = self.change(|held| {
            let id = held.catalog.lane_to_forget(action)?;
            held.catalog.apply(&Record::Forget { id })?;
            Ok(((), 0))
        });
        forgotten.map(|_| ())
    }

    fn settled_in(&self, lane: LaneId) -> Option<Position> {
        Some(self.held().catalog.lanes.get(&lane)?.settled_upto)
    }

    fn define(&self, source: SourceId, about: About) -> Result<SchemaId> {
        let defined: Result<_> = self.change(|held| {
            let id = held.catalog.next_schema();
            held.catalog
                .apply(&Record::Schema(Schema { id, source, about }))?;
            Ok((id, 0))
        });
        defined.map(|(id, _)| id)
    }

    fn schema(&self, id: SchemaId) -> Option<Arc<Schema>> {
        self.held().catalog.schemas.get(&id).cloned()
    }

    fn schemas(&self) -> Vec<Arc<Schema>> {
        self.held().catalog.schemas.values().cloned().collect()
    }

    fn append(&self, source: SourceId, draft: Draft) -> Result<Receipt, Refusal<Draft>> {
        let appended = self.change(|held| {
            if !self.has_room(held, draft.body.len() as u64) {
                return Err(Refusal::Full(Box::new(draft)));
            }
            Ok(((), held.append(source, draft)?))
        });
        appended.map(|((), receipt)| receipt)
    }

    fn remember(
        &self,
        source: SourceId,
        changes: Vec<StateChange>,
    ) -> Result<Receipt, Refusal<Vec<StateChange>>> {
        let remembered = self.change(|held| {
            held.catalog.apply(&Record::State { source, changes })?;
            Ok(((), 0))
        });
        remembered.map(|((), receipt)| receipt)
    }

    fn recall(&self, source: SourceId, key: &str) -> Option<Bytes> {
        self.held().catalog.recall(source, key)
    }

    fn recall_all(&self, source: SourceId, prefix: &str) -> Vec<(String, Bytes)> {
        self.held().catalog.recall_all(source, prefix)
    }

    fn stage(&self, source: SourceId) -> Result<Box<dyn Stage>> {
        if self.held().closed {
            return Err(closed());
        }
        Ok(Box::new(MemoryStage {
            store: self.clone(),
            source,
            chunks: Vec::new(),
            bytes: 0,
        }))
    }

    fn record(&self, transitions: &[Transition]) -> Result<Receipt> {
        let recorded = self.change(|held| {
            let record = Record::Transitions(transitions.to_vec());
            held.catalog.apply(&record)?;
            held.transitions.extend_from_slice(transitions);
            Ok(((), 0))
        });
        recorded.map(|((), receipt)| receipt)
    }

    /// Takes the jobs whatever room there is: settling what they follow is what makes room.
    fn follow_up(&self, transitions: &[Transition], jobs: Draft) -> Result<Receipt> {
        let source = self.register_source(FOLLOW_UPS)?;
        let recorded = self.change(|held| {
            let record = Record::Transitions(transitions.to_vec());
            held.catalog.apply(&record)?;
            held.transitions.extend_from_slice(transitions);
            Ok(((), held.append(source, jobs)?))
        });
        recorded.map(|((), receipt)| receipt)
    }

    fn durable(&self) -> Durable {
        self.0.durable.clone()
    }

    fn settled_upto(&self) -> Position {
        settled_upto(&self.held())
    }

    fn blocks(&self, from: Position) -> Box<dyn Blocks> {
        Box::new(MemoryBlocks {
            store: self.clone(),
            next: from,
        })
    }

    fn transitions(
        &self,
        lane: Option<LaneId>,
        span: Span,
        limit: usize,
    ) -> Result<Vec<Transition>> {
        let held = self.held();
        let touches =
            |t: &&Transition| t.span.intersects(span) && lane.is_none_or(|lane| lane == t.lane);
        let found = held.transitions.iter().filter(touches);
        Ok(found.take(limit).cloned().collect())
    }

    /// Counted anew each time: one part, as memory knows no segments.
    fn statistics(&self) -> Vec<Arc<Statistics>> {
        let held = self.held();
        let mut all = Statistics::default();
        for block in &held.blocks {
            all.add_received(block.received_at);
            if let Some(span) = block.span() {
                all.add_positions(span);
            }
            for tally in block.excluded.kept(&block.tally) {
                all.add_events(tally.schema, u64::from(tally.count));
            }
        }
        all.note_transitions(&held.transitions);
        vec![Arc::new(all)]
    }

    fn transitions_in(&self, _part: &Statistics) -> Result<Vec<Transition>> {
        Ok(self.held().transitions.clone())
    }

    fn oldest(&self) -> Position {
        self.held().oldest()
    }

    fn retain(&self, now: Timestamp) -> Result<Option<Span>> {
        let mut held = self.held();
        if held.closed {
            return Err(closed());
        }
        let policy = self.0.retention;
        let settled = settled_upto(&held);
        let dropped = held.drop_settled(settled, |held, block| {
            held.bytes > policy.max_bytes || now.since(block.received_at) > policy.max_age
        });
        Ok((!dropped.is_empty()).then_some(dropped))
    }

    /// What memory knows of segments are its blocks.
    fn purge(&self, purge: &Purge, now: Timestamp) -> Result<Purged> {
        let mut held = self.held();
        if held.closed {
            return Err(closed());
        }
        let purged = held.purgeable(purge, now);
        if let Some(span) = purged.span {
            held.drop_settled(span.last, |_, _| true);
        }
        Ok(purged)
    }

    fn purgeable(&self, purge: &Purge, now: Timestamp) -> Purged {
        self.held().purgeable(purge, now)
    }

    fn close(&self) -> Result<()> {
        self.held().closed = true;
        self.0.durable.stop("the store is closed", "start again");
        Ok(())
    }
}

#[derive(Debug)]
struct MemoryStage {
    store: MemoryStore,
    source: SourceId,
    chunks: Vec<(Arc<[Tally]>, Bytes)>,
    bytes: u64,
}

impl MemoryStage {
    fn blocks(&self, commit: &Commit, first: Position) -> Vec<Block> {
        let excluded = Arc::new(commit.excluded.clone());
        let whole = Span::starting(first, self.count(&excluded));
        let mut next = first;
        let mut blocks = Vec::with_capacity(self.chunks.len());
        for (tally, body) in &self.chunks {
            // The whole transaction was counted before, and fits.
            let count = excluded.remaining(tally) as u32;
            blocks.push(Block {
                source: self.source,
                format: commit.format,
                received_at: commit.received_at,
                first: next,
                count,
                transaction: Some(whole),
                tally: Arc::clone(tally),
                excluded: Arc::clone(&excluded),
                envelope: commit.envelope.clone(),
                body: body.clone(),
            });
            next = next.plus(u64::from(count));
        }
        blocks.retain(|block| block.count > 0);
        blocks
    }

    fn count(&self, excluded: &Excluded) -> u64 {
        let chunks = self.chunks.iter();
        chunks.map(|(tally, _)| excluded.remaining(tally)).sum()
    }
}

impl Stage for MemoryStage {
    fn push(&mut self, tally: &[Tally], body: Vec<Bytes>) -> Result<(), Refusal<Vec<Bytes>>> {
        let body = Bytes::from(body.concat());
        let bytes = self.bytes + body.len() as u64;
        let max_bytes = self.store.0.retention.max_bytes;
        if bytes > max_bytes {
            let what = format!("a transaction is larger than the {max_bytes} bytes of the store");
            let error = Error::refused(what).help("use the driver \"log\" for the store");
            return Err(Refusal::Failed(error));
        }
        self.bytes = bytes;
        self.chunks.push((Arc::from(tally), body));
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn commit(
        self: Box<Self>,
        commit: Commit,
    ) -> Result<Receipt, Refusal<(Box<dyn Stage>, Commit)>> {
        let store = self.store.clone();
        let committed = store.change(|held| {
            if !store.has_room(held, self.bytes) {
                return Err(Refusal::Full(Box::new((self as Box<dyn Stage>, commit))));
            }
            let count = event_count(self.count(&commit.excluded))?;
            for block in self.blocks(&commit, held.next) {
                held.push(block);
            }
            held.catalog.apply(&Record::State {
                source: self.source,
                changes: commit.state,
            })?;
            Ok(((), count))
        });
        committed.map(|((), receipt)| receipt)
    }
}

struct MemoryBlocks {
    store: MemoryStore,
    next: Position,
}

impl Blocks for MemoryBlocks {
    fn next(&mut self) -> Result<Option<Block>> {
        let held = self.store.held();
        let at = held
            .blocks
            .partition_point(|block| last_of(block) < self.next);
        let Some(block) = held.blocks.get(at) else {
            return Ok(None);
        };
        self.next = last_of(block).next();
        Ok(Some(block.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FormatId;
    use crate::job::Status;

    fn store(max_bytes: u64) -> (MemoryStore, SourceId, LaneId) {
        let store = MemoryStore::new(Retention {
            max_bytes,
            ..Retention::default()
        })
        .unwrap();
        let source = store.register_source("shop").unwrap();
        let lane = store.register_lane("lake/append").unwrap();
        (store, source, lane)
    }

    fn draft(bytes: usize) -> Draft {
        Draft {
            format: FormatId::JSON,
            received_at: Timestamp(0),
            tally: vec![Tally {
                schema: SchemaId(1),
                group: 0,
                count: 1,
            }],
            envelope: Bytes::new(),
            body: Bytes::from(vec![0; bytes]),
            state: Vec::new(),
        }
    }

    #[test]
    fn a_full_store_refuses_and_takes_again_what_was_refused_when_more_is_settled() {
        let (store, source, lane) = store(100);
        store.append(source, draft(60)).unwrap();
        let refused = store.append(source, draft(60));
        let Err(Refusal::Full(back)) = refused else {
            panic!("taken beyond the limit: {refused:?}");
        };
        let settled = Transition {
            lane,
            span: Span::new(Position(1), Position(1)),
            status: Status::Succeeded,
            attempt: 1,
            at: Timestamp(0),
            error: None,
            command: None,
        };
        store.record(&[settled]).unwrap();
        assert_eq!(store.append(source, *back).unwrap().first, Position(2));
        assert_eq!(store.oldest(), Position(2));
    }

    #[test]
    fn a_draft_larger_than_the_store_is_taken_when_nothing_else_is_there() {
        let (store, source, _) = store(10);
        store.append(source, draft(60)).unwrap();
        assert!(store.append(source, draft(1)).is_err());
    }

    #[test]
    fn a_transaction_larger_than_the_store_says_which_driver_takes_it() {
        let (store, source, _) = store(10);
        let mut stage = store.stage(source).unwrap();
        let Err(Refusal::Failed(error)) = stage.push(&[], vec![Bytes::from(vec![0; 11])]) else {
            panic!("taken beyond the limit");
        };
        assert!(error.report().contains("log"), "{error:?}");
    }
}
