//! The rows of a change log as changes: what each did, and with what values.

use std::collections::HashSet;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{
    Array, ListArray, PrimitiveArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, UInt64Array,
};

use super::cell::{moment, null, put, unsigned};
use super::object::Columns;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::position::Position;
use crate::source::SCHEMA_KEY;

/// A batch of a table's change log.
pub(super) struct Changes<'a> {
    ops: &'a StringArray,
    lsns: &'a UInt64Array,
    positions: &'a UInt64Array,
    committed_at: &'a TimestampMicrosecondArray,
    unchanged: Option<&'a ListArray>,
    as_text: Option<&'a ListArray>,
    columns: Columns<'a>,
    /// What identifies a row; empty when all of it does.
    key: Columns<'a>,
}

/// One change: the row of a position, or the two rows of a change of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    /// The row that says what was before, when the key changed.
    pub(super) before: Option<usize>,
    /// The row.
    pub(super) row: usize,
}

impl<'a> Changes<'a> {
    /// # Errors
    /// `Damaged` when the columns of a change log are not there.
    pub(super) fn of(rows: &'a RecordBatch) -> Result<Changes<'a>> {
        let key = key_of(rows);
        Ok(Changes {
            ops: column(rows, "_op", |array| array.as_string_opt())?,
            lsns: column(rows, "_lsn", |array| array.as_primitive_opt())?,
            positions: column(rows, "_seq", |array| array.as_primitive_opt())?,
            committed_at: column(rows, "_committed_at", |array| array.as_primitive_opt())?,
            unchanged: rows
                .column_by_name("_unchanged")
                .and_then(|array| array.as_list_opt()),
            as_text: rows
                .column_by_name("_as_text")
                .and_then(|array| array.as_list_opt()),
            columns: Columns::of_table(rows),
            key: Columns::of_table(rows).keep(|name| key.contains(name)),
        })
    }

    pub(super) fn position(&self, row: usize) -> Position {
        Position(self.positions.value(row))
    }

    /// When the row was committed.
    pub(super) fn committed_at(&self, row: usize) -> Option<Timestamp> {
        let is_known = self.committed_at.is_valid(row);
        is_known.then(|| Timestamp(self.committed_at.value(row)))
    }

    /// Each change, in order.
    pub(super) fn each(&self) -> impl Iterator<Item = Change> {
        let positions: &PrimitiveArray<UInt64Type> = self.positions;
        let mut next = 0;
        std::iter::from_fn(move || {
            let first = next;
            if first >= positions.len() {
                return None;
            }
            let has_two =
                first + 1 < positions.len() && positions.value(first) == positions.value(first + 1);
            next = first + 1 + usize::from(has_two);
            Some(Change {
                before: has_two.then_some(first),
                row: next - 1,
            })
        })
    }

    /// Writes the table's columns. Of a removed row, what identified it; of an emptied table, nothing.
    /// What the source did not send is left out, and what its column cannot hold is there as text.
    pub(super) fn write_data(&self, change: Change, out: &mut Vec<u8>) {
        match self.ops.value(change.row) {
            "truncate" => out.extend_from_slice(b"{}"),
            "delete" => self.write_identity(change.row, out),
            _ => self.write_row(&self.columns, change.row, out),
        }
    }

    fn write_identity(&self, row: usize, out: &mut Vec<u8>) {
        match self.key.is_empty() {
            true => self.write_row(&self.columns, row, out),
            false => self.write_row(&self.key, row, out),
        }
    }

    fn write_row(&self, columns: &Columns<'_>, row: usize, out: &mut Vec<u8>) {
        let unchanged = names_in(self.unchanged, row);
        let as_text = pairs_in(self.as_text, row);
        if unchanged.is_empty() && as_text.is_empty() {
            return columns.write(row, out);
        }
        columns.write_with(out, |column, out| {
            if unchanged.contains(&column.name.as_str()) {
                return;
            }
            match as_text.iter().find(|(name, _)| *name == column.name) {
                Some((_, text)) => {
                    column.begin(out);
                    put(*text, out);
                }
                None => column.write(row, out),
            }
        });
    }

    /// Writes what is known of the change besides its values.
    pub(super) fn write_context(&self, change: Change, out: &mut Vec<u8>) {
        let row = change.row;
        let op = match change.before {
            Some(_) => "update",
            None => self.ops.value(row),
        };
        out.extend_from_slice(b"{\"op\":");
        put(op, out);
        out.extend_from_slice(b",\"lsn\":");
        unsigned(self.lsns.value(row), out);
        out.extend_from_slice(b",\"committed_at\":");
        match self.committed_at.is_valid(row) {
            true => moment(self.committed_at.value(row), true, out),
            false => null(out),
        }
        if let Some(before) = change.before {
            out.extend_from_slice(b",\"before\":");
            self.write_identity(before, out);
        }
        let unchanged = names_in(self.unchanged, row);
        if !unchanged.is_empty() {
            out.extend_from_slice(b",\"unchanged\":");
            put(&unchanged, out);
        }
        out.push(b'}');
    }
}

fn column<'a, T>(
    rows: &'a RecordBatch,
    name: &str,
    cast: impl FnOnce(&'a dyn Array) -> Option<T>,
) -> Result<T> {
    let found = rows.column_by_name(name);
    found.and_then(|array| cast(array.as_ref())).ok_or_else(|| {
        Error::damaged(format!("rows without a column {name} cannot become jobs"))
            .help("this is a bug in the format that read them; please report it")
    })
}

fn key_of(rows: &RecordBatch) -> HashSet<String> {
    let schema = rows.schema_ref();
    let key = schema.metadata().get(SCHEMA_KEY);
    key.and_then(|key| serde_json::from_str(key).ok())
        .unwrap_or_default()
}

/// The texts in list `row`; none when it is null.
fn names_in(lists: Option<&ListArray>, row: usize) -> Vec<&str> {
    let Some((lists, range)) = filled(lists, row) else {
        return Vec::new();
    };
    let names: Option<&StringArray> = lists.values().as_string_opt();
    names.map_or_else(Vec::new, |names| range.map(|at| names.value(at)).collect())
}

/// The pairs of texts in list `row`; none when it is null.
fn pairs_in(lists: Option<&ListArray>, row: usize) -> Vec<(&str, &str)> {
    let Some((lists, range)) = filled(lists, row) else {
        return Vec::new();
    };
    let pairs: Option<&StructArray> = lists.values().as_struct_opt();
    let texts = |at: usize| -> Option<&StringArray> { pairs?.columns().get(at)?.as_string_opt() };
    let (Some(names), Some(values)) = (texts(0), texts(1)) else {
        return Vec::new();
    };
    range
        .map(|at| (names.value(at), values.value(at)))
        .collect()
}

fn filled(lists: Option<&ListArray>, row: usize) -> Option<(&ListArray, std::ops::Range<usize>)> {
    let lists = lists.filter(|lists| lists.is_valid(row))?;
    let offsets = lists.value_offsets();
    Some((lists, offsets[row] as usize..offsets[row + 1] as usize))
}
