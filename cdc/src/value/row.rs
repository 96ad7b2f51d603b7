//! Columns being filled, sheet by sheet: the table's beside ours.

use std::collections::BTreeMap;
use std::iter::Peekable;

use arrow_array::ArrayRef;
use arrow_schema::ArrowError;
use bytes::Bytes;

use super::buffer::check_utf8;
use super::column::ColumnBuilder;
use super::mapping::{Plan, column_names};
use super::misfit::{Fit, Misfit};
use super::odd::{Failure, Odd, Place};
use super::scalar::Sent;
use super::schema::TableSchema;
use super::sheet::Sheet;
use super::system::SystemBuilder;
use super::text;
use crate::protocol::Value;
use crate::protocol::copy::unescape;

/// The columns being filled.
#[derive(Debug)]
pub(crate) struct RowBuilder {
    names: Vec<String>,
    plans: Vec<Plan>,
    columns: Vec<ColumnBuilder>,
    system: SystemBuilder,
}

/// Values from this size on are not copied where that can be avoided.
const KEPT_BYTES_MIN: usize = 1 << 20;

/// The part of `memory` that `bytes` are, if they are one.
fn within(memory: &Bytes, bytes: &[u8]) -> Option<Bytes> {
    let start = bytes.as_ptr().addr().checked_sub(memory.as_ptr().addr())?;
    let end = start.checked_add(bytes.len())?;
    (end <= memory.len()).then(|| memory.slice(start..end))
}

impl RowBuilder {
    pub(crate) fn new(table: &TableSchema, event_id: bool) -> Self {
        let columns = table.columns.iter();
        let plans: Vec<Plan> = columns
            .map(|column| Plan::of(&column.kind, column.typmod))
            .collect();
        RowBuilder {
            names: column_names(table),
            columns: plans.iter().map(|plan| ColumnBuilder::new(*plan)).collect(),
            plans,
            system: SystemBuilder::new(event_id),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.system.rows()
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let own: usize = self.columns.iter().map(ColumnBuilder::bytes).sum();
        own + self.system.bytes()
    }

    /// Bytes of the column that holds most.
    pub(crate) fn bytes_of_largest(&self) -> usize {
        let own = self.columns.iter().map(ColumnBuilder::bytes).max();
        own.unwrap_or(0).max(self.system.bytes_of_largest())
    }

    /// Takes the rows of a sheet. Those that cannot be read are taken out of it, and given back by their `_seq`. Large values are kept in `lent` where their columns can, if they lie in it.
    pub(crate) fn take(
        &mut self,
        sheet: &mut Sheet<'_>,
        lent: Option<&Bytes>,
    ) -> Vec<(u64, Failure)> {
        let mut refused = Vec::new();
        let before = self.rows();
        while !sheet.is_empty() {
            let wrong = self.fill(sheet, lent);
            if wrong.is_empty() {
                break;
            }
            // As if they had never come.
            self.truncate(before);
            let wrong: BTreeMap<u64, Failure> = first_of_each(sheet, wrong);
            sheet.remove(|seq| wrong.contains_key(&seq));
            refused.extend(wrong);
        }
        refused
    }

    /// Adds all rows of a sheet, column by column, and says which of them cannot be read.
    fn fill(&mut self, sheet: &Sheet<'_>, lent: Option<&Bytes>) -> Vec<(usize, Failure)> {
        let mut odd = Odd::default();
        for (at, column) in self.columns.iter_mut().enumerate() {
            odd.begin(at);
            match lent {
                Some(memory) => keep_or_extend(column, sheet.column(at), memory, &mut odd),
                None => column.extend(sheet.column(at), &mut odd),
            }
        }
        if odd.wrong.is_empty() {
            self.close(sheet, &mut odd);
        }
        odd.wrong
    }

    /// Adds our own columns of each row.
    fn close(&mut self, sheet: &Sheet<'_>, odd: &mut Odd) {
        let mut unchanged = in_order(std::mem::take(&mut odd.unchanged));
        let mut beyond = in_order(std::mem::take(&mut odd.beyond));
        self.system.reserve(sheet.rows());
        for (row, head) in sheet.heads().iter().enumerate() {
            let noted = std::iter::from_fn(|| unchanged.next_if(|(at, _)| *at == row))
                .try_for_each(|(_, column)| self.system.add_unchanged(&self.names[column]))
                .map_err(|misfit| failure(None, misfit));
            let as_text = std::iter::from_fn(|| beyond.next_if(|(at, _)| *at == row)).try_for_each(
                |(_, column)| {
                    self.add_as_text(column, sheet.value(row, column))
                        .map_err(|misfit| failure(Some(column), misfit))
                },
            );
            let closed = self.system.close(head).map_err(|_| Failure {
                column: None,
                what: "its id does not fit the batch",
            });
            if let Err(failure) = noted.and(as_text).and(closed) {
                odd.refuse(row, failure);
            }
        }
    }

    /// Adds to the row at hand, as text, a value that its column cannot hold.
    fn add_as_text(&mut self, at: usize, value: Option<Value<'_>>) -> Fit<()> {
        let plan = self.plans[at];
        self.system.add_as_text(&self.names[at], |out| {
            let start = out.len();
            match value {
                Some(Value::Text(text)) => out.extend_from_slice(text),
                Some(Value::Escaped(field)) => unescape(field, out),
                Some(Value::Binary(binary)) => text::write(plan, binary, out)?,
                Some(Value::Null | Value::Unchanged) | None => {}
            }
            check_utf8(&out[start..])
        })
    }

    /// Cuts back to `len` rows.
    pub(crate) fn truncate(&mut self, len: usize) {
        for column in &mut self.columns {
            column.truncate(len);
        }
        self.system.truncate(len);
    }

    /// The arrays of all rows, ours first; the builder begins anew.
    pub(crate) fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut arrays = self.system.finish()?;
        for column in &mut self.columns {
            arrays.push(column.finish()?);
        }
        Ok(arrays)
    }
}

