//! What a load may use, and that it lets go of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::{BinaryArray, RecordBatch, UInt64Array};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema};
use blacksmith_core::destination::{Destination, Piece, Queue, Rows, Thens};
use blacksmith_core::error::Kind;
use blacksmith_core::event::SchemaId;

use super::*;
use crate::parquet::Parquet;
use crate::parquet::folder::memory::MemoryFolder;

/// How many bytes of rows are alive, and how many were at most.
#[derive(Debug, Default)]
struct Gauge {
    alive: AtomicUsize,
    most: AtomicUsize,
}

struct Weighed {
    content: Vec<u8>,
    gauge: Arc<Gauge>,
}

impl AsRef<[u8]> for Weighed {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

impl Drop for Weighed {
    fn drop(&mut self) {
        self.gauge
            .alive
            .fetch_sub(self.content.len(), Ordering::SeqCst);
    }
}

/// One row of `bytes` at `position`, on the scales while it lives.
fn heavy(gauge: &Arc<Gauge>, table: u32, position: u64, bytes: usize) -> Rows {
    let alive = gauge.alive.fetch_add(bytes, Ordering::SeqCst) + bytes;
    gauge.most.fetch_max(alive, Ordering::SeqCst);
    let content = (0..bytes).map(|at| (at as u64 * position) as u8).collect();
    let weighed = Weighed {
        content,
        gauge: Arc::clone(gauge),
    };
    let values = Buffer::from(bytes::Bytes::from_owner(weighed));
    let ends = ScalarBuffer::from(vec![0, i32::try_from(bytes).unwrap()]);
    let value = BinaryArray::new(OffsetBuffer::new(ends), values, None);
    let fields = vec![
        Field::new("_seq", DataType::UInt64, false),
        Field::new("value", DataType::Binary, false),
    ];
    let columns = vec![
        Arc::new(UInt64Array::from(vec![position])) as _,
        Arc::new(value) as _,
    ];
    Rows {
        schema: SchemaId(table),
        trigger: format!("many.t{table}").into(),
        rows: RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap(),
        span: span(position, position),
    }
}

#[tokio::test]
async fn memory_and_open_files_stay_bounded_with_two_thousand_tables() {
    const TABLES: u32 = 2_000;
    const ROW_BYTES: usize = 4 << 10;
    const LIMIT_BYTES: usize = 1 << 20;
    let (folder, gauge) = (MemoryFolder::default(), Arc::new(Gauge::default()));
    let lake = lake(folder.clone());
    let scales = Arc::clone(&gauge);
    // Every table comes three times, far apart: 24 MiB in all.
    let count = u64::from(TABLES) * 3;
    let rows = (0..count)
        .map(move |at| heavy(&scales, (at % u64::from(TABLES)) as u32, at + 1, ROW_BYTES));
    let mut toolkit = toolkit();
    toolkit.memory_bytes = LIMIT_BYTES;
    assert!(
        load_with(&lake, &toolkit, Batch::new(1, count, rows))
            .await
            .unwrap()
    );
    let most = gauge.most.load(Ordering::SeqCst);
    // Beyond the limit: one batch taken, two in the queue, one in the decoder's hands.
    assert!(most <= LIMIT_BYTES + 4 * ROW_BYTES, "{most}");
    assert_eq!(gauge.alive.load(Ordering::SeqCst), 0);
    assert!(folder.drafts_max() <= 140, "{}", folder.drafts_max());
    assert_eq!(sequence(&folder).await, Vec::from_iter(1..=count));
}

#[tokio::test]
async fn one_batch_larger_than_all_memory_still_goes_through() {
    let (folder, gauge) = (MemoryFolder::default(), Arc::new(Gauge::default()));
    let mut toolkit = toolkit();
    toolkit.memory_bytes = 1;
    let rows: Vec<_> = (1..=3).map(|at| heavy(&gauge, 1, at, 1 << 20)).collect();
    assert!(
        load_with(&lake(folder.clone()), &toolkit, Batch::new(1, 3, rows))
            .await
            .unwrap()
    );
    assert_eq!(sequence(&folder).await, [1, 2, 3]);
}

#[tokio::test]
async fn row_groups_end_at_their_limits() {
    let folder = MemoryFolder::default();
    let mut options = options();
    options.row_group.rows_max = 100;
    let lake = Parquet::in_folder(&options, Arc::new(folder.clone()));
    let pieces = (0..10).map(|at| rows(1, "a.t", at * 50 + 1, at * 50 + 50));
    load(&lake, Batch::new(1, 500, pieces.collect::<Vec<_>>()))
        .await
        .unwrap();
    let files = record(&folder, 500).await.files;
    assert_eq!(files.len(), 1);
    let bytes = crate::parquet::folder::Folder::read(&folder, &files[0].path, 1 << 20).await;
    let reader = parquet::file::reader::SerializedFileReader::new(bytes.unwrap().unwrap()).unwrap();
    let metadata = parquet::file::reader::FileReader::metadata(&reader);
    let rows: Vec<_> = metadata
        .row_groups()
        .iter()
        .map(|group| group.num_rows())
        .collect();
    assert_eq!(rows, [100; 5]);
}

#[tokio::test]
async fn helpers_encode_what_one_thread_would() {
    let contents = async |threads: usize| {
        let folder = MemoryFolder::default();
        let mut options = options();
        options.encode_threads = threads;
        let lake = Parquet::in_folder(&options, Arc::new(folder.clone()));
        let pieces = (0..4).map(|at| rows(1, "a.t", at * 40_000 + 1, at * 40_000 + 40_000));
        load(&lake, Batch::new(1, 160_000, pieces.collect::<Vec<_>>()))
            .await
            .unwrap();
        let path = &record(&folder, 160_000).await.files[0].path;
        crate::parquet::folder::Folder::read(&folder, path, 1 << 30)
            .await
            .unwrap()
            .unwrap()
    };
    let alone = contents(1).await;
    assert!(alone.len() > 10_000);
    assert!(alone == contents(4).await, "byte for byte");
}

#[tokio::test]
async fn a_stop_ends_the_load_and_leaves_nothing() {
    let folder = MemoryFolder::default();
    let lake = lake(folder.clone());
    let toolkit = toolkit();
    let (mut queue, feed) = Queue::new(span(1, 9), 9, 1);
    let feeding = std::thread::spawn(move || {
        let pushed = feed.push(Ok(Piece::Rows(rows(1, "a.t", 1, 3))));
        (pushed, feed)
    });
    let (pushed, feed) = feeding.join().unwrap();
    assert!(pushed);
    toolkit.stop.cancel();
    let stopped = lake.actions()[0]
        .load(&toolkit, &mut queue, &Thens::default())
        .await;
    assert_eq!(stopped.unwrap_err().kind(), Kind::Stopped);
    drop(feed);
    assert_eq!(folder.paths(), Vec::<String>::new());
}
