//! Which events are an action's: the flows, asked once per schema.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::destination::Action;
use crate::event::{Schema, SchemaId, SourceId};
use crate::flow::Route;
use crate::store::Store;

/// The routes that lead to one action.
#[derive(Debug)]
pub struct Routing {
    store: Arc<dyn Store>,
    routes: Vec<Route>,
    destination: String,
    action: String,
    /// `destination/action`.
    name: String,
    /// Whether the action was asked about each document on its way in.
    marshals: bool,
    known: Mutex<HashMap<SchemaId, bool>>,
}

impl Routing {
    /// The routing of `destination`/`action`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        routes: &[Route],
        destination: &str,
        action: &dyn Action,
    ) -> Routing {
        let marshals = action.marshals();
        let action = action.name();
        let leads =
            |route: &&Route| route.destination == destination && route.action.matches(action);
        Routing {
            store,
            routes: routes.iter().filter(leads).cloned().collect(),
            destination: destination.to_owned(),
            action: action.to_owned(),
            name: format!("{destination}/{action}"),
            marshals,
            known: Mutex::default(),
        }
    }

    /// Whether events of this schema go to the action.
    #[must_use]
    pub fn leads(&self, schema: SchemaId) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(schema).or_insert_with(|| self.decide(schema))
    }

    fn decide(&self, schema: SchemaId) -> bool {
        let Some(schema) = self.store.schema(schema) else {
            return false;
        };
        let called = |call: &Arc<str>| **call == *self.name;
        schema.about.calls.iter().any(called)
            || (!schema.about.only_jobs && !self.is_marshalled(&schema) && self.is_routed(&schema))
    }

    /// Documents of an action that marshals were asked one by one on their way in: only calls count.
    fn is_marshalled(&self, schema: &Schema) -> bool {
        self.marshals && schema.about.is_documents()
    }

    fn is_routed(&self, schema: &Schema) -> bool {
        let Some(source) = self.source_name(schema.source) else {
            return false;
        };
        self.routes
            .iter()
            .any(|route| route.leads(&source, schema.trigger(), &self.destination, &self.action))
    }

    fn source_name(&self, source: SourceId) -> Option<Arc<str>> {
        self.store
            .sources()
            .into_iter()
            .find(|(id, _)| *id == source)
            .map(|(_, name)| name)
    }
}
