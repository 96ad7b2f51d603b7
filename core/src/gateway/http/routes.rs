//! Which trigger answers which request.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Methods that a trigger may have.
const METHODS: [&str; 5] = ["DELETE", "GET", "PATCH", "POST", "PUT"];
/// First parts of paths that belong to the house.
const RESERVED: [&str; 4] = ["api", "admin", "_health", "metrics"];
/// Parts of a path, at most.
const PARTS_MAX: usize = 64;

/// The routes of all HTTP triggers, by number.
#[derive(Debug)]
pub struct Routes {
    paths: Vec<Path>,
}

/// A path and who answers it, by method.
#[derive(Debug)]
struct Path {
    parts: Vec<Part>,
    methods: BTreeMap<String, Target>,
}

#[derive(Debug)]
struct Target {
    number: usize,
    /// Names of the path's parameters, in order.
    parameters: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// First in order: what is written out goes before what could be anything.
    Literal(String),
    Parameter,
}

/// What was found for a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This trigger, with what stood for its parameters.
    Trigger(usize, BTreeMap<String, String>),
    /// The path, with these methods only.
    OtherMethods(String),
    Nothing,
}

impl Routes {
    /// The routes of triggers, each as its address (`source/trigger`) and route; a trigger's number is its place.
    ///
    /// # Errors
    /// `Config` with every problem of every route.
    pub fn new<'a>(
        triggers: impl IntoIterator<Item = (String, &'a crate::source::Route)>,
    ) -> Result<Routes> {
        let mut routes = Routes { paths: Vec::new() };
        let mut problems = Vec::new();
        for (number, (address, route)) in triggers.into_iter().enumerate() {
            routes.add(number, &address, route, &mut problems);
        }
        routes.paths.sort_by(|a, b| a.parts.cmp(&b.parts));
        match problems.is_empty() {
            true => Ok(routes),
            false => Err(all(problems)),
        }
    }

    fn add(
        &mut self,
        number: usize,
        address: &str,
        route: &crate::source::Route,
        problems: &mut Vec<(Vec<String>, String)>,
    ) {
        let mut wrong = |field: &str, what: String| {
            problems.push((vec![address.to_owned(), field.to_owned()], what));
        };
        let methods: Vec<String> = route.methods.iter().map(|own| own.to_uppercase()).collect();
        if methods.is_empty() {
            wrong("methods", "there is no method".into());
        }
        for method in &methods {
            if !METHODS.contains(&method.as_str()) {
                wrong(
                    "methods",
                    format!("{method:?} is none of {}", METHODS.join(", ")),
                );
            }
        }
        let (parts, parameters) = match parse(&route.path) {
            Ok(parsed) => parsed,
            Err(what) => return wrong("path", what),
        };
        let at = match self.paths.iter().position(|path| path.parts == parts) {
            Some(at) => at,
            None => {
                let methods = BTreeMap::new();
                self.paths.push(Path { parts, methods });
                self.paths.len() - 1
            }
        };
        for method in methods {
            let parameters = parameters.clone();
            let target = Target { number, parameters };
            let taken = self.paths[at].methods.insert(method.clone(), target);
            // The same method twice in one route harms nobody.
            if taken.is_some_and(|taken| taken.number != number) {
                wrong(
                    "path",
                    format!("{method} {} is another trigger's already", route.path),
                );
            }
        }
    }

    /// Who answers `method` on `path`: of several paths that fit, the one whose parts are written out from the left.
    pub(super) fn find(&self, method: &str, path: &str) -> Found {
        let Some(asked) = split(path) else {
            return Found::Nothing;
        };
        let Some(path) = self.paths.iter().find(|path| path.fits(&asked)) else {
            return Found::Nothing;
        };
        let Some(target) = path.methods.get(method) else {
            let methods: Vec<&str> = path.methods.keys().map(String::as_str).collect();
            return Found::OtherMethods(methods.join(", "));
        };
        let parts = path.parts.iter().zip(asked);
        let values = parts.filter(|(part, _)| **part == Part::Parameter);
        let names = target.parameters.iter().cloned();
        Found::Trigger(
            target.number,
            names.zip(values.map(|(_, value)| value)).collect(),
        )
    }
}

impl Path {
    fn fits(&self, asked: &[String]) -> bool {
        let fits = |(part, asked): (&Part, &String)| match part {
            Part::Literal(own) => own == asked,
            Part::Parameter => !asked.is_empty(),
        };
        self.parts.len() == asked.len() && self.parts.iter().zip(asked).all(fits)
    }
}

