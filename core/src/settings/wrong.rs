//! Values as their readers want them, and what is said when they are something else.
//!
//! A value is shown in a message only where it cannot be a secret ([`harmless`]).

use super::document::{Node, Table, Value};
use super::problem::{Place, Problem};

/// Why a value cannot be taken, before its place and key are added.
pub(super) struct Wrong {
    what: String,
    fix: String,
}

impl Wrong {
    pub(super) fn plain(what: &str, fix: &str) -> Self {
        Wrong {
            what: what.into(),
            fix: fix.into(),
        }
    }

    /// Shows the value where it cannot be a secret.
    pub(super) fn of(node: &Node, reason: &str, fix: &str) -> Self {
        let what = match harmless(&node.value) {
            Some(text) => format!("{text:?}: {reason}"),
            None => reason.to_owned(),
        };
        Wrong::plain(&what, fix)
    }

    pub(super) fn at(self, place: Place, key: String) -> Problem {
        Problem {
            place,
            key,
            what: self.what,
            fix: self.fix,
        }
    }
}

pub(super) fn expected(what: &str, node: &Node) -> Wrong {
    match node.value {
        Value::Text(_) => Wrong::plain(
            &format!("expected {what}, the variable holds something else"),
            "",
        ),
        _ => Wrong::plain(&format!("expected {what}, found {}", node.value.name()), ""),
    }
}

/// The text of a value that may be shown: short, from the file, and not shaped like a connection string.
fn harmless(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) if text.len() <= 40 && !text.contains("://") && !text.contains('=') => {
            Some(text)
        }
        _ => None,
    }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) | Value::Text(text) => Some(text),
        _ => None,
    }
}

pub(super) fn as_table(node: &Node) -> Result<(Place, Table), Wrong> {
    match &node.value {
        Value::Table(table) => Ok((node.place.clone(), table.clone())),
        _ => Err(expected("a table", node)),
    }
}

/// A list in one variable: TOML's notation, or words between commas.
pub(super) fn split_list(text: &str) -> Vec<String> {
    let unquoted = text.trim().trim_start_matches('[').trim_end_matches(']');
    let words = unquoted
        .split(',')
        .map(|word| word.trim().trim_matches(['"', '\'']));
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}
