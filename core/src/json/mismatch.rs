//! Why a document is not what its reader expects: where, and what kind of thing is there, never the thing itself.
//!
//! What `serde` says about a document quotes it, and what is quoted may be a password or somebody's name. So its message is
//! taken apart, and only what comes from code goes on: the kind of value that was found, what was expected, the name of a field that is
//! missing. The place is worked out from line and column.

use serde_json::error::Category;

use super::pointer::POINTER_PARTS_MAX;
use super::walk::{Members, Name, past_space};
use crate::error::Error;

/// Letters of what was expected, at most.
const EXPECTED_MAX: usize = 200;
/// Letters of a key that is shown, at most.
const KEY_MAX: usize = 40;
/// What stands for a key that is not shown.
const HIDDEN: &str = "*";
/// What a value can be, as `serde` calls it at the beginning of what it found.
const FOUND: [(&str, &str); 8] = [
    ("boolean", "true or false"),
    ("integer", "a whole number"),
    ("floating point", "a number"),
    ("number", "a number"),
    ("string", "a text"),
    ("null", "null"),
    ("sequence", "a list"),
    ("map", "an object"),
];

/// The error of reading `document`, without a word of what is in it but plain names of fields.
pub(super) fn told(error: &serde_json::Error, document: &[u8]) -> Error {
    let (line, column) = (error.line(), error.column());
    let told = error.to_string();
    let told = told
        .rsplit_once(" at line ")
        .map_or(&*told, |(told, _)| told);
    if error.classify() != Category::Data {
        // Words of the parser, which quote nothing.
        let what = format!("the JSON cannot be read: {told} at line {line}, column {column}");
        return Error::invalid(what);
    }
    let path = path(document, offset(document, line, column));
    let place = match path.is_empty() {
        true => "the document itself".to_owned(),
        false => format!("/{}", path.join("/")),
    };
    let wrong = wrong(told);
    let what =
        format!("the JSON has another shape: {place}: {wrong} (line {line}, column {column})");
    Error::invalid(what).validation(wrong, path)
}

/// What is wrong, in words that come from code.
fn wrong(told: &str) -> String {
    let (kind, rest) = told.split_once(": ").unwrap_or((told, ""));
    let found = FOUND.iter().find(|(own, _)| rest.starts_with(own));
    let found = found.map_or("something else", |(_, shown)| shown);
    match kind {
        // What was found comes before what was expected, and may hold anything.
        "invalid type" => match rest.rsplit_once(", expected ") {
            Some((_, expected)) => format!("expected {}, found {found}", shortened(expected)),
            None => format!("{found} is of another type"),
        },
        "invalid value" => format!("{found} is not one that fits"),
        _ if told.starts_with("invalid length ") => "the list has another length".into(),
        _ if told.starts_with("unknown field ") => "a field is not known".into(),
        _ if told.starts_with("unknown variant ") => {
            "the word is none of those that are known".into()
        }
        // Both name the field as the reader's code does.
        _ => match (
            told.strip_prefix("missing field "),
            told.strip_prefix("duplicate field "),
        ) {
            (Some(field), None) => format!("the field {} is missing", shortened(field)),
            (None, Some(field)) => format!("the field {} is there twice", shortened(field)),
            _ => "the reader refused it".into(),
        },
    }
}

fn shortened(text: &str) -> String {
    let letters = text.chars().filter(|letter| !letter.is_control());
    letters.take(EXPECTED_MAX).collect()
}

/// Where line and column are in `document`; the column counts bytes that were read.
fn offset(document: &[u8], line: usize, column: usize) -> usize {
    let mut breaks = document
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n');
    let start = match line.checked_sub(2) {
        None => 0,
        Some(before) => breaks.nth(before).map_or(document.len(), |(at, _)| at + 1),
    };
    start.saturating_add(column)
}

/// The parts that lead to the innermost value around `offset`.
fn path(document: &[u8], offset: usize) -> Vec<String> {
    let mut path = Vec::new();
    let mut start = past_space(document, 0);
    while path.len() < POINTER_PARTS_MAX
        && let Some(members) = Members::of(document, start)
    {
        let mut behind = members.skip_while(|member| member.value.end < offset);
        let Some(member) = behind.next().filter(|member| member.value.start <= offset) else {
            break;
        };
        path.push(shown(&member.name));
        start = member.value.start;
    }
    path
}

