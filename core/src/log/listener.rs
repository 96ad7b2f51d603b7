//! Who is handed what became durable, while it is still in memory.

use std::fmt;

use bytes::Bytes;

use crate::position::Position;

/// A frame with positions as it was appended, now durable. Commits of staged files are not among them.
#[derive(Debug, Clone)]
pub struct Written {
    /// The caller's kind.
    pub kind: u8,
    /// Its first position.
    pub first: Position,
    /// How many positions it takes; at least 1.
    pub count: u32,
    /// Its body, in the parts that it was appended in.
    pub parts: Vec<Bytes>,
}

/// Hears of what becomes durable.
///
/// # Contract
/// Called by the writer's thread alone, after each sync and before the watermark moves past what was synced: whoever
/// has seen the watermark finds it handed over. In order of position; after an I/O error not any more. Must not wait
/// for anything, because every appender waits for the writer.
pub trait Listener: fmt::Debug + Send {
    /// Whether anybody wants to hear: when not, frames are let go of as soon as they are written.
    fn listens(&self) -> bool;

    /// The frames that one sync made durable; at least one.
    fn durable(&mut self, frames: Vec<Written>);
}