/// Every problem in one error, one per line.
fn all(problems: Vec<(Vec<String>, String)>) -> Error {
    let lines: Vec<String> = problems
        .iter()
        .map(|(path, what)| format!("{}: {what}", path.join(": ")))
        .collect();
    let error = Error::config(format!(
        "routes of HTTP triggers:\n  {}",
        lines.join("\n  ")
    ));
    problems
        .into_iter()
        .fold(error, |error, (path, what)| error.validation(what, path))
}

/// The parts of a route's path and the names of its parameters.
fn parse(path: &str) -> Result<(Vec<Part>, Vec<String>), String> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err(match path.is_empty() {
            true => "the path is empty".into(),
            false => format!("{path:?} does not begin with /"),
        });
    };
    if rest.is_empty() {
        return Err("the path is / and nothing else".into());
    }
    let parts: Vec<&str> = rest.split('/').collect();
    if RESERVED.contains(&parts[0]) {
        return Err(format!(
            "{path:?} lies under /{}, which is reserved",
            parts[0]
        ));
    }
    if parts.len() > PARTS_MAX || path.contains(['?', '#']) {
        return Err(format!(
            "{path:?} has more than {PARTS_MAX} parts, or ? or #"
        ));
    }
    let mut names: Vec<String> = Vec::new();
    let mut parsed = Vec::new();
    for part in parts {
        let name = part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'));
        match name {
            None if part.contains(['{', '}']) => {
                return Err(format!(
                    "{part:?}: a parameter is a whole part, as in /{{name}}/"
                ));
            }
            None => parsed.push(Part::Literal(part.to_owned())),
            Some(name) if name.is_empty() || name.contains(['{', '}']) => {
                return Err("a parameter has no name".into());
            }
            Some(name) if names.iter().any(|own| own == name) => {
                return Err(format!("two parameters are called {name:?}"));
            }
            Some(name) => {
                names.push(name.to_owned());
                parsed.push(Part::Parameter);
            }
        }
    }
    Ok((parsed, names))
}

/// The parts of a path that was asked for, percent-decoded; none when it is nobody's.
fn split(path: &str) -> Option<Vec<String>> {
    let parts = path.strip_prefix('/')?.split('/');
    let parts: Option<Vec<String>> = parts.take(PARTS_MAX + 1).map(decode).collect();
    parts.filter(|parts| parts.len() <= PARTS_MAX)
}

fn decode(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Route;

    fn routes(all: &[(&str, &str)]) -> Result<Routes> {
        let made: Vec<Route> = all
            .iter()
            .map(|(method, path)| Route::new(*method, *path))
            .collect();
        let named = made.iter().enumerate();
        Routes::new(named.map(|(number, route)| (format!("web/t{number}"), route)))
    }

    /// TRG-02
    #[test]
    fn every_problem_of_every_route_is_told_at_once() {
        let error = routes(&[
            ("POST", ""),
            ("POST", "/"),
            ("POST", "crm"),
            ("TRACE", "/crm"),
            ("POST", "/api/x"),
            ("POST", "/admin"),
            ("POST", "/_health"),
            ("POST", "/metrics/x"),
            ("POST", "/a/{b}c"),
            ("POST", "/{a}/{a}"),
            ("post", "/users/{id}"),
            ("POST", "/users/{name}"),
        ])
        .unwrap_err();
        let told = error.validations();
        assert_eq!(told.len(), 11, "{error}");
        let places: Vec<&str> = told.iter().map(|told| told.path[0].as_str()).collect();
        let numbers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11];
        assert_eq!(places, numbers.map(|number| format!("web/t{number}")));
        assert!(error.to_string().contains("another trigger's"), "{error}");
    }

    /// TRG-02
    #[test]
    fn a_request_finds_the_path_that_is_written_out_and_parameters_are_decoded() {
        let routes = routes(&[
            ("GET", "/users/{id}"),
            ("PUT", "/users/{name}"),
            ("GET", "/users/me"),
            ("POST", "/users/{id}/files/{file}"),
        ])
        .unwrap();
        assert_eq!(
            routes.find("GET", "/users/me"),
            Found::Trigger(2, BTreeMap::new())
        );
        let Found::Trigger(3, parameters) = routes.find("POST", "/users/7/files/a%2Fb%20c") else {
            panic!("not found");
        };
        assert_eq!(parameters["file"], "a/b c");
        assert_eq!(parameters["id"], "7");
        let Found::Trigger(1, parameters) = routes.find("PUT", "/users/ada") else {
            panic!("not found");
        };
        assert_eq!(parameters["name"], "ada");
        assert_eq!(
            routes.find("POST", "/users/7"),
            Found::OtherMethods("GET, PUT".into())
        );
        for path in [
            "/users",
            "/users/",
            "/users/%zz",
            "/users/%ff",
            "/",
            "",
            "/users/7/",
            "/Users/me",
        ] {
            assert_eq!(routes.find("GET", path), Found::Nothing, "{path}");
        }
    }
}
