//! Routes of HTTP triggers, looked at before anything is served: each by itself, and all beside one another.

use std::collections::BTreeMap;

use crate::source::Route;

/// Methods that a trigger may have.
pub const METHODS: [&str; 5] = ["DELETE", "GET", "PATCH", "POST", "PUT"];
/// First parts of paths that belong to the house.
const RESERVED: [&str; 4] = ["api", "admin", "_health", "metrics"];
/// Parts of a path, at most.
pub(crate) const PARTS_MAX: usize = 64;

/// One thing that is wrong with a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteProblem {
    /// Which of the routes that were looked at, from 0.
    pub route: usize,
    /// `path` or `methods`.
    pub field: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

/// Everything that keeps `routes` from being served by one gateway, each as the name that its trigger goes by and the route. Of two
/// that answer the same requests the later one is at fault.
///
/// Two paths are the same when they differ in nothing but the names of their parameters. `/users/me` beside `/users/{id}` is not: what is
/// written out goes first.
pub fn problems<'a>(routes: impl IntoIterator<Item = (String, &'a Route)>) -> Vec<RouteProblem> {
    let mut looking = Looking::default();
    for (number, (name, route)) in routes.into_iter().enumerate() {
        looking.at(number, &name, route);
    }
    looking.problems
}

#[derive(Default)]
struct Looking {
    /// Who answers a method on a path.
    answered: BTreeMap<(String, Vec<Part>), Answered>,
    problems: Vec<RouteProblem>,
}

struct Answered {
    number: usize,
    name: String,
    path: String,
}

impl Looking {
    fn at(&mut self, number: usize, name: &str, route: &Route) {
        let mut wrong = |field, what: String, fix: &str| {
            self.problems.push(RouteProblem {
                route: number,
                field,
                what,
                fix: fix.to_owned(),
            });
        };
        if route.methods.is_empty() {
            wrong("methods", "there is none".into(), "such as POST");
        }
        for method in &route.methods {
            if !METHODS.contains(&&*method.to_uppercase()) {
                let fix = format!("use {}", METHODS.join(", "));
                wrong("methods", format!("{method} is not supported"), &fix);
            }
        }
        let pattern = match Pattern::parse(&route.path) {
            Ok(pattern) => pattern,
            Err((what, fix)) => return wrong("path", what, fix),
        };
        for method in &route.methods {
            let answered = Answered {
                number,
                name: name.to_owned(),
                path: route.path.clone(),
            };
            let key = (method.to_uppercase(), pattern.parts.clone());
            // The same method twice in one route harms nobody.
            match self
                .answered
                .get(&key)
                .filter(|first| first.number != number)
            {
                Some(first) => wrong(
                    "path",
                    clash(&key.0, &route.path, first),
                    "choose another path",
                ),
                None => drop(self.answered.insert(key, answered)),
            }
        }
    }
}

fn clash(method: &str, path: &str, first: &Answered) -> String {
    let Answered {
        name, path: own, ..
    } = first;
    match own == path {
        true => format!("{name} has {method} {path} already"),
        false => format!("{method} {path} is the same as {own}, which {name} has"),
    }
}

/// A route's path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) parts: Vec<Part>,
    /// The names of its parameters, in order.
    pub(crate) parameters: Vec<String>,
}

/// One part of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// First in order: what is written out goes before what could be anything. Percent-decoded.
    Literal(String),
    Parameter,
}

