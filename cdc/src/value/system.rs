//! Our own columns, which stand before the table's in every batch.

use std::sync::Arc;

use arrow_array::types::{TimestampMicrosecondType, UInt64Type};
use arrow_array::{ArrayRef, ListArray, StringArray, StructArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields, TimeUnit};

use super::buffer::{Bytes, Fixed};
use super::misfit::Fit;

/// What happened to the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Copied from the table: it was there when the stream began.
    Read,
    /// Inserted.
    Insert,
    /// Updated.
    Update,
    /// Deleted.
    Delete,
    /// The whole table was emptied.
    Truncate,
}

impl Op {
    /// As written in `_op`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Read => "read",
            Op::Insert => "insert",
            Op::Update => "update",
            Op::Delete => "delete",
            Op::Truncate => "truncate",
        }
    }
}

/// What a row event carries besides its values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowMeta<'a> {
    /// LSN of the commit; for a copied row one less than the LSN of its snapshot.
    pub lsn: u64,
    /// Position of the event.
    pub seq: u64,
    /// When it was committed, in microseconds since 1970; `None` is null.
    pub committed_at_us: Option<i64>,
    /// Id of the event, for batches that were asked to have `_event_id`.
    pub event_id: Option<&'a str>,
}

/// A row without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) op: Op,
    pub(crate) lsn: u64,
    pub(crate) seq: u64,
    pub(crate) committed_at_us: Option<i64>,
    pub(crate) event_id: Option<Box<str>>,
}

impl Head {
    pub(crate) fn new(op: Op, meta: &RowMeta<'_>) -> Head {
        Head {
            op,
            lsn: meta.lsn,
            seq: meta.seq,
            committed_at_us: meta.committed_at_us,
            event_id: meta.event_id.map(Box::from),
        }
    }
}

/// The fields of our columns.
pub(crate) fn fields(event_id: bool) -> Vec<Field> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("_op", DataType::Utf8, false),
        Field::new("_lsn", DataType::UInt64, false),
        Field::new("_seq", DataType::UInt64, false),
        Field::new("_committed_at", time, true),
    ];
    if event_id {
        fields.push(Field::new("_event_id", DataType::Utf8, true));
    }
    fields.push(Field::new(
        "_unchanged",
        DataType::List(unchanged_field()),
        true,
    ));
    fields.push(Field::new(
        "_as_text",
        DataType::List(as_text_field()),
        true,
    ));
    fields
}

fn unchanged_field() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Utf8, false))
}

fn as_text_field() -> Arc<Field> {
    Arc::new(Field::new_list_field(
        DataType::Struct(as_text_fields()),
        false,
    ))
}

fn as_text_fields() -> Fields {
    Fields::from(vec![
        Field::new("column", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, false),
    ])
}

/// A list per row that is null when it got nothing.
#[derive(Debug)]
struct Rows {
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Rows {
    fn new() -> Self {
        Rows {
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
        }
    }

    fn end(&self) -> usize {
        self.offsets.last().map_or(0, |end| *end as usize)
    }

    /// Ends a row whose list holds everything up to `end`, which its bytes keep below 2^31.
    fn close(&mut self, end: usize) {
        self.nulls.append(end > self.end());
        self.offsets.push(end as i32);
    }

    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.nulls.truncate(len);
    }

    fn finish(&mut self, field: Arc<Field>, values: ArrayRef) -> Result<ArrayRef, ArrowError> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let offsets = OffsetBuffer::new(offsets.into());
        Ok(Arc::new(ListArray::try_new(
            field,
            offsets,
            values,
            self.nulls.finish(),
        )?))
    }
}

/// Builds our columns, row by row.
#[derive(Debug)]
pub(crate) struct SystemBuilder {
    ops: Vec<Op>,
    lsns: Fixed<UInt64Type>,
    seqs: Fixed<UInt64Type>,
    committed_at: Fixed<TimestampMicrosecondType>,
    event_ids: Option<Bytes>,
    unchanged: Rows,
    unchanged_names: Bytes,
    as_text: Rows,
    as_text_names: Bytes,
    as_text_values: Bytes,
}

