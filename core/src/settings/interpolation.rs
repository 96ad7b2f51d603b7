//! `${VAR}` in string values: the environment inside a configuration file.
//!
//! ```text
//! ${VAR}             the variable; a problem when it is not set
//! ${VAR:-default}    the default when VAR is not set or empty; the default is plain text
//! ${VAR:?message}    the message as the problem when VAR is not set or empty
//! $${                a literal ${
//! ```
//! What a variable holds is taken as it is: it is not searched for `${` again, and a value that came from
//! a variable is never shown in a message.

use super::document::{Node, Table, Value, join};
use super::environment::Environment;
use super::problem::{Problem, Problems};

/// Replaces variables in every string below `table`.
pub(super) fn replace(table: &mut Table, environment: &Environment, problems: &Problems) {
    in_table(table, "", environment, problems);
}

fn in_table(table: &mut Table, path: &str, environment: &Environment, problems: &Problems) {
    for entry in &mut table.entries {
        let path = join(path, &entry.key);
        in_node(&mut entry.node, &path, environment, problems);
    }
}

fn in_node(node: &mut Node, path: &str, environment: &Environment, problems: &Problems) {
    match &mut node.value {
        Value::Table(inner) => in_table(inner, path, environment, problems),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                in_node(item, &format!("{path}[{index}]"), environment, problems);
            }
        }
        Value::String(text) if text.contains("${") => {
            let (replaced, faults) = expand(text, environment);
            for (what, fix) in faults {
                problems.add(Problem {
                    place: node.place.clone(),
                    key: path.to_owned(),
                    what,
                    fix,
                });
            }
            node.value = replaced;
        }
        _ => {}
    }
}

/// What is wrong, and what to do.
type Fault = (String, String);

fn expand(text: &str, environment: &Environment) -> (Value, Vec<Fault>) {
    let mut output = String::with_capacity(text.len());
    let mut faults = Vec::new();
    let mut used = false;
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            output.push_str(before);
            output.push_str("${");
            rest = after;
            continue;
        }
        output.push_str(before);
        let Some((inside, after)) = after.split_once('}') else {
            faults.push((
                "${ is not closed".into(),
                "add }, or write $${ for a literal ${".into(),
            ));
            break;
        };
        used = true;
        match lookup(inside, environment) {
            Ok(value) => output.push_str(&value),
            Err(fault) => faults.push(fault),
        }
        rest = after;
    }
    output.push_str(rest);
    let value = match (faults.is_empty(), used) {
        (false, _) => Value::Broken,
        (true, true) => Value::Text(output),
        (true, false) => Value::String(output),
    };
    (value, faults)
}

fn lookup(inside: &str, environment: &Environment) -> Result<String, Fault> {
    let (name, default, message) = match inside.split_once(':') {
        None => (inside, None, None),
        Some((name, rest)) => match (rest.strip_prefix('-'), rest.strip_prefix('?')) {
            (None, None) => return Err(malformed()),
            (default, message) => (name, default, message),
        },
    };
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let other = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.starts_with(first) || !name.chars().all(other) {
        return Err(malformed());
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err((
            "a default is plain text, it cannot hold another ${".into(),
            "use one variable per ${…}".into(),
        ));
    }
    let value = environment.get(name);
    let filled = value.filter(|value| !value.is_empty());
    match (default, message) {
        (Some(default), _) => Ok(filled.unwrap_or(default).to_owned()),
        (None, Some(message)) => filled.map(str::to_owned).ok_or_else(|| {
            let what = format!("environment variable {name} is not set or empty");
            (what, message.trim().to_owned())
        }),
        (None, None) => value.map(str::to_owned).ok_or_else(|| {
            let what = format!("environment variable {name} is not set");
            (
                what,
                format!("set it, or give a default: ${{{name}:-value}}"),
            )
        }),
    }
}

fn malformed() -> Fault {
    (
        "not a variable".into(),
        "write ${NAME}, ${NAME:-default} or ${NAME:?message}; $${ is a literal ${".into(),
    )
}
