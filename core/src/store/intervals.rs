//! The state of every job of one lane, kept by interval: a million jobs in one state are one piece.
//!
//! The positions from the first on are cut into **pieces**, each in one state or untouched. Pieces lie
//! in **chunks** of at most [`PIECES_MAX`], chunks in a tree by their first position, so a change costs the
//! logarithm of their number and what it touches: within one chunk the pieces that it touches are replaced where they
//! lie, and only one that reaches over several chunks cuts them anew. Chunks are shared: a clone copies the tree alone, so
//! whoever looks or writes a snapshot has the state of one moment without holding anybody up.
//!
//! What is settled alike is merged. What is not settled keeps the cuts that transitions made: a batch that
//! was executing must be found again as the same batch.

mod changing;
mod chunk;
mod snapshot;
mod state;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::job::Status;
use crate::position::{Position, Span};

use changing::Changing;
use chunk::{Chunk, Piece, UNSETTLED, bit};
pub use state::JobState;

/// Pieces of one chunk: 16 bytes each, copied when a chunk that somebody looks at changes.
const PIECES_MAX: usize = 128;
/// A chunk that shrinks below this is joined with the one behind it.
const PIECES_MIN: usize = PIECES_MAX / 4;
/// States that are looked through before a new one is kept: neighbours mostly failed alike.
const RECENT_MAX: usize = 8;

/// The states of all positions from a first one on. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Intervals {
    /// By the first position of each. Never empty, and the last piece is untouched.
    chunks: BTreeMap<u64, Arc<Chunk>>,
    recent: VecDeque<Arc<JobState>>,
}

impl PartialEq for Intervals {
    fn eq(&self, other: &Intervals) -> bool {
        self.pieces(Position::ZERO).eq(other.pieces(Position::ZERO))
    }
}

impl Eq for Intervals {}

impl Intervals {
    /// Everything from `first` on, untouched.
    pub(super) fn new(first: Position) -> Intervals {
        let untouched = Piece {
            first: first.0,
            state: None,
        };
        Intervals {
            chunks: BTreeMap::from([(first.0, Arc::new(Chunk::of(vec![untouched])))]),
            recent: VecDeque::new(),
        }
    }

    /// Puts the jobs of `span` into `state`, but for those whose state `stays`. Returns the first
    /// position that changed.
    pub(super) fn set(
        &mut self,
        span: Span,
        state: JobState,
        stays: impl Fn(&JobState) -> bool,
    ) -> Option<Position> {
        let span = self.within(span)?;
        let changing = Changing::new(self.intern(state), span);
        let changed = match self.chunk_around(span) {
            Some((key, end)) => self.set_within(key, end, changing, &stays),
            None => self.set_across(changing, &stays),
        };
        changed.map(Position)
    }

    /// The chunk that `span` and its neighbours lie in, by its key, with the last position that it covers. None when they lie
    /// in several, or when little is left in it, so that it had better be joined with the next.
    fn chunk_around(&self, span: Span) -> Option<(u64, u64)> {
        let before = span.first.0.checked_sub(1)?;
        let (key, chunk) = self.chunks.range(..=before).next_back()?;
        match self.key_after(*key) {
            None => Some((*key, u64::MAX)),
            Some(next) => {
                let fits = span.last.0 + 1 < next && chunk.pieces.len() >= PIECES_MIN;
                fits.then_some((*key, next - 1))
            }
        }
    }

    /// Changes what lies in the chunk at `key`, which covers everything up to `end`.
    fn set_within(
        &mut self,
        key: u64,
        end: u64,
        mut changing: Changing,
        stays: &impl Fn(&JobState) -> bool,
    ) -> Option<u64> {
        let own = self.chunks.get_mut(&key)?;
        let from = own.index(changing.span.first.0 - 1);
        let behind = own.index(changing.span.last.0 + 1) + 1;
        let last = own.pieces.get(behind).map_or(end, |next| next.first - 1);
        let touched = own.pieces.get(from..behind)?.iter();
        changing.pieces(touched.cloned(), last, stays);
        let changed = changing.changed?;
        let chunk = Arc::make_mut(own);
        chunk.replace(from, behind, changing.out);
        if chunk.pieces.len() > PIECES_MAX {
            let pieces = std::mem::take(&mut chunk.pieces);
            self.chunks.remove(&key);
            self.put(pieces, end == u64::MAX);
        }
        Some(changed)
    }

