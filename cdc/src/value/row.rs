//! Rows being filled, value by value: the table's columns beside ours.

use arrow_array::ArrayRef;
use arrow_schema::ArrowError;
use bytes::Bytes;

use super::buffer::check_utf8;
use super::column::ColumnBuilder;
use super::mapping::{Plan, column_names};
use super::misfit::{Fit, Misfit};
use super::scalar::Sent;
use super::schema::TableSchema;
use super::system::{Op, RowMeta, SystemBuilder};
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
    scratch: Vec<u8>,
    /// What large values of the row at hand may be kept in, when that outlives the row.
    lent: Option<Bytes>,
}

/// Values from this size on are not copied where that can be avoided.
const KEPT_BYTES_MIN: usize = 1 << 20;

/// Where and why a row failed.
pub(crate) struct Failure {
    /// Index of the column, when it is one.
    pub(crate) column: Option<usize>,
    /// What is wrong, without the value.
    pub(crate) what: &'static str,
}

pub(crate) const OTHER_COLUMNS: Failure = Failure {
    column: None,
    what: "it has another number of columns than the table",
};

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
            scratch: Vec::new(),
            lent: None,
        }
    }

    /// Values of the rows that follow lie in `memory`, and large ones may be kept there.
    pub(crate) fn lend(&mut self, memory: Option<&Bytes>) {
        self.lent = memory.cloned();
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

    /// Adds a row. When it fails, what it added is taken back by [`RowBuilder::truncate`].
    pub(crate) fn append<'a>(
        &mut self,
        op: Op,
        meta: &RowMeta<'_>,
        mut values: impl Iterator<Item = Value<'a>>,
    ) -> Result<(), Failure> {
        for at in 0..self.columns.len() {
            let value = values.next().ok_or(OTHER_COLUMNS)?;
            self.append_value(at, value).map_err(|misfit| Failure {
                column: Some(at),
                what: match misfit {
                    Misfit::Wrong(what) => what,
                    Misfit::Beyond => "does not fit its Arrow type",
                },
            })?;
        }
        // A text row of a table without columns is one empty field.
        if values.next().is_some() && !self.columns.is_empty() {
            return Err(OTHER_COLUMNS);
        }
        self.system.close(op, meta).map_err(|_| Failure {
            column: None,
            what: "its id does not fit the batch",
        })
    }

    #[inline]
    fn append_value(&mut self, at: usize, value: Value<'_>) -> Fit<()> {
        if self.lent.is_some() && value.len_bytes() >= KEPT_BYTES_MIN && self.keep(at, value)? {
            return Ok(());
        }
        let column = &mut self.columns[at];
        match value {
            Value::Null => column.push_null(),
            Value::Unchanged => {
                column.push_null();
                self.system.add_unchanged(&self.names[at])?;
            }
            Value::Text(text) => match column.push_text(text) {
                Err(Misfit::Beyond) => self.append_as_text(at, text)?,
                pushed => pushed?,
            },
            Value::Escaped(field) => {
                let mut text = std::mem::take(&mut self.scratch);
                text.clear();
                unescape(field, &mut text);
                let appended = self.append_value(at, Value::Text(&text));
                self.scratch = text;
                appended?;
            }
            Value::Binary(binary) => match column.push_binary(binary) {
                Err(Misfit::Beyond) => {
                    column.push_null();
                    let plan = self.plans[at];
                    self.add_as_text(at, |out| text::write(plan, binary, out))?;
                }
                pushed => pushed?,
            },
        }
        Ok(())
    }

    /// Adds a large value where it lies, if its column takes it so. Escaped text is written out first, and only once.
    fn keep(&mut self, at: usize, value: Value<'_>) -> Fit<bool> {
        let lent = |bytes: &[u8]| within(self.lent.as_ref()?, bytes);
        let sent = match value {
            Value::Text(text) => lent(text).map(Sent::Text),
            Value::Binary(binary) => lent(binary).map(Sent::Binary),
            Value::Escaped(field) => {
                let mut text = Vec::with_capacity(field.len());
                unescape(field, &mut text);
                Some(Sent::Text(text.into()))
            }
            Value::Null | Value::Unchanged => None,
        };
        let Some(sent) = sent else { return Ok(false) };
        let back = self.columns[at].keep(sent)?;
        Ok(back.is_none())
    }

    fn append_as_text(&mut self, at: usize, text: &[u8]) -> Fit<()> {
        self.columns[at].push_null();
        self.add_as_text(at, |out| {
            out.extend_from_slice(text);
            Ok(())
        })
    }

    fn add_as_text(&mut self, at: usize, write: impl FnOnce(&mut Vec<u8>) -> Fit<()>) -> Fit<()> {
        self.system.add_as_text(&self.names[at], |out| {
            let start = out.len();
            write(out)?;
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
