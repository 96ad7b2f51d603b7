//! Pieces that lie one behind the other, kept together.

use std::sync::Arc;

use super::state::JobState;
use crate::job::Status;

/// Room for so many pieces is added to a chunk at once, so that a million of them hold little that is empty.
pub(super) const PIECES_ROOM: usize = 8;

/// Statuses as bits, by their code.
pub(super) fn bit(status: Status) -> u8 {
    1 << status.code()
}

pub(super) const UNSETTLED: u8 = !(1 << Status::Succeeded as u8 | 1 << Status::Discarded as u8);

/// Positions from `first` up to the next piece, in one state; none: untouched.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) first: u64,
    pub(super) state: Option<Arc<JobState>>,
}

impl Piece {
    pub(super) fn status(&self) -> Status {
        let status = self.state.as_ref().map(|state| state.status);
        status.unwrap_or(Status::Acknowledged)
    }

    /// Whether this piece and the one behind it are one.
    pub(super) fn joins(&self, behind: &Piece) -> bool {
        let same = match (&self.state, &behind.state) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other) || own == other,
            (None, None) => return true,
            _ => false,
        };
        same && self.status().is_settled()
    }
}

#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) pieces: Vec<Piece>,
    /// How many pieces have each status, by its code.
    pub(super) counts: [u16; Status::ALL.len()],
    /// Which statuses occur, as [`bit`]s.
    pub(super) has: u8,
}

impl Chunk {
    pub(super) fn of(pieces: Vec<Piece>) -> Chunk {
        let mut chunk = Chunk {
            pieces: Vec::new(),
            counts: Default::default(),
            has: 0,
        };
        chunk.count(&pieces);
        chunk.pieces = pieces;
        chunk
    }

    fn count(&mut self, pieces: &[Piece]) {
        for status in pieces.iter().map(Piece::status) {
            self.counts[usize::from(status.code())] += 1;
            self.has |= bit(status);
        }
    }

    fn discount(&mut self, from: usize, behind: usize) {
        for status in self.pieces[from..behind].iter().map(Piece::status) {
            let count = &mut self.counts[usize::from(status.code())];
            *count -= 1;
            if *count == 0 {
                self.has &= !bit(status);
            }
        }
    }

    /// Puts `pieces` in place of those `from` one up to `behind` another.
    pub(super) fn replace(&mut self, from: usize, behind: usize, pieces: Vec<Piece>) {
        self.discount(from, behind);
        self.count(&pieces);
        let grown = self.pieces.len() + pieces.len() + from - behind;
        if grown > self.pieces.capacity() {
            self.pieces
                .reserve_exact(grown + PIECES_ROOM - self.pieces.len());
        }
        self.pieces.splice(from..behind, pieces);
        if self.pieces.capacity() > 2 * (grown + PIECES_ROOM) {
            self.pieces.shrink_to(grown + PIECES_ROOM);
        }
    }

    /// The piece that holds `position`, which is not before the first.
    pub(super) fn index(&self, position: u64) -> usize {
        let behind = self.pieces.partition_point(|piece| piece.first <= position);
        behind.saturating_sub(1)
    }
}
