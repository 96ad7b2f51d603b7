//! A folded change log held against the table itself.

use std::collections::HashMap;
use std::fmt::Write;

use super::Lake;
use super::canon::canonical;
use super::digest::Digest;
use super::fold::{Folded, fold};
use crate::db::{Row, Session};

/// How many differences a report shows.
const SHOWN_MAX: usize = 10;

/// How much of a value a report shows.
const VALUE_CHARS_MAX: usize = 200;

/// A table as Postgres has it.
#[derive(Debug)]
pub struct Table {
    /// Names of the published columns.
    pub columns: Vec<String>,
    /// Their types, by Postgres's name without modifiers.
    pub types: Vec<String>,
    /// The rows, as Postgres text, with one text per value.
    pub rows: Vec<Row>,
}

/// Reads `schema.table` from Postgres: all columns that are not generated, in one snapshot.
///
/// # Errors
/// What the server says.
pub fn read_table(session: &mut Session, table: &str) -> Result<Table, String> {
    let mut table = read_as_written(session, table)?;
    canonicalise(&mut table.rows, &table.types);
    Ok(table)
}

/// The same with every text just as Postgres writes it.
pub(crate) fn read_as_written(session: &mut Session, table: &str) -> Result<Table, String> {
    let (columns, types): (Vec<_>, Vec<_>) = columns(session, table)?.into_iter().unzip();
    let list: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
    let select = format!("select {} from {}", list.join(", "), qualified(table));
    let rows = session
        .try_rows(&select)
        .map_err(|error| crate::db::explain(&error))?;
    Ok(Table {
        columns,
        types,
        rows,
    })
}

/// Names and types of the published columns; a domain's type is its base.
fn columns(session: &mut Session, table: &str) -> Result<Vec<(String, String)>, String> {
    let name = qualified(table).replace('\'', "''");
    let rows = session.try_rows(&format!(
        "select attname, format_type(coalesce(nullif(typbasetype, 0), atttypid), -1) \
         from pg_attribute join pg_type t on t.oid = atttypid where attrelid = '{name}'::regclass \
         and attnum > 0 and not attisdropped and attgenerated = '' order by attnum"
    ));
    let rows = rows.map_err(|error| crate::db::explain(&error))?;
    let pairs = rows.into_iter().map(|row| {
        let mut values = row.into_iter().map(Option::unwrap_or_default);
        (
            values.next().unwrap_or_default(),
            values.next().unwrap_or_default(),
        )
    });
    Ok(pairs.collect())
}

/// Gives every value the one text that stands for it.
fn canonicalise(rows: &mut [Row], types: &[String]) {
    for row in rows {
        for (value, pg_type) in row.iter_mut().zip(types) {
            *value = value.take().map(|text| canonical(pg_type, text));
        }
    }
}

