//! Columns with values of many MiB, read back by the library's own reader.

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::writer::SerializedFileWriter;

use crate::parquet::columns::Columns;
use crate::parquet::encoding::{Encodings, properties};
use crate::parquet::options::Compression;

const MIB: usize = 1 << 20;

/// So many bytes that nothing makes smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut out: Vec<u8> = (0..bytes.div_ceil(8))
        .flat_map(|_| next().to_le_bytes())
        .collect();
    out.truncate(bytes);
    out
}

/// Eight rows.
fn whole() -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("text", DataType::Utf8, true),
        Field::new("bytes", DataType::Binary, true),
        Field::new("always", DataType::Utf8, false),
    ]));
    let long = "0123456789abcdef".repeat(10 * MIB / 16);
    let text = [
        None,
        Some("a"),
        Some(""),
        Some(long.as_str()),
        None,
        None,
        Some("é"),
        Some("z"),
    ];
    let noise = [noise(9 * MIB), noise(8 * MIB), noise(MIB * 5 / 4)];
    let bytes = [
        Some(&noise[0]),
        None,
        Some(&noise[1]),
        None,
        None,
        Some(&noise[2]),
        Some(&noise[2]),
        None,
    ];
    let always: Vec<String> = (0..8)
        .map(|n| if n == 5 { long.clone() } else { "x".repeat(n) })
        .collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..8)),
        Arc::new(StringArray::from_iter(text)),
        Arc::new(BinaryArray::from_iter(bytes)),
        Arc::new(StringArray::from_iter_values(always)),
    ];
    RecordBatch::try_new(schema, columns).unwrap()
}

/// The same rows in three.
fn cut(whole: &RecordBatch) -> Vec<RecordBatch> {
    vec![whole.slice(0, 3), whole.slice(3, 1), whole.slice(4, 4)]
}

fn written(batches: &[RecordBatch], compression: Compression, helpers: usize) -> Bytes {
    let columns = Columns::new(&batches[0].schema()).unwrap();
    let shared = Arc::new(properties(compression).build());
    let root = Arc::clone(columns.root());
    let mut file = SerializedFileWriter::new(Vec::new(), root, shared).unwrap();
    let encodings = Encodings::new(compression);
    for _ in 0..2 {
        let mut group = file.next_row_group().unwrap();
        columns
            .encode(batches, &encodings, helpers, &mut group)
            .unwrap();
        group.close().unwrap();
    }
    file.into_inner().unwrap().into()
}

#[test]
fn values_of_many_mib_among_nulls_and_small_ones_are_read_back_as_they_were() {
    let whole = whole();
    let batches = cut(&whole);
    let tried = [
        (Compression::Zstd(1), Codec::ZSTD(ZstdLevel::default()), 0),
        (Compression::Zstd(3), Codec::ZSTD(ZstdLevel::default()), 1),
        (Compression::Lz4, Codec::UNCOMPRESSED, 0),
        (Compression::None, Codec::UNCOMPRESSED, 1),
    ];
    for (compression, expected, helpers) in tried {
        let file = written(&batches, compression, helpers);
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 2);
        for column in reader.metadata().row_group(1).columns().iter().skip(1) {
            assert_eq!(column.compression(), expected);
            assert!(column.statistics().is_none());
            if expected != Codec::UNCOMPRESSED && column.column_descr().name() != "bytes" {
                assert!(column.compressed_size() < column.uncompressed_size() / 100);
            }
        }
        let reader = reader.with_batch_size(8).build().unwrap();
        let read: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        assert!(read == [whole.clone(), whole.clone()], "{compression:?}");
    }
}

#[test]
fn what_readers_look_for_is_found_without_the_pages_before_it() {
    let whole = whole();
    let file = written(&cut(&whole), Compression::Zstd(1), 0);
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap();
    let last_of_second = RowSelection::from(vec![RowSelector::skip(15), RowSelector::select(1)]);
    let mut rows = reader.with_row_selection(last_of_second).build().unwrap();
    assert!(rows.next().unwrap().unwrap() == whole.slice(7, 1));
    assert!(rows.next().is_none());
}
