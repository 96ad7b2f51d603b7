//! Bytes that have arrived and are not yet read: one buffer, grown only by what really comes.
//!
//! Read from the front, filled at the back. What is left of an unfinished message moves to the front before
//! the buffer grows, and a buffer that one huge message had blown up is given back afterwards.

/// The size it starts with and returns to.
const USUAL_BYTES: usize = 1 << 20;
/// Size above which an emptied buffer is given back.
const KEPT_BYTES: usize = 4 << 20;

/// `bytes[start..end]` has arrived and is unread; what lies behind `end` is room.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Marks `bytes` from the front as read.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.end);
    }

    /// Room for at least `bytes` more; [`Inbox::arrived`] says how many of them came.
    pub(super) fn room(&mut self, bytes: usize) -> &mut [u8] {
        self.make_room(bytes);
        &mut self.bytes[self.end..]
    }

    /// The first `bytes` of the room have been filled.
    pub(super) fn arrived(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.bytes.len());
    }

    fn make_room(&mut self, bytes: usize) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.len() > KEPT_BYTES {
                self.bytes = Vec::new();
            }
        }
        if self.bytes.len() - self.end >= bytes {
            return;
        }
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.bytes.len() - self.end < bytes {
            // By a quarter, not by doubling: a message may have a gigabyte.
            let grown = (self.end + bytes.max(self.end / 4)).max(USUAL_BYTES);
            self.bytes.reserve_exact(grown - self.bytes.len());
            self.bytes.resize(grown, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(inbox: &mut Inbox, bytes: &[u8]) {
        inbox.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        inbox.arrived(bytes.len());
    }

    #[test]
    fn what_is_not_consumed_stays_in_front_of_what_comes() {
        let mut inbox = Inbox::default();
        let mut expected = Vec::new();
        for round in 0..40_u8 {
            let piece = vec![round; 100_000];
            put(&mut inbox, &piece);
            expected.extend_from_slice(&piece);
            inbox.consume(90_001);
            expected.drain(..90_001);
            assert!(inbox.unread() == expected, "round {round}");
        }
        inbox.consume(usize::MAX / 2);
        assert_eq!(inbox.unread(), b"");
    }

    #[test]
    fn a_buffer_blown_up_by_one_message_is_given_back() {
        let mut inbox = Inbox::default();
        put(&mut inbox, &vec![1; KEPT_BYTES * 2]);
        assert!(inbox.bytes.capacity() <= KEPT_BYTES * 2 + USUAL_BYTES);
        inbox.consume(KEPT_BYTES * 2);
        inbox.room(1);
        assert_eq!(inbox.bytes.capacity(), USUAL_BYTES);
    }
}
