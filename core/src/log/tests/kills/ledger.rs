//! What the processes said, and whether the log has it.

use std::collections::BTreeMap;

use super::super::{HEAD_BYTES, PIECES};
use super::life::Said;
use super::record::{COMMIT, Heads, Record, WRITERS};
use crate::log::{Frame, Reader, StagedReader};
use crate::position::Position;

/// What is known of one writer.
#[derive(Debug, Clone, Default)]
struct Writer {
    /// It began its events up to this number.
    begun: u64,
    /// And up to this one they were acknowledged, or found by a process that opened the log.
    durable: u64,
    /// From which number on its events are of which life, in order.
    lives: Vec<(u64, u32)>,
}

impl Writer {
    /// The only life that the event with this number may be of.
    fn life_of(&self, number: u64) -> Option<u32> {
        let later = self.lives.partition_point(|(first, _)| *first <= number);
        let (_, life) = self.lives.get(later.checked_sub(1)?)?;
        Some(*life)
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    writers: [Writer; WRITERS],
    /// Acknowledged events by their positions, from the oldest kept segment on: writer and number.
    durable: BTreeMap<Position, (usize, u64)>,
    acknowledged: u64,
    /// Segments may have been dropped up to here.
    settled: Position,
    /// The oldest position that a look has found.
    oldest: Position,
}

impl Ledger {
    /// How many events were acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// How many events were gone with dropped segments when the log was last looked at.
    pub(super) fn dropped(&self) -> u64 {
        self.oldest.previous().0
    }

    /// Whether some process had the log open.
    pub(super) fn has_begun(&self) -> bool {
        self.writers.iter().any(|writer| !writer.lives.is_empty())
    }

    pub(super) fn hear(&mut self, said: &Said) -> Result<(), String> {
        match said {
            Said::Opened { life, heads } => return self.opened(heads, *life),
            Said::Begun { writer, upto } => {
                let begun = &mut self.writers[*writer].begun;
                *begun = (*begun).max(*upto);
            }
            Said::Durable {
                writer,
                first,
                position,
                count,
            } => self.acknowledge(*writer, *first, *position, *count)?,
            Said::Settled(upto) => self.settled = self.settled.max(*upto),
        }
        Ok(())
    }

    fn acknowledge(
        &mut self,
        writer: usize,
        first: u64,
        position: Position,
        count: u64,
    ) -> Result<(), String> {
        let own = &mut self.writers[writer];
        if first != own.durable + 1 {
            let before = own.durable;
            return Err(format!("writer {writer} heard of {first} after {before}"));
        }
        own.durable += count;
        self.acknowledged += count;
        for step in 0..count {
            let other = self
                .durable
                .insert(position.plus(step), (writer, first + step));
            if let Some(other) = other {
                return Err(format!(
                    "{} was given to {other:?} too",
                    position.plus(step)
                ));
            }
        }
        Ok(())
    }

    /// The process of `life` found `heads` in the log: what it did not find will never be there, and what it found
    /// always will.
    pub(super) fn opened(&mut self, heads: &Heads, life: u32) -> Result<(), String> {
        self.check_heads(heads)?;
        for (own, head) in self.writers.iter_mut().zip(heads.0) {
            (own.begun, own.durable) = (head, head);
            own.lives.retain(|(first, _)| *first <= head);
            own.lives.push((head + 1, life));
        }
        Ok(())
    }

    fn check_heads(&self, heads: &Heads) -> Result<(), String> {
        for (index, (own, head)) in self.writers.iter().zip(heads.0).enumerate() {
            if head < own.durable {
                let durable = own.durable;
                return Err(format!(
                    "writer {index} has {head} events, acknowledged {durable}"
                ));
            }
            if head > own.begun {
                return Err(format!(
                    "writer {index} has {head} events, begun {}",
                    own.begun
                ));
            }
        }
        Ok(())
    }

    /// Holds the frames of a log, from its `oldest` position to its `next`, against what was said.
    pub(super) fn check(
        &mut self,
        heads: &Heads,
        oldest: Position,
        next: Position,
        frames: &mut Reader,
        staged: &dyn Fn(&Frame) -> crate::error::Result<StagedReader>,
    ) -> Result<(), String> {
        self.check_heads(heads)?;
        if oldest > self.settled.next() {
            let settled = self.settled;
            return Err(format!(
                "positions before {oldest} are gone, settled {settled}"
            ));
        }
        self.oldest = oldest;
        self.durable = self.durable.split_off(&oldest);
        let mut missing = self.durable.clone();
        let mut seen = [None; WRITERS];
        let mut position = oldest;
        while let Some(frame) = frames.next().map_err(|error| error.report())? {
            if frame.first != position {
                return Err(format!("{} comes where {position} is due", frame.first));
            }
            let row = row(&frame, staged)?;
            if row.len() != frame.count as usize {
                return Err(format!("{} records at {position}: {frame:?}", row.len()));
            }
            for record in row {
                self.check_record(&record, &mut seen)?;
                let said = missing.remove(&position);
                let own = (record.writer as usize, record.number);
                if said.is_some_and(|said| said != own) {
                    return Err(format!("{own:?} at {position}, acknowledged {said:?}"));
                }
                position = position.next();
            }
        }
        if position != next {
            return Err(format!("the log ends before {position} and says {next}"));
        }
        let ends = seen.iter().zip(heads.0);
        if let Some((seen, head)) = ends
            .clone()
            .find(|(seen, head)| seen.is_some_and(|seen| seen != *head))
        {
            return Err(format!(
                "the last of a writer is {seen:?}, and {head} in the state"
            ));
        }
        match missing.first_key_value() {
            None => Ok(()),
            Some((position, event)) => Err(format!(
                "{} acknowledged events are missing, first {event:?} at {position}",
                missing.len()
            )),
        }
    }

    /// Each writer's events follow each other, and are of the life that began them.
    fn check_record(
        &self,
        record: &Record,
        seen: &mut [Option<u64>; WRITERS],
    ) -> Result<(), String> {
        let index = record.writer as usize;
        let seen = seen
            .get_mut(index)
            .ok_or_else(|| format!("{record:?}: no such writer"))?;
        if seen.is_some_and(|seen| record.number != seen + 1) {
            return Err(format!("{record:?} comes after {seen:?}"));
        }
        *seen = Some(record.number);
        let life = self.writers[index].life_of(record.number);
        match life == Some(record.life) {
            true => Ok(()),
            false => Err(format!("{record:?} was begun in life {life:?}")),
        }
    }
}

/// The records of a frame.
fn row(
    frame: &Frame,
    staged: &dyn Fn(&Frame) -> crate::error::Result<StagedReader>,
) -> Result<Vec<Record>, String> {
    if frame.kind != COMMIT {
        let head = if frame.kind == PIECES { HEAD_BYTES } else { 0 };
        return Record::row(&frame.body[head..]);
    }
    let mut chunks = staged(frame).map_err(|error| error.report())?;
    let mut row = Vec::new();
    while let Some(chunk) = chunks.next().map_err(|error| error.report())? {
        row.extend(Record::row(&chunk.body)?);
    }
    Ok(row)
}
