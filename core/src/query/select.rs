//! Where the jobs are that a filter lets through, as spans: what an operator's order is carried out on.

use std::collections::{BTreeMap, HashSet};

use super::count::reaches;
use super::list::Led;
use super::{Address, Filter, Page, Query, View};
use crate::error::{Error, Result};
use crate::event::{Block, LaneId, SchemaId};
use crate::position::{Position, Span};
use crate::spans::Spans;
use crate::store::{Lane, Statistics};

/// Spans of one selection, in all lanes together: each becomes a transition.
const SPANS_MAX: usize = 500_000;

/// Where jobs of one lane are.
#[derive(Debug, Clone)]
pub struct Selected {
    /// The lane as it stood.
    pub lane: Lane,
    /// Positions of the jobs, and between them of what is no job of the lane: so jobs side by side stay one span whatever
    /// lies between them.
    pub spans: Spans,
}

impl Query {
    /// Where the jobs are that `filter` lets through, by lane, in the order of registration. Only parts of the store that hold
    /// something else of the same lane are read.
    ///
    /// # Errors
    /// `Refused` when they lie scattered in more than 500,000 spans; when the store cannot be read.
    pub fn select(&self, filter: &Filter) -> Result<Vec<Selected>> {
        let filter = filter.applied();
        if let Some((lane, position)) = filter.job {
            let lane = Some(lane);
            return Ok(self
                .select_at(Address { position, lane })?
                .into_iter()
                .collect());
        }
        if filter.event.is_some() {
            return self.select_of_event(&filter);
        }
        let view = self.look();
        let Some(span) = filter.within(view.kept) else {
            return Ok(Vec::new());
        };
        let wanted = view.schemas_of(&filter, true);
        let mut left = SPANS_MAX;
        let mut all = Vec::new();
        for lane in view.lanes_of(&filter) {
            let selecting = Selecting::of(self, &view, &filter, lane, &wanted);
            let spans = selecting.run(span, left)?;
            left -= spans.as_slice().len();
            if !spans.is_empty() {
                let lane = lane.clone();
                all.push(Selected { lane, spans });
            }
        }
        Ok(all)
    }

    /// The job at `address`, if there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn select_at(&self, address: Address) -> Result<Option<Selected>> {
        let view = self.look();
        let at = Span::new(address.position, address.position);
        let lane = address.lane.and_then(|lane| view.lane(lane));
        let Some(lane) = lane.filter(|lane| at.first >= lane.start) else {
            return Ok(None);
        };
        let schemas = view.schemas.keys().copied().collect();
        let schemas = view.led(&schemas, lane, &self.actions);
        let is_job = at.intersection(view.kept).is_some() && self.holds(&view, at, &schemas)?;
        Ok(is_job.then(|| Selected {
            lane: lane.clone(),
            spans: Spans::from(at),
        }))
    }

    fn holds(&self, view: &View, at: Span, schemas: &HashSet<SchemaId>) -> Result<bool> {
        let mut blocks = self.store.blocks(at.first);
        while let Some(block) = blocks.next()? {
            if block.first > at.last {
                break;
            }
            if block.span().is_none_or(|span| !span.contains(at.first)) {
                continue;
            }
            let kept = kept(&block);
            if kept.iter().all(|own| schemas.contains(own)) {
                return Ok(true);
            }
            let may = kept.iter().any(|own| schemas.contains(own));
            return Ok(may && !self.read(view, &block, at, schemas)?.is_empty());
        }
        Ok(false)
    }

    fn select_of_event(&self, filter: &Filter) -> Result<Vec<Selected>> {
        let page = Page {
            limit: usize::MAX,
            ..Page::default()
        };
        let mut found: BTreeMap<LaneId, Spans> = BTreeMap::new();
        for job in self.jobs(filter, &page)?.rows {
            let at = Span::new(job.position, job.position);
            found.entry(job.lane).or_default().add(at);
        }
        let named = found.into_iter().filter_map(|(lane, spans)| {
            let lane = self.store.lane(lane)?;
            Some(Selected { lane, spans })
        });
        Ok(named.collect())
    }
}

/// One lane being looked through.
struct Selecting<'a> {
    query: &'a Query,
    view: &'a View,
    filter: &'a Filter,
    led: Led<'a>,
    /// Schemas of jobs of the same lane that are not wanted.
    barred: HashSet<SchemaId>,
}

