//! One event or one job, by its id or position.

use std::sync::Arc;

use arrow_array::RecordBatch;

use super::list::{EventRow, JobRow, Search};
use super::read::Seen;
use super::{Filter, Page, Query, Times, View};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::event::LaneId;
use crate::id::Id;
use crate::job::Transition;
use crate::json::Json;
use crate::position::{Position, Span};
use crate::rows;

/// How far the clock of a ticket and the time at which its event was received lie apart, at most.
const TICKET_SECONDS: i64 = 600;

/// Which event, and which of its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The position.
    pub position: Position,
    /// The lane, when one job is meant.
    pub lane: Option<LaneId>,
}

/// An event with everything that is known of it.
#[derive(Debug, Clone)]
pub struct EventDetail {
    /// As in lists.
    pub row: EventRow,
    /// The id under which user code saw it, if it did.
    pub ticket: Option<Id>,
    /// The event that it came with.
    pub parent: Option<Id>,
    /// When it was sent originally.
    pub sent_at: Option<Timestamp>,
    /// Its rows as objects: two when an update changed the key. None for a document.
    pub rows: Vec<Json>,
    /// A document's metadata.
    pub context: Option<Json>,
    /// A document's data.
    pub data: Option<Json>,
    /// Jobs that there are not, because marshalling them failed: the action, and why.
    pub rejections: Vec<(Arc<str>, String)>,
    /// Its jobs, and those that follow them up, newest first.
    pub jobs: Vec<JobRow>,
}

/// A job with everything that is known of it.
#[derive(Debug, Clone)]
pub struct JobDetail {
    /// As in lists.
    pub row: JobRow,
    /// The rows at its position, as objects.
    pub rows: Vec<Json>,
    /// Metadata: its own, else the event's; none for rows of tables.
    pub context: Option<Json>,
    /// Data: its own, else the event's; none for rows of tables.
    pub data: Option<Json>,
    /// Its history, oldest first.
    pub transitions: Vec<Transition>,
}

impl Query {
    /// What `text` names: a position, or an id, be it an address or a ticket.
    ///
    /// # Errors
    /// `Invalid` when it is neither, belongs to another store, or is not there.
    pub fn address(&self, text: &str) -> Result<Address> {
        if let Ok(position) = text.parse() {
            return self.checked(Position(position), None);
        }
        self.address_of(text.parse()?)
    }

    /// What `id` names, be it an address or a ticket.
    ///
    /// # Errors
    /// `Invalid` when it belongs to another store, or is not there.
    pub fn address_of(&self, id: Id) -> Result<Address> {
        if id.store() != self.store.id() {
            return Err(Error::invalid(format!("{id} belongs to another store"))
                .help("name the configuration of that store with --config"));
        }
        match id.position() {
            Some(position) => self.checked(position, id.lane()),
            None => self.redeem(id),
        }
    }

    fn checked(&self, position: Position, lane: Option<LaneId>) -> Result<Address> {
        let (oldest, head) = (self.store.oldest(), self.store.durable().upto());
        if position < oldest || position > head {
            return Err(Error::invalid(format!(
                "the store has no event at position {position}"
            ))
            .help(format!(
                "it holds the positions {oldest} to {head}; older ones were dropped by retention"
            )));
        }
        Ok(Address { position, lane })
    }

    /// Finds the event of a ticket by the time in it.
    fn redeem(&self, ticket: Id) -> Result<Address> {
        let view = self.look();
        let documents = |known: &&super::Known| known.schema.about.is_documents();
        let schemas = view.schemas.values().filter(documents);
        let schemas = schemas.map(|known| known.schema.id).collect();
        let micros = TICKET_SECONDS * 1_000_000;
        let search = Search {
            span: view.kept,
            times: Times {
                since: Some(Timestamp(ticket.at().0 - micros)),
                before: Some(Timestamp(ticket.at().0 + micros)),
            },
            schemas: &schemas,
            may: &|_| true,
        };
        let mut found = None;
        self.newest(&view, search, &mut |seen| {
            let own = seen.entry.as_ref().and_then(|entry| {
                Id::ticket(self.store.id(), entry.ticket, seen.received_at).ticket_number()
            });
            if own == ticket.ticket_number() && seen.event() == seen.position {
                found = Some(seen.position);
            }
            Ok(found.is_none())
        })?;
        let lane = ticket.lane();
        found
            .map(|position| Address { position, lane })
            .ok_or_else(|| {
                Error::invalid(format!("the store has no event with the ticket {ticket}"))
                    .help("it was refused, or dropped by retention")
            })
    }

