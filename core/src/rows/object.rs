//! Rows as objects: which columns are in one, and what each writes.

use arrow_array::RecordBatch;

use super::cell::{Cells, label};
use crate::source::SYSTEM_COLUMNS;

/// Columns of a batch, ready to be written row by row.
pub(super) struct Columns<'a>(Vec<Column<'a>>);

/// One column.
pub(super) struct Column<'a> {
    pub(super) name: String,
    label: Vec<u8>,
    cells: Cells<'a>,
}

impl<'a> Columns<'a> {
    /// Every column of `rows`.
    pub(super) fn all(rows: &'a RecordBatch) -> Columns<'a> {
        Columns::which(rows, |_| true)
    }

    /// The columns that are the table's.
    pub(super) fn of_table(rows: &'a RecordBatch) -> Columns<'a> {
        Columns::which(rows, |name| !SYSTEM_COLUMNS.contains(&name))
    }

    fn which(rows: &'a RecordBatch, wanted: impl Fn(&str) -> bool) -> Columns<'a> {
        let fields = rows.schema_ref().fields().iter().zip(rows.columns());
        let wanted = fields.filter(|(field, _)| wanted(field.name()));
        let columns = wanted.map(|(field, column)| Column {
            name: field.name().clone(),
            label: label(field.name()),
            cells: Cells::of(column.as_ref()),
        });
        Columns(columns.collect())
    }

    /// Those of the columns whose name passes.
    pub(super) fn keep(mut self, wanted: impl Fn(&str) -> bool) -> Columns<'a> {
        self.0.retain(|column| wanted(&column.name));
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes row `at` as one object.
    pub(super) fn write(&self, at: usize, out: &mut Vec<u8>) {
        self.write_with(out, |column, out| column.write(at, out));
    }

    /// Writes one object of what `each` writes for each column; what writes nothing is left out.
    pub(super) fn write_with(
        &self,
        out: &mut Vec<u8>,
        mut each: impl FnMut(&Column<'_>, &mut Vec<u8>),
    ) {
        out.push(b'{');
        let empty = out.len();
        for column in &self.0 {
            let before = out.len();
            if before > empty {
                out.push(b',');
            }
            let begun = out.len();
            each(column, out);
            if out.len() == begun {
                out.truncate(before);
            }
        }
        out.push(b'}');
    }
}

impl Column<'_> {
    /// Writes what stands before the value.
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.label);
    }

    /// Writes value `at` behind its name.
    pub(super) fn write(&self, at: usize, out: &mut Vec<u8>) {
        self.begin(out);
        self.cells.write(at, out);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn a_row_is_an_object_by_column() {
        let columns: [(&str, ArrayRef); 2] = [
            ("id", Arc::new(Int64Array::from(vec![7, 8]))),
            ("na\"me", Arc::new(StringArray::from(vec![Some("a"), None]))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        assert_eq!(
            super::super::object(&rows, 1).as_str(),
            r#"{"id":8,"na\"me":null}"#
        );
    }
}
