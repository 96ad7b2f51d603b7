//! What is where in the folder.

use std::path::Path;

use blacksmith_core::destination::Destination;
use blacksmith_core::position::Position;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::parquet::folder::memory::MemoryFolder;
use crate::parquet::folder::{Folder, LocalFolder};
use crate::parquet::{Parquet, ParquetOptions};

fn list(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(
                list(&entry.path())
                    .iter()
                    .map(|inner| format!("{name}/{inner}")),
            ),
            false => found.push(name),
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn each_table_has_a_directory_and_each_load_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep/lake");
    let lake = Parquet::new(&ParquetOptions::new("lake", root.to_str().unwrap())).unwrap();
    init(&lake, &toolkit()).await.unwrap();
    let first = vec![
        rows(1, "public.orders", 1, 3),
        rows(2, "public.items", 4, 6),
    ];
    assert!(load(&lake, Batch::new(1, 6, first)).await.unwrap());
    assert!(
        load(
            &lake,
            Batch::new(7, 9, vec![rows(1, "public.orders", 8, 9)])
        )
        .await
        .unwrap()
    );
    let expected = [
        "_commits/00000000000000000006.json",
        "_commits/00000000000000000009.json",
        "public.items/00000000000000000004-00000000000000000006.parquet",
        "public.orders/00000000000000000001-00000000000000000003.parquet",
        "public.orders/00000000000000000008-00000000000000000009.parquet",
    ];
    assert_eq!(list(&root), expected);
    assert_eq!(
        sequence(&LocalFolder::new(root)).await,
        [1, 2, 3, 4, 5, 6, 8, 9]
    );
}

#[tokio::test]
async fn a_record_says_what_was_published_and_how_far_the_source_is_complete() {
    let folder = MemoryFolder::default();
    let lake = lake(folder.clone());
    let tables = vec![
        rows(1, "public.orders", 1, 3),
        rows(2, "public.items", 5, 6),
    ];
    load(&lake, Batch::new(1, 7, tables).nothing_completed())
        .await
        .unwrap();
    let first = record(&folder, 7).await;
    assert_eq!(
        (first.rows, first.first_position, first.last_position),
        (5, 1, 7)
    );
    assert_eq!(
        (first.commit_lsn, first.committed_at.as_deref()),
        (None, None)
    );
    assert_eq!(first.store, "00c0ffee");
    let orders = &first.files[0];
    let path = "public.orders/00000000000000000001-00000000000000000003.parquet";
    assert_eq!(
        (orders.path.as_str(), orders.table.as_str()),
        (path, "public.orders")
    );
    assert_eq!(
        (orders.rows, orders.first_position, orders.last_position),
        (3, 1, 3)
    );
    let size = folder.read(path, 1 << 20).await.unwrap().unwrap().len() as u64;
    assert_eq!(orders.bytes, size);
    assert_eq!(first.files.len(), 2);

    load(
        &lake,
        Batch::new(8, 8, vec![rows(1, "public.orders", 8, 8)]),
    )
    .await
    .unwrap();
    let second = record(&folder, 8).await;
    assert_eq!(second.commit_lsn, Some(8000));
    assert_eq!(
        second.committed_at.as_deref(),
        Some("2023-11-14T22:13:20.000000Z")
    );

    load(&lake, Batch::new(9, 9, vec![]).nothing_completed())
        .await
        .unwrap();
    let third = record(&folder, 9).await;
    assert_eq!((third.rows, third.files.len()), (0, 0));
    assert_eq!(third.commit_lsn, Some(8000), "nothing new was completed");
}

#[tokio::test]
async fn a_file_carries_the_description_of_its_table() {
    let folder = MemoryFolder::default();
    let batch = Batch::new(1, 3, vec![rows(1, "public.orders", 1, 3)]);
    load(&lake(folder.clone()), batch).await.unwrap();
    let path = &record(&folder, 3).await.files[0].path;
    let bytes = folder.read(path, 1 << 20).await.unwrap().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let metadata = reader
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .unwrap();
    let value = |key: &str| {
        metadata
            .iter()
            .find(|pair| pair.key == key)
            .unwrap()
            .value
            .clone()
    };
    assert_eq!(value("blacksmith.table").as_deref(), Some("public.orders"));
    assert_eq!(value("blacksmith.key").as_deref(), Some("id"));
    let schema = schema("public.orders");
    assert_eq!(reader.schema(), &schema, "types survive as they were");
    let found = super::read(&folder, path).await;
    assert_eq!(found[0].columns(), inserts(schema, &[1, 2, 3]).columns());
}

