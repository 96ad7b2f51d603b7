//! Which trigger answers which request.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::gateway::route::{PARTS_MAX, Part, Pattern, RouteProblem, decode, problems};
use crate::source::Route;

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
    pub fn new<'a>(triggers: impl IntoIterator<Item = (String, &'a Route)>) -> Result<Routes> {
        let triggers: Vec<(String, &Route)> = triggers.into_iter().collect();
        let problems = problems(triggers.iter().cloned());
        if !problems.is_empty() {
            return Err(all(&triggers, problems));
        }
        let mut routes = Routes { paths: Vec::new() };
        for (number, (_, route)) in triggers.into_iter().enumerate() {
            // Looked at just now.
            if let Ok(pattern) = Pattern::parse(&route.path) {
                routes.add(number, pattern, &route.methods);
            }
        }
        routes.paths.sort_by(|a, b| a.parts.cmp(&b.parts));
        Ok(routes)
    }

    fn add(&mut self, number: usize, pattern: Pattern, methods: &[String]) {
        let Pattern { parts, parameters } = pattern;
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
            self.paths[at].methods.insert(method.to_uppercase(), target);
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
fn all(triggers: &[(String, &Route)], problems: Vec<RouteProblem>) -> Error {
    let address = |problem: &RouteProblem| triggers[problem.route].0.clone();
    let line = |problem: &RouteProblem| {
        let RouteProblem {
            field, what, fix, ..
        } = problem;
        format!("{}: {field}: {what} ({fix})", address(problem))
    };
    let lines: Vec<String> = problems.iter().map(line).collect();
    let error = Error::config(format!(
        "routes of HTTP triggers:\n  {}",
        lines.join("\n  ")
    ));
    problems.into_iter().fold(error, |error, problem| {
        let path = [address(&problem), problem.field.to_owned()];
        error.validation(problem.what, path)
    })
}

/// The parts of a path that was asked for, percent-decoded; none when it is nobody's.
fn split(path: &str) -> Option<Vec<String>> {
    let parts = path.strip_prefix('/')?.split('/');
    let parts: Option<Vec<String>> = parts.take(PARTS_MAX + 1).map(decode).collect();
    parts.filter(|parts| parts.len() <= PARTS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn problems_are_told_with_the_address_of_their_trigger() {
        let error = routes(&[
            ("POST", "crm"),
            ("TRACE", "/crm"),
            ("POST", "/{a}"),
            ("POST", "/{b}"),
        ])
        .unwrap_err();
        let told = error.validations();
        let places: Vec<_> = told.iter().map(|told| told.path.join(" ")).collect();
        assert_eq!(places, ["web/t0 path", "web/t1 methods", "web/t3 path"]);
        assert!(error.to_string().contains("which web/t2 has"), "{error}");
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
