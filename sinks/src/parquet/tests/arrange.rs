//! Handmade rows, and a destination to load them into.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use blacksmith_core::clock::{SystemClock, Timestamp};
use blacksmith_core::destination::{Destination, Outcome, Piece, Queue, Rows, Thens, Toolkit};
use blacksmith_core::error::Result;
use blacksmith_core::event::{SchemaId, StoreId};
use blacksmith_core::position::{Position, Span};
use blacksmith_core::source::Completed;

use crate::parquet::commit::Record;
use crate::parquet::folder::Folder;
use crate::parquet::{Parquet, ParquetOptions};

pub(super) const STORE: StoreId = StoreId(0x00c0_ffee);

pub(super) fn span(first: u64, last: u64) -> Span {
    Span::new(Position(first), Position(last))
}

/// A table's schema as the decoder makes it: our columns, then `id` and `name`.
pub(super) fn schema(table: &str) -> SchemaRef {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = vec![
        Field::new("_op", DataType::Utf8, false),
        Field::new("_lsn", DataType::UInt64, false),
        Field::new("_seq", DataType::UInt64, false),
        Field::new("_committed_at", utc, true),
        Field::new("id", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
    ];
    let metadata = HashMap::from([
        ("blacksmith.table".to_owned(), table.to_owned()),
        ("blacksmith.key".to_owned(), "id".to_owned()),
    ]);
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

/// Inserts at these positions.
pub(super) fn inserts(schema: SchemaRef, positions: &[u64]) -> RecordBatch {
    let count = positions.len();
    let seq = UInt64Array::from(positions.to_vec());
    let committed_at: TimestampMicrosecondArray =
        positions.iter().map(|p| Some(*p as i64)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["insert"; count])),
        Arc::new(UInt64Array::from(vec![100; count])),
        Arc::new(seq),
        Arc::new(committed_at.with_timezone("UTC")),
        Arc::new(
            positions
                .iter()
                .map(|p| Some(*p as i64 * 10))
                .collect::<Int64Array>(),
        ),
        Arc::new(
            positions
                .iter()
                .map(|p| Some(format!("row {p}")))
                .collect::<StringArray>(),
        ),
    ];
    RecordBatch::try_new(schema, columns).unwrap()
}

/// Inserts into `table`, whose schema version has the number `version`, at `first` to `last`.
pub(super) fn rows(version: u32, table: &str, first: u64, last: u64) -> Rows {
    let positions: Vec<_> = (first..=last).collect();
    rows_at(version, table, &positions)
}

pub(super) fn rows_at(version: u32, table: &str, positions: &[u64]) -> Rows {
    Rows {
        schema: SchemaId(version),
        trigger: table.into(),
        rows: inserts(schema(table), positions),
        span: span(positions[0], positions[positions.len() - 1]),
    }
}

pub(super) fn toolkit() -> Toolkit {
    Toolkit {
        head: Position(1_000_000_000),
        memory_bytes: 64 << 20,
        ..Toolkit::by_hand("lake/append", STORE, SystemClock::shared())
    }
}

pub(super) fn options() -> ParquetOptions {
    let mut options = ParquetOptions::new("lake", "unused");
    options.encode_threads = 2;
    options
}

pub(super) fn lake(folder: impl Folder) -> Parquet {
    Parquet::in_folder(&options(), Arc::new(folder))
}

/// One batch for the action: what is in it, and where its last transaction ended.
pub(super) struct Batch {
    pub(super) span: Span,
    pub(super) attempt: u32,
    pub(super) rows: Box<dyn Iterator<Item = Rows> + Send>,
    pub(super) completed: Option<Completed>,
}

impl Batch {
    pub(super) fn new<R>(first: u64, last: u64, rows: R) -> Batch
    where
        R: IntoIterator<Item = Rows, IntoIter: Send + 'static>,
    {
        Batch {
            span: span(first, last),
            attempt: 1,
            rows: Box::new(rows.into_iter()),
            completed: Some(Completed {
                lsn: last * 1000,
                at: Timestamp(1_700_000_000_000_000),
            }),
        }
    }

    pub(super) fn attempt(mut self, attempt: u32) -> Batch {
        self.attempt = attempt;
        self
    }

    pub(super) fn nothing_completed(mut self) -> Batch {
        self.completed = None;
        self
    }
}

/// Starts the destination and its action.
pub(super) async fn init(lake: &Parquet, toolkit: &Toolkit) -> Result<()> {
    lake.init(toolkit).await?;
    lake.actions()[0].init(toolkit).await
}

/// Loads `batch` and gives back whether every job of it was reported as succeeded.
pub(super) async fn load_with(lake: &Parquet, toolkit: &Toolkit, batch: Batch) -> Result<bool> {
    let Batch {
        span,
        attempt,
        rows,
        completed,
    } = batch;
    let (mut queue, feed) = Queue::new(span, span.len(), attempt);
    let feeding = std::thread::spawn(move || {
        for rows in rows {
            if !feed.push(Ok(Piece::Rows(rows))) {
                return;
            }
        }
        feed.finish(completed);
    });
    let then = Thens::default();
    let loaded = lake.actions()[0].load(toolkit, &mut queue, &then).await;
    drop(queue);
    feeding.join().unwrap();
    loaded?;
    let reports = then.take();
    Ok(reports.len() == 1 && matches!(reports[0].outcome, Outcome::Succeeded))
}

pub(super) async fn load(lake: &Parquet, batch: Batch) -> Result<bool> {
    load_with(lake, &toolkit(), batch).await
}

/// The commit record of the load that ended with `last`.
pub(super) async fn record(folder: &dyn Folder, last: u64) -> Record {
    let found = crate::parquet::commit::read(folder, Position(last))
        .await
        .unwrap();
    found.expect("a record is there")
}

/// `_seq` of every row of every data file, sorted: what a reader of the whole folder sees.
pub(super) async fn sequence(folder: &dyn Folder) -> Vec<u64> {
    let mut sequence = Vec::new();
    for directory in folder.directories().await.unwrap() {
        for name in folder.names(&directory, "").await.unwrap() {
            if name.ends_with(".parquet") {
                let path = format!("{directory}/{name}");
                let rows = read(folder, &path).await;
                sequence.extend(rows.iter().flat_map(|rows| numbers(rows, "_seq")));
            }
        }
    }
    sequence.sort_unstable();
    sequence
}

pub(super) fn numbers(rows: &RecordBatch, column: &str) -> Vec<u64> {
    let column = rows.column_by_name(column).unwrap();
    column
        .as_any()
        .downcast_ref::<UInt64Array>()
        .unwrap()
        .values()
        .to_vec()
}

/// Everything in a data file.
pub(super) async fn read(folder: &dyn Folder, path: &str) -> Vec<RecordBatch> {
    let bytes = folder
        .read(path, 1 << 30)
        .await
        .unwrap()
        .expect("the file is there");
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes);
    reader
        .unwrap()
        .build()
        .unwrap()
        .map(|rows| rows.unwrap())
        .collect()
}

/// What the metadata of a file says under `key`.
pub(super) async fn metadata(folder: &dyn Folder, path: &str, key: &str) -> Option<String> {
    let bytes = folder.read(path, 1 << 30).await.unwrap();
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes?).unwrap();
    let pairs = reader.metadata().file_metadata().key_value_metadata()?;
    let pair = pairs.iter().find(|pair| pair.key == key)?;
    pair.value.clone()
}
