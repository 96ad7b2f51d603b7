//! What can be wrong with an application before it is started: all of it at once, each with its place.

use std::collections::BTreeSet;

use super::builder::{Builder, DestinationSettings, SourceSettings};
use crate::gateway::route;
use crate::settings::{Place, Problem, Problems, is_name, suggestion};
use crate::source::{Mode, Route};
use crate::version::Versions;

const NAME_FIX: &str = "use letters, digits, _ and -, at most 63";
const TRIGGER_NAME_BYTES_MAX: usize = 255;

/// Everything that is wrong with what was put together; whether there is a store is not looked at.
pub(super) fn validate(builder: &Builder) -> Problems {
    let mut validation = Validation {
        problems: Problems::of("the application"),
        routes: Vec::new(),
        has_pubsub: builder.pubsub.is_some(),
    };
    validation.sources(&builder.sources);
    validation.routes();
    validation.destinations(&builder.destinations);
    validation.flows(builder);
    validation.problems
}

struct Validation {
    problems: Problems,
    /// Every HTTP trigger so far: where it is, its address, its route.
    routes: Vec<(String, String, Route)>,
    has_pubsub: bool,
}

impl Validation {
    fn add(&self, key: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) {
        self.problems.add(Problem {
            place: Place::Code,
            key: key.into(),
            what: what.into(),
            fix: fix.into(),
        });
    }

    fn sources(&mut self, sources: &[SourceSettings]) {
        let mut seen = BTreeSet::new();
        for settings in sources {
            let name = settings.source.name();
            let path = format!("sources/{name}");
            self.name(&path, name, &mut seen, "source");
            self.versions(&path, &settings.versions());
            let mut triggers = BTreeSet::new();
            for trigger in settings.source.triggers() {
                let own = trigger.name().to_owned();
                let path = format!("{path}/triggers/{own}");
                let mode = trigger.mode();
                self.trigger_name(&path, &own, &mode, &mut triggers);
                let address = format!("{name}/{own}");
                self.mode(&path, address, mode, &settings.versions());
            }
        }
    }

    fn destinations(&self, destinations: &[DestinationSettings]) {
        let mut seen = BTreeSet::new();
        for settings in destinations {
            let name = settings.destination.name();
            let path = format!("destinations/{name}");
            self.name(&path, name, &mut seen, "destination");
            self.versions(&path, &settings.versions());
            let actions = names(settings);
            let mut own = BTreeSet::new();
            for action in &actions {
                self.name(
                    &format!("{path}/actions/{action}"),
                    action,
                    &mut own,
                    "action",
                );
            }
            for configured in settings.actions.keys() {
                if !actions.contains(configured) {
                    let key = format!("{path}/actions/{configured}");
                    self.add(
                        key,
                        "the destination has no such action",
                        near(configured, &actions),
                    );
                }
            }
        }
    }

    fn name(&self, path: &str, name: &str, seen: &mut BTreeSet<String>, noun: &str) {
        if !is_name(name) {
            self.add(path, "not a name", NAME_FIX);
        }
        if !seen.insert(name.to_owned()) {
            self.add(
                path,
                format!("there is another {noun} called so"),
                "rename one",
            );
        }
    }

    /// Triggers may be called as tables are; what separates and what stands for others is not theirs.
    /// Only a change stream, whose events name their tables themselves, stands for all of them.
    fn trigger_name(&self, path: &str, name: &str, mode: &Mode, seen: &mut BTreeSet<String>) {
        let is_all = name == "*" && matches!(mode, Mode::Cdc(_));
        let is_long = !(1..=TRIGGER_NAME_BYTES_MAX).contains(&name.len());
        if !is_all && (is_long || name.contains(['/', '*'])) {
            self.add(path, "not a name", "use 1 to 255 bytes, without / and *");
        }
        if !seen.insert(name.to_owned()) {
            self.add(path, "there is another trigger called so", "rename one");
        }
    }

    fn versions(&self, path: &str, versions: &Versions) {
        if let Err(error) = versions.validate() {
            let fix = error.advised().unwrap_or_default();
            self.add(format!("{path}/versions.default"), error.to_string(), fix);
        }
    }

    fn mode(&mut self, path: &str, address: String, mode: Mode, versions: &Versions) {
        match mode {
            Mode::Http { route, .. } => self.routes.push((path.to_owned(), address, route)),
            Mode::Subscription { subscription, .. } => {
                if !self.has_pubsub {
                    let key = format!("{path}/subscription");
                    self.add(key, "there is no pubsub", "hand one in with pubsub()");
                }
                if subscription.topic.is_empty() && subscription.subscription.is_empty() {
                    self.add(format!("{path}/subscription"), "it names nothing", "");
                }
            }
            Mode::Cdc(_) if !versions.known.is_empty() => {
                let fix = "take the versions from the source";
                self.add(path, "events of CDC triggers carry no version", fix);
            }
            Mode::Cdc(_) | Mode::Cron { .. } => {}
        }
    }

    /// What keeps the routes of all sources from being served by one gateway.
    fn routes(&self) {
        let routes = self.routes.iter();
        let named = routes.map(|(_, address, route)| (address.clone(), route));
        for problem in route::problems(named) {
            let (path, ..) = &self.routes[problem.route];
            let key = format!("{path}/route.{}", problem.field);
            self.add(key, problem.what, problem.fix);
        }
    }

    fn flows(&self, builder: &Builder) {
        let sources: Vec<&str> = builder
            .sources
            .iter()
            .map(|own| own.source.name())
            .collect();
        let destinations = builder.destinations.iter();
        let known: Vec<&str> = destinations.map(|own| own.destination.name()).collect();
        for (index, route) in builder.routes.iter().enumerate() {
            if !sources.contains(&&*route.source) {
                let fix = suggestion(&route.source, &sources);
                self.add(
                    format!("flows/{index}/from"),
                    "there is no such source",
                    fix,
                );
            }
            let name = &*route.destination;
            let mut destinations = builder.destinations.iter();
            let Some(to) = destinations.find(|own| own.destination.name() == name) else {
                let fix = suggestion(name, &known);
                self.add(
                    format!("flows/{index}/to"),
                    "there is no such destination",
                    fix,
                );
                continue;
            };
            let actions = names(to);
            if !actions.iter().any(|own| route.action.matches(own)) {
                let fix = near(&route.action.to_string(), &actions);
                self.add(format!("flows/{index}/to"), "there is no such action", fix);
            }
        }
    }
}

/// The names of a destination's actions.
fn names(settings: &DestinationSettings) -> Vec<String> {
    let actions = settings.destination.actions().into_iter();
    actions.map(|action| action.name().to_owned()).collect()
}

fn near(name: &str, known: &[String]) -> String {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    suggestion(name, &known)
}