    /// When what lies at `position` was received; none when the store does not have it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn received_at(&self, position: Position) -> Result<Option<Timestamp>> {
        let block = self.store.blocks(position).next()?;
        let block = block.filter(|block| block.first <= position);
        Ok(block.map(|block| block.received_at))
    }

    /// The event at `position`.
    ///
    /// # Errors
    /// `Invalid` when there is none, or the store cannot be read.
    pub fn event(&self, position: Position) -> Result<EventDetail> {
        let view = self.look();
        let seen = self.seen(&view, position)?;
        let filter = Filter {
            event: Some(position),
            ..Filter::default()
        };
        let all = Page {
            limit: usize::MAX,
            ..Page::default()
        };
        let jobs = self.jobs(&filter, &all)?.rows;
        let row = self.event_row(&view, &seen);
        let store = self.store.id();
        let entry = seen.entry;
        let lane = |id| view.lane(id).map(|lane| Arc::clone(&lane.name));
        let rejections = entry.iter().flat_map(|entry| &entry.rejections);
        let rejections =
            rejections.map(|own| (lane(own.lane).unwrap_or_default(), own.reason.clone()));
        let parent = entry.as_ref().and_then(|entry| entry.parent);
        Ok(EventDetail {
            ticket: entry
                .as_ref()
                .map(|entry| Id::ticket(store, entry.ticket, row.received_at)),
            parent: parent.map(|at| self.event_id(at.from(position), row.received_at)),
            sent_at: entry.as_ref().and_then(|entry| entry.sent_at),
            rows: objects(&seen.rows),
            rejections: rejections.collect(),
            context: entry.as_ref().map(|entry| entry.context.clone()),
            data: entry.map(|entry| entry.data),
            row,
            jobs,
        })
    }

    /// The jobs at `address`: of one lane when it names one.
    ///
    /// # Errors
    /// `Invalid` when nothing is there, or the store cannot be read.
    pub fn jobs_at(&self, address: Address) -> Result<Vec<JobDetail>> {
        let view = self.look();
        let seen = self.seen(&view, address.position)?;
        let filter = Filter::default();
        let schemas = [seen.schema].into();
        let lanes = self.lanes(&view, &filter, &schemas).into_iter();
        let meant = lanes.filter(|led| {
            address.lane.is_none_or(|lane| led.lane.id == lane) && led.wants(self, &filter, &seen)
        });
        let mut rows: Vec<JobRow> = meant
            .map(|led| self.job_row(&view, led.lane, &seen))
            .collect();
        self.recall(&mut rows)?;
        let details = rows.into_iter().map(|row| self.detail(row, &seen));
        details.collect()
    }

    fn detail(&self, row: JobRow, seen: &Seen) -> Result<JobDetail> {
        let entry = seen.entry.as_ref();
        let own = entry.and_then(|entry| entry.jobs.iter().find(|own| own.lane == row.lane));
        let own = own.map(|own| own.job.clone()).unwrap_or_default();
        let at = Span::new(row.position, row.position);
        Ok(JobDetail {
            transitions: self.store.transitions(Some(row.lane), at, usize::MAX)?,
            rows: objects(&seen.rows),
            context: own
                .context
                .or_else(|| entry.map(|entry| entry.context.clone())),
            data: own.data.or_else(|| entry.map(|entry| entry.data.clone())),
            row,
        })
    }

    fn seen(&self, view: &View, position: Position) -> Result<Seen> {
        let schemas = view.schemas.keys().copied().collect();
        let mut blocks = self.store.blocks(position);
        let nothing = || Error::invalid(format!("nothing can be read at position {position}"));
        while let Some(block) = blocks.next()? {
            if block.span().is_some_and(|span| span.contains(position)) {
                let at = Span::new(position, position);
                let seen = self.read(view, &block, at, &schemas)?;
                return seen.into_iter().next().ok_or_else(nothing);
            }
        }
        Err(nothing())
    }
}

fn objects(rows: &[RecordBatch]) -> Vec<Json> {
    let first = |row: &RecordBatch| rows::object(row, 0);
    rows.iter().map(first).collect()
}