/// Adds values one by one: large ones are kept where they lie, if their column takes them so.
fn keep_or_extend<'a>(
    column: &mut ColumnBuilder,
    values: impl Iterator<Item = Value<'a>>,
    memory: &Bytes,
    odd: &mut Odd,
) {
    let kept = |column: &mut ColumnBuilder, value| match kept_in(memory, value) {
        Some(sent) => column.keep(sent).map(|back| back.is_none()),
        None => Ok(false),
    };
    for (row, value) in values.enumerate() {
        let mut own = Odd::default();
        match kept(column, value) {
            Ok(true) => {}
            Ok(false) => column.extend(std::iter::once(value), &mut own),
            Err(misfit) => {
                column.extend(std::iter::once(Value::Null), &mut own);
                odd.note(row, misfit);
            }
        }
        odd.add(row, &own);
    }
}

/// A large value where it lies, if that is in `memory`. Escaped text is written out first, and only once.
fn kept_in(memory: &Bytes, value: Value<'_>) -> Option<Sent> {
    if value.len_bytes() < KEPT_BYTES_MIN {
        return None;
    }
    match value {
        Value::Text(text) => within(memory, text).map(Sent::Text),
        Value::Binary(binary) => within(memory, binary).map(Sent::Binary),
        Value::Escaped(field) => {
            let mut text = Vec::with_capacity(field.len());
            unescape(field, &mut text);
            Some(Sent::Text(text.into()))
        }
        Value::Null | Value::Unchanged => None,
    }
}

/// The first failure of each row, by its `_seq`.
fn first_of_each(sheet: &Sheet<'_>, wrong: Vec<(usize, Failure)>) -> BTreeMap<u64, Failure> {
    let mut first = BTreeMap::new();
    for (row, failure) in wrong {
        if let Some(head) = sheet.heads().get(row) {
            first.entry(head.seq).or_insert(failure);
        }
    }
    first
}

fn in_order(mut places: Vec<Place>) -> Peekable<std::vec::IntoIter<Place>> {
    places.sort_unstable();
    places.into_iter().peekable()
}

fn failure(column: Option<usize>, misfit: Misfit) -> Failure {
    let what = match misfit {
        Misfit::Wrong(what) => what,
        Misfit::Beyond => "does not fit its Arrow type",
    };
    Failure { column, what }
}
