//! Lists of events and jobs, newest first.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::count::reaches;
use super::read::Seen;
use super::{Filter, Page, Query, Times, View};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::event::{LaneId, SchemaId};
use crate::id::Id;
use crate::job::{Status, Transition};
use crate::position::{Position, Span};
use crate::store::Lane;

/// Positions looked at first; later windows are larger.
const WINDOW_MIN: u64 = 1_024;
/// Positions looked at together, at most: what is decoded of them is in memory.
const WINDOW_MAX: u64 = 65_536;

/// Where a row stands in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Its position.
    pub position: Position,
    /// The job's lane; 0 for an event.
    pub lane: LaneId,
}

impl Cursor {
    /// Whether a row comes behind the one with this cursor.
    fn precedes(self, position: Position, lane: LaneId) -> bool {
        position < self.position || (position == self.position && lane > self.lane)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.position, self.lane.0)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Cursor> {
        let parsed = text.split_once('-').and_then(|(position, lane)| {
            Some(Cursor {
                position: Position(position.parse().ok()?),
                lane: LaneId(lane.parse().ok()?),
            })
        });
        parsed.ok_or_else(|| {
            Error::invalid(format!("{text:?} is no cursor")).help("take one that a list gave out")
        })
    }
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    /// Newest first.
    pub rows: Vec<T>,
    /// Where the next page begins; none at the end.
    pub next: Option<Cursor>,
}

/// An event in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its id.
    pub id: Id,
    /// Its position.
    pub position: Position,
    /// When it was received.
    pub received_at: Timestamp,
    /// Its source.
    pub source: Arc<str>,
    /// Its trigger.
    pub trigger: Arc<str>,
    /// The source's version, if it has versions.
    pub version: Option<Arc<str>>,
    /// What happened to a row, or `event`; empty when it cannot be decoded.
    pub operation: String,
    /// Why it cannot be decoded.
    pub parked: Option<String>,
}

/// A job in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Its id.
    pub id: Id,
    /// Its position: its event's, or one of its own.
    pub position: Position,
    /// Its lane.
    pub lane: LaneId,
    /// `destination/action`.
    pub action: Arc<str>,
    /// Its event.
    pub event: Id,
    /// Where its event is.
    pub event_position: Position,
    /// The job that it follows up.
    pub parent: Option<Id>,
    /// The source of its event.
    pub source: Arc<str>,
    /// The trigger of its event.
    pub trigger: Arc<str>,
    /// The destination's version that it is written for.
    pub version: Option<Arc<str>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where it stands.
    pub status: Status,
    /// Attempts so far.
    pub attempts: u32,
    /// Since when it stands there; none before the first transition.
    pub since: Option<Timestamp>,
    /// Why, when it failed or was given up. The first 512 bytes.
    pub error: Option<Arc<str>>,
}

/// What is searched for.
pub(super) struct Search<'a> {
    pub(super) span: Span,
    pub(super) times: Times,
    pub(super) schemas: &'a HashSet<SchemaId>,
    /// Whether anything wanted may lie between these positions.
    pub(super) may: &'a dyn Fn(Span) -> bool,
}

