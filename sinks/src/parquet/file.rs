//! One data file being written: row groups go in, a sealed file comes out.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use blacksmith_core::destination::Rows;
use blacksmith_core::error::{Error, Result};
use blacksmith_core::position::Span;
use parquet::arrow::add_encoded_arrow_schema_to_metadata;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::writer::SerializedFileWriter;

use super::columns::Columns;
use super::encoding::{Encodings, properties};
use super::folder::{Draft, Folder, Sealed};
use super::name;
use super::options::Compression;
use crate::declared::{self, Declared};

/// What all files of one schema version share.
#[derive(Debug)]
pub(super) struct Layout {
    /// The trigger.
    pub(super) table: Arc<str>,
    /// Its directory.
    pub(super) directory: String,
    /// With the declared columns.
    schema: SchemaRef,
    declared: Option<Arc<declared::Columns>>,
}

/// A column that rows of documents have, and rows of tables do not.
const OF_DOCUMENTS: &str = "_trigger";

impl Layout {
    /// The layout of files with rows of `trigger` in this schema, and the columns that are declared for its documents.
    pub(super) fn new(trigger: &Arc<str>, schema: SchemaRef, declared: &Declared) -> Layout {
        let are_documents = schema.column_with_name(OF_DOCUMENTS).is_some();
        let declared = declared.find(trigger).filter(|_| are_documents);
        Layout {
            table: Arc::clone(trigger),
            directory: name::directory(trigger),
            schema: match &declared {
                Some(columns) => columns.schema(&schema),
                None => schema,
            },
            declared,
        }
    }

    /// `rows` with the columns that are declared for them.
    pub(super) fn complete(&self, mut rows: Vec<Rows>) -> Result<Vec<Rows>> {
        if let Some(columns) = &self.declared {
            for rows in &mut rows {
                rows.rows = columns.complete(&rows.rows)?;
            }
        }
        Ok(rows)
    }

    /// What `rows` count for in memory, until they are written. Declared columns take from the data what it holds, at most twice: as
    /// themselves, or as text.
    pub(super) fn bytes_of(&self, rows: &Rows) -> usize {
        let bytes = rows.rows.get_array_memory_size();
        match self.declared {
            Some(_) => bytes * 2,
            None => bytes,
        }
    }

    /// The Arrow schema's metadata as that of a file, and the schema itself, so that readers which
    /// know Arrow get back exactly the types that were written.
    pub(super) fn properties(
        &self,
        compression: Compression,
    ) -> parquet::file::properties::WriterProperties {
        let mut metadata: Vec<_> = self.schema.metadata().iter().collect();
        metadata.sort();
        let pairs = metadata
            .into_iter()
            .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let described = properties(compression).set_key_value_metadata(Some(pairs.collect()));
        let mut properties = described.build();
        add_encoded_arrow_schema_to_metadata(&self.schema, &mut properties);
        properties
    }
}

/// A file that has rows and may take more.
pub(super) struct OpenFile {
    writer: SerializedFileWriter<Counted>,
    failure: Failure,
    place: String,
    layout: Arc<Layout>,
    columns: Columns,
    rows: u64,
    span: Span,
}

/// A draft that knows its length and why it failed; the Parquet writer does not always tell.
struct Counted {
    draft: Box<dyn Draft>,
    bytes: u64,
    failure: Failure,
}

type Failure = Arc<Mutex<Option<io::Error>>>;

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.draft.write(bytes) {
            Ok(written) => {
                self.bytes += written as u64;
                Ok(written)
            }
            Err(error) => {
                let kind = error.kind();
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert(error);
                Err(kind.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.draft.flush()
    }
}

/// A complete file that nobody sees yet.
pub(super) struct FinishedFile {
    /// Below the folder.
    pub(super) path: String,
    /// The trigger.
    pub(super) table: Arc<str>,
    /// Rows in it.
    pub(super) rows: u64,
    /// Its size.
    pub(super) bytes: u64,
    /// Positions of its first and last row.
    pub(super) span: Span,
    /// What makes it appear.
    pub(super) sealed: Box<dyn Sealed>,
}

impl OpenFile {
    /// Begins a file whose first row is at the beginning of `span`. Blocks.
    pub(super) fn create(
        folder: &dyn Folder,
        layout: &Arc<Layout>,
        compression: Compression,
        span: Span,
        attempt: u32,
    ) -> Result<OpenFile> {
        let unfit = |error| not_encoded(&layout.table, error);
        let columns = Columns::new(&layout.schema).map_err(unfit)?;
        let tag = format!("{}.{attempt}", span.first.padded());
        let failure = Failure::default();
        let draft = Counted {
            draft: folder.draft(&layout.directory, &tag)?,
            bytes: 0,
            failure: Arc::clone(&failure),
        };
        let properties = Arc::new(layout.properties(compression));
        let root = Arc::clone(columns.root());
        Ok(OpenFile {
            writer: SerializedFileWriter::new(draft, root, properties).map_err(unfit)?,
            failure,
            place: folder.place(),
            layout: Arc::clone(layout),
            columns,
            rows: 0,
            span,
        })
    }

    /// Bytes written so far.
    pub(super) fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// Positions of the first and last row so far.
    pub(super) fn span(&self) -> Span {
        self.span
    }

    /// Writes `rows` as one row group. Blocks; up to `helpers` threads help.
    pub(super) fn write_group(
        &mut self,
        rows: Vec<Rows>,
        encodings: &Encodings,
        helpers: usize,
    ) -> Result<()> {
        let Some(last) = rows.last().map(|rows| rows.span.last) else {
            return Ok(());
        };
        let batches: Vec<RecordBatch> = rows.into_iter().map(|rows| rows.rows).collect();
        self.encode(&batches, encodings, helpers)
            .map_err(|error| failed(&self.layout.table, &self.place, &self.failure, error))?;
        self.rows += batches
            .iter()
            .map(|batch| batch.num_rows() as u64)
            .sum::<u64>();
        self.span.last = last;
        Ok(())
    }

    fn encode(
        &mut self,
        batches: &[RecordBatch],
        encodings: &Encodings,
        helpers: usize,
    ) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        self.columns
            .encode(batches, encodings, helpers, &mut group)?;
        group.close()?;
        Ok(())
    }

    /// Ends the file. Blocks.
    pub(super) fn finish(self) -> Result<FinishedFile> {
        let table = Arc::clone(&self.layout.table);
        let finished = self.writer.into_inner();
        let Counted { draft, bytes, .. } =
            finished.map_err(|error| failed(&table, &self.place, &self.failure, error))?;
        let name = name::data_file(self.span);
        Ok(FinishedFile {
            sealed: draft.seal(&name)?,
            path: format!("{}/{name}", self.layout.directory),
            table,
            rows: self.rows,
            bytes,
            span: self.span,
        })
    }
}

/// A failure to write, when that is what it was; else something that we cannot put into a file.
fn failed(table: &str, place: &str, failure: &Failure, error: ParquetError) -> Error {
    let failure = failure
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    match failure {
        Some(cause) => Error::unavailable(format!("cannot write rows of {table} into {place}"))
            .help("free space or bring the folder back; loading then goes on by itself")
            .because(cause),
        None => not_encoded(table, error),
    }
}

fn not_encoded(table: &str, error: ParquetError) -> Error {
    // Not `Invalid`: a whole batch must never be put aside for it.
    Error::refused(format!("rows of {table} cannot be written as Parquet"))
        .help("please report this; nothing is lost, and loading waits here")
        .because(error)
}
