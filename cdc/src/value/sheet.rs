//! Rows on their way into columns: found in their block, not decoded yet.
//!
//! Rows arrive one by one, and are decoded a column at a time: one loop per column, which knows its type. Decoded value by
//! value, each row would take a jump per column that no processor foresees, and those cost more than the decoding.

use super::odd::{Failure, OTHER_COLUMNS};
use super::system::Head;
use crate::protocol::{Tuple, Value};

/// Rows to be decoded at once, at most: they stay in the processor's nearest caches from one column to the next.
const ROWS_FULL: usize = 128;
/// Bytes of their values from which on they are decoded, however few they are; and values.
const BYTES_FULL: usize = 256 << 10;
const VALUES_FULL: usize = 64 << 10;

/// Rows of one table whose values still lie in their block.
#[derive(Debug, Default)]
pub struct Sheet<'a> {
    /// Row by row.
    values: Vec<Value<'a>>,
    rows: Vec<Head>,
    value_bytes: usize,
}

impl<'a> Sheet<'a> {
    /// How many rows it has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// How many values they have together.
    #[must_use]
    pub fn values(&self) -> usize {
        self.values.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether it is to be decoded before more is added: it has 128 rows, or 256 KiB, or 65,536 values.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.rows.len() >= ROWS_FULL
            || self.value_bytes >= BYTES_FULL
            || self.values.len() >= VALUES_FULL
    }

    /// Adds a row as it was sent.
    pub(super) fn push_tuple(
        &mut self,
        columns: usize,
        head: Head,
        tuple: &Tuple<'a>,
    ) -> Result<(), Failure> {
        // Which kind it is, is asked once for the row and not for each value.
        match tuple {
            Tuple::Logical(tuple) => self.push(columns, head, tuple.values()),
            Tuple::CopyText(row) => self.push(columns, head, row.values()),
            Tuple::CopyBinary(row) => self.push(columns, head, row.values()),
        }
    }

    /// Adds a row of these values; nothing when they are not as many as the table has columns.
    #[inline]
    pub(super) fn push(
        &mut self,
        columns: usize,
        head: Head,
        mut values: impl Iterator<Item = Value<'a>>,
    ) -> Result<(), Failure> {
        let start = self.values.len();
        let mut bytes = 0;
        self.values.reserve(columns);
        for value in values.by_ref().take(columns) {
            bytes += value.len_bytes();
            self.values.push(value);
        }
        let few = self.values.len() - start < columns;
        // A text row of a table without columns is one empty field.
        let many = columns > 0 && values.next().is_some();
        if few || many {
            self.values.truncate(start);
            return Err(OTHER_COLUMNS);
        }
        self.value_bytes += bytes;
        self.rows.push(head);
        Ok(())
    }

    /// Cuts back to `rows` rows.
    pub(super) fn truncate(&mut self, columns: usize, rows: usize) {
        self.values.truncate(rows * columns);
        self.rows.truncate(rows);
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.rows.clear();
        self.value_bytes = 0;
    }

    /// `_seq` of its first row and of its last.
    pub(super) fn seqs(&self) -> Option<(u64, u64)> {
        Some((self.rows.first()?.seq, self.rows.last()?.seq))
    }

    pub(super) fn heads(&self) -> &[Head] {
        &self.rows
    }

    /// The values of the column `at`, from top to bottom.
    #[inline]
    pub(super) fn column(&self, at: usize) -> impl Iterator<Item = Value<'a>> {
        self.values
            .chunks_exact(self.columns().max(1))
            .map(move |row| row[at])
    }

    /// One value.
    pub(super) fn value(&self, row: usize, column: usize) -> Option<Value<'a>> {
        self.values.get(row * self.columns() + column).copied()
    }

    fn columns(&self) -> usize {
        self.values.len() / self.rows.len().max(1)
    }

    /// Takes the rows of these positions out.
    pub(super) fn remove(&mut self, is_refused: impl Fn(u64) -> bool) {
        let columns = self.columns();
        let mut left = Sheet::default();
        let values = std::mem::take(&mut self.values);
        for (at, head) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            if !is_refused(head.seq) {
                left.values
                    .extend(values.iter().skip(at * columns).take(columns));
                left.rows.push(head);
            }
        }
        *self = left;
    }
}