impl Query {
    /// Events, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn events(&self, filter: &Filter, page: &Page) -> Result<Listed<EventRow>> {
        let filter = filter.applied();
        let view = self.look();
        let schemas = view.schemas_of(&filter, false);
        let lanes = self.lanes(&view, &filter, &schemas);
        let about_jobs = filter.is_about_jobs();
        let mut pager = Pager::new(page);
        let may = |span| !about_jobs || lanes.iter().any(|lane| lane.has(&filter, span));
        let search = filter.search(&view, &schemas, &may);
        self.newest(&view, search, &mut |seen| {
            let job = |lane: &Led<'_>| lane.wants(self, &filter, &seen);
            if about_jobs && !lanes.iter().any(job) {
                return Ok(true);
            }
            let row = self.event_row(&view, &seen);
            Ok(pager.push(row.position, LaneId(0), row))
        })?;
        Ok(pager.finish())
    }

    /// Jobs, newest first; those of one position in the order of their lanes. Of one event, its jobs and all
    /// that follow them up.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn jobs(&self, filter: &Filter, page: &Page) -> Result<Listed<JobRow>> {
        let filter = filter.applied();
        let view = self.look();
        let schemas = view.schemas_of(&filter, true);
        let lanes = self.lanes(&view, &filter, &schemas);
        let mut pager = Pager::new(page);
        let may = |span| lanes.iter().any(|lane| lane.has(&filter, span));
        let mut take = |seen: Seen| {
            for lane in &lanes {
                let wanted = lane.wants(self, &filter, &seen);
                let row = wanted.then(|| self.job_row(&view, lane.lane, &seen));
                if let Some(row) = row
                    && !pager.push(row.position, row.lane, row)
                {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        if let Some(event) = filter.event {
            self.further(&view, event, &schemas, &mut take)?;
        }
        self.newest(&view, filter.search(&view, &schemas, &may), &mut take)?;
        let mut listed = pager.finish();
        self.recall(&mut listed.rows)?;
        Ok(listed)
    }

    /// The jobs of `event` that have positions of their own, newest first. Read are the parts behind the
    /// event that hold such jobs of its trigger.
    fn further(
        &self,
        view: &View,
        event: Position,
        schemas: &HashSet<SchemaId>,
        take: &mut dyn FnMut(Seen) -> Result<bool>,
    ) -> Result<()> {
        let further = |id: &&SchemaId| {
            let known = view.schemas.get(id);
            known.is_some_and(|known| known.schema.about.only_jobs)
        };
        let schemas: HashSet<SchemaId> = schemas.iter().filter(further).copied().collect();
        let Some(span) = Span::new(event.next(), Position::MAX).intersection(view.kept) else {
            return Ok(());
        };
        let search = Search {
            span,
            times: Times::default(),
            schemas: &schemas,
            may: &|_| true,
        };
        self.newest(view, search, &mut |seen| match seen.event() == event {
            true => take(seen),
            false => Ok(true),
        })
    }

    /// The lanes that `filter` lets through, each with its part of `schemas`.
    pub(super) fn lanes<'a>(
        &self,
        view: &'a View,
        filter: &Filter,
        schemas: &HashSet<SchemaId>,
    ) -> Vec<Led<'a>> {
        let lanes = view.lanes_of(filter).into_iter();
        lanes
            .map(|lane| Led {
                lane,
                schemas: view.led(schemas, lane, &self.actions),
            })
            .collect()
    }

    /// Hands what is searched for to `take`, newest first, until that says no.
    pub(super) fn newest(
        &self,
        view: &View,
        search: Search<'_>,
        take: &mut dyn FnMut(Seen) -> Result<bool>,
    ) -> Result<()> {
        for part in view.parts.iter().rev() {
            let inside = part.positions.and_then(|own| own.intersection(search.span));
            let Some(inside) = inside else { continue };
            let times = search.times;
            let in_time = part
                .received
                .is_some_and(|received| received.meets(times.since, times.before));
            if !in_time || !part.events.keys().any(|own| search.schemas.contains(own)) {
                continue;
            }
            let mut size = WINDOW_MIN;
            let mut last = inside.last;
            while last >= inside.first {
                let first = Position(last.0.saturating_sub(size - 1)).max(inside.first);
                let window = Span::new(first, last);
                let mut seen = match (search.may)(window) {
                    true => self.window(view, window, &search)?,
                    false => Vec::new(),
                };
                while let Some(seen) = seen.pop() {
                    if !take(seen)? {
                        return Ok(());
                    }
                }
                last = first.previous();
                size = (size * 4).min(WINDOW_MAX);
            }
        }
        Ok(())
    }

    fn window(&self, view: &View, window: Span, search: &Search<'_>) -> Result<Vec<Seen>> {
        let mut found = Vec::new();
        let mut blocks = self.store.blocks(window.first);
        while let Some(block) = blocks.next()? {
            if block.first > window.last {
                break;
            }
            let inside = block.span().and_then(|span| span.intersection(window));
            let Some(inside) = inside else { continue };
            let wanted = |tally: &crate::event::Tally| search.schemas.contains(&tally.schema);
            let may = search.times.contain(block.received_at)
                && block.tally.iter().any(wanted)
                && (search.may)(inside);
            if may {
                found.extend(self.read(view, &block, inside, search.schemas)?);
            }
            if reaches(&block, window) {
                break;
            }
        }
        Ok(found)
    }

    pub(super) fn event_row(&self, view: &View, seen: &Seen) -> EventRow {
        let known = view.schemas.get(&seen.schema);
        let about = known.map(|known| &known.schema.about);
        EventRow {
            id: self.event_id(seen.position, seen.received_at),
            position: seen.position,
            received_at: seen.received_at,
            source: known
                .map(|known| Arc::clone(&known.source))
                .unwrap_or_default(),
            trigger: about
                .map(|about| Arc::clone(&about.trigger))
                .unwrap_or_default(),
            version: about.and_then(|about| about.version.clone()),
            operation: seen.operation.clone(),
            parked: seen.parked.clone(),
        }
    }

    pub(super) fn job_row(&self, view: &View, lane: &Lane, seen: &Seen) -> JobRow {
        let event = self.event_row(view, seen);
        let state = lane.state(seen.position);
        let belongs = seen.entry.as_ref().and_then(|entry| entry.belongs);
        let received_at = belongs.map_or(seen.received_at, |belongs| belongs.received_at);
        let parent = belongs.and_then(|belongs| belongs.parent);
        let store = self.store.id();
        JobRow {
            id: Id::of_job(store, lane.id, seen.position, seen.received_at),
            position: seen.position,
            lane: lane.id,
            action: Arc::clone(&lane.name),
            event: self.event_id(seen.event(), received_at),
            event_position: seen.event(),
            parent: parent.map(|(lane, at)| Id::of_job(store, lane, at, received_at)),
            source: event.source,
            trigger: event.trigger,
            version: self.version(lane, seen),
            created_at: seen.received_at,
            status: state.status,
            attempts: state.attempt,
            since: state.at,
            error: state.error,
        }
    }

    /// The destination's version that a job is written for.
    pub(super) fn version(&self, lane: &Lane, seen: &Seen) -> Option<Arc<str>> {
        let entry = seen.entry.as_ref()?;
        let own = entry.jobs.iter().find(|own| own.lane == lane.id);
        let own = own.and_then(|own| own.job.version.clone());
        own.or_else(|| self.actions.default_version(&lane.name))
    }

    /// Fills in the times that only the history knows, with one look at it.
    pub(super) fn recall(&self, jobs: &mut [JobRow]) -> Result<()> {
        let missing = |job: &&JobRow| job.since.is_none() && job.status == Status::Succeeded;
        let positions = || jobs.iter().filter(missing).map(|job| job.position);
        let Some((first, last)) = positions().min().zip(positions().max()) else {
            return Ok(());
        };
        let history = self
            .store
            .transitions(None, Span::new(first, last), usize::MAX)?;
        for job in jobs.iter_mut().filter(|job| missing(&&**job)) {
            let own = |change: &&Transition| {
                change.lane == job.lane
                    && change.span.contains(job.position)
                    && change.status == job.status
            };
            job.since = history.iter().rev().find(own).map(|change| change.at);
        }
        Ok(())
    }
}

