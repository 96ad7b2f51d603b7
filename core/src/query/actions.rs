//! Which events are whose jobs, as the configuration says.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::destination::Destination;
use crate::event::Schema;
use crate::flow::Route;
use crate::version::Versions;

/// What has to be known of actions to tell which jobs there are.
#[derive(Debug, Clone, Default)]
pub struct Actions {
    /// The routes.
    pub routes: Vec<Route>,
    /// The actions that are asked about each document on its way in, as `destination/action`: routes alone
    /// make no jobs of documents for them.
    pub marshalling: HashSet<String>,
    /// The versions of jobs that name none, by destination.
    pub default_versions: HashMap<String, Arc<str>>,
}

impl Actions {
    /// Actions to which these routes lead.
    #[must_use]
    pub fn routed(routes: Vec<Route>) -> Actions {
        Actions {
            routes,
            ..Actions::default()
        }
    }

    /// The same, with what there is to know of those of `destination`, which has these versions.
    #[must_use]
    pub fn of(mut self, destination: &dyn Destination, versions: &Versions) -> Actions {
        let name = destination.name();
        for action in destination.actions() {
            if action.marshals() {
                self.marshalling.insert(format!("{name}/{}", action.name()));
            }
        }
        if let Some(default) = &versions.default {
            let default = Arc::clone(default);
            self.default_versions.insert(name.to_owned(), default);
        }
        self
    }

    /// Whether events of `schema`, which `source` wrote, are jobs of `lane`.
    #[must_use]
    pub fn leads(&self, source: &str, schema: &Schema, lane: &str) -> bool {
        let about = &schema.about;
        if about.calls.iter().any(|call| **call == *lane) {
            return true;
        }
        if about.only_jobs || (about.is_documents() && self.marshalling.contains(lane)) {
            return false;
        }
        let (destination, action) = lane.split_once('/').unwrap_or((lane, ""));
        let mut routes = self.routes.iter();
        routes.any(|route| route.leads(source, &about.trigger, destination, action))
    }

    /// The version of a job of `lane` that names none.
    #[must_use]
    pub fn default_version(&self, lane: &str) -> Option<Arc<str>> {
        let destination = lane.split_once('/').map_or(lane, |(name, _)| name);
        self.default_versions.get(destination).cloned()
    }
}
