//! Row changes of one table version into record batches of its change log.
//!
//! What becomes of each change:
//! - read, insert: one row with all values.
//! - update: one row with the new values. When it changes what identifies the row (an old tuple
//!   came with a different key), it is a delete of the old key and an insert of the new row, both
//!   with the same `_seq`, in this order.
//! - delete: one row with the key columns, the others null; the whole old row when the table has no
//!   key columns.
//! - truncate: one row, all columns null.
//!
//! A value that the server did not send because it did not change is taken from the old tuple where
//! that has it (REPLICA IDENTITY FULL, or a key column); else it is null and listed in `_unchanged`.
//! Of an old tuple of a key only the key columns count: its other columns are NULL in the message
//! and mean nothing.
//!
//! Changes are gathered in a [`Sheet`] while their block is walked, and taken from there many at a time, because they are
//! decoded by column. A change that fails leaves the builder as if it had never come. Memory grows with the rows; a batch is
//! to be finished when [`TableBuilder::is_full`], because a column's text is limited to 2 GiB.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use blacksmith_core::error::{Error, Result};

use super::mapping::arrow_schema;
use super::odd::{Failure, OTHER_COLUMNS};
use super::row::RowBuilder;
use super::schema::TableSchema;
use super::sheet::Sheet;
use super::system::Head;
use crate::protocol::{OldTuple, Tuple, Value};

pub use super::system::{Op, RowMeta};

/// A column that holds this much is as large as one should be in one batch.
const COLUMN_BYTES_FULL: usize = 512 << 20;

/// One change of one row.
#[derive(Debug, Clone, Copy)]
pub enum RowChange<'a> {
    /// A row of a snapshot.
    Read {
        /// The row.
        row: Tuple<'a>,
    },
    /// A new row.
    Insert {
        /// The row.
        new: Tuple<'a>,
    },
    /// A changed row.
    Update {
        /// What was sent of it before the change.
        old: Option<OldTuple<'a>>,
        /// The row after.
        new: Tuple<'a>,
    },
    /// A removed row.
    Delete {
        /// What was sent of it.
        old: OldTuple<'a>,
    },
    /// The table was emptied.
    Truncate,
}

impl RowChange<'_> {
    /// Bytes that were sent for its values.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        let of_old = |old: &OldTuple<'_>| match old {
            OldTuple::Key(tuple) | OldTuple::Full(tuple) => tuple.len_bytes(),
        };
        match self {
            RowChange::Read { row } => row.len_bytes(),
            RowChange::Insert { new } => new.len_bytes(),
            RowChange::Update { old, new } => old.as_ref().map_or(0, of_old) + new.len_bytes(),
            RowChange::Delete { old } => of_old(old),
            RowChange::Truncate => 0,
        }
    }
}

/// A change that cannot be read.
#[derive(Debug)]
pub struct Refused {
    /// Its position, as its [`RowMeta`] had it.
    pub seq: u64,
    /// Why: `Invalid`, with table and column, never the value.
    pub error: Error,
}

/// What came of the rows of a sheet.
#[derive(Debug)]
pub struct Taken {
    /// `seq` of the first row that was taken, and of the last.
    pub seqs: Option<(u64, u64)>,
    /// The changes that were not, by `seq`.
    pub refused: Vec<Refused>,
}

/// The error of the only change there was.
fn only(taken: Taken) -> Result<()> {
    match taken.refused.into_iter().next() {
        Some(refused) => Err(refused.error),
        None => Ok(()),
    }
}

/// Builds batches of one table version.
#[derive(Debug)]
pub struct TableBuilder {
    table: Arc<TableSchema>,
    schema: SchemaRef,
    has_key: bool,
    rows: RowBuilder,
}

impl TableBuilder {
    /// A builder for `table`; `event_id` adds the column `_event_id`.
    #[must_use]
    pub fn new(table: Arc<TableSchema>, event_id: bool) -> Self {
        TableBuilder {
            schema: Arc::new(arrow_schema(&table, event_id)),
            has_key: table.has_key(),
            rows: RowBuilder::new(&table, event_id),
            table,
        }
    }

    /// The table version its rows have.
    #[must_use]
    pub fn table(&self) -> &Arc<TableSchema> {
        &self.table
    }

