//! Frames that have their positions and wait to be written; small ones that are alike become one.
//!
//! A frame costs its header, a place in every queue, and a step of every reader. Where single small events
//! arrive faster than the disk syncs, that is most of what an event costs. So a frame that was appended as a
//! [`Piece`] goes on growing while it waits and is the last: the next piece with the same kind and the same
//! head adds its body to it. Nothing is ever held back for it: the writer takes the frame as soon as it can,
//! and a lone piece is a frame by itself.

use bytes::Bytes;

use crate::log::frame::{HEADER_BYTES, StageRef, checksum, padded_bytes};
use crate::position::Position;

/// The body of a piece, at most; a larger one is a frame of its own.
pub(super) const PIECE_BYTES_MAX: usize = 8 << 10;
/// A frame that has this many bytes grows no more.
const GROWN_BYTES_MAX: usize = 128 << 10;

/// A small frame that may become part of the one before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) kind: u8,
    pub(super) count: u32,
    /// What begins the body. Pieces that have it alike may share it.
    pub(super) head: &'a Bytes,
    /// What follows the head; of several pieces, one behind the other.
    pub(super) rest: &'a Bytes,
}

impl Piece<'_> {
    /// What it takes in the file as a frame of its own.
    pub(super) fn frame_bytes(&self) -> u64 {
        padded_bytes(HEADER_BYTES, self.head.len() + self.rest.len())
    }
}

/// What a piece has added to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Added {
    /// One, or none when it joined another.
    pub(super) frames: u64,
    /// In the file.
    pub(super) bytes: u64,
}

/// A frame that has its positions and waits to be written.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) kind: u8,
    pub(super) first: Position,
    pub(super) count: u32,
    pub(super) staged: Option<StageRef>,
    /// The whole body, the stage reference of a commit included; of a frame that grows only its head.
    pub(super) parts: Vec<Bytes>,
    pub(super) body_bytes: usize,
    /// Not known while the frame grows.
    pub(super) body_crc: u32,
    /// What pieces have brought, while more may come.
    pub(super) growing: Option<Vec<u8>>,
}

impl Accepted {
    /// A piece by itself, which others may join.
    pub(super) fn growing(piece: Piece<'_>, first: Position) -> Accepted {
        Accepted {
            kind: piece.kind,
            first,
            count: piece.count,
            staged: None,
            parts: vec![piece.head.clone()],
            body_bytes: piece.head.len() + piece.rest.len(),
            body_crc: 0,
            growing: Some(piece.rest.to_vec()),
        }
    }

    /// What it takes in the file.
    pub(super) fn frame_bytes(&self) -> u64 {
        padded_bytes(HEADER_BYTES, self.body_bytes)
    }

    /// Takes `piece` in at its end; none when they are not alike, or this one is large enough.
    pub(super) fn join(&mut self, piece: Piece<'_>) -> Option<Added> {
        let before = self.frame_bytes();
        let grown = self.growing.as_mut()?;
        let alike = self.kind == piece.kind && self.parts.first() == Some(piece.head);
        if !alike || self.body_bytes + piece.rest.len() > GROWN_BYTES_MAX {
            return None;
        }
        let count = self.count.checked_add(piece.count)?;
        grown.extend_from_slice(piece.rest);
        self.count = count;
        self.body_bytes += piece.rest.len();
        Some(Added {
            frames: 0,
            bytes: self.frame_bytes() - before,
        })
    }

    /// As it is to be written: nothing joins it any more.
    pub(super) fn closed(mut self) -> Accepted {
        if let Some(grown) = self.growing.take() {
            self.parts.push(Bytes::from(grown.into_boxed_slice()));
            self.body_crc = checksum(self.parts.iter().map(Bytes::as_ref));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece<'a>(head: &'a Bytes, rest: &'a Bytes) -> Piece<'a> {
        Piece {
            kind: 1,
            count: 2,
            head,
            rest,
        }
    }

    #[test]
    fn pieces_that_are_alike_become_one_frame_and_others_do_not() {
        let (head, other) = (Bytes::from_static(b"h"), Bytes::from_static(b"o"));
        let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
        let mut frame = Accepted::growing(piece(&head, &one), Position(5));
        assert!(frame.join(piece(&other, &two)).is_none());
        let before = frame.frame_bytes();
        let added = frame.join(piece(&head, &two)).unwrap();
        assert_eq!(added.frames, 0);
        assert_eq!(before + added.bytes, frame.frame_bytes());
        let mut closed = frame.closed();
        assert_eq!((closed.first, closed.count), (Position(5), 4));
        assert_eq!(closed.parts.concat(), b"honetwo");
        assert_eq!(closed.body_bytes, 7);
        assert_eq!(closed.body_crc, checksum([&b"honetwo"[..]].into_iter()));
        assert!(closed.join(piece(&head, &two)).is_none(), "it is closed");
    }

    #[test]
    fn a_frame_stops_growing_at_its_limit() {
        let (head, rest) = (
            Bytes::from_static(b"h"),
            Bytes::from(vec![7; PIECE_BYTES_MAX]),
        );
        let mut frame = Accepted::growing(piece(&head, &rest), Position(1));
        while frame.join(piece(&head, &rest)).is_some() {}
        assert!(frame.body_bytes <= GROWN_BYTES_MAX);
        assert!(frame.body_bytes > GROWN_BYTES_MAX - PIECE_BYTES_MAX - 1);
    }
}
