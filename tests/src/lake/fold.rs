//! From a change log to the table's current rows, by the rule that DESIGN and README state.
//!
//! Rows are taken in the order (`_lsn`, `_seq`), a delete before the insert of the same position.
//! Per key the last row counts, unless it is a delete or older than the last truncate. A value in
//! `_unchanged` is that of the row before, which for a changed key is the row that its delete took
//! away. A table without a key is a multiset: inserts add one, deletes take one.
//!
//! A snapshot that was resumed has parts read later than others. A change older than the newest
//! part may therefore concern a row that was not read yet, or was gone when its part was read:
//! only changes after it must find their row. And a truncate is not hidden from older snapshots: a
//! copy that comes after it finds nothing, though changes before it are streamed. So only changes
//! after the last truncate must find their row.

use std::collections::{BTreeMap, HashMap};

use super::log::{ChangeLog, Entry, Op, RowRef};
use crate::db::Row;

/// The rows of a table, folded out of its change log.
#[derive(Debug, Default)]
pub struct Folded {
    /// Names of the columns, in the order of each row.
    pub columns: Vec<String>,
    /// Names of the key columns; empty when the table has no key.
    pub key: Vec<String>,
    /// The rows, as Postgres text, in no order.
    pub rows: Vec<Row>,
}

/// A row of the table: its last change, and the older rows that hold its unchanged values.
#[derive(Debug, Clone)]
struct Current {
    last: RowRef,
    carried: BTreeMap<String, RowRef>,
}

/// Folds `log` into rows of `columns`. A column that no file has yet is NULL in every row: it was
/// added and nothing has been written to it.
///
/// # Errors
/// When the log contradicts itself: a change without a row to change, an unchanged value without
/// a row before.
pub fn fold(log: &ChangeLog, columns: &[String]) -> Result<Folded, String> {
    let rows = if log.key.is_empty() {
        fold_whole_rows(log, columns)?
    } else {
        fold_by_key(log, columns)?
    };
    Ok(Folded {
        columns: columns.to_vec(),
        key: log.key.clone(),
        rows,
    })
}

fn fold_by_key(log: &ChangeLog, columns: &[String]) -> Result<Vec<Row>, String> {
    let mut table: HashMap<Row, Current> = HashMap::new();
    let mut moved: Option<(u64, Current)> = None; // the row that a delete of this position took
    let entries = log.entries()?;
    let settled = settled(&entries, log.copied_until);
    for entry in entries {
        let strict = settled.is_none_or(|settled| (entry.lsn, entry.seq) > settled);
        let key = || -> Row {
            log.key
                .iter()
                .map(|name| log.text(entry.at, name))
                .collect()
        };
        match entry.op {
            Op::Truncate => table.clear(),
            Op::Delete => {
                let key = key();
                moved = table.remove(&key).map(|gone| (entry.seq, gone));
                if moved.is_none() && strict {
                    let (table, seq) = (&log.table, entry.seq);
                    return Err(format!(
                        "{table}: position {seq} deletes {key:?}, not there"
                    ));
                }
            }
            Op::Read | Op::Insert | Op::Update => {
                let key = key();
                let same = moved.take().filter(|(seq, _)| *seq == entry.seq);
                let moving = same.is_some();
                let before = same.map(|(_, row)| row).or_else(|| table.remove(&key));
                if strict {
                    contradiction(entry.op, before.is_some(), moving).map_err(|why| {
                        format!("{}: position {}: {why}: {key:?}", log.table, entry.seq)
                    })?;
                }
                let current = succeed(log, entry.at, before.as_ref(), strict)
                    .map_err(|why| format!("{}: position {}: {why}", log.table, entry.seq))?;
                table.insert(key, current);
            }
        }
    }
    let row = |current: &Current| {
        columns
            .iter()
            .map(|name| value(log, current, name))
            .collect()
    };
    Ok(table.values().map(row).collect())
}

/// Refuses an update of no row and an insert over a row.
fn contradiction(op: Op, there: bool, moving: bool) -> Result<(), &'static str> {
    match op {
        Op::Update if !there => Err("updates a key that is not there"),
        Op::Insert if there && !moving => Err("inserts a key that is there"),
        _ => Ok(()),
    }
}

/// Place of the newest row of a snapshot or the last truncate, or of the newest snapshot that is known of: after it,
/// changes find their rows.
fn settled(entries: &[Entry], copied_until: u64) -> Option<(u64, u64)> {
    let places = entries.iter().filter_map(|entry| match entry.op {
        Op::Read => Some((entry.lsn, u64::MAX)), // whatever its position, its whole snapshot
        Op::Truncate => Some((entry.lsn, entry.seq)),
        _ => None,
    });
    let snapshot = copied_until.checked_sub(1).map(|lsn| (lsn, u64::MAX));
    places.max().max(snapshot)
}

/// The row after the change at `at`, when `before` was the row until then.
fn succeed(
    log: &ChangeLog,
    at: RowRef,
    before: Option<&Current>,
    strict: bool,
) -> Result<Current, String> {
    let mut carried = BTreeMap::new();
    for name in log.unchanged(at) {
        let Some(before) = before else {
            if strict {
                return Err(format!("{name} is unchanged, and no row before"));
            }
            continue; // the row is still to be read, with all its values
        };
        let source = before.carried.get(&name).copied().unwrap_or(before.last);
        if !log.has(source, &name) {
            return Err(format!(
                "{name} is unchanged, and the row before has no such column"
            ));
        }
        carried.insert(name, source);
    }
    Ok(Current { last: at, carried })
}

fn value(log: &ChangeLog, current: &Current, column: &str) -> Option<String> {
    let source = current.carried.get(column).copied().unwrap_or(current.last);
    log.text(source, column)
}

/// A table without a key: rows are told apart by their whole content only.
fn fold_whole_rows(log: &ChangeLog, columns: &[String]) -> Result<Vec<Row>, String> {
    let mut table: HashMap<Row, usize> = HashMap::new();
    let entries = log.entries()?;
    let settled = settled(&entries, log.copied_until);
    for entry in entries {
        let strict = settled.is_none_or(|settled| (entry.lsn, entry.seq) > settled);
        let row: Row = columns
            .iter()
            .map(|name| log.text(entry.at, name))
            .collect();
        match entry.op {
            Op::Truncate => table.clear(),
            Op::Read | Op::Insert => *table.entry(row).or_default() += 1,
            Op::Delete | Op::Update => {
                let Some(count) = table.get_mut(&row).filter(|count| **count > 0) else {
                    if strict {
                        let (name, op, seq) = (&log.table, entry.op, entry.seq);
                        let alike = most_alike(&table, &row);
                        return Err(format!(
                            "{name}: position {seq}: {op:?} of {row:?}, not there; most alike: {alike:?}"
                        ));
                    }
                    continue;
                };
                // An update that leaves the whole row as it was changes nothing.
                *count -= usize::from(entry.op == Op::Delete);
            }
        }
    }
    let repeated = table
        .into_iter()
        .flat_map(|(row, count)| std::iter::repeat_n(row, count));
    Ok(repeated.collect())
}

/// The row that agrees with `row` in the most columns, and how often it is there: what a missing
/// row may have been taken for.
fn most_alike<'a>(table: &'a HashMap<Row, usize>, row: &Row) -> Option<(&'a Row, &'a usize)> {
    let agreeing = |other: &Row| {
        other
            .iter()
            .zip(row)
            .filter(|(one, two)| one == two)
            .count()
    };
    table
        .iter()
        .max_by_key(|(other, count)| (agreeing(other), **count))
}
