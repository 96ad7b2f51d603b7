//! One entry: an event with the jobs it carries, or a further job of an event elsewhere.

use std::sync::Arc;

use bytes::Bytes;

use super::wire::{Pieces, put_bytes};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::event::{LaneId, SchemaId};
use crate::job::Job;
use crate::json::Json;
use crate::position::Position;

const SENT_AT: u8 = 1;
const PARENT: u8 = 2;
const JOBS: u8 = 4;
const REJECTIONS: u8 = 8;
const BELONGS: u8 = 16;

const JOB_VERSION: u8 = 1;
const JOB_CONTEXT: u8 = 2;
const JOB_DATA: u8 = 4;
const JOB_SENT_AT: u8 = 8;

/// Jobs or rejections that one event carries, at most.
pub(crate) const LIST_MAX: usize = 4_096;
/// Bytes of an entry that carries no jobs, besides context and data, at most.
const PLAIN_BYTES: usize = 4 + 4 + 1 + 8 + 8 + 8 + 4 + 4;
/// Bytes of one entry, at most.
pub(crate) const ENTRY_BYTES_MAX: usize = 40 << 20;

/// What lies at one position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its schema: whose it is, and whom it calls.
    pub schema: SchemaId,
    /// The number of the id under which user code saw it.
    pub ticket: u64,
    /// When it was sent originally.
    pub sent_at: Option<Timestamp>,
    /// Where the parent of its event lies, when that is a sub-event.
    pub parent: Option<Place>,
    /// Jobs whose payload is not the event's.
    pub jobs: Vec<OwnJob>,
    /// Jobs that there are not, because marshalling them failed.
    pub rejections: Vec<Rejection>,
    /// For a further job: the event that it belongs to.
    pub belongs: Option<Belongs>,
    /// Metadata.
    pub context: Json,
    /// Data.
    pub data: Json,
}

/// A job with a payload of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnJob {
    /// Its lane.
    pub lane: LaneId,
    /// Its payload.
    pub job: Job,
}

/// A job that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The lane that it would have been in.
    pub lane: LaneId,
    /// Why.
    pub reason: String,
}

/// Where another entry lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At this position.
    At(Position),
    /// In the same block, this many positions before.
    Back(u32),
}

/// The bit that tells a distance from a position.
const BACK: u64 = 1 << 63;

impl Place {
    /// The position that is meant, seen from `own`.
    #[must_use]
    pub fn from(self, own: Position) -> Position {
        match self {
            Place::At(position) => position,
            Place::Back(count) => Position(own.0.saturating_sub(u64::from(count))),
        }
    }

    /// The same place, seen from `count` positions further on in the same block.
    #[must_use]
    pub fn seen_from(self, count: u32) -> Place {
        match self {
            Place::At(position) => Place::At(position),
            Place::Back(own) => Place::Back(own.saturating_add(count)),
        }
    }

    fn encode(self) -> [u8; 8] {
        match self {
            Place::At(position) => position.0.to_le_bytes(),
            Place::Back(count) => (BACK | u64::from(count)).to_le_bytes(),
        }
    }

    fn decode(place: u64) -> Place {
        match place & BACK {
            0 => Place::At(Position(place)),
            // Written from 32 bits.
            _ => Place::Back((place & !BACK) as u32),
        }
    }
}

/// What a further job belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Belongs {
    /// Its event.
    pub event: Place,
    /// The schema of that event, which may be gone from the store by the time the job is loaded.
    pub schema: SchemaId,
    /// When that event was received.
    pub received_at: Timestamp,
    /// The job that it follows up; none for a second call of the same action.
    pub parent: Option<(LaneId, Position)>,
}

/// Bytes that an entry without jobs takes with these, at most.
#[must_use]
pub fn plain_bytes(context: &Json, data: &Json) -> usize {
    PLAIN_BYTES + context.bytes().len() + data.bytes().len()
}

