//! A source made of configuration alone: routes whose bodies are JSON.
//!
//! ```toml
//! [sources.web]
//! driver = "http"
//! token = "${WEB_TOKEN}"                       # or user = "…" and password = "…"
//! context = { ip = true, headers = ["user-agent"] }
//!
//! [sources.web.routes.signup]
//! path = "/signup"
//! methods = ["POST"]                           # default
//! body = "json"                                # or "batch", a JSON array, or "ndjson", a document on each line
//! show_meta = false
//! show_data = false
//! ```
//!
//! A body of `json` is one event, whatever the document is. Items of a `batch` and lines of `ndjson` are sub-events of one event whose data
//! say how many there are (`{"items": 3}`). If one of them is not JSON nothing is stored, and the reply names each by its number, from 1.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::keys::digest;
use crate::error::{Error, Result};
use crate::gateway::SUB_EVENTS_MAX;
use crate::gateway::route::{RouteProblem, problems};
use crate::json::{self, Json};
use crate::secret::Secret;
use crate::service::Toolkit;
use crate::settings::Section;
use crate::source::{Event, ExtractHttp, Mode, Request, Route, Source, SubEvent, Trigger};

/// What a source of this kind is told by the configuration.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    name: String,
    guard: Guard,
    context: Declared,
    routes: Vec<RouteOptions>,
}

#[derive(Debug, Clone)]
struct RouteOptions {
    name: String,
    route: Route,
    body: Form,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Batch,
    Ndjson,
}

/// Who may send.
#[derive(Debug, Clone)]
enum Guard {
    Anybody,
    Token(Secret),
    Basic(String, Secret),
}

/// What goes into the context.
#[derive(Debug, Clone, Default)]
struct Declared {
    ip: bool,
    /// In small letters.
    headers: Vec<String>,
}

impl HttpOptions {
    /// Reads the source `name` from its section. What is wrong goes into the section's problems; none then, when not even a route is
    /// known.
    #[must_use]
    pub fn read(name: &str, mut section: Section) -> Option<HttpOptions> {
        let routes = read_routes(name, section.take_sections("routes"));
        if routes.is_empty() {
            let fix = "add [sources.<name>.routes.<trigger>] with a path";
            section.report("routes", "the source has no route", fix);
        }
        let mut context = section.take_section("context");
        let headers = context.take_list("headers").or(Vec::new()).into_iter();
        let declared = Declared {
            ip: context.take_bool("ip").or(false),
            headers: headers.map(|header| header.to_lowercase()).collect(),
        };
        context.finish();
        let options = HttpOptions {
            name: name.to_owned(),
            guard: read_guard(&mut section),
            context: declared,
            routes,
        };
        section.finish();
        (!options.routes.is_empty()).then_some(options)
    }
}

/// The routes of the source `source`, each looked at beside the others.
fn read_routes(source: &str, sections: Vec<(String, Section)>) -> Vec<RouteOptions> {
    let mut sections = sections;
    let routes = sections.iter_mut();
    let routes: Vec<RouteOptions> = routes
        .map(|(name, section)| read_route(name.clone(), section))
        .collect();
    let named = routes.iter();
    let named = named.map(|own| (format!("{source}/{}", own.name), &own.route));
    for RouteProblem {
        route,
        field,
        what,
        fix,
    } in problems(named)
    {
        // A path that is missing is reported already.
        if field != "path" || !routes[route].route.path.is_empty() {
            sections[route].1.report(field, what, fix);
        }
    }
    for (_, section) in sections {
        section.finish();
    }
    routes
}

fn read_route(name: String, section: &mut Section) -> RouteOptions {
    let forms = [
        ("json", Form::Json),
        ("batch", Form::Batch),
        ("ndjson", Form::Ndjson),
    ];
    RouteOptions {
        route: Route {
            path: section.take_str("path").required().unwrap_or_default(),
            methods: section.take_list("methods").or(vec!["POST".into()]),
            show_meta: section.take_bool("show_meta").or(false),
            show_data: section.take_bool("show_data").or(false),
        },
        body: section.take_enum("body", &forms).or(Form::Json),
        name,
    }
}

fn read_guard(section: &mut Section) -> Guard {
    let token = section.take_secret("token").optional();
    let user = section.take_str("user").optional();
    let password = section.take_secret("password").optional();
    match (token, user, password) {
        (None, None, None) => Guard::Anybody,
        (Some(token), None, None) if !token.is_empty() => Guard::Token(token),
        (None, Some(user), Some(password)) => Guard::Basic(user, password),
        _ => {
            let fix = "set token, or user and password, or none of them";
            section.report("token", "who may send is said in no way or in two", fix);
            Guard::Anybody
        }
    }
}

