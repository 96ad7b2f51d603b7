//! A configuration file as a tree in which every key and value knows its line.
//!
//! The file is TOML, at most 1 MiB. After parsing, `${…}` in string values is replaced
//! ([`super::interpolation`]), then variables such as `BLACKSMITH__SOURCES__SHOP__URL` replace or add values
//! ([`super::overrides`]). Both happen to values that exist already, never to the text of the file, so a
//! variable cannot add a key or break a quote.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::environment::Environment;
use super::problem::{Place, Problem, Problems};
use super::{interpolation, overrides};

/// Bytes of the largest file read.
pub(super) const FILE_BYTES_MAX: usize = 1 << 20;

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// What a value is.
#[derive(Clone)]
pub(super) enum Value {
    String(String),
    /// From the environment: it takes the type that its reader expects, and is never shown.
    Text(String),
    /// What is wrong with it is reported already.
    Broken,
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime,
    Array(Vec<Node>),
    Table(Table),
}

/// Keys in the order of the file.
#[derive(Clone, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// A key, its value, and where the key stands.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Node {
    /// Whether it, or an item of it, is wrong in a way that is reported already.
    pub(super) fn is_broken(&self) -> bool {
        match &self.value {
            Value::Broken => true,
            Value::Array(items) => items.iter().any(Node::is_broken),
            _ => false,
        }
    }
}

impl Table {
    pub(super) fn remove(&mut self, key: &str) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(index))
    }
}

impl Value {
    /// The type, as an error names it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Value::String(_) | Value::Text(_) | Value::Broken => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a decimal number",
            Value::Boolean(_) => "true or false",
            Value::Datetime => "a date",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// Reads `text`; `None` when it is not TOML, with every syntax error in `problems`.
pub(super) fn read(text: &str, environment: &Environment, problems: &Problems) -> Option<Table> {
    let lines = Lines::of(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        problems.add(Problem {
            place: lines.place(error.span().unwrap_or(0..0)),
            key: String::new(),
            what: format!("not valid TOML: {}", error.message()),
            fix: String::new(),
        });
    }
    if !errors.is_empty() {
        return None;
    }
    let mut table = table(document.get_ref(), &lines, "", problems);
    interpolation::replace(&mut table, environment, problems);
    overrides::apply(&mut table, environment, problems);
    Some(table)
}

fn table(parsed: &DeTable<'_>, lines: &Lines<'_>, path: &str, problems: &Problems) -> Table {
    let mut keys: Vec<_> = parsed.iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    let entries = keys.into_iter().map(|(key, value)| {
        let place = lines.place(key.span());
        let path = join(path, key.get_ref());
        let node = Node {
            place: place.clone(),
            value: self::value(value.get_ref(), lines, &path, &place, problems),
        };
        Entry {
            key: key.get_ref().to_string(),
            place,
            node: Node {
                place: lines.place(value.span()),
                ..node
            },
        }
    });
    Table {
        entries: entries.collect(),
    }
}

fn value(
    parsed: &DeValue<'_>,
    lines: &Lines<'_>,
    path: &str,
    place: &Place,
    problems: &Problems,
) -> Value {
    match parsed {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Integer(value) => {
            let number = i64::from_str_radix(value.as_str(), value.radix());
            Value::Integer(number.unwrap_or_else(|_| {
                problems.add(Problem {
                    place: place.clone(),
                    key: path.to_owned(),
                    what: "the number is too large".into(),
                    fix: format!("at most {}", i64::MAX),
                });
                0
            }))
        }
        DeValue::Array(items) => Value::Array(
            (items.iter().enumerate())
                .map(|(index, item)| {
                    let place = lines.place(item.span());
                    let path = format!("{path}[{index}]");
                    Node {
                        value: value(item.get_ref(), lines, &path, &place, problems),
                        place,
                    }
                })
                .collect(),
        ),
        DeValue::Table(inner) => Value::Table(table(inner, lines, path, problems)),
    }
}

/// `key` below `path`, quoted where a dot in it would mislead.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let key = match !key.is_empty() && key.chars().all(bare) {
        true => key.to_owned(),
        false => format!("{key:?}"),
    };
    match path {
        "" => key,
        path => format!("{path}.{key}"),
    }
}

/// Where lines begin, to turn byte offsets into lines and columns.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Lines {
            text,
            starts: std::iter::once(0).chain(after_breaks).collect(),
        }
    }

    fn place(&self, span: Range<usize>) -> Place {
        let line = self.starts.partition_point(|start| *start <= span.start);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..span.start).unwrap_or_default();
        Place::At {
            line,
            column: before.chars().count() + 1,
        }
    }
}