/// Writes `entry` behind what is in `out`.
///
/// # Errors
/// `Invalid` when the entry is larger than a block can hold.
pub fn write(out: &mut Vec<u8>, entry: &Entry) -> Result<()> {
    let start = out.len();
    out.reserve(plain_bytes(&entry.context, &entry.data));
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&entry.schema.0.to_le_bytes());
    out.push(flags(entry));
    out.extend_from_slice(&entry.ticket.to_le_bytes());
    if let Some(at) = entry.sent_at {
        out.extend_from_slice(&at.0.to_le_bytes());
    }
    if let Some(parent) = entry.parent {
        out.extend_from_slice(&parent.encode());
    }
    if !entry.jobs.is_empty() {
        out.extend_from_slice(&(entry.jobs.len() as u32).to_le_bytes());
        entry.jobs.iter().for_each(|job| write_job(out, job));
    }
    if !entry.rejections.is_empty() {
        out.extend_from_slice(&(entry.rejections.len() as u32).to_le_bytes());
        for rejection in &entry.rejections {
            out.extend_from_slice(&rejection.lane.0.to_le_bytes());
            put_bytes(out, rejection.reason.as_bytes());
        }
    }
    if let Some(belongs) = &entry.belongs {
        write_belongs(out, belongs);
    }
    put_bytes(out, entry.context.bytes());
    put_bytes(out, entry.data.bytes());
    let length = out.len() - start - 4;
    let lists = entry.jobs.len().max(entry.rejections.len());
    if length > ENTRY_BYTES_MAX || lists > LIST_MAX {
        out.truncate(start);
        return Err(Error::invalid(format!(
            "the event has {length} bytes and makes {lists} jobs"
        ))
        .help("an event with its jobs is at most 40 MiB, and makes at most 4,096 jobs"));
    }
    out[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(())
}

fn flags(entry: &Entry) -> u8 {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    flag(entry.sent_at.is_some(), SENT_AT)
        | flag(entry.parent.is_some(), PARENT)
        | flag(!entry.jobs.is_empty(), JOBS)
        | flag(!entry.rejections.is_empty(), REJECTIONS)
        | flag(entry.belongs.is_some(), BELONGS)
}

fn write_job(out: &mut Vec<u8>, own: &OwnJob) {
    let Job {
        version,
        context,
        data,
        sent_at,
    } = &own.job;
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    out.extend_from_slice(&own.lane.0.to_le_bytes());
    out.push(
        flag(version.is_some(), JOB_VERSION)
            | flag(context.is_some(), JOB_CONTEXT)
            | flag(data.is_some(), JOB_DATA)
            | flag(sent_at.is_some(), JOB_SENT_AT),
    );
    if let Some(version) = version {
        put_bytes(out, version.as_bytes());
    }
    for json in [context, data].into_iter().flatten() {
        put_bytes(out, json.bytes());
    }
    if let Some(at) = sent_at {
        out.extend_from_slice(&at.0.to_le_bytes());
    }
}

fn write_belongs(out: &mut Vec<u8>, belongs: &Belongs) {
    let (lane, position) = belongs.parent.unwrap_or((LaneId(0), Position::ZERO));
    out.extend_from_slice(&belongs.event.encode());
    out.extend_from_slice(&belongs.schema.0.to_le_bytes());
    out.extend_from_slice(&belongs.received_at.0.to_le_bytes());
    out.extend_from_slice(&lane.0.to_le_bytes());
    out.extend_from_slice(&position.0.to_le_bytes());
}

/// Reads the entries of a block's body, in order of position. Nothing is copied.
#[derive(Debug)]
pub struct Entries(Pieces);

impl Entries {
    /// The entries in `body`.
    #[must_use]
    pub fn of(body: Bytes) -> Entries {
        Entries(Pieces::new(body))
    }

    /// The schema of the next entry, with its bytes still unread; none at the end.
    ///
    /// # Errors
    /// `Damaged` when the body makes no sense.
    pub fn peek(&mut self) -> Result<Option<(SchemaId, Unread)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut entry = Pieces::new(self.0.bytes()?);
        Ok(Some((SchemaId(entry.u32()?), Unread(entry))))
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        let peeked = self.peek().transpose()?;
        Some(peeked.and_then(|(schema, unread)| unread.read(schema)))
    }
}

/// An entry of which only the schema was read.
#[derive(Debug)]
pub struct Unread(Pieces);

impl Unread {
    /// Reads the rest of it.
    ///
    /// # Errors
    /// `Damaged` when it makes no sense.
    pub fn read(self, schema: SchemaId) -> Result<Entry> {
        let Unread(mut pieces) = self;
        let flags = pieces.u8()?;
        let has = |flag: u8| flags & flag != 0;
        let ticket = pieces.u64()?;
        let sent_at = has(SENT_AT).then(|| pieces.i64()).transpose()?;
        let parent = has(PARENT).then(|| pieces.u64()).transpose()?;
        let jobs = has(JOBS).then(|| list(&mut pieces, read_job)).transpose()?;
        let rejections = has(REJECTIONS)
            .then(|| list(&mut pieces, read_rejection))
            .transpose()?;
        let belongs = has(BELONGS)
            .then(|| read_belongs(&mut pieces))
            .transpose()?;
        Ok(Entry {
            schema,
            ticket,
            sent_at: sent_at.map(Timestamp),
            parent: parent.map(Place::decode),
            jobs: jobs.unwrap_or_default(),
            rejections: rejections.unwrap_or_default(),
            belongs,
            context: Json::trusted(pieces.bytes()?),
            data: Json::trusted(pieces.bytes()?),
        })
    }
}