#[tokio::test]
async fn a_new_schema_version_begins_a_new_file() {
    let folder = MemoryFolder::default();
    let versions = vec![
        rows(1, "a.t", 1, 3),
        rows(2, "a.t", 4, 6),
        rows(1, "a.t", 7, 7),
    ];
    load(&lake(folder.clone()), Batch::new(1, 7, versions))
        .await
        .unwrap();
    let files = record(&folder, 7).await.files;
    let spans: Vec<_> = files
        .iter()
        .map(|file| (file.first_position, file.last_position))
        .collect();
    assert_eq!(spans, [(1, 7), (4, 6)]);
    assert_eq!(sequence(&folder).await, [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn a_full_file_is_followed_by_another() {
    let folder = MemoryFolder::default();
    let mut options = options();
    options.file_bytes_max = 1;
    options.row_group.rows_max = 2;
    let lake = Parquet::in_folder(&options, std::sync::Arc::new(folder.clone()));
    let pieces: Vec<_> = (0..4)
        .map(|at| rows(1, "a.t", at * 2 + 1, at * 2 + 2))
        .collect();
    load(&lake, Batch::new(1, 8, pieces)).await.unwrap();
    let files = record(&folder, 8).await.files;
    let spans: Vec<_> = files
        .iter()
        .map(|file| (file.first_position, file.last_position))
        .collect();
    assert_eq!(spans, [(1, 2), (3, 4), (5, 6), (7, 8)]);
}

#[tokio::test]
async fn both_rows_of_a_key_change_are_in_one_file() {
    let folder = MemoryFolder::default();
    let mut options = options();
    options.file_bytes_max = 1;
    options.row_group.rows_max = 1;
    let lake = Parquet::in_folder(&options, std::sync::Arc::new(folder.clone()));
    // Even when the decoder hands them out apart.
    let pieces = vec![
        rows_at(1, "a.t", &[1, 2]),
        rows_at(1, "a.t", &[2, 3]),
        rows_at(1, "a.t", &[4]),
    ];
    load(&lake, Batch::new(1, 4, pieces)).await.unwrap();
    let files = record(&folder, 4).await.files;
    let spans: Vec<_> = files
        .iter()
        .map(|file| (file.first_position, file.last_position))
        .collect();
    assert_eq!(spans, [(1, 3), (4, 4)]);
}

#[tokio::test]
async fn no_table_name_leads_out_of_the_folder() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("lake");
    let lake = Parquet::new(&ParquetOptions::new("lake", root.to_str().unwrap())).unwrap();
    init(&lake, &toolkit()).await.unwrap();
    let names = [
        "../../escape.t",
        "/etc.passwd",
        "..",
        "_commits",
        "a/b.c/d",
        "public.naïve",
    ];
    let tables = names
        .iter()
        .zip(1..)
        .map(|(name, at)| rows(at, name, at.into(), at.into()));
    load(&lake, Batch::new(1, 6, tables.collect::<Vec<_>>()))
        .await
        .unwrap();
    let found = list(outer.path());
    assert!(
        found.iter().all(|path| path.starts_with("lake/")),
        "{found:?}"
    );
    assert_eq!(found.len(), names.len() + 1, "{found:?}");
    assert_eq!(
        list(&root.join("_commits")),
        [format!("{}.json", Position(6).padded())]
    );
}

#[tokio::test]
async fn it_is_one_ordered_action_called_append() {
    let lake = lake(MemoryFolder::default());
    let actions = lake.actions();
    assert_eq!(actions.len(), 1);
    assert_eq!(actions[0].name(), "append");
    assert_eq!(
        actions[0].ordering(),
        blacksmith_core::destination::Ordering::Ordered
    );
    assert_eq!(lake.name(), "lake");
}
