//! Ids: KSUIDs whose payload is an address.
//!
//! An id is 20 bytes, written as 27 base62 characters that sort by time: 4 bytes of seconds since
//! 2014-05-13 16:53:20 UTC, then 16 bytes of payload. Ours are the store's id (4), the lane (4; 0
//! for the event itself) and the position (8), so a lookup needs no index and no job stores its id.
//!
//! User code sees an event before it has a position. Its id then is a *ticket*: the top bit of the last 8
//! bytes is set and the others are random. The event keeps its ticket, and is found by it through the time
//! in the id; what the store hands out afterwards is always the address.
//!
//! Format: <https://github.com/segmentio/ksuid> (text form and epoch).

use std::fmt;
use std::str::FromStr;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::event::{LaneId, StoreId};
use crate::position::Position;

const EPOCH_SECONDS: i64 = 1_400_000_000;
const TEXT_LENGTH: usize = 27;
/// The bit that tells a ticket from a position; no store ever has 2^63 events.
const TICKET: u64 = 1 << 63;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The id of an event, or of the job that one lane has for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; 20]);

impl Id {
    /// The id of the event at `position`, received at `at`.
    #[must_use]
    pub fn of_event(store: StoreId, position: Position, at: Timestamp) -> Id {
        Id::new(store, 0, position, at)
    }

    /// The id of the job that `lane` has for the event at `position`, received at `at`.
    #[must_use]
    pub fn of_job(store: StoreId, lane: LaneId, position: Position, at: Timestamp) -> Id {
        Id::new(store, lane.0, position, at)
    }

    /// The id that an event carries until it has a position: `number` is any random number.
    #[must_use]
    pub fn ticket(store: StoreId, number: u64, at: Timestamp) -> Id {
        Id::new(store, 0, Position(number | TICKET), at)
    }

    /// The id that the job of `lane` for this event carries until the event has a position.
    #[must_use]
    pub fn for_lane(mut self, lane: LaneId) -> Id {
        self.0[8..12].copy_from_slice(&lane.0.to_be_bytes());
        self
    }

    /// The number of a ticket; none when the id is an address.
    #[must_use]
    pub fn ticket_number(&self) -> Option<u64> {
        Some(self.number()).filter(|number| number & TICKET != 0)
    }

    /// When the id was made, to the second.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        Timestamp((i64::from(self.word(0)) + EPOCH_SECONDS) * 1_000_000)
    }

    fn new(store: StoreId, lane: u32, position: Position, at: Timestamp) -> Id {
        let seconds = u32::try_from((at.seconds() - EPOCH_SECONDS).max(0)).unwrap_or(u32::MAX);
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&seconds.to_be_bytes());
        bytes[4..8].copy_from_slice(&store.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&lane.to_be_bytes());
        bytes[12..].copy_from_slice(&position.0.to_be_bytes());
        Id(bytes)
    }

    /// The store it belongs to.
    #[must_use]
    pub fn store(&self) -> StoreId {
        StoreId(self.word(4))
    }

    /// The lane, when it is a job's id.
    #[must_use]
    pub fn lane(&self) -> Option<LaneId> {
        Some(self.word(8)).filter(|lane| *lane != 0).map(LaneId)
    }

    /// The event's position; none when the id is a ticket.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        Some(self.number())
            .filter(|number| number & TICKET == 0)
            .map(Position)
    }

    fn number(&self) -> u64 {
        u64::from(self.word(12)) << 32 | u64::from(self.word(16))
    }

    fn words(&self) -> [u32; 5] {
        [0, 4, 8, 12, 16].map(|at| self.word(at))
    }

    fn word(&self, at: usize) -> u32 {
        let mut word = [0; 4];
        word.copy_from_slice(&self.0[at..at + 4]);
        u32::from_be_bytes(word)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = self.words();
        let mut text = [b'0'; TEXT_LENGTH];
        for group in text.rchunks_mut(GROUP) {
            let mut rest = divide(&mut number, GROUP_VALUES);
            for digit in group.iter_mut().rev() {
                *digit = DIGITS[(rest % 62) as usize];
                rest /= 62;
            }
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

impl FromStr for Id {
    type Err = Error;

    fn from_str(text: &str) -> Result<Id, Error> {
        let wrong = || {
            Error::invalid(format!("\"{text}\" is not an id"))
                .help("an id has 27 letters and digits")
        };
        if text.len() != TEXT_LENGTH {
            return Err(wrong());
        }
        let mut number = [0; 5];
        // Groups count from the end, so the first may be shorter.
        let (first, groups) = text.as_bytes().split_at(TEXT_LENGTH % GROUP);
        for group in [first].into_iter().chain(groups.chunks(GROUP)) {
            let mut add = 0;
            for byte in group {
                add = add * 62 + digit_of(*byte).ok_or_else(wrong)?;
            }
            let by = 62_u32.pow(group.len() as u32);
            if multiply_add(&mut number, by, add) {
                return Err(wrong());
            }
        }
        let mut bytes = [0; 20];
        for (bytes, word) in bytes.chunks_mut(4).zip(number) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        Ok(Id(bytes))
    }
}

/// Digits that are written and read at a time: as many as fit 32 bits.
const GROUP: usize = 5;
const GROUP_VALUES: u32 = 62_u32.pow(GROUP as u32);

/// What a digit stands for; `None` when it is none.
fn digit_of(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'0'..=b'9' => byte - b'0',
        b'A'..=b'Z' => byte - b'A' + 10,
        b'a'..=b'z' => byte - b'a' + 36,
        _ => return None,
    }))
}

