//! One message of many MiB on its way: gathered in pieces, so that it is in memory once and in no buffer that has to
//! grow with it.

use std::sync::Arc;

use blacksmith_core::large::LargeBuffer;
use bytes::Bytes;

use super::large_memory::Share;

/// A message with a body from this size on comes in pieces.
pub const LARGE_MESSAGE_BYTES: usize = 8 << 20;
/// Bytes of each piece but the last.
const PIECE_BYTES: usize = 4 << 20;

/// What has arrived of the body.
#[derive(Debug)]
pub(super) struct Pieces {
    whole: Vec<Bytes>,
    /// A piece, and how much of it is filled.
    open: Option<(LargeBuffer, usize)>,
    missing_bytes: usize,
    share: Arc<Share>,
}

/// A piece, and the share that goes with the last of them.
struct Kept {
    bytes: Bytes,
    _share: Arc<Share>,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Pieces {
    /// A body of the size of `share`, of which nothing is here.
    pub(super) fn new(share: Share) -> Pieces {
        Pieces {
            whole: Vec::new(),
            open: None,
            missing_bytes: share.bytes(),
            share: Arc::new(share),
        }
    }

    /// Takes what is theirs from the front of `arrived`; how much that is.
    pub(super) fn take(&mut self, arrived: &[u8]) -> usize {
        let (mut rest, _) = arrived.split_at(arrived.len().min(self.missing_bytes));
        let taken = rest.len();
        while !rest.is_empty() {
            let piece_bytes = self.missing_bytes.min(PIECE_BYTES);
            let (mut piece, filled) = match self.open.take() {
                Some(open) => open,
                None => (LargeBuffer::new(piece_bytes), 0),
            };
            let room = piece.get_mut(filled..).unwrap_or_default();
            let (now, later) = rest.split_at(rest.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.missing_bytes -= now.len();
            rest = later;
            match filled + now.len() {
                filled if filled == piece.len() => self.keep(piece),
                filled => self.open = Some((piece, filled)),
            }
        }
        taken
    }

    fn keep(&mut self, piece: LargeBuffer) {
        let kept = Kept {
            bytes: piece.freeze(),
            _share: Arc::clone(&self.share),
        };
        self.whole.push(Bytes::from_owner(kept));
    }

    /// Whether all of it is here.
    pub(super) fn are_complete(&self) -> bool {
        self.missing_bytes == 0
    }

    pub(super) fn into_body(self) -> Vec<Bytes> {
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::connection::large_memory::LargeMemory;

    #[test]
    fn a_body_is_complete_when_its_last_byte_is_here_and_takes_no_more() {
        let body: Vec<u8> = (0..PIECE_BYTES * 2 + 7)
            .map(|at| (at % 251) as u8)
            .collect();
        for step in [1 << 19, 3 << 19, 1_000_003, 10 << 20] {
            let share = LargeMemory::default().take(body.len(), Instant::now());
            let mut pieces = Pieces::new(share.unwrap());
            let with_next = [body.as_slice(), b"the next message"].concat();
            let mut at = 0;
            while !pieces.are_complete() {
                let end = with_next.len().min(at + step);
                at += pieces.take(&with_next[at..end]);
            }
            assert_eq!(at, body.len());
            assert_eq!(pieces.take(b"more"), 0);
            let whole = pieces.into_body();
            let lengths: Vec<usize> = whole.iter().map(Bytes::len).collect();
            assert_eq!(lengths, [PIECE_BYTES, PIECE_BYTES, 7]);
            assert!(whole.concat() == body);
        }
    }
}