/// A source made of configuration alone.
#[derive(Debug)]
pub struct HttpSource {
    name: String,
    triggers: Vec<Arc<HttpRoute>>,
}

impl HttpSource {
    /// The source that `options` describe.
    #[must_use]
    pub fn new(options: HttpOptions) -> HttpSource {
        let (guard, context) = (options.guard, options.context);
        let triggers = options.routes.into_iter().map(|own| {
            Arc::new(HttpRoute {
                guard: guard.clone(),
                context: context.clone(),
                options: own,
            })
        });
        HttpSource {
            name: options.name,
            triggers: triggers.collect(),
        }
    }
}

impl Source for HttpSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn triggers(&self) -> Vec<Arc<dyn Trigger>> {
        let triggers = self.triggers.iter();
        triggers
            .map(|own| Arc::clone(own) as Arc<dyn Trigger>)
            .collect()
    }
}

/// One of its routes.
#[derive(Debug)]
struct HttpRoute {
    guard: Guard,
    context: Declared,
    options: RouteOptions,
}

impl Trigger for HttpRoute {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn mode(self: Arc<Self>) -> Mode {
        Mode::Http {
            route: self.options.route.clone(),
            extract: self,
        }
    }
}

#[async_trait]
impl ExtractHttp for HttpRoute {
    async fn extract(&self, _: &Toolkit, request: Request) -> Result<Option<Event>> {
        self.guard.check(&request)?;
        self.options.body.check(&request)?;
        let context = self.context.of(&request)?;
        let event = match self.options.body {
            Form::Json => Event::of(Json::parse(request.body)?),
            Form::Batch => together(items(&request.body)?, &context)?,
            Form::Ndjson => together(lines(&request.body)?, &context)?,
        };
        Ok(Some(event.context(context)))
    }
}

impl Guard {
    fn check(&self, request: &Request) -> Result<()> {
        let expected = match self {
            Guard::Anybody => return Ok(()),
            Guard::Token(token) => format!("Bearer {}", token.expose()),
            Guard::Basic(user, password) => password.basic(user).expose().to_owned(),
        };
        let given = request.header("authorization").unwrap_or_default();
        // Digests, so that the time it takes tells nothing of how much was right.
        match digest(&[given.as_bytes()]) == digest(&[expected.as_bytes()]) {
            true => Ok(()),
            false => {
                Err(Error::refused("the Authorization header is missing or wrong").status(401))
            }
        }
    }
}

impl Declared {
    fn of(&self, request: &Request) -> Result<Json> {
        if !self.ip && self.headers.is_empty() {
            return Ok(Json::null());
        }
        let mut context = serde_json::Map::new();
        if self.ip {
            let ip = request.peer.map(|peer| peer.ip().to_string());
            context.insert("ip".into(), ip.into());
        }
        if !self.headers.is_empty() {
            let header = |name: &String| (name.clone(), request.header(name).into());
            let headers: serde_json::Map<_, _> = self.headers.iter().map(header).collect();
            context.insert("headers".into(), headers.into());
        }
        Json::of(&context)
    }
}

impl Form {
    fn check(self, request: &Request) -> Result<()> {
        let length = request.header("content-length").is_some();
        if !length && request.header("transfer-encoding").is_none() {
            return Err(Error::invalid("the request has no body").status(411));
        }
        let Some(kind) = request.header("content-type") else {
            return Ok(());
        };
        let kind = kind
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_lowercase();
        let fits = match self {
            Form::Json | Form::Batch => {
                matches!(&*kind, "application/json" | "text/json") || kind.ends_with("+json")
            }
            Form::Ndjson => matches!(
                &*kind,
                "application/x-ndjson"
                    | "application/ndjson"
                    | "application/jsonl"
                    | "application/x-jsonlines"
            ),
        };
        let wanted = match self {
            Form::Json | Form::Batch => "send content-type: application/json",
            Form::Ndjson => "send content-type: application/x-ndjson",
        };
        match fits {
            true => Ok(()),
            false => Err(Error::invalid("the content type is another one")
                .help(wanted)
                .status(415)),
        }
    }
}

/// One event with sub-events.
fn together(items: Vec<Json>, context: &Json) -> Result<Event> {
    #[derive(serde::Serialize)]
    struct Count {
        items: usize,
    }
    let data = Json::of(&Count { items: items.len() })?;
    let sub_events = items.into_iter().map(|data| SubEvent {
        context: context.clone(),
        data,
        ..SubEvent::default()
    });
    Ok(Event {
        data,
        sub_events: sub_events.collect(),
        ..Event::default()
    })
}

