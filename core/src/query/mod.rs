//! Looking into a store: events, jobs and transitions, by filter, counted, page by page, and one by one.
//!
//! Nothing is kept for it. What the parts of the store hold in numbers
//! ([`Statistics`]) and where jobs stand
//! ([`Lane`]) say which parts matter at all; counts come from them alone wherever a part lies
//! inside the filter whole, and only what lies at its edges is read. Lists are newest first and read as much as
//! they show.
//!
//! A job that nothing has happened to is `acknowledged`; its lane may have filed it already, which only
//! the running process knows.

mod actions;
mod count;
mod filter;
mod find;
mod list;
mod read;
mod select;
mod transitions;
mod words;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub use actions::Actions;
pub use filter::{Attempts, Filter, Names, Page, Statuses, Times};
pub use find::{Address, EventDetail, JobDetail};
pub use list::{Cursor, EventRow, JobRow, Listed};
pub use select::Selected;
pub use transitions::TransitionRow;
pub use words::{Noun, Words};

use crate::clock::Timestamp;
use crate::event::{LaneId, Schema, SchemaId};
use crate::id::Id;
use crate::position::{Position, Span};
use crate::source::Formats;
use crate::store::{Lane, Statistics, Store};

/// Asks a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Query {
    store: Arc<dyn Store>,
    formats: Arc<Formats>,
    actions: Arc<Actions>,
}

impl Query {
    /// Asks `store`, whose blocks `formats` read; `actions` says which events are whose.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, formats: Formats, actions: Actions) -> Query {
        Query {
            store,
            formats: Arc::new(formats),
            actions: Arc::new(actions),
        }
    }

    /// The store that is asked.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The store as it is now: what one question is answered from.
    fn look(&self) -> View {
        let schemas = self.store.schemas();
        let sources: HashMap<_, _> = self.store.sources().into_iter().collect();
        let known = schemas.into_iter().map(|schema| {
            let source = sources.get(&schema.source).cloned().unwrap_or_default();
            (schema.id, Known { source, schema })
        });
        View {
            schemas: known.collect(),
            lanes: self.store.lanes(),
            parts: self.store.statistics(),
            kept: Span::new(self.store.oldest(), self.store.durable().upto()),
        }
    }

    fn event_id(&self, position: Position, received_at: Timestamp) -> Id {
        Id::of_event(self.store.id(), position, received_at)
    }
}

/// A schema and the name of its source.
#[derive(Debug, Clone)]
struct Known {
    source: Arc<str>,
    schema: Arc<Schema>,
}

/// A store at one moment.
#[derive(Debug)]
struct View {
    schemas: HashMap<SchemaId, Known>,
    lanes: Vec<Lane>,
    /// Oldest first.
    parts: Vec<Arc<Statistics>>,
    /// The positions that can be read.
    kept: Span,
}

impl View {
    /// The lanes that `filter` lets through.
    fn lanes_of(&self, filter: &Filter) -> Vec<&Lane> {
        let wanted = |lane: &&Lane| filter.wants_action(&lane.name);
        self.lanes.iter().filter(wanted).collect()
    }

    /// The schemas whose events `filter` lets through; those of further jobs only with `further`.
    fn schemas_of(&self, filter: &Filter, further: bool) -> HashSet<SchemaId> {
        let wanted = |known: &&Known| {
            let about = &known.schema.about;
            (further || !about.only_jobs)
                && filter.wants_event(&known.source, &about.trigger, about.version.as_deref())
        };
        let schemas = self.schemas.values().filter(wanted);
        schemas.map(|known| known.schema.id).collect()
    }

    /// Those of `schemas` whose events are jobs of `lane`.
    fn led(
        &self,
        schemas: &HashSet<SchemaId>,
        lane: &Lane,
        actions: &Actions,
    ) -> HashSet<SchemaId> {
        let leads = |id: &&SchemaId| {
            let known = self.schemas.get(id);
            known.is_some_and(|known| actions.leads(&known.source, &known.schema, &lane.name))
        };
        schemas.iter().filter(leads).copied().collect()
    }

    fn lane(&self, id: LaneId) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.id == id)
    }
}
