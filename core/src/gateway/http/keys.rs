//! `Idempotency-Key`: the same key again is the same event, not another one.
//!
//! What a key led to is remembered in the store together with the event, in one record: either both are durable or neither. It says
//! how to find the event again, not where it is: positions are given later. So after a restart the first repeat of a key looks for its
//! event in the store, from the position behind which it must be; that is never far.
//!
//! A key belongs to its trigger. It is kept for the window, or until as many others came after it as are kept at all; of each,
//! about 200 bytes are held in memory and in the store's state.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::clock::{Clock, Timestamp};
use crate::document::Entries;
use crate::error::{Error, Result};
use crate::event::{Block, FormatId, LaneId, StateChange};
use crate::gateway::{Intake, Prepared};
use crate::position::Position;
use crate::settings::Keeping;
use crate::store::Store;

/// What a source remembers of its keys stands under names that begin so.
const PREFIX: &str = "idempotency/";
/// Of the first keys that are too old or too many, so many go with each new one.
const FORGOTTEN_AT_ONCE: usize = 4;
/// Bytes of what one key led to, at most: beyond that only the event itself is told again, without its sub-events and jobs.
const SHAPE_BYTES_MAX: usize = 4 << 10;
/// Bytes of blocks that are read to find an event again, at most.
const SEARCH_BYTES_MAX: usize = 256 << 20;

/// A key within its source, as a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 16]);

impl Key {
    pub(super) fn new(trigger: &str, key: &[u8]) -> Key {
        Key(digest(&[trigger.as_bytes(), key]))
    }

    fn name(&self) -> String {
        let mut name = PREFIX.to_owned();
        for byte in self.0 {
            // Writing to a string does not fail.
            _ = write!(name, "{byte:02x}");
        }
        name
    }

    fn parse(name: &str) -> Option<Key> {
        let digits = name.strip_prefix(PREFIX)?;
        Some(Key(u128::from_str_radix(digits, 16).ok()?.to_be_bytes()))
    }
}

/// A digest of `pieces`, of which none can be mistaken for a part of its neighbour.
pub(super) fn digest(pieces: &[&[u8]]) -> [u8; 16] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for piece in pieces {
        context.update(&(piece.len() as u64).to_le_bytes());
        context.update(piece);
    }
    let mut short = [0; 16];
    short.copy_from_slice(&context.finish().as_ref()[..16]);
    short
}

/// What a key led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Digest of the request: the same key with another request is a mistake.
    pub(super) request: [u8; 16],
    pub(super) received_at: Timestamp,
    /// The number under which the event was extracted.
    pub(super) ticket: u64,
    /// The event lies behind this position.
    after: Position,
    /// Where it lies, once that is known.
    pub(super) first: Option<Position>,
    /// The event, then its sub-events, in runs of those that look alike.
    pub(super) runs: Vec<Run>,
}

/// Events behind one another with the same jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) events: u32,
    /// Positions that each event takes, with its further jobs.
    pub(super) stride: u32,
    /// Each event's jobs: the lane, and how far behind the event.
    pub(super) jobs: Vec<(LaneId, u32)>,
}

impl Kept {
    fn of(request: [u8; 16], ticket: u64, after: Position, prepared: &Prepared) -> Kept {
        let mut runs: Vec<Run> = Vec::new();
        let mut events = prepared.shape().peekable();
        while let Some((index, jobs)) = events.next() {
            let next = events.peek().map_or(prepared.count(), |(next, _)| *next);
            let run = Run {
                events: 1,
                stride: next - index,
                jobs: jobs
                    .into_iter()
                    .map(|(lane, at)| (lane, at - index))
                    .collect(),
            };
            match runs.last_mut() {
                Some(last) if last.stride == run.stride && last.jobs == run.jobs => {
                    last.events += 1
                }
                _ => runs.push(run),
            }
        }
        Kept {
            request,
            received_at: prepared.received_at(),
            ticket,
            after,
            first: None,
            runs,
        }
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(&self.request);
        out.put_i64_le(self.received_at.0);
        out.put_u64_le(self.ticket);
        out.put_u64_le(self.after.0);
        for run in &self.runs {
            out.put_u32_le(run.events);
            out.put_u32_le(run.stride);
            out.put_u32_le(run.jobs.len() as u32);
            for (lane, at) in &run.jobs {
                out.put_u32_le(lane.0);
                out.put_u32_le(*at);
            }
        }
        if out.len() > SHAPE_BYTES_MAX {
            let only = Run {
                events: 1,
                stride: 1,
                jobs: Vec::new(),
            };
            let short = Kept {
                runs: vec![only],
                ..self.clone()
            };
            return short.encode();
        }
        out.freeze()
    }

