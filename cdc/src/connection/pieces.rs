//! One message of many MiB on its way: gathered in pieces, so that it is in memory once and in no buffer that has to
//! grow with it.

use bytes::{Bytes, BytesMut};

/// A message with a body from this size on comes in pieces.
pub const LARGE_MESSAGE_BYTES: usize = 8 << 20;
/// Bytes of each piece but the last.
const PIECE_BYTES: usize = 1 << 20;

/// What has arrived of the body.
#[derive(Debug)]
pub(super) struct Pieces {
    whole: Vec<Bytes>,
    open: BytesMut,
    missing_bytes: usize,
}

impl Pieces {
    /// A body of `bytes`, of which nothing is here.
    pub(super) fn new(bytes: usize) -> Pieces {
        Pieces {
            whole: Vec::new(),
            open: BytesMut::new(),
            missing_bytes: bytes,
        }
    }

    /// Takes what is theirs from the front of `arrived`; how much that is.
    pub(super) fn take(&mut self, arrived: &[u8]) -> usize {
        let (mut rest, _) = arrived.split_at(arrived.len().min(self.missing_bytes));
        let taken = rest.len();
        while !rest.is_empty() {
            if self.open.is_empty() {
                self.open.reserve(self.missing_bytes.min(PIECE_BYTES));
            }
            let room = PIECE_BYTES - self.open.len();
            let (now, later) = rest.split_at(rest.len().min(room));
            self.open.extend_from_slice(now);
            self.missing_bytes -= now.len();
            rest = later;
            if self.open.len() == PIECE_BYTES || self.missing_bytes == 0 {
                self.whole.push(std::mem::take(&mut self.open).freeze());
            }
        }
        taken
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
    use super::*;

    #[test]
    fn a_body_is_complete_when_its_last_byte_is_here_and_takes_no_more() {
        let body: Vec<u8> = (0..PIECE_BYTES * 2 + 7)
            .map(|at| (at % 251) as u8)
            .collect();
        for step in [1 << 19, 3 << 19, 1_000_003, 10 << 20] {
            let mut pieces = Pieces::new(body.len());
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
