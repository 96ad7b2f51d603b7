//! What the fuzz targets do with records of the store and with its catalog. See [`crate::fuzzing`].

use bytes::Bytes;

use super::Store;
use super::catalog::Catalog;
use super::log::LogStore;
use super::record::Record;
use crate::fuzzing::Input;
use crate::log::Fold;
use crate::position::{Position, Span};

/// A kind, then a record's bytes: what is read is written so that it reads as the same.
pub(crate) fn record(input: &[u8]) {
    let mut input = Input(input);
    let kind = input.u8() % 12;
    for body in [Bytes::copy_from_slice(input.0), framed(input.0)] {
        let Ok((record, rest)) = Record::decode(kind, &body) else {
            continue;
        };
        assert_eq!(record.kind(), kind);
        let again = [&record.encode()[..], &rest].concat();
        let again = Record::decode(kind, &again.into());
        assert_eq!(again.ok(), Some((record, rest)));
    }
}

/// A head behind its length.
fn framed(head: &[u8]) -> Bytes {
    [&(head.len() as u32).to_le_bytes(), head].concat().into()
}

/// A catalog: read from a snapshot, or folded from records. Whatever it holds, it can be looked at, trimmed, and written so that it reads as
/// the same.
pub(crate) fn catalog(input: &[u8]) {
    let mut input = Input(input);
    let mut catalog = match input.u8() & 1 {
        0 => Catalog::default(),
        _ => {
            let len = usize::from(input.u16());
            let Ok(catalog) = Catalog::decode(input.bytes(len)) else {
                return;
            };
            catalog
        }
    };
    let mut next = Position::FIRST;
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        step(&mut catalog, &mut next, &mut input);
    }
    look(&catalog);
    let written = Catalog::encode(&catalog);
    let again = Catalog::decode(&written).expect("what was written is read");
    assert_eq!(again, catalog);
    assert_eq!(Catalog::encode(&again), written);
}

fn step(catalog: &mut Catalog, next: &mut Position, input: &mut Input<'_>) {
    let (kind, count, len) = (input.u8(), input.u16(), input.u16());
    if kind >= 0xf0 {
        Fold::forget_before(catalog, Position(input.u64()));
        return Fold::seal(catalog, u64::from(count));
    }
    let head = framed(input.bytes(usize::from(len)));
    let Ok((record, _)) = Record::decode(kind % 12, &head) else {
        return;
    };
    let before = catalog.clone();
    match Catalog::apply(catalog, &record) {
        Ok(()) => catalog.note(&record, *next, u32::from(count)),
        Err(_) => assert_eq!(*catalog, before, "a refused record changes nothing"),
    }
    *next = next.plus(u64::from(count));
}

fn look(catalog: &Catalog) {
    let upto = catalog.settled_upto();
    for lane in catalog.lanes.values() {
        assert!(lane.forgotten || upto.is_some_and(|upto| upto <= lane.settled_upto));
        let mut last = Position::ZERO;
        for open in lane.open() {
            assert!(open.span.first > last && !open.span.is_empty());
            assert_eq!(lane.state(open.span.first).status, open.status);
            last = open.span.last;
        }
    }
    assert_eq!(catalog.statistics(1).last().map(|own| own.segment), Some(1));
}

/// A whole folder of segments, read as a store that another process writes: its blocks in order, its history, its numbers.
pub(crate) fn store(input: &[u8]) {
    let Ok(log) = crate::log::fuzzing::opened(input, Catalog::default()) else {
        return;
    };
    let store = LogStore::looking_at(log);
    let mut blocks = store.blocks(Position::FIRST);
    let mut last = Position::ZERO;
    while let Ok(Some(block)) = blocks.next() {
        if let Some(span) = block.span() {
            assert!(
                span.first > last || block.transaction.is_some(),
                "{span} behind {last}"
            );
            last = span.last;
        }
    }
    let span = Span::new(Position::FIRST, Position::MAX);
    let _history = store.transitions(None, span, 100);
    for part in store.statistics() {
        let _transitions = store.transitions_in(&part);
    }
    look_at_lanes(&store);
}

fn look_at_lanes(store: &LogStore) {
    let oldest = store.oldest();
    assert!(
        store
            .lanes()
            .iter()
            .all(|lane| store.settled_in(lane.id).is_some())
    );
    assert!(store.settled_upto() >= oldest.previous() || !store.lanes().is_empty());
}
