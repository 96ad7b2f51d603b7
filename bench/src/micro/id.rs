//! Ids of events: made, written and read.

use std::hint::black_box;

use blacksmith_core::clock::Timestamp;
use blacksmith_core::event::StoreId;
use blacksmith_core::id::Id;
use blacksmith_core::position::Position;

use super::{Piece, Work};

const IDS: u64 = 10_000;

/// Ids from position to text and back.
#[must_use]
pub fn ids() -> Vec<Piece> {
    vec![Piece::new("ids written and read".into(), written_and_read)]
}

fn written_and_read() -> Work {
    let store = StoreId(7);
    Work::new(IDS, IDS * 20, move || {
        for n in 1..=IDS {
            let at = Timestamp(1_700_000_000_000_000 + n as i64);
            let text = Id::of_event(store, Position(n), at).to_string();
            let id: Id = black_box(&text).parse().expect("an id");
            black_box(id);
        }
    })
}
