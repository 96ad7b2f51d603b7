//! One table of the configuration, as its reader sees it.
//!
//! The reader takes the keys it knows, each with its type, and says what follows when a key is missing
//! ([`Taken`]). Whatever is wrong goes into the shared [`Problems`] and the reading goes on. At the end
//! [`Section::finish`] reports the keys that nobody took, with the nearest one that somebody would have.
//! A driver gets its own section whole and reads it the same way:
//!
//! ```
//! # use blacksmith_core::settings::{Environment, Section};
//! # let text = "slot = 'blacksmith_shop'\nsnapshot = 'never'";
//! # let (mut section, problems) = Section::parse("blacksmith.toml", text, &Environment::default())?;
//! let slot = section.take_str("slot").required();
//! let initial = section.take_enum("snapshot", &[("initial", true), ("never", false)]).or(true);
//! let workers = section.take_u64("snapshot_workers").within(1, 64).or(2);
//! section.finish();
//! problems.check()?;
//! assert_eq!((slot.as_deref(), initial, workers), (Some("blacksmith_shop"), false, 2));
//! # Ok::<(), blacksmith_core::error::Error>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::document::{self, Entry, Node, Table, Value, join};
use super::environment::Environment;
use super::problem::{Place, Problem, Problems, suggestion};
use super::size::parse_size;
use super::taken::{Found, Taken};
use super::wrong::{Wrong, as_table, expected, split_list, text};
use crate::error::Result;
use crate::schedule::Interval;
use crate::schedule::duration::parse_duration;
use crate::secret::Secret;

/// A table being read. Debug shows keys, never values.
#[derive(Clone)]
pub struct Section {
    path: String,
    place: Place,
    table: Table,
    /// Every key that a reader asked for, and where it stood if it did.
    asked: BTreeMap<String, Option<Place>>,
    problems: Problems,
}

impl Section {
    pub(super) fn of(path: String, place: Place, table: Table, problems: &Problems) -> Self {
        Section {
            path,
            place,
            table,
            asked: BTreeMap::new(),
            problems: problems.clone(),
        }
    }

    /// The root table of a configuration `text`; `file` is the name that messages use.
    ///
    /// # Errors
    /// [`crate::error::Kind::Config`] with every syntax error, when `text` is not TOML.
    pub fn parse(file: &str, text: &str, environment: &Environment) -> Result<(Self, Problems)> {
        let problems = Problems::of(file);
        let table = document::read(text, environment, &problems);
        let Some(table) = table else {
            return Err(problems.into_error().unwrap_or_else(|| {
                crate::error::Error::config(format!("{file} is not valid TOML"))
            }));
        };
        let place = Place::At { line: 1, column: 1 };
        Ok((
            Section::of(String::new(), place, table, &problems),
            problems,
        ))
    }