/// A key that is a plain name is one of the format; any other may be somebody's.
fn shown(name: &Name<'_>) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    let text = name
        .text()
        .filter(|text| text.len() <= KEY_MAX && text.chars().all(plain));
    text.unwrap_or_else(|| HIDDEN.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::de::{DeserializeOwned, Error as _};
    use serde::{Deserialize, Deserializer};

    use super::super::Json;

    const CANARY: &str = "hunter2";

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only read")]
    struct Order {
        total: u8,
        lines: Option<Vec<Line>>,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read")]
    struct Line {
        sku: Sku,
    }

    #[derive(Debug, Deserialize)]
    enum Kind {
        Retail,
    }

    /// Says more than it should.
    #[derive(Debug)]
    struct Sku;

    impl<'de> Deserialize<'de> for Sku {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sku, D::Error> {
            let text = String::deserialize(deserializer)?;
            Err(D::Error::custom(format!("{text} is no SKU")))
        }
    }

    /// What is said of a document that holds the canary.
    fn told<T: DeserializeOwned + std::fmt::Debug>(document: &str) -> String {
        let json = Json::parse(document.to_owned().into()).unwrap();
        let error = json.read::<T>().unwrap_err();
        let told = format!(
            "{} {error:?} {error} {:?}",
            error.report(),
            error.validations()
        );
        assert!(!told.contains(CANARY), "{told}");
        error.report()
    }

    /// An error never quotes what is in a document, whatever is wrong with it.
    #[test]
    fn every_mismatch_is_told_by_place_and_kind_and_the_value_by_nobody() {
        for (document, expected) in [
            (
                r#"{"total": "hunter2"}"#,
                "/total: expected u8, found a text (line 1, column 19)",
            ),
            (
                r#"{"total": "a, expected hunter2"}"#,
                "/total: expected u8, found a text",
            ),
            (
                r#"{"total": 4111}"#,
                "/total: a whole number is not one that fits",
            ),
            (
                r#"{"total": ["hunter2"]}"#,
                "/total: expected u8, found a list",
            ),
            (
                "{\n\"total\": 1,\n\"lines\": [{\"sku\": \"hunter2\"}]}",
                "/lines/0: the reader refused it (line 3, column",
            ),
            (
                r#"{"total": 1, "lines": [{}]}"#,
                "/lines/0: the field `sku` is missing",
            ),
            (
                r#"{"lines": null}"#,
                "the document itself: the field `total` is missing",
            ),
            (
                r#"{"total": 1, "total": 2}"#,
                "the field `total` is there twice",
            ),
            (r#"{"total": 1, "hunter2": 2}"#, "a field is not known"),
            (
                r#"{"total": 1, "kind": "hunter2"}"#,
                "/kind: the word is none of those",
            ),
            (
                r#""hunter2""#,
                "the document itself: expected struct Order, found a text",
            ),
        ] {
            let told = told::<Order>(document);
            assert!(told.contains(expected), "{expected} in {told}");
        }
        let told = told::<(u8, u8)>("[1]");
        assert!(told.contains("the list has another length"), "{told}");
    }

    #[test]
    fn a_key_that_may_be_somebodys_is_hidden() {
        let told = told::<BTreeMap<String, BTreeMap<String, u8>>>(
            r#"{"users": {"hunter2@example.com": "x"}}"#,
        );
        assert!(told.contains("/users/*: expected u8"), "{told}");
    }

    #[test]
    fn what_no_reader_can_take_is_told_in_the_parsers_words() {
        let deep = format!("{}\"hunter2\"{}", "[".repeat(500), "]".repeat(500));
        for (document, expected) in [
            ("[\"hunter2\", 1e400]", "number out of range"),
            ("[\"hunter2\", \"\\ud800\"]", "hex escape"),
            (&*deep, "recursion limit exceeded"),
        ] {
            let told = told::<serde_json::Value>(document);
            assert!(told.contains(expected), "{expected} in {told}");
        }
    }
}
