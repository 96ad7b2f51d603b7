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

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::destination::{Action, Queue, Thens, Toolkit};
    use crate::error::Result;
    use crate::event::{About, SchemaId, SourceId};

    /// A destination whose action is asked about each document.
    #[derive(Debug)]
    struct Crm;

    impl Destination for Crm {
        fn name(&self) -> &str {
            "crm"
        }

        fn actions(&self) -> Vec<Arc<dyn Action>> {
            vec![Arc::new(Register)]
        }
    }

    #[derive(Debug)]
    struct Register;

    #[async_trait]
    impl Action for Register {
        fn name(&self) -> &str {
            "register"
        }

        fn marshals(&self) -> bool {
            true
        }

        async fn load(&self, _: &Toolkit, _: &mut Queue, _: &Thens) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn documents_are_jobs_of_an_action_that_marshals_only_where_it_is_called() {
        let versions = Versions {
            known: [(Arc::from("v2"), None)].into(),
            default: Some(Arc::from("v2")),
        };
        let routed = Actions::routed(vec![Route::between("web", "crm")]);
        let schema = |calls: Arc<[Arc<str>]>| Schema {
            id: SchemaId(1),
            source: SourceId(1),
            about: About::documents(Arc::from("signup"), None, calls, false),
        };
        let (called, passed_over) = (
            schema([Arc::from("crm/register")].into()),
            schema([].into()),
        );
        let known = routed.clone().of(&Crm, &versions);
        let leads = |actions: &Actions, schema| actions.leads("web", schema, "crm/register");
        assert!(leads(&known, &called) && !leads(&known, &passed_over));
        assert!(
            leads(&routed, &passed_over),
            "of what marshals nothing was known"
        );
        assert_eq!(known.default_version("crm/register").as_deref(), Some("v2"));
        assert_eq!(known.default_version("erp/register"), None);
    }
}
