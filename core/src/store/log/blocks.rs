//! Reading blocks out of the log, its own or one that is only looked at.

use std::sync::Arc;

use bytes::Bytes;

use super::super::Blocks;
use super::super::catalog::Catalog;
use super::super::record::{
    Decoder, EventsHead, KIND_ALIKE, KIND_COMMIT, KIND_EVENTS, KIND_FOLLOW_UP, Record,
};
use super::event_count;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::event::{Block, Excluded, FormatId, SourceId};
use crate::log::{self, Frame, KIND_LOST, Log, ReadOnlyLog, StagedReader, Written};
use crate::position::{Position, Span};

/// Where the frames are: a log that this process writes, or one that it only looks at.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    Own(Log<Catalog>),
    ReadOnly(Arc<ReadOnlyLog<Catalog>>),
}

impl Origin {
    pub(super) fn blocks(&self, from: Position) -> Box<dyn Blocks> {
        let reader = self.reader(from).want(&[
            KIND_EVENTS,
            KIND_ALIKE,
            KIND_COMMIT,
            KIND_FOLLOW_UP,
            KIND_LOST,
        ]);
        Box::new(LogBlocks {
            origin: self.clone(),
            reader,
            from,
            staged: None,
        })
    }

    fn reader(&self, from: Position) -> log::Reader {
        match self {
            Origin::Own(log) => log.reader(from),
            Origin::ReadOnly(log) => log.reader(from),
        }
    }

    pub(super) fn segment_reader(&self, segment: u64) -> Result<log::Reader> {
        match self {
            Origin::Own(log) => log.segment_reader(segment),
            Origin::ReadOnly(log) => log.segment_reader(segment),
        }
    }
}

/// Reads blocks: frames of events as they are, committed staged files chunk by chunk.
struct LogBlocks {
    origin: Origin,
    reader: log::Reader,
    from: Position,
    staged: Option<StagedBlocks>,
}

struct StagedBlocks {
    chunks: StagedReader,
    head: EventsHead,
    excluded: Arc<Excluded>,
    whole: Span,
    next: Position,
}

impl Blocks for LogBlocks {
    fn next(&mut self) -> Result<Option<Block>> {
        loop {
            if let Some(staged) = &mut self.staged {
                match staged.next()? {
                    Some(block) if block.span().is_some_and(|span| span.last >= self.from) => {
                        return Ok(Some(block));
                    }
                    Some(_) => continue,
                    None => self.staged = None,
                }
            }
            let Some(frame) = self.reader.next()? else {
                return Ok(None);
            };
            if frame.count == 0 || frame.span().last < self.from {
                continue;
            }
            if frame.kind == KIND_LOST {
                return Ok(Some(nobodys(frame.first, frame.count)));
            }
            let (record, body) = Record::decode(frame.kind, &frame.body)?;
            if let Record::Commit { events, excluded } = record {
                self.staged = Some(self.staged(events, excluded, &frame)?);
            } else if let Some(head) = events_of(record, frame.count) {
                return Ok(Some(block(head, frame.first, frame.count, body)));
            }
        }
    }
}

impl LogBlocks {
    fn staged(&self, head: EventsHead, excluded: Excluded, frame: &Frame) -> Result<StagedBlocks> {
        let mut chunks = match &self.origin {
            Origin::Own(log) => log.staged(frame)?,
            Origin::ReadOnly(log) => log.staged(frame)?,
        };
        let mut next = frame.first;
        if excluded == Excluded::default() && self.from > next {
            // Whole chunks before the position asked for need not be read.
            next = next.plus(chunks.skip(self.from.since(next))?);
        }
        let excluded = Arc::new(excluded);
        Ok(StagedBlocks {
            chunks,
            head,
            excluded,
            whole: frame.span(),
            next,
        })
    }
}

impl StagedBlocks {
    fn next(&mut self) -> Result<Option<Block>> {
        let Some(chunk) = self.chunks.next()? else {
            return Ok(None);
        };
        let mut whole = Decoder::new(chunk.body);
        let mut head = Decoder::new(whole.bytes()?);
        let tally = head.tally()?;
        let count = event_count(self.excluded.remaining(&tally))?;
        let first = self.next;
        self.next = first.plus(u64::from(count));
        Ok(Some(Block {
            source: self.head.source,
            format: self.head.format,
            received_at: self.head.received_at,
            first,
            count,
            transaction: Some(self.whole),
            tally: Arc::from(tally),
            excluded: Arc::clone(&self.excluded),
            envelope: self.head.envelope.clone(),
            body: whole.rest(),
        }))
    }
}

/// The block that a frame of events holds, as it was appended: its head is a part of its own.
pub(in super::super) fn block_of(written: Written) -> Option<Block> {
    let mut parts = written.parts.into_iter();
    let (head, body) = (parts.next()?, parts.next()?);
    let (record, _) = Record::decode(written.kind, &head).ok()?;
    let head = events_of(record, written.count)?;
    Some(block(head, written.first, written.count, body))
}

/// What a record says of the `count` events that follow it in the same frame.
fn events_of(record: Record, count: u32) -> Option<EventsHead> {
    match record {
        Record::Events(head) | Record::FollowUp { jobs: head, .. } => Some(head),
        Record::Alike(head) => Some(head.events(count)),
        _ => None,
    }
}

/// Positions whose events are lost: they have no schema, so no lane takes them for its own, and all pass over.
fn nobodys(first: Position, count: u32) -> Block {
    let head = EventsHead {
        source: SourceId(0),
        format: FormatId::JSON,
        received_at: Timestamp(0),
        tally: Vec::new(),
        envelope: Bytes::new(),
        state: Vec::new(),
    };
    block(head, first, count, Bytes::new())
}

fn block(head: EventsHead, first: Position, count: u32, body: Bytes) -> Block {
    Block {
        source: head.source,
        format: head.format,
        received_at: head.received_at,
        first,
        count,
        transaction: None,
        tally: Arc::from(head.tally),
        excluded: Arc::default(),
        envelope: head.envelope,
        body,
    }
}