impl SystemBuilder {
    pub(crate) fn new(event_id: bool) -> Self {
        SystemBuilder {
            ops: Vec::new(),
            lsns: Fixed::new(),
            seqs: Fixed::new(),
            committed_at: Fixed::new(),
            event_ids: event_id.then(Bytes::new),
            unchanged: Rows::new(),
            unchanged_names: Bytes::new(),
            as_text: Rows::new(),
            as_text_names: Bytes::new(),
            as_text_values: Bytes::new(),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.ops.len()
    }

    /// Notes for the row at hand that the source did not send this column.
    pub(crate) fn add_unchanged(&mut self, column: &str) -> Fit<()> {
        self.unchanged_names.push(column.as_bytes())
    }

    /// Notes for the row at hand a value that its column cannot hold, as UTF-8 text.
    pub(crate) fn add_as_text(
        &mut self,
        column: &str,
        write: impl FnOnce(&mut Vec<u8>) -> Fit<()>,
    ) -> Fit<()> {
        self.as_text_values.write(write)?;
        self.as_text_names.push(column.as_bytes())
    }

    /// Makes room for so many rows.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.lsns.reserve(rows);
        self.seqs.reserve(rows);
        self.committed_at.reserve(rows);
    }

    /// Ends the row at hand.
    pub(crate) fn close(&mut self, head: &Head) -> Fit<()> {
        if let Some(event_ids) = &mut self.event_ids {
            match &head.event_id {
                Some(id) => event_ids.push(id.as_bytes())?,
                None => event_ids.push_null(),
            }
        }
        self.ops.push(head.op);
        self.lsns.push(head.lsn);
        self.seqs.push(head.seq);
        match head.committed_at_us {
            Some(us) => self.committed_at.push(us),
            None => self.committed_at.push_null(),
        }
        self.unchanged.close(self.unchanged_names.len());
        self.as_text.close(self.as_text_names.len());
        Ok(())
    }

    /// Cuts back to `len` rows, and takes back what was noted for a row that never ended.
    pub(crate) fn truncate(&mut self, len: usize) {
        if self.rows() > len {
            self.ops.truncate(len);
            self.lsns.truncate(len);
            self.seqs.truncate(len);
            self.committed_at.truncate(len);
            self.unchanged.truncate(len);
            self.as_text.truncate(len);
        }
        if let Some(event_ids) = self.event_ids.as_mut().filter(|ids| ids.len() > len) {
            event_ids.truncate(len);
        }
        self.unchanged_names.truncate(self.unchanged.end());
        self.as_text_names.truncate(self.as_text.end());
        self.as_text_values.truncate(self.as_text.end());
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rows() * 32
            + self.event_ids.as_ref().map_or(0, Bytes::bytes)
            + self.unchanged_names.bytes()
            + self.as_text_names.bytes()
            + self.as_text_values.bytes()
    }

    pub(crate) fn bytes_of_largest(&self) -> usize {
        self.as_text_values
            .bytes()
            .max(self.unchanged_names.bytes())
    }

    pub(crate) fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let ops: StringArray = std::mem::take(&mut self.ops)
            .into_iter()
            .map(|op| Some(op.as_str()))
            .collect();
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(ops),
            Arc::new(self.lsns.finish()?),
            Arc::new(self.seqs.finish()?),
            Arc::new(self.committed_at.finish()?.with_timezone("UTC")),
        ];
        if let Some(event_ids) = &mut self.event_ids {
            arrays.push(Arc::new(event_ids.finish_text()?));
        }
        let names = Arc::new(self.unchanged_names.finish_text()?);
        arrays.push(self.unchanged.finish(unchanged_field(), names)?);
        let pairs = StructArray::try_new(
            as_text_fields(),
            vec![
                Arc::new(self.as_text_names.finish_text()?),
                Arc::new(self.as_text_values.finish_text()?),
            ],
            None,
        )?;
        arrays.push(self.as_text.finish(as_text_field(), Arc::new(pairs))?);
        Ok(arrays)
    }
}