    /// The schema of its batches.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows waiting for [`TableBuilder::finish`].
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.rows()
    }

    /// Bytes they take, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// True when the batch has to be finished before more is pushed: a column holds 512 MiB.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.rows.bytes_of_largest() >= COLUMN_BYTES_FULL
    }

    /// Adds a change to the sheet that is to be taken next.
    ///
    /// # Errors
    /// `Invalid` when the row has another number of columns than the table; the sheet is then as before.
    pub fn stage<'a>(
        &self,
        sheet: &mut Sheet<'a>,
        meta: &RowMeta<'_>,
        change: &RowChange<'a>,
    ) -> Result<()> {
        let before = sheet.rows();
        self.stage_change(sheet, meta, change).map_err(|failure| {
            sheet.truncate(self.table.columns.len(), before);
            self.explain(&failure)
        })
    }

    /// Takes the rows of a sheet, in their order, and leaves it empty. Changes that cannot be read are left out, told by
    /// their `seq`, which is each change's own.
    pub fn take(&mut self, sheet: &mut Sheet<'_>) -> Taken {
        self.take_lent(sheet, None)
    }

    fn take_lent(&mut self, sheet: &mut Sheet<'_>, memory: Option<&bytes::Bytes>) -> Taken {
        let failures = self.rows.take(sheet, memory).into_iter();
        let refused = failures.map(|(seq, failure)| Refused {
            seq,
            error: self.explain(&failure),
        });
        let refused = refused.collect();
        let seqs = sheet.seqs();
        sheet.clear();
        Taken { seqs, refused }
    }

    /// Adds one change whose values lie in `memory`: large ones are kept there, as far as their columns hold what was
    /// sent, and are not copied.
    ///
    /// # Errors
    /// As [`TableBuilder::push`].
    pub fn push_lent(
        &mut self,
        meta: &RowMeta<'_>,
        change: &RowChange<'_>,
        memory: &bytes::Bytes,
    ) -> Result<()> {
        let mut sheet = Sheet::default();
        self.stage(&mut sheet, meta, change)?;
        only(self.take_lent(&mut sheet, Some(memory)))
    }

    /// Adds one change.
    ///
    /// # Errors
    /// `Invalid` when the row has another number of columns than the table, or a value cannot be
    /// read; the builder is then as before, and the error names table and column.
    pub fn push(&mut self, meta: &RowMeta<'_>, change: &RowChange<'_>) -> Result<()> {
        let mut sheet = Sheet::default();
        self.stage(&mut sheet, meta, change)?;
        only(self.take(&mut sheet))
    }

    fn stage_change<'a>(
        &self,
        sheet: &mut Sheet<'a>,
        meta: &RowMeta<'_>,
        change: &RowChange<'a>,
    ) -> Result<(), Failure> {
        let columns = self.table.columns.len();
        let (op, whole) = match change {
            RowChange::Read { row } => (Op::Read, row),
            RowChange::Insert { new } => (Op::Insert, new),
            RowChange::Update { old: None, new } => (Op::Update, new),
            RowChange::Update {
                old: Some(old),
                new,
            } => return self.stage_update(sheet, meta, old, new),
            RowChange::Delete { old } => return self.stage_delete(sheet, meta, old),
            RowChange::Truncate => {
                let nulls = std::iter::repeat_n(Value::Null, columns);
                return sheet.push(columns, Head::new(Op::Truncate, meta), nulls);
            }
        };
        sheet.push_tuple(columns, Head::new(op, meta), whole)
    }

    fn stage_update<'a>(
        &self,
        sheet: &mut Sheet<'a>,
        meta: &RowMeta<'_>,
        old: &OldTuple<'a>,
        new: &Tuple<'a>,
    ) -> Result<(), Failure> {
        let (before, full) = match old {
            OldTuple::Key(tuple) => (tuple, false),
            OldTuple::Full(tuple) => (tuple, true),
        };
        self.check_columns(before)?;
        self.check_columns(new)?;
        let moved = self.identity_differs(before, new);
        if moved {
            self.stage_delete(sheet, meta, old)?;
        }
        let columns = self.table.columns.iter();
        let values = before
            .values()
            .zip(new.values())
            .zip(columns)
            .map(|((old, new), column)| match new {
                Value::Unchanged if full || column.key => old,
                new => new,
            });
        let op = if moved { Op::Insert } else { Op::Update };
        sheet.push(self.table.columns.len(), Head::new(op, meta), values)
    }

    /// True when a column that identifies the row was sent with another value than before.
    ///
    /// Values are compared as they were sent: 1.0 and 1.00 differ here, which costs a delete and an
    /// insert of a row that an update would have replaced as well.
    fn identity_differs(&self, old: &Tuple<'_>, new: &Tuple<'_>) -> bool {
        let pairs = old.values().zip(new.values()).zip(&self.table.columns);
        let mut identity = pairs.filter(|(_, column)| column.key || !self.has_key);
        identity.any(|((old, new), _)| new != Value::Unchanged && old != new)
    }

    fn stage_delete<'a>(
        &self,
        sheet: &mut Sheet<'a>,
        meta: &RowMeta<'_>,
        old: &OldTuple<'a>,
    ) -> Result<(), Failure> {
        let (OldTuple::Key(tuple) | OldTuple::Full(tuple)) = old;
        self.check_columns(tuple)?;
        let has_key = self.has_key;
        let columns = self.table.columns.iter();
        let values = tuple.values().zip(columns).map(|(value, column)| {
            if column.key || !has_key {
                value
            } else {
                Value::Null
            }
        });
        sheet.push(
            self.table.columns.len(),
            Head::new(Op::Delete, meta),
            values,
        )
    }

    /// For tuples that are walked together with the table's columns, where a surplus would not show.
    fn check_columns(&self, tuple: &Tuple<'_>) -> Result<(), Failure> {
        match tuple.columns() == self.table.columns.len() {
            true => Ok(()),
            false => Err(OTHER_COLUMNS),
        }
    }

    fn explain(&self, failure: &Failure) -> Error {
        let table = self.table.full_name();
        let place = match failure.column.and_then(|at| self.table.columns.get(at)) {
            Some(column) => format!("{table}, column {} ({})", column.name, column.pg_type),
            None => table,
        };
        Error::invalid(format!(
            "{place}: a row that cannot be read: {}",
            failure.what
        ))
        .help("the row is kept in the log as it was sent and can be decoded again")
    }

    /// The batch of all rows since the last one; the builder begins anew.
    ///
    /// # Errors
    /// `Invalid` when Arrow refuses the columns, which would be a fault of this module.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        self.build().map_err(|error| {
            Error::invalid(format!("{}: cannot build a batch", self.table.full_name()))
                .because(error)
        })
    }

    fn build(&mut self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(Arc::clone(&self.schema), self.rows.finish()?)
    }
}
