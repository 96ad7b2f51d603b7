//! Declared columns: what events that are no rows of tables say, as columns with types beside their `data`.
//!
//! ```toml
//! [destinations.lake.columns."web/signup"]
//! plan = "text"                                                     # the field "plan" of the data
//! amount = { type = "decimal(12,2)", from = "/order/amount" }       # a field of another name, or a pointer
//! ```
//! Nothing is rounded, clipped or guessed: a value that does not fit its type leaves its column null and stands in `_as_text`
//! as text, as those of tables do; a field that is missing is null; and `data` stays whole.

mod exact;
mod moment;
mod kind;
mod fit;
mod builder;
mod columns;

use std::collections::BTreeMap;
use std::sync::Arc;

use blacksmith_core::json::Pointer;
use blacksmith_core::settings::Section;

pub use columns::{Column, Columns};
pub use kind::Kind;

/// Columns of one trigger, at most.
const COLUMNS_MAX: usize = 1_000;
/// Bytes of a column's name, at most.
const NAME_BYTES_MAX: usize = 255;

/// The declared columns of all triggers.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// By the name under which rows of a trigger come: `source.trigger`.
    columns: BTreeMap<String, Arc<Columns>>,
}

impl Declared {
    /// Declares the columns of a trigger, over what was declared before.
    #[must_use]
    pub fn of(mut self, source: &str, trigger: &str, columns: Vec<Column>) -> Declared {
        let columns = Arc::new(Columns::of(columns));
        self.columns.insert(format!("{source}.{trigger}"), columns);
        self
    }

    /// Reads the tables of `columns`, each called `source/trigger`. What is wrong goes into the section's problems.
    #[must_use]
    pub fn read(section: &mut Section) -> Declared {
        let mut declared = Declared::default();
        for (address, own) in section.take_sections("columns") {
            let parts = address
                .split_once('/')
                .filter(|(_, trigger)| !trigger.is_empty());
            if parts.is_none() {
                own.report_itself(
                    "not the address of a trigger",
                    "write columns.\"source/trigger\"",
                );
            }
            let columns = read_columns(own);
            if let Some((source, trigger)) = parts {
                declared = declared.of(source, trigger, columns);
            }
        }
        declared
    }

    /// The columns of the rows that come as `name`; none when there are no declared ones.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Columns>> {
        self.columns.get(name).cloned()
    }
}

fn read_columns(mut section: Section) -> Vec<Column> {
    let keys = section.keys();
    if keys.len() > COLUMNS_MAX {
        section.report_itself("too many columns", format!("at most {COLUMNS_MAX}"));
    }
    let mut columns = Vec::with_capacity(keys.len());
    for key in keys {
        if let Err((what, fix)) = check_name(&key) {
            section.report(&key, what, fix);
        }
        columns.extend(read_column(&mut section, key));
    }
    section.finish();
    columns
}

fn check_name(name: &str) -> Result<(), (&'static str, &'static str)> {
    match name {
        "context" | "data" => Err((
            "every event has a column called so",
            "choose another name, and set from",
        )),
        _ if name.starts_with('_') => Err((
            "names with _ before them are the lake's own",
            "choose another name, and set from",
        )),
        _ if name.is_empty() || name.len() > NAME_BYTES_MAX => {
            Err(("not a name of a column", "from 1 to 255 bytes"))
        }
        _ => Ok(()),
    }
}

/// `"type"`, or `{ type = "…", from = "…" }`.
fn read_column(section: &mut Section, name: String) -> Option<Column> {
    let (kind, from) = match section.has_table(&name) {
        true => {
            let mut own = section.take_section(&name);
            let from = own.take_str("from").optional();
            let from = from.map(|from| read_place(&own, &from));
            let kind = own.take_str("type").required();
            let kind = kind.and_then(|text| read_kind(&own, "type", &text));
            own.finish();
            (kind, from)
        }
        false => {
            let text = section.take_str(&name).optional();
            (text.and_then(|text| read_kind(section, &name, &text)), None)
        }
    };
    let from = from.unwrap_or_else(|| Pointer::field(&*name));
    kind.map(|kind| Column { name, kind, from })
}

/// A pointer, or the name of a field.
fn read_place(section: &Section, from: &str) -> Pointer {
    if !from.is_empty() && !from.starts_with('/') {
        return Pointer::field(from);
    }
    let pointer = Pointer::parse(from);
    pointer.unwrap_or_else(|error| {
        section.report(
            "from",
            error.to_string(),
            error.advised().unwrap_or_default(),
        );
        Pointer::default()
    })
}

fn read_kind(section: &Section, key: &str, text: &str) -> Option<Kind> {
    let told =
        |(what, fix): (String, String)| section.report(key, format!("{text:?}: {what}"), fix);
    Kind::parse(text).map_err(told).ok()
}

#[cfg(test)]
mod tests {
    use blacksmith_core::settings::Environment;

    use super::*;

    fn read(text: &str) -> (Declared, Vec<String>) {
        let (mut section, problems) =
            Section::parse("b.toml", text, &Environment::default()).unwrap();
        let declared = Declared::read(&mut section);
        section.finish();
        let report = problems.into_error().map(|error| error.to_string());
        let lines = report.iter().flat_map(|report| report.lines().skip(1));
        (declared, lines.map(|line| line.trim().to_owned()).collect())
    }

    #[test]
    fn columns_are_drawn_from_fields_and_pointers() {
        let (declared, problems) = read(
            "[columns.\"web/signup\"]
             plan = 'text'
             amount = { type = 'decimal(12,2)', from = '/order/amount' }
             whole = { type = 'json', from = '' }
             'the tags' = { type = 'text[]', from = 'tags' }
             [columns.\"web/order/eu\"]",
        );
        assert!(problems.is_empty(), "{problems:?}");
        let columns = declared.find("web.signup").unwrap();
        let list: Vec<_> = columns
            .list()
            .iter()
            .map(|own| format!("{} {} {}", own.name, own.kind, own.from))
            .collect();
        assert_eq!(
            list,
            [
                "plan text /plan",
                "amount decimal(12,2) /order/amount",
                "whole json ",
                "the tags text[] /tags"
            ]
        );
        assert!(declared.find("web.order/eu").is_some() && declared.find("web.x").is_none());
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_key_and_line() {
        let (_, problems) = read(
            "[columns.signup]
             plan = 'text'
             [columns.\"web/signup\"]
             plan = 'txt'
             data = 'json'
             _seq = 'int'
             amount = { type = 'decimal(40,2)', from = '/a/~' }
             tags = { typ = 'text' }
             on = 7",
        );
        let expected = [
            "b.toml:1:10: columns.signup: not the address of a trigger",
            "b.toml:4:21: columns.\"web/signup\".plan: \"txt\": not a type (did you mean \"text\"?)",
            "b.toml:5:21: columns.\"web/signup\".data: every event has a column called so",
            "b.toml:6:21: columns.\"web/signup\"._seq: names with _ before them are the lake's own",
            "columns.\"web/signup\".amount.type: \"decimal(40,2)\": not a decimal",
            "columns.\"web/signup\".amount.from: a ~ stands alone",
            "columns.\"web/signup\".tags.typ: unknown key (did you mean \"type\"?)",
            "columns.\"web/signup\".tags.type: this key is required",
            "columns.\"web/signup\".on: expected a string, found an integer",
        ];
        for start in expected {
            let told = problems.iter().any(|line| line.contains(start));
            assert!(told, "{start} in {problems:#?}");
        }
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    }
}
