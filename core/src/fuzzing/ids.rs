//! Ids, notices and the short words that people and other programs name things with.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Input;
use crate::clock::Timestamp;
use crate::event::{LaneId, StoreId};
use crate::flow::Pattern;
use crate::id::Id;
use crate::position::Position;
use crate::pubsub::Notice;
use crate::schedule::duration::{parse_duration, write_duration};
use crate::settings::{parse_size, write_size};
use crate::source::Message;

/// Whatever is read is written as it was, or reads back as the same.
pub(super) fn run(input: &[u8]) {
    address(&mut Input(input));
    notice(input);
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(id) = text.parse::<Id>() {
        assert_eq!(id.to_string(), text);
        assert_ne!(id.position().is_some(), id.ticket_number().is_some());
        let (_, _, _) = (id.at(), id.store(), id.lane());
    }
    if let Ok(duration) = parse_duration(text) {
        assert_eq!(parse_duration(&write_duration(duration)), Ok(duration));
    }
    if let Ok(bytes) = parse_size(text) {
        assert!(parse_size(&write_size(bytes)).is_ok());
    }
    if let Some((pattern, name)) = text.split_once('\n').filter(|_| text.len() <= 64) {
        assert_eq!(
            Pattern::new(pattern).matches(name),
            fits(pattern.as_bytes(), name.as_bytes())
        );
    }
}

/// An id that was made says what it was made of.
fn address(input: &mut Input<'_>) {
    let (store, lane) = (StoreId(input.u32()), LaneId(input.u32()));
    let (position, at) = (input.u64() >> 1, Timestamp(input.i64()));
    let id = Id::of_job(store, lane, Position(position), at);
    let read: Id = id.to_string().parse().expect("what was written is read");
    assert_eq!(read, id);
    assert_eq!(
        (id.store(), id.position()),
        (store, Some(Position(position)))
    );
    assert_eq!(id.lane(), Some(lane).filter(|lane| lane.0 != 0));
}

fn notice(input: &[u8]) {
    let body = Bytes::copy_from_slice(input);
    let metadata = BTreeMap::new();
    if let Ok(notice) = Notice::read(&Message { body, metadata }) {
        assert_eq!(Notice::read(&notice.message()).ok(), Some(notice));
    }
}

/// What a pattern means, letter by letter.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for letter in pattern {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            next[at] = match letter {
                b'*' => reached[at] || (at > 0 && next[at - 1]),
                letter => at > 0 && reached[at - 1] && name[at - 1] == *letter,
            };
        }
        reached = next;
    }
    reached[name.len()]
}
