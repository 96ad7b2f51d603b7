//! Where an event stands in the store: one number, and the inclusive range of such numbers.
//!
//! Positions are given out in order, without gaps, starting at 1. Position 0 stands before the
//! first event, so "everything after p" reads naturally from an empty store too.

use std::fmt;

/// The place of one event in the store's order; 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

impl Position {
    /// Before the first event.
    pub const ZERO: Position = Position(0);
    /// The first event.
    pub const FIRST: Position = Position(1);
    /// The end of all positions; never given to an event.
    pub const MAX: Position = Position(u64::MAX);

    /// The position after this one, saturating.
    #[must_use]
    pub const fn next(self) -> Position {
        self.plus(1)
    }

    /// The position before this one; that of 0 is 0.
    #[must_use]
    pub const fn previous(self) -> Position {
        Position(self.0.saturating_sub(1))
    }

    /// The position `count` further, saturating.
    #[must_use]
    pub const fn plus(self, count: u64) -> Position {
        Position(self.0.saturating_add(count))
    }

    /// How many positions lie between `earlier` and this one; 0 when it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Position) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Twenty digits, so that names sort as positions do.
    #[must_use]
    pub fn padded(self) -> String {
        format!("{:020}", self.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The positions from `first` to `last`, both included; empty when `last` is before `first`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first position inside.
    pub first: Position,
    /// The last position inside.
    pub last: Position,
}

impl Span {
    /// From `first` to `last`, both included.
    #[must_use]
    pub const fn new(first: Position, last: Position) -> Span {
        Span { first, last }
    }

    /// The `count` positions that begin at `first`.
    #[must_use]
    pub const fn starting(first: Position, count: u64) -> Span {
        match count {
            0 => Span::new(first, first.previous()),
            _ => Span::new(first, first.plus(count - 1)),
        }
    }

    /// How many positions are inside.
    #[must_use]
    pub const fn len(self) -> u64 {
        match self.is_empty() {
            true => 0,
            false => self.last.since(self.first).saturating_add(1),
        }
    }

    /// Whether nothing is inside.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        // Nothing starts at 0, so the empty span at the very beginning needs no negative number.
        self.last.0 < self.first.0 || self.first.0 == 0
    }

    /// Whether `position` is inside.
    #[must_use]
    pub fn contains(self, position: Position) -> bool {
        !self.is_empty() && self.first <= position && position <= self.last
    }

    /// The positions that are in both, if any.
    #[must_use]
    pub fn intersection(self, other: Span) -> Option<Span> {
        let both = Span::new(self.first.max(other.first), self.last.min(other.last));
        let real = !self.is_empty() && !other.is_empty() && !both.is_empty();
        real.then_some(both)
    }

    /// Whether some position is in both.
    #[must_use]
    pub fn intersects(self, other: Span) -> bool {
        self.intersection(other).is_some()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u64, last: u64) -> Span {
        Span::new(Position(first), Position(last))
    }

    #[test]
    fn padded_names_sort_as_positions_do() {
        assert_eq!(Position(42).padded(), "00000000000000000042");
        assert!(Position(9).padded() < Position(10).padded());
        assert!(Position(10).padded() < Position::MAX.padded());
    }

    #[test]
    fn positions_saturate_instead_of_wrapping() {
        assert_eq!(Position::MAX.next(), Position::MAX);
        assert_eq!(Position::ZERO.previous(), Position::ZERO);
        assert_eq!(Position(3).since(Position(5)), 0);
        assert_eq!(Position(5).since(Position(3)), 2);
    }

    #[test]
    fn a_span_holds_both_its_ends() {
        let span = span(10, 12);
        assert_eq!(span.len(), 3);
        assert!(span.contains(Position(10)) && span.contains(Position(12)));
        assert!(!span.contains(Position(9)) && !span.contains(Position(13)));
        assert_eq!(span.to_string(), "10..12");
    }

    #[test]
    fn a_span_of_no_positions_is_empty_wherever_it_starts() {
        for first in [0, 1, 7] {
            let none = Span::starting(Position(first), 0);
            assert!(none.is_empty());
            assert_eq!(none.len(), 0);
            assert!(!none.intersects(span(0, 100)));
        }
        assert_eq!(Span::starting(Position(7), 2), span(7, 8));
    }

    #[test]
    fn spans_intersect_in_what_both_hold() {
        assert_eq!(span(1, 5).intersection(span(4, 9)), Some(span(4, 5)));
        assert!(span(1, 5).intersects(span(5, 5)));
        assert!(!span(1, 5).intersects(span(6, 9)));
    }
}