impl Seen {
    /// Where the event is that this belongs to: here, unless it is a further job.
    pub(super) fn event(&self) -> Position {
        let belongs = self.entry.as_ref().and_then(|entry| entry.belongs);
        belongs.map_or(self.position, |belongs| belongs.event.from(self.position))
    }
}

impl Filter {
    fn search<'a>(
        &self,
        view: &View,
        schemas: &'a HashSet<SchemaId>,
        may: &'a dyn Fn(Span) -> bool,
    ) -> Search<'a> {
        // Nothing is found where nothing is kept.
        let nothing = Span::new(Position(1), Position(0));
        Search {
            span: self.within(view.kept).unwrap_or(nothing),
            times: self.received,
            schemas,
            may,
        }
    }
}

/// A lane and the schemas whose events are its jobs.
pub(super) struct Led<'a> {
    pub(super) lane: &'a Lane,
    pub(super) schemas: HashSet<SchemaId>,
}

impl Led<'_> {
    /// The spans inside `span` whose jobs, where there are any, stand as `filter` wants; neighbours joined.
    pub(super) fn spans(&self, filter: &Filter, span: Span) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for open in self.all(filter, span) {
            match spans.last_mut() {
                Some(before) if before.last.next() == open.first => before.last = open.last,
                _ => spans.push(open),
            }
        }
        spans
    }

    fn all(&self, filter: &Filter, span: Span) -> impl Iterator<Item = Span> {
        let own = Span::new(self.lane.start, Position::MAX).intersection(span);
        let all = own.into_iter().flat_map(|own| self.lane.all(own));
        let wanted = all.filter(|open| {
            filter.statuses.allow(open.status) && filter.attempts.allow(open.attempt)
        });
        wanted.map(|open| open.span)
    }

    fn has(&self, filter: &Filter, span: Span) -> bool {
        self.all(filter, span).next().is_some()
    }

    /// Whether what was seen is a job of this lane, and one that `filter` wants.
    pub(super) fn wants(&self, query: &Query, filter: &Filter, seen: &Seen) -> bool {
        self.schemas.contains(&seen.schema)
            && seen.position >= self.lane.start
            && filter.wants_state(&self.lane.state(seen.position))
            && filter.created.contain(seen.received_at)
            && self.wants_version(query, filter, seen)
    }

    pub(super) fn wants_version(&self, query: &Query, filter: &Filter, seen: &Seen) -> bool {
        filter.job_versions.is_empty() || {
            let version = query.version(self.lane, seen);
            filter
                .job_versions
                .allow(version.as_deref().unwrap_or_default())
        }
    }
}

/// Gathers one page.
struct Pager<T> {
    skip: u64,
    limit: usize,
    after: Option<Cursor>,
    rows: Vec<T>,
    last: Option<Cursor>,
    more: bool,
}

impl<T> Pager<T> {
    fn new(page: &Page) -> Pager<T> {
        Pager {
            skip: page.offset,
            limit: page.limit,
            after: page.after,
            rows: Vec::new(),
            last: None,
            more: false,
        }
    }

    /// Takes the next row; says whether more are wanted.
    fn push(&mut self, position: Position, lane: LaneId, row: T) -> bool {
        if self
            .after
            .is_some_and(|after| !after.precedes(position, lane))
        {
            return true;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return true;
        }
        if self.rows.len() == self.limit {
            self.more = true;
            return false;
        }
        self.rows.push(row);
        self.last = Some(Cursor { position, lane });
        true
    }

    fn finish(self) -> Listed<T> {
        Listed {
            rows: self.rows,
            next: self.last.filter(|_| self.more),
        }
    }
}