impl<'a> Selecting<'a> {
    fn of(
        query: &'a Query,
        view: &'a View,
        filter: &'a Filter,
        lane: &'a Lane,
        wanted: &HashSet<SchemaId>,
    ) -> Selecting<'a> {
        let all = view.schemas.keys().copied().collect();
        let own = view.led(&all, lane, &query.actions);
        let schemas: HashSet<SchemaId> = own.intersection(wanted).copied().collect();
        Selecting {
            barred: own.difference(&schemas).copied().collect(),
            led: Led { lane, schemas },
            query,
            view,
            filter,
        }
    }

    fn run(&self, span: Span, spans_max: usize) -> Result<Spans> {
        let mut found = Spans::default();
        for part in &self.view.parts {
            self.look_at_part(part, span, &mut found)?;
            if found.as_slice().len() > spans_max {
                return Err(too_scattered(&self.led.lane.name, &found));
            }
        }
        Ok(found)
    }

    fn look_at_part(&self, part: &Statistics, span: Span, found: &mut Spans) -> Result<()> {
        let inside = part.positions.and_then(|own| own.intersection(span));
        let (Some(inside), Some(received)) = (inside, part.received) else {
            return Ok(());
        };
        let times = self.filter.received.and(self.filter.created);
        let has = |schemas: &HashSet<SchemaId>| part.events.keys().any(|own| schemas.contains(own));
        if !received.meets(times.since, times.before) || !has(&self.led.schemas) {
            return Ok(());
        }
        let spans = self.led.spans(self.filter, inside);
        let is_plain = received.within(times.since, times.before) && !has(&self.barred);
        if is_plain && self.filter.job_versions.is_empty() {
            spans.into_iter().for_each(|span| found.add(span));
            return Ok(());
        }
        self.look_at_blocks(&Spans::from_iter(spans), found)
    }

    fn look_at_blocks(&self, spans: &Spans, found: &mut Spans) -> Result<()> {
        let Some(hull) = spans.hull() else {
            return Ok(());
        };
        let times = self.filter.received.and(self.filter.created);
        let mut blocks = self.query.store.blocks(hull.first);
        while let Some(block) = blocks.next()? {
            if block.first > hull.last {
                break;
            }
            if let Some(own) = block.span()
                && times.contain(block.received_at)
            {
                self.look_at_block(&block, &spans.within(own), found)?;
            }
            if reaches(&block, hull) {
                break;
            }
        }
        Ok(())
    }

    fn look_at_block(&self, block: &Block, spans: &Spans, found: &mut Spans) -> Result<()> {
        let kept = kept(block);
        let has = |schemas: &HashSet<SchemaId>| kept.iter().any(|own| schemas.contains(own));
        let Some(hull) = spans.hull().filter(|_| has(&self.led.schemas)) else {
            return Ok(());
        };
        if self.filter.job_versions.is_empty() && !has(&self.barred) {
            spans.iter().for_each(|span| found.add(span));
            return Ok(());
        }
        for span in self.one_by_one(block, hull)?.and(spans).iter() {
            found.add(span);
        }
        Ok(())
    }

    /// Which positions of a block hold no job of the lane that is not wanted.
    fn one_by_one(&self, block: &Block, hull: Span) -> Result<Spans> {
        let all = self.view.schemas.keys().copied();
        let schemas = all.filter(|own| !self.barred.contains(own)).collect();
        let seen = self
            .query
            .read(self.view, block, hull, &schemas)?
            .into_iter();
        let fits = seen.filter(|seen| {
            !self.led.schemas.contains(&seen.schema)
                || self.led.wants_version(self.query, self.filter, seen)
        });
        Ok(fits
            .map(|seen| Span::new(seen.position, seen.position))
            .collect())
    }
}

/// The schemas of which a block holds anything.
fn kept(block: &Block) -> Vec<SchemaId> {
    let kept = block.excluded.kept(&block.tally);
    kept.map(|own| own.schema).collect()
}

fn too_scattered(lane: &str, found: &Spans) -> Error {
    let last = found.hull().map_or(Position::ZERO, |hull| hull.last);
    Error::refused(format!(
        "the jobs of {lane} lie scattered in more than {SPANS_MAX} places"
    ))
    .help(format!(
        "take those up to position {last} first, then the others"
    ))
}
