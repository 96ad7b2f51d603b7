//! Counting, from statistics and intervals; only what lies at the edges of a filter is read.

use std::collections::HashSet;
use std::sync::Arc;

use super::list::Led;
use super::read::Seen;
use super::{Filter, Query, Times, View};
use crate::error::Result;
use crate::event::{Block, SchemaId};
use crate::position::Span;
use crate::spans::Spans;
use crate::store::{Lane, Statistics};

/// What is counted: positions of `schemas` in those spans that `spans` picks out.
struct Counting<'a> {
    span: Span,
    times: Times,
    schemas: &'a HashSet<SchemaId>,
    spans: &'a dyn Fn(Span) -> Vec<Span>,
    /// What has to be asked of each single one, if so.
    fits: Option<&'a dyn Fn(&Seen) -> bool>,
}

impl Query {
    /// How many events there are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn count_events(&self, filter: &Filter) -> Result<u64> {
        let filter = filter.applied();
        let view = self.look();
        let Some(span) = filter.within(view.kept) else {
            return Ok(0);
        };
        let schemas = view.schemas_of(&filter, false);
        if !filter.is_about_jobs() {
            let whole = |span| vec![span];
            return self.count(
                &view,
                &Counting {
                    span,
                    times: filter.received,
                    schemas: &schemas,
                    spans: &whole,
                    fits: None,
                },
            );
        }
        let lanes = self.lanes(&view, &filter, &schemas);
        if let [lane] = &lanes[..] {
            return self.count_in(&view, &filter, span, lane);
        }
        // Several jobs of one event count once.
        let spans = |span| {
            let any = lanes
                .iter()
                .any(|lane| !lane.spans(&filter, span).is_empty());
            any.then_some(span).into_iter().collect()
        };
        let fits = |seen: &Seen| lanes.iter().any(|lane| lane.wants(self, &filter, seen));
        self.count(
            &view,
            &Counting {
                span,
                times: filter.received,
                schemas: &schemas,
                spans: &spans,
                fits: Some(&fits),
            },
        )
    }

    /// How many jobs there are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn count_jobs(&self, filter: &Filter) -> Result<u64> {
        let filter = filter.applied();
        if filter.event.is_some() {
            let all = super::Page {
                limit: usize::MAX,
                ..super::Page::default()
            };
            return Ok(self.jobs(&filter, &all)?.rows.len() as u64);
        }
        let view = self.look();
        let Some(span) = filter.within(view.kept) else {
            return Ok(0);
        };
        let schemas = view.schemas_of(&filter, true);
        let lanes = self.lanes(&view, &filter, &schemas);
        let counts = lanes
            .iter()
            .map(|lane| self.count_in(&view, &filter, span, lane));
        counts.sum()
    }

    /// How many jobs of `lane` lie in `spans`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn jobs_in(&self, lane: &Lane, spans: &Spans) -> Result<u64> {
        let Some(span) = spans.hull() else {
            return Ok(0);
        };
        let view = self.look();
        let all = view.schemas.keys().copied().collect();
        self.count(
            &view,
            &Counting {
                span,
                times: Times::default(),
                schemas: &view.led(&all, lane, &self.actions),
                spans: &|span| spans.within(span).as_slice().to_vec(),
                fits: None,
            },
        )
    }

    /// How many jobs of `lane` may lie in `spans`, at most: told from statistics alone, so it waits for nothing. It is exact
    /// but where a span begins or ends inside a part of the store that holds other events besides.
    #[must_use]
    pub fn jobs_in_at_most(&self, lane: &Lane, spans: &Spans) -> u64 {
        let view = self.look();
        let all = view.schemas.keys().copied().collect();
        let schemas = view.led(&all, lane, &self.actions);
        let count = |part: &Arc<Statistics>| {
            let positions = part.positions.map(|own| spans.within(own).positions());
            let events = part.events.iter();
            let jobs = events.filter(|(schema, _)| schemas.contains(schema));
            let jobs: u64 = jobs.map(|(_, count)| count).sum();
            jobs.min(positions.unwrap_or(0))
        };
        view.parts.iter().map(count).sum()
    }

    fn count_in(&self, view: &View, filter: &Filter, span: Span, lane: &Led<'_>) -> Result<u64> {
        let fits = |seen: &Seen| lane.wants_version(self, filter, seen);
        let one_by_one = !filter.job_versions.is_empty();
        self.count(
            view,
            &Counting {
                span,
                times: filter.received.and(filter.created),
                schemas: &lane.schemas,
                spans: &|span| lane.spans(filter, span),
                fits: one_by_one.then_some(&fits),
            },
        )
    }

    fn count(&self, view: &View, counting: &Counting<'_>) -> Result<u64> {
        let mut count = 0;
        for part in &view.parts {
            count += self.count_part(view, part, counting)?;
        }
        Ok(count)
    }

    fn count_part(&self, view: &View, part: &Statistics, counting: &Counting<'_>) -> Result<u64> {
        let (Some(own), Some(received)) = (part.positions, part.received) else {
            return Ok(0);
        };
        let Some(inside) = own.intersection(counting.span) else {
            return Ok(0);
        };
        let Times { since, before } = counting.times;
        let wanted = |(schema, _): &(_, &u64)| counting.schemas.contains(*schema);
        let wanted: u64 = part
            .events
            .iter()
            .filter(wanted)
            .map(|(_, count)| count)
            .sum();
        if !received.meets(since, before) || wanted == 0 {
            return Ok(0);
        }
        let spans = (counting.spans)(inside);
        let all: u64 = part.events.values().sum();
        if received.within(since, before)
            && counting.fits.is_none()
            && let Some(count) = sure(own, &spans, wanted, all)
        {
            return Ok(count);
        }
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else {
            return Ok(0);
        };
        self.count_blocks(view, Span::new(first.first, last.last), &spans, counting)
    }

    fn count_blocks(
        &self,
        view: &View,
        edges: Span,
        spans: &[Span],
        counting: &Counting<'_>,
    ) -> Result<u64> {
        let mut count = 0;
        let mut blocks = self.store.blocks(edges.first);
        while let Some(block) = blocks.next()? {
            if block.first > edges.last {
                break;
            }
            if counting.times.contain(block.received_at) {
                count += self.count_block(view, &block, spans, counting)?;
            }
            if reaches(&block, edges) {
                break;
            }
        }
        Ok(count)
    }

    fn count_block(
        &self,
        view: &View,
        block: &Block,
        spans: &[Span],
        counting: &Counting<'_>,
    ) -> Result<u64> {
        let Some(own) = block.span() else {
            return Ok(0);
        };
        let from = spans.partition_point(|span| span.last < own.first);
        let behind = spans[from..]
            .iter()
            .map_while(|span| span.intersection(own));
        let spans: Vec<Span> = behind.collect();
        let (mut wanted, mut all) = (0, 0);
        for tally in block.excluded.kept(&block.tally) {
            all += u64::from(tally.count);
            if counting.schemas.contains(&tally.schema) {
                wanted += u64::from(tally.count);
            }
        }
        if counting.fits.is_none()
            && let Some(count) = sure(own, &spans, wanted, all)
        {
            return Ok(count);
        }
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else {
            return Ok(0);
        };
        let edges = Span::new(first.first, last.last);
        let seen = self.read(view, block, edges, counting.schemas)?;
        let fits = |seen: &&Seen| {
            let at = spans.partition_point(|span| span.last < seen.position);
            spans
                .get(at)
                .is_some_and(|span| span.contains(seen.position))
                && counting.fits.is_none_or(|fits| fits(seen))
        };
        Ok(seen.iter().filter(fits).count() as u64)
    }
}

/// Whether nothing behind `block` is in `span`: to look would open the next segment.
pub(super) fn reaches(block: &Block, span: Span) -> bool {
    block.span().is_some_and(|own| own.last >= span.last)
}

/// How many of the `wanted` positions among `all` in `own` lie in `spans`, when that can be told without
/// looking at each.
fn sure(own: Span, spans: &[Span], wanted: u64, all: u64) -> Option<u64> {
    let inside: u64 = spans.iter().map(|span| span.len()).sum();
    if wanted == 0 || inside == 0 {
        Some(0)
    } else if wanted == all {
        Some(inside)
    } else if inside == own.len() {
        Some(wanted)
    } else {
        None
    }
}
