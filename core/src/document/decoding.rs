//! Entries into jobs, and through them into rows. Nothing is copied: a job's context and data are pieces of the block.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::{Entries, Entry};
use super::rows::IntoRows;
use crate::error::{Error, Result};
use crate::event::{Block, FormatId, Schema, SchemaId};
use crate::id::Id;
use crate::job::{EventHead, Origin, QueuedJob};
use crate::position::Position;
use crate::source::{Asked, Completed, Decoded, Decoding, Format, Limits, Takes, Wanted};

/// The format of documents.
#[derive(Debug, Clone, Copy, Default)]
pub struct Documents;

impl Format for Documents {
    fn ids(&self) -> &'static [FormatId] {
        &[FormatId::JSON]
    }

    fn name(&self) -> &'static str {
        "documents"
    }

    fn decoding(&self, asked: Asked) -> Box<dyn Decoding> {
        let (takes, limits) = (asked.takes, asked.limits);
        let reader = Reader {
            origins: Origins::new(asked.clone()),
            asked,
        };
        match takes {
            Takes::Jobs => Box::new(IntoJobs {
                reader,
                limits,
                jobs: Vec::new(),
            }),
            Takes::Rows => Box::new(IntoRows::new(reader, limits)),
        }
    }
}

/// Jobs handed on at a time, at most: as many as stay in a core's own cache on their way.
const PIECE_JOBS: usize = 1_024;

struct IntoJobs {
    reader: Reader,
    limits: Limits,
    jobs: Vec<QueuedJob>,
}

impl Decoding for IntoJobs {
    fn push(&mut self, block: &Block, wanted: &Wanted<'_>, out: &mut Vec<Decoded>) -> Result<()> {
        let mut reading = Reading::of(block);
        while let Some((_, job)) = self.reader.next(&mut reading, wanted)? {
            if self.jobs.is_empty() {
                self.jobs.reserve(PIECE_JOBS.min(block.count as usize));
            }
            self.jobs.push(job);
            if self.jobs.len() >= self.limits.batch_rows.min(PIECE_JOBS) {
                self.finish(out)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Decoded>) -> Result<()> {
        if !self.jobs.is_empty() {
            out.push(Decoded::Jobs(std::mem::take(&mut self.jobs)));
        }
        Ok(())
    }

    /// Documents have no transactions.
    fn completed(&self) -> Option<Completed> {
        None
    }
}

/// A block being read.
pub(super) struct Reading<'a> {
    block: &'a Block,
    entries: Entries,
    position: Position,
}

impl Reading<'_> {
    pub(super) fn of(block: &Block) -> Reading<'_> {
        Reading {
            block,
            entries: Entries::of(block.body.clone()),
            position: block.first,
        }
    }

    /// # Errors
    /// `Damaged` when the block came to its end too early or too late.
    fn end(&self) -> Result<()> {
        let (first, count) = (self.block.first, self.block.count);
        if self.position.since(first) == u64::from(count) {
            return Ok(());
        }
        Err(Error::damaged(format!(
            "the block at position {first} does not hold {count} events"
        )))
    }
}

/// Makes jobs of entries.
pub(super) struct Reader {
    asked: Asked,
    origins: Origins,
}

impl Reader {
    /// The next job that is wanted, and the schema of its entry; none at the end of the block.
    pub(super) fn next(
        &mut self,
        reading: &mut Reading<'_>,
        wanted: &Wanted<'_>,
    ) -> Result<Option<(SchemaId, QueuedJob)>> {
        while let Some((schema, unread)) = reading.entries.peek()? {
            let position = reading.position;
            reading.position = position.next();
            if wanted.has(position) && (wanted.schema)(schema) {
                let job = self.job(reading.block, position, unread.read(schema)?)?;
                return Ok(Some((schema, job)));
            }
        }
        reading.end().map(|()| None)
    }

    fn job(&mut self, block: &Block, position: Position, entry: Entry) -> Result<QueuedJob> {
        let (store, lane) = (self.asked.store, self.asked.lane);
        let event = self.event(block, position, &entry)?;
        let own = entry.jobs.into_iter().find(|own| own.lane == lane);
        let own = own.map(|own| own.job).unwrap_or_default();
        let parent = entry.belongs.and_then(|belongs| belongs.parent);
        Ok(QueuedJob {
            id: Id::of_job(store, lane, position, event.received_at),
            position,
            parent: parent
                .map(|(lane, position)| Id::of_job(store, lane, position, event.received_at)),
            version: own.version.or_else(|| self.asked.default_version.clone()),
            context: own.context.unwrap_or(entry.context),
            data: own.data.unwrap_or(entry.data),
            sent_at: own.sent_at.or(entry.sent_at),
            event,
        })
    }

    fn event(&mut self, block: &Block, position: Position, entry: &Entry) -> Result<EventHead> {
        let store = self.asked.store;
        let (at, schema, received_at) = match &entry.belongs {
            Some(belongs) => (
                belongs.event.from(position),
                belongs.schema,
                belongs.received_at,
            ),
            None => (position, entry.schema, block.received_at),
        };
        let parent = entry.parent;
        let parent = parent.map(|parent| Id::of_event(store, parent.from(position), received_at));
        Ok(EventHead {
            id: Id::of_event(store, at, received_at),
            parent,
            origin: self.origins.of(schema)?,
            received_at,
            sent_at: entry.sent_at,
        })
    }
}

/// What schemas say of where events come from, looked up once each.
pub(crate) struct Origins {
    asked: Asked,
    known: HashMap<SchemaId, Arc<Origin>>,
}

impl Origins {
    pub(crate) fn new(asked: Asked) -> Origins {
        Origins {
            asked,
            known: HashMap::new(),
        }
    }

    /// # Errors
    /// `Damaged` when the store does not know the schema or its source.
    pub(crate) fn of(&mut self, id: SchemaId) -> Result<Arc<Origin>> {
        if let Some(known) = self.known.get(&id) {
            return Ok(Arc::clone(known));
        }
        let unknown = || Error::damaged(format!("the store does not know schema {}", id.0));
        let schema = self.asked.schemas.schema(id).ok_or_else(unknown)?;
        let origin = Arc::new(self.origin(&schema).ok_or_else(unknown)?);
        self.known.insert(id, Arc::clone(&origin));
        Ok(origin)
    }

    fn origin(&self, schema: &Schema) -> Option<Origin> {
        Some(Origin {
            source: self.asked.schemas.source(schema.source)?,
            trigger: Arc::clone(schema.trigger()),
            version: schema.about.version.clone(),
        })
    }
}
