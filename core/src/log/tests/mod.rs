//! The log's promises, one file per risk.

#![allow(clippy::indexing_slicing, reason = "tests may fail by panic")]

mod basics;
mod damage;
mod fences;
mod full;
mod kills;
mod model;
mod oracle;
mod power;
mod salvage;
mod together;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes};

use crate::error::{Error, Result};
use crate::log::frame::Fields;
use crate::log::{Disk, Fold, Frame, FrameRef, Log, LogOptions, Opened, Reader, SystemDisk};
use crate::position::Position;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The kind that is appended in pieces.
const PIECES: u8 = 50;
/// What begins their bodies.
const HEAD_BYTES: usize = 4;

/// A state that knows how many frames passed, in which order, and which position is next. Of pieces it knows
/// what comes out the same however many become one frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tally {
    frames: u64,
    next: u64,
    digest: u32,
    pieces: u64,
}

impl Fold for Tally {
    fn apply(&mut self, frame: &FrameRef<'_>) -> Result<()> {
        if frame.kind == 200 {
            return Err(Error::invalid("kind 200 is not for this state"));
        }
        self.next = frame.first.0 + u64::from(frame.count);
        if frame.kind == PIECES {
            let rest = &frame.body()[HEAD_BYTES..];
            self.pieces = rest.iter().fold(self.pieces, |sum, byte| {
                sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
            });
            return Ok(());
        }
        let mut hasher = crc32fast::Hasher::new_with_initial(self.digest);
        hasher.update(&[frame.kind]);
        hasher.update(&frame.first.0.to_le_bytes());
        hasher.update(&frame.body());
        self.digest = hasher.finalize();
        self.frames += 1;
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.put_u64_le(self.frames);
        bytes.put_u64_le(self.next);
        bytes.put_u32_le(self.digest);
        bytes.put_u64_le(self.pieces);
        bytes
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<()> {
        let mut fields = Fields(snapshot);
        let mut restore = || {
            Some(Tally {
                frames: fields.u64()?,
                next: fields.u64()?,
                digest: fields.u32()?,
                pieces: fields.u64()?,
            })
        };
        *self = restore().ok_or_else(|| Error::damaged("a tally cut short"))?;
        Ok(())
    }
}

/// Segments of 16 KiB, smaller than people may choose, so that tests roll often.
fn small() -> LogOptions {
    LogOptions {
        segment_bytes: 16 << 10,
        reserve_bytes: 0,
        ..LogOptions::default()
    }
}

/// Opens with a writer thread and whatever options.
fn open_on(dir: &Path, options: LogOptions, disk: Arc<dyn Disk>) -> Result<Opened<Tally>> {
    let (opened, writer) = Log::open_unwritten(dir, options, disk, Tally::default())?;
    opened.log.start(writer)?;
    Ok(opened)
}

fn open(dir: &Path) -> Result<Opened<Tally>> {
    open_on(dir, small(), SystemDisk::shared())
}

fn text(text: &str) -> Vec<Bytes> {
    vec![Bytes::copy_from_slice(text.as_bytes())]
}

/// A body whose content follows from its number and length.
fn body(number: u64, len: usize) -> Bytes {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.put_u64_le(state);
    }
    bytes.truncate(len);
    bytes.into()
}

fn drain(reader: &mut Reader) -> Result<Vec<Frame>> {
    let mut frames = Vec::new();
    while let Some(frame) = reader.next()? {
        frames.push(frame);
    }
    Ok(frames)
}

fn all(log: &Log<Tally>) -> Result<Vec<Frame>> {
    drain(&mut log.reader(Position::ZERO))
}
