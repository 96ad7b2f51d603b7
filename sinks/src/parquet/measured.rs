//! Record batches into one file in memory, on the thread that asks: no folder, no other threads. For benchmarks, and there
//! only with the feature `measured`.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use blacksmith_core::error::{Error, Result};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;

use super::columns::Columns;
use super::encoding::Encodings;
use super::file::Layout;
use super::options::Compression;
use crate::declared::Declared;

/// Makes files of one table's rows.
#[derive(Debug)]
pub struct Encoder {
    layout: Layout,
    columns: Columns,
    encodings: Encodings,
    compression: Compression,
}

impl Encoder {
    /// For rows of `table` in this schema.
    ///
    /// # Errors
    /// When the schema has a type that Parquet does not have.
    pub fn new(table: &str, schema: &SchemaRef, compression: Compression) -> Result<Encoder> {
        Ok(Encoder {
            layout: Layout::new(&table.into(), Arc::clone(schema), &Declared::default()),
            columns: Columns::new(schema).map_err(not_encoded)?,
            encodings: Encodings::new(compression),
            compression,
        })
    }

    /// The whole file that has `batches` as its only row group, encoded as a load does it.
    ///
    /// # Errors
    /// When the batches are of another schema.
    pub fn file(&self, batches: &[RecordBatch]) -> Result<Vec<u8>> {
        self.encode(batches).map_err(not_encoded)
    }

    fn encode(&self, batches: &[RecordBatch]) -> Result<Vec<u8>, ParquetError> {
        let root = Arc::clone(self.columns.root());
        let properties = Arc::new(self.layout.properties(self.compression));
        let mut file = SerializedFileWriter::new(Vec::new(), root, properties)?;
        let mut group = file.next_row_group()?;
        self.columns
            .encode(batches, &self.encodings, 0, &mut group)?;
        group.close()?;
        file.into_inner()
    }
}

fn not_encoded(error: ParquetError) -> Error {
    Error::refused("the rows cannot be written as Parquet").because(error)
}