fn list<T>(pieces: &mut Pieces, each: fn(&mut Pieces) -> Result<T>) -> Result<Vec<T>> {
    let count = pieces.u32()? as usize;
    if count > LIST_MAX {
        return Err(Error::damaged("an entry of a block has an impossible list"));
    }
    (0..count).map(|_| each(pieces)).collect()
}

fn read_job(pieces: &mut Pieces) -> Result<OwnJob> {
    let lane = LaneId(pieces.u32()?);
    let flags = pieces.u8()?;
    let has = |flag: u8| flags & flag != 0;
    let version = has(JOB_VERSION).then(|| pieces.text()).transpose()?;
    let context = has(JOB_CONTEXT).then(|| pieces.bytes()).transpose()?;
    let data = has(JOB_DATA).then(|| pieces.bytes()).transpose()?;
    let sent_at = has(JOB_SENT_AT).then(|| pieces.i64()).transpose()?;
    Ok(OwnJob {
        lane,
        job: Job {
            version: version.map(Arc::from),
            context: context.map(Json::trusted),
            data: data.map(Json::trusted),
            sent_at: sent_at.map(Timestamp),
        },
    })
}

fn read_rejection(pieces: &mut Pieces) -> Result<Rejection> {
    Ok(Rejection {
        lane: LaneId(pieces.u32()?),
        reason: pieces.text()?,
    })
}

fn read_belongs(pieces: &mut Pieces) -> Result<Belongs> {
    let event = Place::decode(pieces.u64()?);
    let schema = SchemaId(pieces.u32()?);
    let received_at = Timestamp(pieces.i64()?);
    let (lane, position) = (LaneId(pieces.u32()?), Position(pieces.u64()?));
    Ok(Belongs {
        event,
        schema,
        received_at,
        parent: (lane.0 != 0).then_some((lane, position)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full() -> Entry {
        Entry {
            schema: SchemaId(3),
            ticket: 1 << 63 | 5,
            sent_at: Some(Timestamp(-7)),
            parent: Some(Place::Back(2)),
            jobs: vec![
                OwnJob {
                    lane: LaneId(1),
                    job: Job::default(),
                },
                OwnJob {
                    lane: LaneId(2),
                    job: Job {
                        version: Some(Arc::from("v2")),
                        context: Some(Json::of(&1).unwrap()),
                        data: Some(Json::of(&[2, 3]).unwrap()),
                        sent_at: Some(Timestamp(9)),
                    },
                },
            ],
            rejections: vec![Rejection {
                lane: LaneId(4),
                reason: "no address".into(),
            }],
            belongs: Some(Belongs {
                event: Place::At(Position(11)),
                schema: SchemaId(1),
                received_at: Timestamp(12),
                parent: Some((LaneId(5), Position(10))),
            }),
            context: Json::of("context").unwrap(),
            data: Json::null(),
        }
    }

    fn plain() -> Entry {
        Entry {
            schema: SchemaId(1),
            ticket: 0,
            sent_at: None,
            parent: None,
            jobs: Vec::new(),
            rejections: Vec::new(),
            belongs: None,
            context: Json::null(),
            data: Json::of("data").unwrap(),
        }
    }

    #[test]
    fn entries_survive_their_bytes_in_order() {
        let entries = [full(), plain(), full()];
        let mut body = Vec::new();
        for entry in &entries {
            write(&mut body, entry).unwrap();
        }
        let read: Result<Vec<Entry>> = Entries::of(Bytes::from(body)).collect();
        assert_eq!(read.unwrap(), entries);
    }

    #[test]
    fn an_entry_cut_anywhere_is_an_error() {
        let mut body = Vec::new();
        write(&mut body, &full()).unwrap();
        for length in 1..body.len() {
            let cut = Bytes::copy_from_slice(&body[..length]);
            assert!(Entries::of(cut).next().unwrap().is_err(), "{length}");
        }
    }

    #[test]
    fn an_event_that_no_block_can_hold_is_refused_and_leaves_nothing_behind() {
        let mut body = vec![1];
        let data = Json::of(&"x".repeat(ENTRY_BYTES_MAX)).unwrap();
        assert!(write(&mut body, &Entry { data, ..plain() }).is_err());
        assert_eq!(body, [1]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let count = Entries::of(Bytes::from(body)).take_while(Result::is_ok).count();
            prop_assert!(count <= 200);
        }
    }
}