    fn decode(bytes: &Bytes) -> Option<Kept> {
        let mut bytes = bytes.clone();
        let mut request = [0; 16];
        bytes.try_copy_to_slice(&mut request).ok()?;
        let mut kept = Kept {
            request,
            received_at: Timestamp(bytes.try_get_i64_le().ok()?),
            ticket: bytes.try_get_u64_le().ok()?,
            after: Position(bytes.try_get_u64_le().ok()?),
            first: None,
            runs: Vec::new(),
        };
        while bytes.has_remaining() {
            let (events, stride) = (bytes.try_get_u32_le().ok()?, bytes.try_get_u32_le().ok()?);
            let count = bytes.try_get_u32_le().ok()?;
            let mut jobs = Vec::new();
            for _ in 0..count {
                let lane = LaneId(bytes.try_get_u32_le().ok()?);
                jobs.push((lane, bytes.try_get_u32_le().ok()?));
            }
            kept.runs.push(Run {
                events,
                stride,
                jobs,
            });
        }
        Some(kept)
    }

    /// Looks for the event in the store. Reads the disk.
    fn find(&self, store: &dyn Store) -> Result<Option<Position>> {
        let mut blocks = store.blocks(self.after.next());
        let mut left = SEARCH_BYTES_MAX;
        while let Some(block) = blocks.next()? {
            if block.format == FormatId::JSON && block.received_at == self.received_at {
                let found = self.find_in(&block)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            match left.checked_sub(block.body.len()) {
                Some(less) => left = less,
                None => break,
            }
        }
        Ok(None)
    }

    fn find_in(&self, block: &Block) -> Result<Option<Position>> {
        for (index, entry) in (0..).zip(Entries::of(block.body.clone())) {
            let entry = entry?;
            if entry.ticket == self.ticket && entry.belongs.is_none() {
                return Ok(Some(block.first.plus(index)));
            }
        }
        Ok(None)
    }
}

/// The keys of one source.
#[derive(Debug)]
pub(super) struct Keys {
    keeping: Keeping,
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    slots: HashMap<Key, Slot>,
    /// What is kept, oldest first.
    order: VecDeque<(Timestamp, Key)>,
    /// Forgotten, but the store does not know yet.
    unwritten: Vec<Key>,
}

#[derive(Debug)]
enum Slot {
    /// A request with this key is being worked on; whoever else has it waits here.
    InHand(Arc<Notify>),
    /// When it was received, the bytes, and where the event lies, once that is known.
    Kept(Timestamp, Bytes, Option<Position>),
}

/// What a key is to a request.
#[derive(Debug)]
pub(super) enum Claimed {
    /// New: the request goes on, and says what came of it.
    New(Claim),
    /// Known, with what it led to.
    Known(Box<Kept>),
}

/// How a key stands at one moment.
enum Looked {
    Free(Claim),
    /// Ends when the other request is done; counts from now, polled or not.
    InHand(OwnedNotified),
    Kept(Box<Kept>),
}

impl Keys {
    /// The keys that `intake`'s source remembers.
    pub(super) fn recall(intake: &Intake, keeping: Keeping) -> Arc<Keys> {
        let mut table = Table::default();
        for (name, value) in intake.recall_all(PREFIX) {
            let read = Key::parse(&name).zip(Kept::decode(&value));
            let Some((key, kept)) = read else { continue };
            table.order.push_back((kept.received_at, key));
            let slot = Slot::Kept(kept.received_at, value, None);
            table.slots.insert(key, slot);
        }
        table
            .order
            .make_contiguous()
            .sort_unstable_by_key(|(at, _)| *at);
        Arc::new(Keys {
            keeping,
            clock: Arc::clone(intake.clock()),
            table: Mutex::new(table),
        })
    }

    /// Claims a key; waits while another request with it is being worked on.
    pub(super) async fn claim(
        self: &Arc<Self>,
        key: Key,
        store: &Arc<dyn Store>,
    ) -> Result<Claimed> {
        loop {
            match self.look(key)? {
                Looked::Free(claim) => return Ok(Claimed::New(claim)),
                Looked::InHand(done) => done.await,
                Looked::Kept(kept) => return self.known(key, *kept, store).await,
            }
        }
    }

    fn look(self: &Arc<Self>, key: Key) -> Result<Looked> {
        let mut table = self.lock();
        let (bytes, first) = match self.slot(&table, &key) {
            None => return Ok(Looked::Free(self.begin(&mut table, key))),
            Some(Slot::InHand(done)) => {
                return Ok(Looked::InHand(Arc::clone(done).notified_owned()));
            }
            Some(Slot::Kept(_, bytes, first)) => (bytes, *first),
        };
        let kept = Kept::decode(bytes);
        let kept = kept.ok_or_else(|| Error::damaged("what is kept of a key makes no sense"))?;
        Ok(Looked::Kept(Box::new(Kept { first, ..kept })))
    }

