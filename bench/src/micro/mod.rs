//! Pieces of work, each of one structure of the product: prepared once, done as often as somebody measures.
//!
//! `benches/` times them with criterion; `benches/guard.rs` counts the instructions of some of them.

mod decode;
mod encode;
mod framing;
mod http;
mod id;
mod log;
mod sample;
mod spans;
mod table;
mod transitions;

use std::fmt;

pub use decode::decodes;
pub use encode::encodes;
pub use framing::framings;
pub use http::Listening;
pub use id::ids;
pub use log::{Appending, replays};
pub use sample::Sample;
pub use spans::spans;
pub use table::Rows;
pub use transitions::transitions;

/// A piece of work to be measured.
pub struct Piece {
    /// What it is, unique among all.
    pub name: String,
    prepare: Box<dyn FnOnce() -> Work>,
}

/// A piece that was prepared.
pub struct Work {
    /// What one turn goes through: rows, messages, frames, transitions.
    pub items: u64,
    /// And in bytes; 0 where they mean nothing.
    pub bytes: u64,
    turn: Box<dyn FnMut()>,
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Piece").field(&self.name).finish()
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Work");
        debug.field("items", &self.items).finish_non_exhaustive()
    }
}

impl Piece {
    /// A piece that `prepare` makes ready.
    pub fn new(name: String, prepare: impl FnOnce() -> Work + 'static) -> Piece {
        Piece {
            name,
            prepare: Box::new(prepare),
        }
    }

    /// Makes it ready.
    #[must_use]
    pub fn prepare(self) -> Work {
        (self.prepare)()
    }
}

impl Work {
    /// Work that goes through `items`, which have `bytes`, in each turn.
    pub fn new(items: u64, bytes: u64, turn: impl FnMut() + 'static) -> Work {
        Work {
            items,
            bytes,
            turn: Box::new(turn),
        }
    }

    /// One turn.
    pub fn turn(&mut self) {
        (self.turn)();
    }
}
