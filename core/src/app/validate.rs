//! What can be wrong with an application before it is started: all of it at once, each with its place.

use std::collections::BTreeSet;

use super::builder::{Builder, DestinationSettings, SourceSettings};
use crate::settings::{Place, Problem, Problems, is_name, suggestion};
use crate::source::{Mode, Route};
use crate::version::Versions;

/// The methods that a route may have.
const METHODS: [&str; 5] = ["DELETE", "GET", "PATCH", "POST", "PUT"];
/// Paths that the gateway answers itself, with everything under them.
const RESERVED: [&str; 4] = ["/api", "/admin", "/_health", "/metrics"];
const NAME_FIX: &str = "use letters, digits, _ and -, at most 63";
const TRIGGER_NAME_BYTES_MAX: usize = 255;

/// Everything that is wrong with what was put together; whether there is a store is not looked at.
pub(super) fn validate(builder: &Builder) -> Problems {
    let mut validation = Validation {
        problems: Problems::of("the application"),
        routes: BTreeSet::new(),
        has_pubsub: builder.pubsub.is_some(),
    };
    validation.sources(&builder.sources);
    validation.destinations(&builder.destinations);
    validation.flows(builder);
    validation.problems
}

struct Validation {
    problems: Problems,
    /// `METHOD path` of every HTTP trigger so far.
    routes: BTreeSet<String>,
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
                self.mode(&path, mode, &settings.versions());
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

    fn mode(&mut self, path: &str, mode: Mode, versions: &Versions) {
        match mode {
            Mode::Http { route, .. } => self.route(path, &route),
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

    fn route(&mut self, path: &str, route: &Route) {
        let key = format!("{path}/route.path");
        if !route.path.starts_with('/') || route.path == "/" {
            self.add(
                &*key,
                "it does not begin with / and a name",
                "such as /signups",
            );
        }
        let under = |own: &&&str| {
            let rest = route.path.strip_prefix(**own);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if let Some(reserved) = RESERVED.iter().find(under) {
            self.add(
                &*key,
                format!("{reserved} is the gateway's own"),
                "choose another path",
            );
        }
        if route.methods.is_empty() {
            self.add(
                format!("{path}/route.methods"),
                "there is none",
                "such as POST",
            );
        }
        for method in &route.methods {
            let method = method.to_ascii_uppercase();
            if !METHODS.contains(&&*method) {
                let what = format!("{method} is not supported");
                let fix = format!("use {}", METHODS.join(", "));
                self.add(format!("{path}/route.methods"), what, fix);
            } else if !self.routes.insert(format!("{method} {}", route.path)) {
                let what = format!("another trigger has {method} {}", route.path);
                self.add(&*key, what, "choose another path");
            }
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