/// `schema.table` with both names quoted. The first dot ends the schema; those in its name are `%2E`.
fn qualified(table: &str) -> String {
    let (schema, name) = table.split_once('.').unwrap_or(("public", table));
    let schema = schema.replace("%2E", ".").replace("%25", "%");
    format!("{}.{}", quoted(&schema), quoted(name))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// One table, from both sides.
#[derive(Debug)]
pub struct Sides {
    /// As Postgres has it.
    pub truth: Table,
    /// As the lake's change log folds.
    pub folded: Folded,
}

impl Sides {
    /// Number and checksum of rows in Postgres, and in the lake.
    #[must_use]
    pub fn digests(&self) -> (Digest, Digest) {
        (Digest::of(&self.truth.rows), Digest::of(&self.folded.rows))
    }
}

/// Reads one table from Postgres and from the lake.
///
/// # Errors
/// What the server says, or what keeps the change log from being folded.
pub fn sides(session: &mut Session, lake: &Lake, table: &str) -> Result<Sides, String> {
    let truth = read_table(session, table)?;
    let log = lake.change_log(table)?;
    if truth.rows.is_empty() && log.columns().is_empty() {
        let folded = Folded::default(); // an empty table may have no file at all
        return Ok(Sides { truth, folded });
    }
    let mut folded = fold(&log, &truth.columns)?;
    canonicalise(&mut folded.rows, &truth.types);
    Ok(Sides { truth, folded })
}

/// Compares one table of the lake with Postgres; the number and checksum of its rows when equal.
///
/// # Errors
/// The first differences, each with key, column and both values.
pub fn compare(session: &mut Session, lake: &Lake, table: &str) -> Result<Digest, String> {
    let sides = sides(session, lake, table)?;
    match differences(&sides.folded, &sides.truth) {
        None => Ok(sides.digests().0),
        Some(report) => Err(format!("{table}: {report}")),
    }
}

/// What differs between `folded` and the truth; none when they are equal.
#[must_use]
pub fn differences(folded: &Folded, truth: &Table) -> Option<String> {
    let mut left = by_key(&folded.rows, folded);
    let mut found = Report::default();
    for (key, rows) in by_key(&truth.rows, folded) {
        match left.remove(&key) {
            None => found.add(format!("{} is missing in the lake", Shown(&key))),
            Some(folded_rows) => found.compare(&key, &truth.columns, &rows, &folded_rows),
        }
    }
    for key in left.keys() {
        found.add(format!("{} is in the lake only", Shown(key)));
    }
    found.finish(truth.rows.len(), folded.rows.len())
}

/// Rows by key; without a key, by whole content.
fn by_key<'a>(rows: &'a [Row], folded: &Folded) -> HashMap<Row, Vec<&'a Row>> {
    let places: Vec<usize> = match folded.key.is_empty() {
        true => (0..folded.columns.len()).collect(),
        false => {
            let place = |name| folded.columns.iter().position(|column| column == name);
            folded.key.iter().filter_map(place).collect()
        }
    };
    let mut found: HashMap<Row, Vec<&Row>> = HashMap::new();
    for row in rows {
        let key = places.iter().map(|place| row[*place].clone()).collect();
        found.entry(key).or_default().push(row);
    }
    found
}

#[derive(Default)]
struct Report {
    lines: Vec<String>,
    count: usize,
}

impl Report {
    fn add(&mut self, line: String) {
        self.count += 1;
        if self.lines.len() < SHOWN_MAX {
            self.lines.push(line);
        }
    }

    fn compare(&mut self, key: &Row, columns: &[String], truth: &[&Row], lake: &[&Row]) {
        if truth.len() != lake.len() {
            let (key, truth, lake) = (Shown(key), truth.len(), lake.len());
            self.add(format!(
                "{key}: {truth} rows in Postgres, {lake} in the lake"
            ));
            return;
        }
        for (truth, lake) in truth.iter().zip(lake) {
            for ((column, truth), lake) in columns.iter().zip(*truth).zip(*lake) {
                if truth != lake {
                    let (truth, lake) = (brief(truth), brief(lake));
                    let key = Shown(key);
                    self.add(format!(
                        "{key}.{column}: {truth} in Postgres, {lake} in the lake"
                    ));
                }
            }
        }
    }

    fn finish(mut self, truth_rows: usize, lake_rows: usize) -> Option<String> {
        if self.count == 0 {
            return None;
        }
        self.lines.sort();
        let count = self.count;
        let mut text =
            format!("{count} differences; {truth_rows} rows in Postgres, {lake_rows} in the lake");
        for line in self.lines {
            text.push_str("\n  ");
            text.push_str(&line);
        }
        Some(text)
    }
}

fn brief(value: &Option<String>) -> String {
    match value {
        None => "NULL".into(),
        Some(text) if text.chars().count() <= VALUE_CHARS_MAX => format!("{text:?}"),
        Some(text) => {
            let start: String = text.chars().take(VALUE_CHARS_MAX).collect();
            format!("{start:?}… ({} bytes)", text.len())
        }
    }
}

/// A key, shown in brief.
struct Shown<'a>(&'a Row);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_char('(')?;
        for (index, value) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{}", brief(value))?;
        }
        f.write_char(')')
    }
}