    /// The full key of this table, as in `sources.shop`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The list this section reports into.
    #[must_use]
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// Whether `key` is set and was not taken yet.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.table.entries.iter().any(|entry| entry.key == key)
    }

    /// Whether `key` is set to a table and was not taken yet: for a key that may be said in short or in full.
    #[must_use]
    pub fn has_table(&self, key: &str) -> bool {
        let mut entries = self.table.entries.iter();
        entries.any(|entry| entry.key == key && matches!(entry.node.value, Value::Table(_)))
    }

    /// The keys that are set and not taken yet, for a table whose keys are somebody else's to know.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.table
            .entries
            .iter()
            .map(|entry| entry.key.clone())
            .collect()
    }

    /// Takes a string.
    pub fn take_str(&mut self, key: &str) -> Taken<'_, String> {
        self.take(key, |node| {
            text(&node.value)
                .map(str::to_owned)
                .ok_or_else(|| expected("a string", node))
        })
    }

    /// Takes a string that must not be shown.
    pub fn take_secret(&mut self, key: &str) -> Taken<'_, Secret> {
        self.take(key, |node| {
            text(&node.value)
                .map(Secret::new)
                .ok_or_else(|| expected("a string", node))
        })
    }

    /// Takes `true` or `false`.
    pub fn take_bool(&mut self, key: &str) -> Taken<'_, bool> {
        self.take(key, |node| match &node.value {
            Value::Boolean(value) => Ok(*value),
            Value::Text(text) => text
                .trim()
                .parse()
                .map_err(|_| expected("true or false", node)),
            _ => Err(expected("true or false", node)),
        })
    }

    /// Takes a whole number that is not negative.
    pub fn take_u64(&mut self, key: &str) -> Taken<'_, u64> {
        self.take(key, |node| {
            let number = match &node.value {
                Value::Integer(number) => u64::try_from(*number).ok(),
                Value::Text(text) => text.trim().replace('_', "").parse().ok(),
                _ => None,
            };
            number.ok_or_else(|| expected("a whole number, 0 or more", node))
        })
    }

    /// Takes a number of bytes: `"128MiB"`, `"64 MB"`, or an integer.
    pub fn take_size(&mut self, key: &str) -> Taken<'_, u64> {
        self.take(key, |node| match (&node.value, text(&node.value)) {
            (Value::Integer(bytes), _) => u64::try_from(*bytes)
                .map_err(|_| Wrong::plain("a size is not negative", "write 128MiB")),
            (_, Some(text)) => parse_size(text)
                .map_err(|reason| Wrong::of(node, &reason, "write 128MiB or a number of bytes")),
            _ => Err(expected("a size such as \"128MiB\"", node)),
        })
    }

    /// Takes a duration: `"10s"`, `"5m"`, `"1h30m"`, `"7d"`.
    pub fn take_duration(&mut self, key: &str) -> Taken<'_, Duration> {
        self.take(key, |node| match text(&node.value) {
            Some(text) => parse_duration(text)
                .map_err(|reason| Wrong::of(node, &reason, "write 10s, 5m, 1h30m or 7d")),
            None => Err(expected("a duration such as \"10s\"", node)),
        })
    }

    /// Takes an interval: `"@every 10m"`, `"@daily"`, cron.
    pub fn take_interval(&mut self, key: &str) -> Taken<'_, Interval> {
        self.take(key, |node| match text(&node.value) {
            Some(text) => Interval::parse(text).map_err(|error| {
                Wrong::of(
                    node,
                    &error.to_string(),
                    error.advised().unwrap_or_default(),
                )
            }),
            None => Err(expected("an interval such as \"@every 10m\"", node)),
        })
    }

    /// Takes anything that JSON can say; a date is written as a string.
    pub fn take_json(&mut self, key: &str) -> Taken<'_, serde_json::Value> {
        self.take(key, super::json::read)
    }

    /// Takes a list of strings. From the environment: `["a", "b"]`, or `a, b`.
    pub fn take_list(&mut self, key: &str) -> Taken<'_, Vec<String>> {
        self.take(key, |node| match &node.value {
            Value::Array(items) => items
                .iter()
                .map(|item| {
                    text(&item.value)
                        .map(str::to_owned)
                        .ok_or_else(|| expected("a list of strings", item))
                })
                .collect(),
            Value::Text(text) => Ok(split_list(text)),
            _ => Err(expected("a list of strings", node)),
        })
    }

    /// Takes one of the words in `choices`, as the value that stands beside it.
    pub fn take_enum<T: Clone>(&mut self, key: &str, choices: &[(&str, T)]) -> Taken<'_, T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.take(key, |node| {
            let Some(word) = text(&node.value) else {
                return Err(expected(&format!("one of {}", words.join(", ")), node));
            };
            let choice = choices.iter().find(|(choice, _)| *choice == word);
            choice
                .map(|(_, value)| value.clone())
                .ok_or_else(|| Wrong::of(node, "not a known value", &suggestion(word, &words)))
        })
    }

    /// Takes the table `key`; an empty one when it is missing.
    pub fn take_section(&mut self, key: &str) -> Section {
        let path = join(&self.path, key);
        match self.take(key, as_table).optional() {
            Some((place, table)) => Section::of(path, place, table, &self.problems),
            None => Section::of(path, self.place.clone(), Table::default(), &self.problems),
        }
    }

    /// Takes the tables of the table `key`, with their names: `[sources.shop]`, `[sources.crm]`.
    pub fn take_sections(&mut self, key: &str) -> Vec<(String, Section)> {
        let mut named = Vec::new();
        let outer = self.take_section(key);
        for Entry { key, place, node } in outer.table.entries {
            let path = join(&outer.path, &key);
            match as_table(&node) {
                Ok((_, table)) => {
                    named.push((key, Section::of(path, place, table, &self.problems)))
                }
                Err(wrong) => self.problems.add(wrong.at(node.place, path)),
            }
        }
        named
    }

    /// Takes a list of tables: each `[[flows]]`.
    pub fn take_tables(&mut self, key: &str) -> Vec<Section> {
        let path = join(&self.path, key);
        let items = self.take(key, |node| match &node.value {
            Value::Array(items) => Ok(items.clone()),
            _ => Err(expected(
                &format!("a list of tables, each under [[{key}]]"),
                node,
            )),
        });
        let mut tables = Vec::new();
        for (index, item) in items.optional().unwrap_or_default().iter().enumerate() {
            let path = format!("{path}[{index}]");
            match as_table(item) {
                Ok((place, table)) => tables.push(Section::of(path, place, table, &self.problems)),
                Err(wrong) => self.problems.add(wrong.at(item.place.clone(), path)),
            }
        }
        tables
    }

    /// Notes a problem with `key`, at its value if it was set: for what only the reader can judge, such
    /// as a URL. Neither sentence may hold a secret.
    pub fn report(&self, key: &str, what: impl Into<String>, fix: impl Into<String>) {
        let untaken = || self.table.entries.iter().find(|entry| entry.key == key);
        let place = self.asked.get(key).cloned().flatten();
        let place = place.or_else(|| Some(untaken()?.node.place.clone()));
        self.problems.add(Problem {
            place: place.unwrap_or_else(|| self.place.clone()),
            key: join(&self.path, key),
            what: what.into(),
            fix: fix.into(),
        });
    }

    /// Notes a problem with this table as a whole, at its header.
    pub fn report_itself(&self, what: impl Into<String>, fix: impl Into<String>) {
        self.problems.add(Problem {
            place: self.place.clone(),
            key: self.path.clone(),
            what: what.into(),
            fix: fix.into(),
        });
    }

    /// Notes that the value of `key` is not one of `known`, and which of them is near.
    pub fn report_unknown(&self, key: &str, value: &str, known: &[&str]) {
        self.report(key, "not a known value", suggestion(value, known));
    }

    /// Ends the reading: every key that nobody took is a problem.
    pub fn finish(self) {
        let known: Vec<&str> = self.asked.keys().map(String::as_str).collect();
        for entry in self.table.entries {
            self.problems.add(Problem {
                place: entry.place,
                key: join(&self.path, &entry.key),
                what: "unknown key".into(),
                fix: suggestion(&entry.key, &known),
            });
        }
    }

    fn take<T>(&mut self, key: &str, read: impl FnOnce(&Node) -> Result<T, Wrong>) -> Taken<'_, T> {
        let entry = self.table.remove(key);
        let place = entry.as_ref().map(|entry| entry.node.place.clone());
        self.asked.insert(key.to_owned(), place);
        let found = match entry.map(|entry| entry.node) {
            None => Found::Missing,
            Some(node) if node.is_broken() => Found::Wrong,
            Some(node) => match read(&node) {
                Ok(value) => Found::Value(value),
                Err(wrong) => {
                    self.problems
                        .add(wrong.at(node.place, join(&self.path, key)));
                    Found::Wrong
                }
            },
        };
        Taken::of(self, key, found)
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.table.entries.iter().map(|entry| &entry.key);
        write!(f, "Section({}) ", self.path)?;
        f.debug_set().entries(keys).finish()
    }
}
