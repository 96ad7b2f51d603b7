//! One change of states.

use std::sync::Arc;

use super::chunk::Piece;
use super::state::JobState;
use crate::position::{Position, Span};

/// A change on its way through the pieces that it touches.
pub(super) struct Changing {
    pub(super) out: Vec<Piece>,
    state: Arc<JobState>,
    pub(super) span: Span,
    /// The first position that changed.
    pub(super) changed: Option<u64>,
    /// Up to where the piece written last has the new state.
    reached: Option<u64>,
}

impl Changing {
    pub(super) fn new(state: Arc<JobState>, span: Span) -> Changing {
        Changing {
            out: Vec::new(),
            state,
            span,
            changed: None,
            reached: None,
        }
    }

    /// Takes pieces that follow each other, of which the last reaches up to `end`.
    pub(super) fn pieces(
        &mut self,
        pieces: impl Iterator<Item = Piece>,
        end: u64,
        stays: &impl Fn(&JobState) -> bool,
    ) {
        let mut pieces = pieces.peekable();
        while let Some(piece) = pieces.next() {
            let last = pieces.peek().map_or(end, |behind| behind.first - 1);
            self.piece(piece, last, stays);
        }
    }

    pub(super) fn piece(&mut self, piece: Piece, last: u64, stays: &impl Fn(&JobState) -> bool) {
        let whole = Span::new(Position(piece.first), Position(last));
        let part = whole.intersection(self.span);
        let own = piece.state.as_deref().unwrap_or(&JobState::UNTOUCHED);
        let Some(part) = part.filter(|_| !stays(own)) else {
            return self.push(piece);
        };
        let (first, end) = (part.first.0, part.last.0);
        if piece.first < first {
            self.push(piece.clone());
        }
        self.changed.get_or_insert(first);
        if self.reached.is_none_or(|reached| reached + 1 != first) {
            self.push(Piece {
                first,
                state: Some(Arc::clone(&self.state)),
            });
        }
        self.reached = Some(end);
        if last > end {
            self.push(Piece {
                first: end + 1,
                state: piece.state,
            });
        }
    }

    pub(super) fn push(&mut self, piece: Piece) {
        if self.out.last().is_none_or(|before| !before.joins(&piece)) {
            self.out.push(piece);
        }
    }
}
