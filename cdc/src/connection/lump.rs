//! What a running replication stream carries: many messages in one piece of memory.
//!
//! ```text
//! 'd' | length u32 | 'w' | start u64 | end u64 | sent_at i64 | payload      log data
//! 'd' | length u32 | 'k' | end u64 | sent_at i64 | reply_wanted u8          keepalive
//! ```
//! All numbers big endian, times in microseconds since 2000. [`walk`] checks every message once, when it has
//! arrived; [`Lump::messages`] then goes over them without a doubt and without a copy.

use blacksmith_core::clock::Timestamp;
use blacksmith_core::error::Result;
use bytes::Bytes;

use super::gather::Check;
use super::lsn::Lsn;
use super::message::{HEADER_BYTES, Header, garbled, header};

/// Header of log data, after the message's own.
const DATA_BYTES: usize = 25;
const KEEPALIVE_BYTES: usize = 18;
/// Microseconds from 1970 to 2000.
const EPOCH_US: i64 = 946_684_800_000_000;

/// A time as the server counts it, in ours.
pub(super) fn from_server_time(us: i64) -> Timestamp {
    Timestamp(us.saturating_add(EPOCH_US))
}

/// Our time as the server counts it.
pub(super) fn to_server_time(time: Timestamp) -> i64 {
    time.0.saturating_sub(EPOCH_US)
}

/// One message of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A message of the output plugin.
    Data {
        /// Where in the log it stands. Not comparable between transactions.
        start: Lsn,
        /// How far the server's log reached when it was sent.
        end: Lsn,
        /// When it was sent, by the server's clock.
        sent_at: Timestamp,
        /// The plugin's message, as it came.
        payload: &'a [u8],
    },
    /// The server is alive.
    Keepalive {
        /// Everything up to here has been sent, as far as it concerns this stream.
        end: Lsn,
        /// When it was sent, by the server's clock.
        sent_at: Timestamp,
        /// The server wants a status at once, or will take us for dead.
        reply_wanted: bool,
    },
}

/// A message of the output plugin of [`super::LARGE_MESSAGE_BYTES`] or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeMessage<'a> {
    /// How far the server's log reached when it was sent.
    pub end: Lsn,
    /// The plugin's message, as it came; the first piece is at least 4 MiB long. Whoever keeps them keeps it.
    pub pieces: &'a [Bytes],
}

/// Complete messages, side by side as they arrived, or one large one. Empty when none came in time.
#[derive(Debug, Clone, Copy)]
pub struct Lump<'a> {
    bytes: &'a [u8],
    large: Option<LargeMessage<'a>>,
}

impl<'a> Lump<'a> {
    /// `bytes` must have been walked.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Lump { bytes, large: None }
    }

    /// A large message from the body that brought it, whose header is cut off.
    pub(super) fn large(body: &'a mut [Bytes]) -> Result<Lump<'a>> {
        let message = body.first().and_then(|first| read(first));
        let Some(Message::Data { end, .. }) = message else {
            return Err(garbled("a message of the stream has an unknown kind"));
        };
        if let Some(first) = body.first_mut() {
            bytes::Buf::advance(first, DATA_BYTES);
        }
        let large = LargeMessage { end, pieces: body };
        Ok(Lump {
            bytes: &[],
            large: Some(large),
        })
    }

    /// Whether it holds no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.large.is_none()
    }

    /// Bytes, headers included.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        let large = self.large.iter().flat_map(|large| large.pieces);
        self.bytes.len() + large.map(Bytes::len).sum::<usize>()
    }

    /// The large message, if it is one; then there are no others.
    #[must_use]
    pub fn large_message(&self) -> Option<LargeMessage<'a>> {
        self.large
    }

    /// The messages, in order.
    #[must_use]
    pub fn messages(&self) -> Messages<'a> {
        Messages { rest: self.bytes }
    }
}

impl<'a> IntoIterator for Lump<'a> {
    type Item = Message<'a>;
    type IntoIter = Messages<'a>;

    fn into_iter(self) -> Messages<'a> {
        self.messages()
    }
}

/// Goes over the messages of a [`Lump`].
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let (prefix, rest) = self.rest.split_first_chunk::<HEADER_BYTES>()?;
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        let (body, rest) = rest.split_at_checked(length.checked_sub(4)?)?;
        self.rest = rest;
        read(body)
    }
}

/// Reads the body of one CopyData message; `None` when it is neither of the two kinds.
fn read(body: &[u8]) -> Option<Message<'_>> {
    let (kind, rest) = body.split_first()?;
    match kind {
        b'w' => {
            let (start, rest) = rest.split_first_chunk()?;
            let (end, rest) = rest.split_first_chunk()?;
            let (sent_at, payload) = rest.split_first_chunk()?;
            Some(Message::Data {
                start: Lsn(u64::from_be_bytes(*start)),
                end: Lsn(u64::from_be_bytes(*end)),
                sent_at: from_server_time(i64::from_be_bytes(*sent_at)),
                payload,
            })
        }
        b'k' => {
            let (end, rest) = rest.split_first_chunk()?;
            let (sent_at, rest) = rest.split_first_chunk()?;
            Some(Message::Keepalive {
                end: Lsn(u64::from_be_bytes(*end)),
                sent_at: from_server_time(i64::from_be_bytes(*sent_at)),
                reply_wanted: *rest.first()? != 0,
            })
        }
        _ => None,
    }
}