/// The items of a JSON array. Nothing is copied, and no more than there may be is taken.
fn items(body: &Bytes) -> Result<Vec<Json>> {
    let whole = Json::parse(body.clone())?;
    let items = json::items(whole.as_str()).ok_or_else(|| {
        Error::invalid("the body is not a JSON array").help("send [ … ], an item for each event")
    })?;
    // A part of what was checked.
    let part = |item: &str| Json::trusted(body.slice_ref(item.as_bytes()));
    some(items.map(part).take(SUB_EVENTS_MAX + 1).collect())
}

/// The documents on the lines of a body; empty lines are passed over. Nothing is copied, and no more than there may be is taken.
fn lines(body: &Bytes) -> Result<Vec<Json>> {
    let mut found = Vec::new();
    let mut wrong: Option<Error> = None;
    let ends = memchr::memchr_iter(b'\n', body).chain([body.len()]);
    let mut start = 0;
    for (number, end) in (1..).zip(ends) {
        let line = body[start..end].trim_ascii();
        start = end + 1;
        if line.is_empty() {
            continue;
        }
        match Json::parse(body.slice_ref(line)) {
            Ok(_) if found.len() > SUB_EVENTS_MAX => break,
            Ok(json) => found.push(json),
            Err(error) => {
                let whole = wrong.take();
                let whole =
                    whole.unwrap_or_else(|| Error::invalid("lines of the body are not JSON"));
                wrong = Some(
                    whole.validation(error.report(), ["body".into(), format!("line {number}")]),
                );
            }
        }
    }
    match wrong {
        Some(error) => Err(error),
        None => some(found),
    }
}

/// At least one, and not too many.
fn some(items: Vec<Json>) -> Result<Vec<Json>> {
    match items.len() {
        0 => Err(Error::invalid("the body holds no events")),
        1..=SUB_EVENTS_MAX => Ok(items),
        _ => {
            let what = format!("the body holds more than {SUB_EVENTS_MAX} events");
            Err(Error::invalid(what).help("send several requests"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;

    fn read(text: &str) -> (Option<HttpOptions>, Vec<String>) {
        let (section, problems) = Section::parse("test", text, &Environment::default()).unwrap();
        let options = HttpOptions::read("web", section);
        let list = problems.list().into_iter();
        (
            options,
            list.map(|problem| format!("{}: {}", problem.key, problem.what))
                .collect(),
        )
    }

    #[test]
    fn every_problem_of_a_source_is_reported_at_its_key() {
        let (_, problems) = read(
            "token = 'a'\nuser = 'b'\ncolour = 1\n[routes.a]\npath = '/api/x'\n[routes.b]\nbody = 'xml'\n\
             [routes.c]\npath = '/c'\nmethods = ['FETCH']\n[routes.d]\npath = '/{x}'\n[routes.e]\npath = '/{y}'\n[context]\nheader = []\n",
        );
        let expected = [
            "token: who may send",
            "colour: unknown key",
            "routes.a.path: ",
            "routes.b.path: this key is required",
            "routes.b.body: ",
            "routes.c.methods: ",
            "routes.e.path: POST /{y} is the same as /{x}, which web/d has",
            "context.header: unknown key",
        ];
        for start in expected {
            let told = problems
                .iter()
                .any(|own| own.replace('"', "").starts_with(start));
            assert!(told, "{start} in {problems:?}");
        }
        assert!(read("").1[0].starts_with("routes: "));
        assert!(read("[routes.a]\npath = '/a'").0.is_some());
    }

    #[test]
    fn bad_lines_are_named_by_number_and_empty_ones_passed_over() {
        let body = Bytes::from_static(b"{\"a\":1}\r\n\n2\n{\n\"\xff\"\n");
        let error = lines(&body).unwrap_err();
        let places: Vec<&str> = error
            .validations()
            .iter()
            .map(|own| own.path[1].as_str())
            .collect();
        assert_eq!(places, ["line 4", "line 5"]);
        assert_eq!(error.to_string(), "lines of the body are not JSON");
        let good = lines(&body.slice(..12)).unwrap();
        let good: Vec<&str> = good.iter().map(Json::as_str).collect();
        assert_eq!(good, ["{\"a\":1}", "2"]);
        assert!(lines(&Bytes::from_static(b" \n")).is_err());
    }

    #[test]
    fn items_of_an_array_keep_their_bytes() {
        let found = items(&Bytes::from_static(b" [ {\"a\": 1.0} ,2, null] ")).unwrap();
        let found: Vec<&str> = found.iter().map(Json::as_str).collect();
        assert_eq!(found, ["{\"a\": 1.0}", "2", "null"]);
        for body in ["{}", "[]", "[1,]", "nope"] {
            assert!(items(&Bytes::from(body)).is_err(), "{body}");
        }
    }
}