    /// Changes what lies in several chunks, which are cut anew.
    fn set_across(
        &mut self,
        mut changing: Changing,
        stays: &impl Fn(&JobState) -> bool,
    ) -> Option<u64> {
        let (pieces, end) = self.take(changing.span);
        changing.out.reserve(pieces.len() + 2);
        changing.pieces(pieces.into_iter(), end, stays);
        self.put(changing.out, end == u64::MAX);
        changing.changed
    }

    /// The part of `span` that is kept here. The last position of all is never given to an event.
    fn within(&self, span: Span) -> Option<Span> {
        let last = Position(Position::MAX.0 - 1);
        span.intersection(Span::new(self.first(), last))
    }

    /// The first position kept.
    pub(super) fn first(&self) -> Position {
        Position(self.chunks.first_key_value().map_or(0, |(first, _)| *first))
    }

    fn intern(&mut self, state: JobState) -> Arc<JobState> {
        let known = self.recent.iter().find(|known| ***known == state);
        if let Some(known) = known {
            return Arc::clone(known);
        }
        let mut alike = self.recent.iter().rev();
        let alike =
            alike.find_map(|known| known.error.clone().filter(|_| known.error == state.error));
        let state = Arc::new(JobState {
            error: alike.or(state.error),
            ..state
        });
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Arc::clone(&state));
        state
    }

    /// Takes out the chunks that `span` and its neighbours lie in, and one more when little is left;
    /// with the last position they cover.
    fn take(&mut self, span: Span) -> (Vec<Piece>, u64) {
        let from = self.key_of(span.first.0.saturating_sub(1));
        let keys: Vec<u64> = self
            .chunks
            .range(from..=span.last.0 + 1)
            .map(|(key, _)| *key)
            .collect();
        let mut pieces = Vec::new();
        for key in keys {
            self.take_chunk(key, &mut pieces);
        }
        if pieces.len() < PIECES_MIN
            && let Some(next) = self.key_after(span.last.0)
        {
            self.take_chunk(next, &mut pieces);
        }
        let last = pieces.last().map_or(span.last.0, |piece| piece.first);
        let end = self.key_after(last);
        (pieces, end.map_or(u64::MAX, |next| next - 1))
    }

    fn take_chunk(&mut self, key: u64, into: &mut Vec<Piece>) {
        if let Some(chunk) = self.chunks.remove(&key) {
            match Arc::try_unwrap(chunk) {
                Ok(chunk) => into.extend(chunk.pieces),
                Err(shared) => into.extend_from_slice(&shared.pieces),
            }
        }
    }

    fn key_of(&self, position: u64) -> u64 {
        let holding = self.chunks.range(..=position).next_back();
        holding.map_or(position, |(key, _)| *key)
    }

    fn key_after(&self, position: u64) -> Option<u64> {
        let after = self.chunks.range(position.saturating_add(1)..).next();
        after.map(|(key, _)| *key)
    }

    /// Puts pieces back as chunks: full ones at the end, where more will come, else of even size.
    fn put(&mut self, pieces: Vec<Piece>, is_tail: bool) {
        let size = match pieces.len() {
            count if count <= PIECES_MAX || is_tail => PIECES_MAX,
            count => count.div_ceil(count.div_ceil(PIECES_MAX)),
        };
        let mut rest = pieces.into_iter();
        loop {
            let mut chunk = Vec::with_capacity(size.min(rest.len()));
            chunk.extend(rest.by_ref().take(size));
            let Some(first) = chunk.first().map(|piece| piece.first) else {
                return;
            };
            self.chunks.insert(first, Arc::new(Chunk::of(chunk)));
        }
    }

    /// The state of the job at `position`; untouched, when it is before all that is kept.
    pub(super) fn get(&self, position: Position) -> JobState {
        let holding = self.chunks.range(..=position.0).next_back();
        let piece = holding.and_then(|(_, chunk)| chunk.pieces.get(chunk.index(position.0)));
        let state = piece.and_then(|piece| piece.state.as_deref());
        state.unwrap_or(&JobState::UNTOUCHED).clone()
    }

    /// The last position of the settled jobs that begin at `from` without a gap; the one before
    /// `from` when the job there is not settled.
    pub(super) fn settled_upto(&self, from: Position) -> Position {
        let from = from.max(self.first());
        let behind = self.chunks.range(self.key_of(from.0)..);
        for (_, chunk) in behind.filter(|(_, chunk)| chunk.has & UNSETTLED != 0) {
            let pieces = chunk.pieces.iter().skip(chunk.index(from.0));
            let mut open = pieces.filter(|piece| !piece.status().is_settled());
            if let Some(open) = open.next() {
                return Position(open.first).max(from).previous();
            }
        }
        Position(Position::MAX.0 - 1)
    }

    /// The pieces that reach `from` or lie behind it, untouched ones included, in order.
    fn pieces(&self, from: Position) -> impl Iterator<Item = (Span, Option<&Arc<JobState>>)> {
        self.pieces_with(from, u8::MAX)
    }

    /// As [`Intervals::pieces`], but chunks without any of these statuses may be left out.
    fn pieces_with(
        &self,
        from: Position,
        statuses: u8,
    ) -> impl Iterator<Item = (Span, Option<&Arc<JobState>>)> {
        let chunks = self.chunks.range(self.key_of(from.0)..);
        let found = chunks.filter(move |(_, chunk)| chunk.has & statuses != 0);
        let pieces = found.flat_map(move |(key, chunk)| {
            let end = self.key_after(*key).map_or(u64::MAX, |next| next - 1);
            let behind = chunk.pieces.iter().skip(1).map(|piece| piece.first - 1);
            let ends = behind.chain([end]);
            chunk.pieces.iter().zip(ends)
        });
        let reaching = pieces.filter(move |(_, last)| *last >= from.0);
        reaching.map(|(piece, last)| {
            let span = Span::new(Position(piece.first), Position(last));
            (span, piece.state.as_ref())
        })
    }

    /// The touched pieces in `span` whose status is one of `statuses`, cut to it, in order.
    pub(super) fn touched(
        &self,
        span: Span,
        statuses: &[Status],
    ) -> impl Iterator<Item = (Span, &JobState)> {
        let wanted = statuses.iter().fold(0, |bits, status| bits | bit(*status));
        let pieces = self.pieces_with(span.first, wanted);
        let inside = pieces.take_while(move |(piece, _)| piece.first <= span.last);
        inside.filter_map(move |(piece, state)| {
            let state = state.filter(|state| bit(state.status) & wanted != 0)?;
            Some((piece.intersection(span)?, &**state))
        })
    }

    /// All pieces in `span`, cut to it, in order; those untouched as such.
    pub(super) fn all(&self, span: Span) -> impl Iterator<Item = (Span, &JobState)> {
        let pieces = self.pieces(span.first);
        let inside = pieces.take_while(move |(piece, _)| piece.first <= span.last);
        inside.filter_map(move |(piece, state)| {
            let state = state.map_or(&JobState::UNTOUCHED, |state| &**state);
            Some((piece.intersection(span)?, state))
        })
    }

    /// The last position that was ever touched; the one before the first when none was.
    pub(super) fn touched_upto(&self) -> Position {
        let last = self.chunks.last_key_value();
        let last = last.and_then(|(_, chunk)| chunk.pieces.last());
        Position(last.map_or(0, |piece| piece.first)).previous()
    }

    /// Forgets everything before `oldest`.
    pub(super) fn trim(&mut self, oldest: Position) {
        let oldest = oldest.0.min(u64::MAX - 1);
        if oldest <= self.first().0 {
            return;
        }
        let key = self.key_of(oldest);
        let mut kept = self.chunks.split_off(&key);
        if let Some(chunk) = kept.remove(&key) {
            let mut pieces = chunk.pieces[chunk.index(oldest)..].to_vec();
            if let Some(first) = pieces.first_mut() {
                first.first = oldest;
            }
            kept.insert(oldest, Arc::new(Chunk::of(pieces)));
        }
        self.chunks = kept;
    }

    /// Pieces kept, those untouched included.
    pub(super) fn len(&self) -> usize {
        self.chunks.values().map(|chunk| chunk.pieces.len()).sum()
    }
}

#[cfg(test)]
mod tests;
