//! Which jobs an order concerns.

use crate::clock::Timestamp;
use crate::document::Entries;
use crate::error::{Error, Result};
use crate::event::{Block, SchemaId};
use crate::flow::Pattern;
use crate::id::Id;
use crate::job::Status;
use crate::position::{Position, Span};
use crate::spans::Spans;
use crate::store::{Lane, Store};

/// Jobs by their ids, or by everything else: a job has to pass every list that is not empty. Nothing selects every job
/// that the store has.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// These jobs. They have to pass `statuses` besides, and nothing else is looked at.
    pub ids: Vec<Id>,
    /// To one of these destinations.
    pub destinations: Vec<Pattern>,
    /// To one of these actions.
    pub actions: Vec<Pattern>,
    /// In one of these states.
    pub statuses: Vec<Status>,
    /// From one of these sources.
    pub sources: Vec<Pattern>,
    /// From one of these triggers.
    pub triggers: Vec<Pattern>,
    /// Of events at these positions.
    pub span: Option<Span>,
    /// Of events received at this time or later.
    pub since: Option<Timestamp>,
    /// Of events received before this time.
    pub before: Option<Timestamp>,
}

impl Selection {
    /// The job with this id.
    #[must_use]
    pub fn job(id: Id) -> Selection {
        Selection {
            ids: vec![id],
            ..Selection::default()
        }
    }

    /// The positions in `lane` that are selected, as far as the store has them; none when the lane is not meant at all.
    ///
    /// # Errors
    /// `Refused` when a job's event is not in the store any more, or when changes of several triggers lie in one block:
    /// those are told apart only by decoding them. When the store cannot be read.
    pub(super) fn among(&self, store: &dyn Store, lane: &Lane) -> Result<Option<Spans>> {
        let kept = Span::new(store.oldest(), store.durable().upto());
        if !self.ids.is_empty() {
            return self.by_id(lane, kept);
        }
        let (destination, action) = lane.name.split_once('/').unwrap_or((&lane.name, ""));
        if !passes(&self.destinations, destination) || !passes(&self.actions, action) {
            return Ok(None);
        }
        let wanted = self.span.map_or(Some(kept), |span| span.intersection(kept));
        let wanted = wanted.filter(|span| !span.is_empty());
        let Some(span) = wanted else {
            return Ok(Some(Spans::default()));
        };
        if self.looks_at_events() {
            return self.by_event(store, span).map(Some);
        }
        Ok(Some(Spans::from(span)))
    }

    fn by_id(&self, lane: &Lane, kept: Span) -> Result<Option<Spans>> {
        let mut among = Spans::default();
        for id in self.ids.iter().filter(|id| id.lane() == Some(lane.id)) {
            let position = id.position().ok_or_else(|| {
                Error::refused(format!("{id} was given before its event was stored"))
                    .help("show it first, and use the id that is shown")
            })?;
            if !kept.contains(position) {
                let what = format!("the event of job {id} is not in the store");
                return Err(
                    Error::refused(what).help("the retention policy says how long events are kept")
                );
            }
            among.add(Span::new(position, position));
        }
        Ok(Some(among).filter(|among| !among.is_empty()))
    }

    fn looks_at_events(&self) -> bool {
        let times = self.since.is_some() || self.before.is_some();
        times || !self.sources.is_empty() || !self.triggers.is_empty()
    }

    fn by_event(&self, store: &dyn Store, span: Span) -> Result<Spans> {
        let names = store.sources();
        let wants = |id: SchemaId| {
            let schema = store.schema(id)?;
            let (_, source) = names.iter().find(|(id, _)| *id == schema.source)?;
            Some(passes(&self.sources, source) && passes(&self.triggers, schema.trigger()))
        };
        let wants = |id: SchemaId| wants(id).unwrap_or(false);
        let mut among = Spans::default();
        let mut blocks = store.blocks(span.first);
        while let Some(block) = blocks.next()? {
            if block.first > span.last {
                break;
            }
            if self.was_received(block.received_at) {
                for own in positions(&block, &wants)?.within(span).iter() {
                    among.add(own);
                }
            }
        }
        Ok(among)
    }

    fn was_received(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.before.is_none_or(|before| at < before)
    }
}

/// The positions of a block under the schemas that are wanted.
fn positions(block: &Block, wants: &dyn Fn(SchemaId) -> bool) -> Result<Spans> {
    let Some(whole) = block.span() else {
        return Ok(Spans::default());
    };
    let mut counted = block.tally.iter().filter(|tally| tally.count > 0);
    if counted.clone().all(|tally| wants(tally.schema)) {
        return Ok(Spans::from(whole));
    }
    if !counted.any(|tally| wants(tally.schema)) {
        return Ok(Spans::default());
    }
    if block.format != crate::event::FormatId::JSON {
        let what = format!("positions {whole} hold changes of several triggers in one block");
        return Err(Error::refused(what).help("select by position, time or status instead"));
    }
    let mut found = Spans::default();
    let mut entries = Entries::of(block.body.clone());
    let mut position: Position = block.first;
    while let Some((schema, _)) = entries.peek()? {
        if wants(schema) {
            found.add(Span::new(position, position));
        }
        position = position.next();
    }
    Ok(found)
}

fn passes(patterns: &[Pattern], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(name))
}
