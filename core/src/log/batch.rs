//! What goes to the disk in one write: small pieces copied together, large ones as they are.

use std::ops::Range;

use bytes::Bytes;

/// From this size on a piece is not copied but written from where it lies.
const COPY_BYTES_MAX: usize = 8 << 10;
/// More of the buffer than this is not kept for the next batch.
const KEEP_BYTES_MAX: usize = 4 << 20;

#[derive(Debug)]
enum Piece {
    Copied(Range<usize>),
    Shared(Bytes),
}

/// Bytes gathered for one write.
#[derive(Debug, Default)]
pub(super) struct Batch {
    buffer: Vec<u8>,
    pieces: Vec<Piece>,
    bytes: u64,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn push(&mut self, part: &Bytes) {
        if part.len() < COPY_BYTES_MAX {
            return self.copy(part);
        }
        self.bytes += part.len() as u64;
        self.pieces.push(Piece::Shared(part.clone()));
    }

    pub(super) fn copy(&mut self, part: &[u8]) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(part);
        self.bytes += part.len() as u64;
        match self.pieces.last_mut() {
            Some(Piece::Copied(range)) => range.end = self.buffer.len(),
            _ => self.pieces.push(Piece::Copied(start..self.buffer.len())),
        }
    }

    /// The pieces in order.
    pub(super) fn slices(&self) -> Vec<&[u8]> {
        self.pieces.iter().map(|piece| self.slice(piece)).collect()
    }

    fn slice<'a>(&'a self, piece: &'a Piece) -> &'a [u8] {
        match piece {
            Piece::Copied(range) => self.buffer.get(range.clone()).unwrap_or_default(),
            Piece::Shared(bytes) => bytes,
        }
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.buffer.clear();
        self.buffer.shrink_to(KEEP_BYTES_MAX);
        self.bytes = 0;
    }
}
