//! Sets of intervals of positions.

use std::hint::black_box;

use blacksmith_core::position::{Position, Span};
use blacksmith_core::spans::Spans;

use super::{Piece, Work};

const SPANS: u64 = 2_000;

/// Spans that come in no order, and what is left of them without others.
#[must_use]
pub fn spans() -> Vec<Piece> {
    vec![
        Piece::new("spans added in no order".into(), add),
        Piece::new("spans without others".into(), minus),
    ]
}

fn add() -> Work {
    Work::new(SPANS, 0, || {
        black_box(scattered(70_001, 0));
    })
}

fn minus() -> Work {
    let (ours, others) = (scattered(10, 0), scattered(10, 2));
    Work::new(SPANS, 0, move || {
        black_box(ours.minus(&others));
    })
}

/// Spans of four positions, each `step` behind the one before, in a room of ten times their number.
fn scattered(step: u64, first: u64) -> Spans {
    let mut spans = Spans::default();
    for n in 0..SPANS {
        let at = 1 + first + n * step % (SPANS * 10);
        spans.add(Span::new(Position(at), Position(at + 3)));
    }
    spans
}
