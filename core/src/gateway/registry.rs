//! Which actions there are, as the gateway has to know them: by name, with their lanes and routes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Deprecations;
use crate::destination::{Action, Destination};
use crate::error::{Error, Result};
use crate::event::LaneId;
use crate::flow::Route;
use crate::store::Store;
use crate::version::Versions;

/// An action that can be called.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Its lane.
    pub lane: LaneId,
    /// `destination/action`.
    pub name: Arc<str>,
    /// Its destination.
    pub destination: Arc<str>,
    /// The action itself. What `init` opens is not there when the scheduler runs elsewhere.
    pub action: Arc<dyn Action>,
    /// Its destination's versions.
    pub versions: Arc<Versions>,
}

/// All actions of an application, and the routes that lead to them.
#[derive(Debug, Default)]
pub struct Registry {
    /// Actions by destination, then by name.
    destinations: HashMap<Arc<str>, BTreeMap<Arc<str>, Registered>>,
    /// Those of them that marshal: only these are asked about events on their way in.
    marshalling: Vec<Registered>,
    routes: Vec<Route>,
    deprecations: Arc<Deprecations>,
}

impl Registry {
    /// The actions of `destinations`, which go by the versions beside them, each with the lane that `store` has for it.
    ///
    /// # Errors
    /// When the store does not register a lane.
    pub fn new(
        store: &dyn Store,
        destinations: &[(Arc<dyn Destination>, Versions)],
        routes: &[Route],
    ) -> Result<Registry> {
        let mut registry = Registry {
            routes: routes.to_vec(),
            ..Registry::default()
        };
        for (destination, versions) in destinations {
            let versions = Arc::new(versions.clone());
            let name: Arc<str> = Arc::from(destination.name());
            let mut actions = BTreeMap::new();
            for action in destination.actions() {
                let address: Arc<str> = Arc::from(format!("{name}/{}", action.name()));
                let registered = Registered {
                    lane: store.register_lane(&address)?,
                    name: address,
                    destination: Arc::clone(&name),
                    versions: Arc::clone(&versions),
                    action: Arc::clone(&action),
                };
                if action.marshals() {
                    registry.marshalling.push(registered.clone());
                }
                actions.insert(Arc::from(action.name()), registered);
            }
            registry.destinations.insert(name, actions);
        }
        Ok(registry)
    }

    /// Has uses of deprecated versions counted in `deprecations`, which others may share.
    #[must_use]
    pub fn counting(mut self, deprecations: &Arc<Deprecations>) -> Registry {
        self.deprecations = Arc::clone(deprecations);
        self
    }

    /// Where uses of deprecated versions are counted.
    #[must_use]
    pub fn deprecations(&self) -> &Deprecations {
        &self.deprecations
    }

    /// Whether there is a destination called so.
    #[must_use]
    pub fn has(&self, destination: &str) -> bool {
        self.destinations.contains_key(destination)
    }

    /// The action called so.
    ///
    /// # Errors
    /// `Invalid`, naming what there is, when there is none.
    pub fn find(&self, destination: &str, action: &str) -> Result<&Registered> {
        let names = |names: Vec<&Arc<str>>| {
            let mut names: Vec<&str> = names.into_iter().map(|name| &**name).collect();
            names.sort_unstable();
            format!("there is {}", names.join(", "))
        };
        let actions = self.destinations.get(destination).ok_or_else(|| {
            Error::invalid(format!("no destination is called {destination}"))
                .help(names(self.destinations.keys().collect()))
        })?;
        actions.get(action).ok_or_else(|| {
            Error::invalid(format!("destination {destination} has no action {action}"))
                .help(names(actions.keys().collect()))
        })
    }

    /// The actions that marshal and that routes lead to from a trigger, in order of registration.
    pub fn marshalling(&self, source: &str, trigger: &str) -> impl Iterator<Item = &Registered> {
        let leads = move |action: &&Registered| {
            let (destination, name) = (&*action.destination, action.action.name());
            let mut routes = self.routes.iter();
            routes.any(|route| route.leads(source, trigger, destination, name))
        };
        self.marshalling.iter().filter(leads)
    }
}