/// Divides a number of 32-bit words, the highest first, in place and returns the remainder.
fn divide(number: &mut [u32; 5], by: u32) -> u32 {
    let mut rest = 0;
    for word in number {
        let value = rest << 32 | u64::from(*word);
        *word = (value / u64::from(by)) as u32;
        rest = value % u64::from(by);
    }
    rest as u32
}

/// Multiplies such a number in place and adds; says whether it overflowed.
fn multiply_add(number: &mut [u32; 5], by: u32, add: u32) -> bool {
    let mut carry = u64::from(add);
    for word in number.iter_mut().rev() {
        let value = u64::from(*word) * u64::from(by) + carry;
        *word = value as u32;
        carry = value >> 32;
    }
    carry != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_an_address_and_survives_its_text() {
        let at = Timestamp(1_700_000_000_000_000);
        let id = Id::of_job(StoreId(0xdead_beef), LaneId(7), Position(1 << 40 | 5), at);
        let text = id.to_string();
        assert_eq!(text.len(), 27);
        let parsed: Id = text.parse().unwrap();
        assert_eq!(parsed, id);
        assert_eq!(
            (parsed.store(), parsed.lane()),
            (StoreId(0xdead_beef), Some(LaneId(7)))
        );
        assert_eq!(parsed.position(), Some(Position(1 << 40 | 5)));
        assert_eq!((parsed.ticket_number(), parsed.at()), (None, at));
        assert_eq!(Id::of_event(StoreId(1), Position(1), at).lane(), None);
    }

    #[test]
    fn a_ticket_is_no_position_and_names_a_lane_when_it_is_a_jobs() {
        let at = Timestamp(1_700_000_000_000_000);
        let ticket = Id::ticket(StoreId(3), 77, at);
        let parsed: Id = ticket.for_lane(LaneId(2)).to_string().parse().unwrap();
        assert_eq!((parsed.position(), parsed.lane()), (None, Some(LaneId(2))));
        assert_eq!(parsed.ticket_number(), ticket.ticket_number());
        assert!(
            ticket
                .ticket_number()
                .is_some_and(|number| number & !(1 << 63) == 77)
        );
    }

    #[test]
    fn ids_sort_by_time_as_text_too() {
        let id = |seconds: i64| {
            Id::of_event(StoreId(9), Position(1), Timestamp(seconds * 1_000_000)).to_string()
        };
        assert!(id(1_700_000_000) < id(1_700_000_001));
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in [
            "",
            "short",
            &"z".repeat(27),
            &"!".repeat(27),
            &"0".repeat(28),
        ] {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_text_form_is_the_published_one() {
        // The example of the format's own documentation.
        let id: Id = "0ujtsYcgvSTl8PAuAdqWYSMnLOv".parse().unwrap();
        assert_eq!(id.0[..4], 107_608_047u32.to_be_bytes());
        assert_eq!(id.to_string(), "0ujtsYcgvSTl8PAuAdqWYSMnLOv");
    }
}
