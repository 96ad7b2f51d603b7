//! Encoding of one row group, a column at a time.
//!
//! A Parquet column writer holds a compressor, a decompressor and a dictionary: more than 150 KiB
//! before its first value, over 1 MiB after its first page. Writers that stay open, for every column
//! of every table, are therefore out of the question. Rows wait in Arrow form instead; once there are
//! enough for a row group, each column is encoded from all of them at one go and its writer goes
//! away. Columns are independent, so threads that have nothing else to do take some of them.
//!
//! With all values of a column at hand its encoding can be chosen for it: see [`super::encoding`].

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, FieldRef, Schema, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use super::encoding::Encodings;
use super::large::{self, LargeColumn};

/// How the columns of one schema are encoded.
#[derive(Debug)]
pub(super) struct Columns {
    root: TypePtr,
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    field: FieldRef,
    /// A schema of this column alone, in both languages.
    alone: SchemaRef,
    alone_root: TypePtr,
}

impl Columns {
    /// The columns of `schema`.
    pub(super) fn new(schema: &Schema) -> Result<Columns> {
        let root = ArrowSchemaConverter::new()
            .convert(schema)?
            .root_schema_ptr();
        let fields = schema.fields().iter().zip(root.get_fields());
        let columns = fields.map(|(field, parquet)| Column::new(field, root.name(), parquet));
        let columns = columns.collect::<Result<_>>()?;
        Ok(Columns { root, columns })
    }

    /// The Parquet schema.
    pub(super) fn root(&self) -> &TypePtr {
        &self.root
    }

    /// Encodes `batches` into `group`, on this thread and up to `helpers` more.
    pub(super) fn encode<W: io::Write + Send>(
        &self,
        batches: &[RecordBatch],
        encodings: &Encodings,
        helpers: usize,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        if helpers == 0 {
            for (at, column) in self.columns.iter().enumerate() {
                column.encode(at, batches, encodings)?.write(group)?;
            }
            return Ok(());
        }
        for encoded in self.encode_shared(batches, encodings, helpers) {
            encoded?.write(group)?;
        }
        Ok(())
    }

    fn encode_shared<'a>(
        &self,
        batches: &'a [RecordBatch],
        encodings: &Encodings,
        helpers: usize,
    ) -> Vec<Result<Encoded<'a>>> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::with_capacity(self.columns.len()));
        let take_columns = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(column) = self.columns.get(at) else {
                    return;
                };
                let chunks = column.encode(at, batches, encodings);
                done.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((at, chunks));
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..helpers.min(self.columns.len().saturating_sub(1)) {
                scope.spawn(take_columns);
            }
            take_columns();
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, chunks)| chunks).collect()
    }
}

/// A column, ready to be written.
enum Encoded<'a> {
    /// Encoded, one chunk per leaf.
    Chunks(Vec<ArrowColumnChunk>),
    /// Planned only: it is encoded while it is written.
    Large(LargeColumn<'a>),
}

impl Encoded<'_> {
    fn write<W: io::Write + Send>(self, group: &mut SerializedRowGroupWriter<'_, W>) -> Result<()> {
        match self {
            Encoded::Chunks(chunks) => chunks
                .into_iter()
                .try_for_each(|chunk| chunk.append_to_row_group(group)),
            Encoded::Large(column) => column.write(group),
        }
    }
}

impl Column {
    fn new(field: &FieldRef, root: &str, parquet: &TypePtr) -> Result<Column> {
        let alone_root = Type::group_type_builder(root).with_fields(vec![Arc::clone(parquet)]);
        Ok(Column {
            field: Arc::clone(field),
            alone: Arc::new(Schema::new(vec![Arc::clone(field)])),
            alone_root: Arc::new(alone_root.build()?),
        })
    }

    /// Encodes this column, the one at `at`, of every batch.
    fn encode<'a>(
        &self,
        at: usize,
        batches: &'a [RecordBatch],
        encodings: &Encodings,
    ) -> Result<Encoded<'a>> {
        let arrays: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(at)).collect();
        if large::are_large(&arrays) {
            let alone = SchemaDescriptor::new(Arc::clone(&self.alone_root));
            let column = LargeColumn::new(alone.column(0), &arrays, encodings.compression())?;
            return Ok(Encoded::Large(column));
        }
        let properties = encodings.choose(&self.field, &arrays);
        // The factory asks for a file writer; nothing is ever written to this one.
        let root = Arc::clone(&self.alone_root);
        let nowhere = SerializedFileWriter::new(io::sink(), root, properties)?;
        let factory = ArrowRowGroupWriterFactory::new(&nowhere, Arc::clone(&self.alone));
        let mut writers = factory.create_column_writers(0)?;
        for array in arrays {
            let leaves = leaves_of(&self.field, array)?;
            for (writer, leaf) in writers.iter_mut().zip(&leaves) {
                writer.write(leaf)?;
            }
        }
        let chunks = writers.into_iter().map(|writer| writer.close());
        Ok(Encoded::Chunks(chunks.collect::<Result<_>>()?))
    }
}

fn leaves_of(
    field: &Field,
    array: &ArrayRef,
) -> Result<Vec<parquet::arrow::arrow_writer::ArrowLeafColumn>> {
    if field.data_type() != array.data_type() {
        let (name, is, should) = (field.name(), array.data_type(), field.data_type());
        return Err(ParquetError::General(format!(
            "column {name} is {is} and should be {should}"
        )));
    }
    compute_leaves(field, array)
}
