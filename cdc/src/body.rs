//! The body of a block while it is filled: messages, each behind its length.
//!
//! Small messages are copied one behind the other. A large one becomes a part of the body as it is, in the pieces in
//! which it arrived: it is in memory once, until it is written.

use bytes::{BufMut, Bytes, BytesMut};

/// Messages gathered so far.
#[derive(Debug, Default)]
pub(crate) struct Body {
    /// What comes before `open`, in order.
    parts: Vec<Bytes>,
    parts_bytes: usize,
    open: BytesMut,
    /// What the last part took and an eighth, which the next may take, too: memory that grows is copied, and touched anew.
    room_bytes: usize,
}

/// A part is given no more room than this before it needs it.
const ROOM_BYTES_MAX: usize = 2 << 20;

impl Body {
    /// Adds a message.
    pub(crate) fn push(&mut self, message: &[u8]) {
        if self.open.is_empty() {
            self.open.reserve(self.room_bytes);
        }
        // Messages are below 1 GiB: the connection refuses longer ones.
        self.open.put_u32_le(message.len() as u32);
        self.open.put_slice(message);
    }

    /// Adds a message that is in pieces, without a copy.
    pub(crate) fn push_large(&mut self, pieces: &[Bytes]) {
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        self.open.put_u32_le(bytes as u32);
        self.close_part();
        self.parts_bytes += bytes;
        self.parts.extend_from_slice(pieces);
    }

    /// Moves everything of `other` behind what is here.
    pub(crate) fn append(&mut self, other: &mut Body) {
        if other.parts.is_empty() {
            self.open.put_slice(&other.open);
            other.open.clear();
            return;
        }
        self.close_part();
        self.parts_bytes += std::mem::take(&mut other.parts_bytes);
        self.parts.append(&mut other.parts);
        std::mem::swap(&mut self.open, &mut other.open);
    }

    pub(crate) fn len(&self) -> usize {
        self.parts_bytes + self.open.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the parts, to be read one behind the other, and begins anew.
    pub(crate) fn take(&mut self) -> Vec<Bytes> {
        self.close_part();
        self.parts_bytes = 0;
        std::mem::take(&mut self.parts)
    }

    /// Takes everything, and begins anew.
    pub(crate) fn split(&mut self) -> Body {
        Body {
            parts_bytes: self.len(),
            parts: self.take(),
            ..Body::default()
        }
    }

    /// As [`Body::take`], in one piece: copied, if it has a large message.
    pub(crate) fn take_whole(&mut self) -> Bytes {
        let mut parts = self.take();
        match parts.len() {
            0 | 1 => parts.pop().unwrap_or_default(),
            _ => parts.concat().into(),
        }
    }

    fn close_part(&mut self) {
        if !self.open.is_empty() {
            self.parts_bytes += self.open.len();
            self.room_bytes = (self.open.len() / 8 * 9).min(ROOM_BYTES_MAX);
            self.parts.push(self.open.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Pieces;

    fn large(text: &'static str) -> Vec<Bytes> {
        text.as_bytes().chunks(3).map(Bytes::from_static).collect()
    }

    fn messages(body: &mut Body) -> Vec<String> {
        let len = body.len();
        let whole = body.take_whole();
        assert_eq!((whole.len(), body.len(), body.is_empty()), (len, 0, true));
        let messages = Pieces::new(&whole).map(|message| message.unwrap().to_vec());
        messages
            .map(|message| String::from_utf8(message).unwrap())
            .collect()
    }

    #[test]
    fn messages_come_back_in_order_whether_copied_or_kept_in_pieces() {
        let mut body = Body::default();
        body.push(b"one");
        body.push_large(&large("a larger one"));
        body.push_large(&large("and another"));
        body.push(b"");
        body.push(b"two");
        let expected = ["one", "a larger one", "and another", "", "two"];
        assert_eq!(messages(&mut body), expected);
        assert_eq!(messages(&mut body), [""; 0]);
    }

    #[test]
    fn a_large_message_is_not_copied() {
        let pieces = large("a larger one");
        let mut body = Body::default();
        body.push_large(&pieces);
        let parts = body.take();
        assert_eq!(parts.len(), 1 + pieces.len());
        assert!(
            parts[1..]
                .iter()
                .zip(&pieces)
                .all(|(part, piece)| part.as_ptr() == piece.as_ptr())
        );
    }

    #[test]
    fn what_is_appended_comes_behind() {
        let parts: [fn(&mut Body); 3] = [
            |body| body.push(b"small"),
            |body| body.push_large(&large("large")),
            |_| {},
        ];
        for (before, first) in [(parts[0], "small"), (parts[1], "large")] {
            for (behind, second) in [(parts[0], "small"), (parts[1], "large")] {
                let (mut body, mut other) = (Body::default(), Body::default());
                before(&mut body);
                behind(&mut other);
                other.push(b"last");
                body.append(&mut other);
                assert!(other.is_empty());
                assert_eq!(messages(&mut body), [first, second, "last"]);
            }
        }
    }
}