    /// What is in hand or kept of a key; what is too old does not count.
    fn slot<'a>(&self, table: &'a Table, key: &Key) -> Option<&'a Slot> {
        let now = self.clock.now();
        table.slots.get(key).filter(|slot| match slot {
            Slot::InHand(_) => true,
            Slot::Kept(at, ..) => now.since(*at) <= self.keeping.window,
        })
    }

    fn begin(self: &Arc<Self>, table: &mut Table, key: Key) -> Claim {
        self.forget(table);
        let done = Arc::new(Notify::new());
        table.slots.insert(key, Slot::InHand(Arc::clone(&done)));
        Claim {
            keys: Arc::clone(self),
            key,
            done,
            forgotten: std::mem::take(&mut table.unwritten),
            kept: None,
        }
    }

    /// After a restart, where the event lies has to be found out.
    async fn known(&self, key: Key, mut kept: Kept, store: &Arc<dyn Store>) -> Result<Claimed> {
        if kept.first.is_none() {
            let (sought, store) = (kept.clone(), Arc::clone(store));
            let found = tokio::task::spawn_blocking(move || sought.find(&*store)).await;
            let found = found.map_err(|error| Error::stopped("a search panicked").because(error));
            kept.first = found??;
            if let Some(Slot::Kept(_, _, first)) = self.lock().slots.get_mut(&key) {
                *first = kept.first;
            }
        }
        Ok(Claimed::Known(Box::new(kept)))
    }

    /// Forgets some of what is too old or too many; the store is told with the next event.
    fn forget(&self, table: &mut Table) {
        let now = self.clock.now();
        for _ in 0..FORGOTTEN_AT_ONCE {
            let full = table.order.len() >= self.keeping.keys_max;
            let goes = |(at, _): &(Timestamp, Key)| full || now.since(*at) > self.keeping.window;
            let Some((at, key)) = table.order.front().copied().filter(goes) else {
                return;
            };
            table.order.pop_front();
            // A key that was used anew meanwhile stays.
            if matches!(table.slots.get(&key), Some(Slot::Kept(own, ..)) if *own == at) {
                table.slots.remove(&key);
                table.unwritten.push(key);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Consistent after every statement.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key that is being worked on. Dropped before [`Claim::keep`], it is free again.
#[derive(Debug)]
pub(super) struct Claim {
    keys: Arc<Keys>,
    key: Key,
    done: Arc<Notify>,
    forgotten: Vec<Key>,
    kept: Option<(Timestamp, Bytes, Position)>,
}

/// What a claim writes into the store together with its event.
#[derive(Debug)]
pub(super) struct Note {
    received_at: Timestamp,
    bytes: Bytes,
}

impl Claim {
    /// Has `prepared` remember the key: `after` is a position that is durable already.
    pub(super) fn note(
        &self,
        request: [u8; 16],
        ticket: u64,
        after: Position,
        prepared: &mut Prepared,
    ) -> Note {
        let kept = Kept::of(request, ticket, after, prepared);
        let bytes = kept.encode();
        let mut changes = vec![StateChange {
            key: self.key.name(),
            value: bytes.clone(),
        }];
        let forgotten = self.forgotten.iter().filter(|key| **key != self.key);
        changes.extend(forgotten.map(|key| StateChange {
            key: key.name(),
            value: Bytes::new(),
        }));
        prepared.remember(changes);
        Note {
            received_at: kept.received_at,
            bytes,
        }
    }

    /// The event was taken at `first`: from now on the key leads to it, whatever becomes of the request.
    pub(super) fn keep(mut self, note: Note, first: Position) {
        self.kept = Some((note.received_at, note.bytes, first));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut table = self.keys.lock();
        match self.kept.take() {
            Some((at, bytes, first)) => {
                let slot = Slot::Kept(at, bytes, Some(first));
                table.slots.insert(self.key, slot);
                table.order.push_back((at, self.key));
            }
            None => {
                table.slots.remove(&self.key);
                table.unwritten.append(&mut self.forgotten);
            }
        }
        drop(table);
        self.done.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_kept_of_a_key_survives_its_bytes() {
        let kept = Kept {
            request: [7; 16],
            received_at: Timestamp(-1),
            ticket: 1 << 63 | 5,
            after: Position(9),
            first: None,
            runs: vec![Run {
                events: 100_000,
                stride: 2,
                jobs: vec![(LaneId(1), 0), (LaneId(1), 1)],
            }],
        };
        assert_eq!(Kept::decode(&kept.encode()), Some(kept.clone()));
        let many = Kept {
            runs: vec![kept.runs[0].clone(); 1_000],
            ..kept.clone()
        };
        let short = Kept::decode(&many.encode()).unwrap();
        assert_eq!((short.ticket, short.runs[0].events), (kept.ticket, 1));
        let key = Key::new("signup", b"x");
        assert_eq!(Key::parse(&key.name()), Some(key));
        assert_ne!(Key::new("a", b"bc"), Key::new("ab", b"c"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some(kept) = Kept::decode(&Bytes::from(bytes.clone())) {
                prop_assert!(bytes.len() >= 40 && kept.first.is_none());
            }
        }
    }
}
