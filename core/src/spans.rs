//! A set of positions, kept as spans.

use std::fmt;

use crate::position::{Position, Span};

/// Spans in order, none empty, none touching another: a batch with gaps in it, or what an operator set aside.
/// Additions at the end cost nothing; elsewhere they move what lies behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans(Vec<Span>);

impl From<Span> for Spans {
    fn from(span: Span) -> Spans {
        Spans::from_iter([span])
    }
}

impl FromIterator<Span> for Spans {
    fn from_iter<I: IntoIterator<Item = Span>>(spans: I) -> Spans {
        let mut all = Spans::default();
        spans.into_iter().for_each(|span| all.add(span));
        all
    }
}

impl Spans {
    /// The spans, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Span] {
        &self.0
    }

    /// The spans, in order.
    pub fn iter(&self) -> impl Iterator<Item = Span> + '_ {
        self.0.iter().copied()
    }

    /// Whether there is no position.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many positions.
    #[must_use]
    pub fn positions(&self) -> u64 {
        self.0.iter().map(|span| span.len()).sum()
    }

    /// From the first position to the last, whatever lies between; none when there is no position.
    #[must_use]
    pub fn hull(&self) -> Option<Span> {
        Some(Span::new(self.0.first()?.first, self.0.last()?.last))
    }

    /// Whether `position` is one of them.
    #[must_use]
    pub fn contains(&self, position: Position) -> bool {
        self.next_at(position).is_some_and(|next| next == position)
    }

    /// The first position that is not before `position`.
    #[must_use]
    pub fn next_at(&self, position: Position) -> Option<Position> {
        let at = self.behind(position);
        self.0.get(at).map(|span| span.first.max(position))
    }

    /// Whether some position is in `span` too.
    #[must_use]
    pub fn intersects(&self, span: Span) -> bool {
        !span.is_empty()
            && self
                .next_at(span.first)
                .is_some_and(|next| next <= span.last)
    }

    /// The positions that are in `span` too.
    #[must_use]
    pub fn within(&self, span: Span) -> Spans {
        let touched = self.0[self.behind(span.first)..].iter();
        let touched = touched.take_while(|own| own.first <= span.last);
        Spans(touched.filter_map(|own| own.intersection(span)).collect())
    }

    /// The positions that are in `others` too.
    #[must_use]
    pub fn and(&self, others: &Spans) -> Spans {
        let (few, many) = match self.0.len() <= others.0.len() {
            true => (self, others),
            false => (others, self),
        };
        Spans(few.iter().flat_map(|span| many.within(span).0).collect())
    }

    /// The positions that are not in `others`.
    #[must_use]
    pub fn minus(&self, others: &Spans) -> Spans {
        let mut left = Vec::new();
        for span in self.iter() {
            let mut next = span.first;
            for taken in others.within(span).0 {
                left.push(Span::new(next, taken.first.previous()));
                next = taken.last.next();
            }
            left.push(Span::new(next, span.last));
        }
        left.retain(|span| !span.is_empty());
        Spans(left)
    }

    /// Adds the positions of `span`.
    pub fn add(&mut self, span: Span) {
        if span.is_empty() {
            return;
        }
        let first = self.behind(span.first.previous());
        let end = self.0.partition_point(|own| own.first <= span.last.next());
        let joined = self.0[first..end.max(first)].iter();
        let joined = joined.fold(span, |all, own| {
            Span::new(all.first.min(own.first), all.last.max(own.last))
        });
        self.0.splice(first..end.max(first), [joined]);
    }

    /// Takes the positions of `span` away.
    pub fn remove(&mut self, span: Span) {
        if self.intersects(span) {
            let first = self.behind(span.first);
            let end = self.0.partition_point(|own| own.first <= span.last);
            let left = Spans(self.0[first..end].to_vec()).minus(&Spans::from(span));
            self.0.splice(first..end, left.0);
        }
    }

    /// How many spans end before `position`.
    fn behind(&self, position: Position) -> usize {
        self.0.partition_point(|own| own.last < position)
    }
}

impl fmt::Display for Spans {
    /// The first few, and how many more there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 3;
        let mut separator = "";
        for span in self.0.iter().take(SHOWN_MAX) {
            write!(f, "{separator}{span}")?;
            separator = ", ";
        }
        match self.0.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn span(first: u64, last: u64) -> Span {
        Span::new(Position(first), Position(last))
    }

    fn positions(spans: &Spans) -> BTreeSet<u64> {
        spans
            .iter()
            .flat_map(|span| span.first.0..=span.last.0)
            .collect()
    }

    fn spans() -> impl Strategy<Value = Vec<Span>> {
        let one = (1u64..60, 0u64..8).prop_map(|(first, more)| span(first, first + more));
        proptest::collection::vec(one, 0..12)
    }

    proptest! {
        #[test]
        fn spans_are_a_set_of_positions(own in spans(), others in spans(), window in spans()) {
            let mut all = Spans::from_iter(own.iter().copied());
            let mut expected: BTreeSet<u64> = own.iter().flat_map(|s| s.first.0..=s.last.0).collect();
            for gone in &others {
                all.remove(*gone);
                expected.retain(|position| !gone.contains(Position(*position)));
            }
            prop_assert_eq!(positions(&all), expected.clone());
            let neighbours = all.as_slice().windows(2);
            for pair in neighbours {
                prop_assert!(pair[0].last.next() < pair[1].first);
            }
            let window = Spans::from_iter(window);
            let inside = positions(&window);
            let both: BTreeSet<u64> = expected.intersection(&inside).copied().collect();
            prop_assert_eq!(positions(&all.and(&window)), both);
            let rest: BTreeSet<u64> = expected.difference(&inside).copied().collect();
            prop_assert_eq!(positions(&all.minus(&window)), rest);
            prop_assert_eq!(all.positions(), expected.len() as u64);
            for position in 0..80 {
                prop_assert_eq!(all.contains(Position(position)), expected.contains(&position));
            }
        }
    }

    #[test]
    fn many_spans_are_shown_as_a_few() {
        let all = Spans::from_iter((1..=5).map(|n| span(n * 10, n * 10)));
        assert_eq!(all.to_string(), "10..10, 20..20, 30..30 and 2 more");
        assert_eq!(all.hull(), Some(span(10, 50)));
    }
}