/// What is wrong, and what to do about it.
type Wrong = (String, &'static str);

impl Pattern {
    pub(crate) fn parse(path: &str) -> Result<Pattern, Wrong> {
        let Some(rest) = path.strip_prefix('/').filter(|rest| !rest.is_empty()) else {
            return Err((
                "it does not begin with / and a name".into(),
                "such as /signups",
            ));
        };
        let parts: Vec<&str> = rest.split('/').collect();
        if parts.len() > PARTS_MAX || path.contains(['?', '#']) {
            let what = format!("it has more than {PARTS_MAX} parts, or ? or #");
            return Err((what, "parameters of the query need no route"));
        }
        let mut pattern = Pattern {
            parts: Vec::with_capacity(parts.len()),
            parameters: Vec::new(),
        };
        for part in parts {
            pattern.push(part)?;
        }
        match pattern.parts.first() {
            Some(Part::Literal(first)) if RESERVED.contains(&&**first) => Err((
                format!("/{first} is the gateway's own"),
                "choose another path",
            )),
            _ => Ok(pattern),
        }
    }

    fn push(&mut self, part: &str) -> Result<(), Wrong> {
        let inner = part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'));
        match inner {
            None if part.contains(['{', '}']) => Err((
                format!("{part:?} is a parameter only in part"),
                "a parameter is a whole part, as in /{name}/",
            )),
            None => match decode(part) {
                Some(literal) => {
                    self.parts.push(Part::Literal(literal));
                    Ok(())
                }
                None => Err((
                    format!("{part:?} has a % that stands for nothing"),
                    "write %25 for %",
                )),
            },
            Some(name) if name.is_empty() || name.contains(['{', '}', '*']) => Err((
                "a parameter has no name".into(),
                "as in /{name}/; it stands for one part and never for several",
            )),
            Some(name) if self.parameters.iter().any(|own| own == name) => {
                Err((format!("two parameters are called {name:?}"), "rename one"))
            }
            Some(name) => {
                self.parameters.push(name.to_owned());
                self.parts.push(Part::Parameter);
                Ok(())
            }
        }
    }
}

/// A part of a path without its percents; none when that is no text.
pub(crate) fn decode(part: &str) -> Option<String> {
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

    fn told(routes: &[(&str, &str)]) -> Vec<(usize, String)> {
        let routes: Vec<Route> = routes
            .iter()
            .map(|(method, path)| Route::new(*method, *path))
            .collect();
        let named = routes.iter().enumerate();
        let problems = problems(named.map(|(number, route)| (format!("web/t{number}"), route)));
        let told = problems.into_iter();
        told.map(|told| {
            (
                told.route,
                format!("{}: {} ({})", told.field, told.what, told.fix),
            )
        })
        .collect()
    }

    /// TRG-02
    #[test]
    fn every_problem_of_every_route_is_told_at_once() {
        let told = told(&[
            ("POST", ""),
            ("POST", "/"),
            ("POST", "crm"),
            ("TRACE", "/crm"),
            ("POST", "/api/x"),
            ("POST", "/%61pi"),
            ("POST", "/_health"),
            ("POST", "/metrics/x"),
            ("POST", "/a/{b}c"),
            ("POST", "/{a}/{a}"),
            ("POST", "/a?b=c"),
            ("POST", "/a/{*rest}"),
            ("POST", "/50%"),
        ]);
        let at: Vec<usize> = told.iter().map(|(at, _)| *at).collect();
        assert_eq!(at, (0..13).collect::<Vec<_>>(), "{told:?}");
    }

    /// TRG-02
    #[test]
    fn routes_that_answer_the_same_requests_clash_whatever_their_parameters_are_called() {
        let told = told(&[
            ("post", "/users/{id}"),
            ("POST", "/users/{name}"),
            ("GET", "/users/{id}"),
            ("POST", "/users/{id}/"),
            ("POST", "/caf\u{e9}"),
            ("POST", "/caf%C3%A9"),
            ("POST", "/users/{id}"),
        ]);
        let expected = [
            (
                1,
                "path: POST /users/{name} is the same as /users/{id}, which web/t0 has (choose another path)",
            ),
            (
                5,
                "path: POST /caf%C3%A9 is the same as /caf\u{e9}, which web/t4 has (choose another path)",
            ),
            (
                6,
                "path: web/t0 has POST /users/{id} already (choose another path)",
            ),
        ];
        assert_eq!(told, expected.map(|(at, text)| (at, text.to_owned())));
    }

    /// TRG-02
    #[test]
    fn what_is_written_out_may_stand_beside_a_parameter() {
        let routes = [
            ("GET", "/users/me"),
            ("GET", "/users/{id}"),
            ("GET", "/{kind}/me"),
            ("GET", "/apiary"),
            ("GET", "/users/{id}/files/{file}"),
        ];
        assert_eq!(told(&routes), []);
    }
}