/// How far `bytes` consists of complete stream messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    /// So many bytes from the front.
    pub(super) whole_bytes: usize,
    /// The header behind them, when it is complete: an unfinished stream message, or another kind.
    pub(super) next: Option<Header>,
}

/// Goes from message to message and checks the body of each.
pub(super) fn walk(bytes: &[u8], limit_bytes: usize, check: Check) -> Result<Walk> {
    let mut whole_bytes = 0;
    loop {
        let rest = &bytes[whole_bytes..];
        let next = header(rest, limit_bytes)?;
        match next {
            Some(Header {
                tag: b'd',
                total_bytes,
            }) if total_bytes <= rest.len() => {
                check(&rest[HEADER_BYTES..total_bytes])?;
                whole_bytes += total_bytes;
            }
            _ => return Ok(Walk { whole_bytes, next }),
        }
    }
}

/// Whether `body` is one of the stream's messages.
pub(super) fn check(body: &[u8]) -> Result<()> {
    match body.first() {
        Some(b'w') if body.len() >= DATA_BYTES => Ok(()),
        Some(b'k') if body.len() >= KEEPALIVE_BYTES => Ok(()),
        Some(b'w' | b'k') => Err(garbled("a message of the stream is too short")),
        _ => Err(garbled("a message of the stream has an unknown kind")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data(payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![b'd'];
        bytes.extend(
            u32::try_from(4 + DATA_BYTES + payload.len())
                .unwrap()
                .to_be_bytes(),
        );
        bytes.push(b'w');
        bytes.extend(7_u64.to_be_bytes());
        bytes.extend(9_u64.to_be_bytes());
        bytes.extend((-EPOCH_US).to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn keepalive(reply: u8) -> Vec<u8> {
        let mut bytes = b"d\0\0\0\x16k".to_vec();
        bytes.extend(11_u64.to_be_bytes());
        bytes.extend(0_i64.to_be_bytes());
        bytes.push(reply);
        bytes
    }

    #[test]
    fn a_lump_gives_each_message_in_order_and_leaves_the_unfinished_one() {
        let bytes = [data(b"one"), keepalive(1), data(b""), data(b"cut")].concat();
        let cut = &bytes[..bytes.len() - 1];
        let walked = walk(cut, 100, check).unwrap();
        assert_eq!(walked.whole_bytes, bytes.len() - data(b"cut").len());
        assert_eq!(walked.next.unwrap().total_bytes, data(b"cut").len());
        let lump = Lump::new(&cut[..walked.whole_bytes]);
        let messages: Vec<Message<'_>> = lump.messages().collect();
        let one = Message::Data {
            start: Lsn(7),
            end: Lsn(9),
            sent_at: Timestamp(0),
            payload: b"one",
        };
        let alive = Message::Keepalive {
            end: Lsn(11),
            sent_at: Timestamp(EPOCH_US),
            reply_wanted: true,
        };
        assert_eq!(messages[..2], [one, alive]);
        assert_eq!(messages.len(), 3);
    }

    #[test]
    fn another_kind_of_message_ends_the_lump() {
        let bytes = [data(b"x"), b"E\0\0\0\x05\0".to_vec()].concat();
        let walked = walk(&bytes, 100, check).unwrap();
        assert_eq!(walked.whole_bytes, data(b"x").len());
        assert_eq!(
            walked.next,
            Some(Header {
                tag: b'E',
                total_bytes: 6
            })
        );
    }

    #[test]
    fn short_unknown_and_oversized_messages_are_refused() {
        assert!(walk(b"d\0\0\0\x05w", 100, check).is_err());
        assert!(walk(b"d\0\0\0\x05x", 100, check).is_err());
        assert!(walk(b"d\0\0\0\x04", 100, check).is_err());
        assert!(walk(b"d\x7f\0\0\0", 1 << 20, check).is_err());
    }

    proptest! {
        #[test]
        fn walked_bytes_iterate_to_their_end(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20),
            cut in 0_usize..50,
            noise in proptest::option::of((any::<proptest::sample::Index>(), any::<u8>())),
        ) {
            let mut bytes: Vec<u8> = payloads.iter().flat_map(|payload| data(payload)).collect();
            bytes.truncate(bytes.len().saturating_sub(cut));
            if let Some((place, byte)) = noise && !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Ok(walked) = walk(&bytes, 1000, check) {
                let mut messages = Lump::new(&bytes[..walked.whole_bytes]).messages();
                while messages.next().is_some() {}
                prop_assert!(messages.rest.is_empty());
            }
        }
    }
}
