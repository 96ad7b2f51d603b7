//! What all events of one block share, in a few bytes before them.
//!
//! A block of whole small transactions needs none: each begins with its own `B` message. The chunks
//! of a staged transaction get theirs at its commit, and rows of a snapshot say when it was taken.

use blacksmith_core::error::{Error, Result};
use bytes::{BufMut, Bytes, BytesMut};

/// The context of a block's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Envelope {
    /// Messages carry the id of their (sub)transaction.
    pub streamed: bool,
    /// The transaction, unless the block holds `B` messages.
    pub moment: Option<Moment>,
}

/// When rows became visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// LSN of the commit; for rows of a snapshot, one less than where it became consistent.
    pub lsn: u64,
    /// Time of the commit, or of the snapshot; microseconds since 1970.
    pub at_us: i64,
}

const STREAMED: u8 = 1;
const WITH_MOMENT: u8 = 2;

impl Envelope {
    /// The envelope as bytes; empty for the default.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        if *self == Envelope::default() {
            return Bytes::new();
        }
        let mut out = BytesMut::with_capacity(17);
        let streamed = if self.streamed { STREAMED } else { 0 };
        match self.moment {
            None => out.put_u8(streamed),
            Some(moment) => {
                out.put_u8(streamed | WITH_MOMENT);
                out.put_u64_le(moment.lsn);
                out.put_i64_le(moment.at_us);
            }
        }
        out.freeze()
    }

    /// Reads what [`Envelope::encode`] wrote.
    ///
    /// # Errors
    /// `Damaged` for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Envelope> {
        let broken = || Error::damaged("the envelope of a Postgres block is broken");
        let Some((flags, rest)) = bytes.split_first() else {
            return Ok(Envelope::default());
        };
        let streamed = flags & STREAMED != 0;
        if flags & WITH_MOMENT == 0 {
            return Ok(Envelope {
                streamed,
                moment: None,
            });
        }
        let (lsn, rest) = rest.split_first_chunk().ok_or_else(broken)?;
        let (at, _) = rest.split_first_chunk().ok_or_else(broken)?;
        let moment = Moment {
            lsn: u64::from_le_bytes(*lsn),
            at_us: i64::from_le_bytes(*at),
        };
        Ok(Envelope {
            streamed,
            moment: Some(moment),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_survives_its_bytes_and_refuses_others() {
        for streamed in [false, true] {
            for moment in [
                None,
                Some(Moment {
                    lsn: 7 << 33,
                    at_us: -3,
                }),
            ] {
                let envelope = Envelope { streamed, moment };
                assert_eq!(Envelope::decode(&envelope.encode()).unwrap(), envelope);
            }
        }
        assert!(Envelope::decode(&[WITH_MOMENT, 1, 2]).is_err());
    }
}
