//! A lake written by hand, for testing its readers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder, StructBuilder};
use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;

use super::log::{KEY_KEY, KEY_TABLE, KEY_TYPES};

/// One row of a change log with text columns.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) op: &'static str,
    pub(crate) lsn: u64,
    pub(crate) seq: u64,
    pub(crate) values: Vec<Option<String>>,
    pub(crate) unchanged: Vec<String>,
    pub(crate) as_text: Vec<(&'static str, &'static str)>,
}

/// A change with nothing special.
pub(crate) fn change(
    op: &'static str,
    lsn: u64,
    seq: u64,
    values: &[Option<&'static str>],
) -> Change {
    Change {
        op,
        lsn,
        seq,
        values: values.iter().map(|value| value.map(String::from)).collect(),
        unchanged: Vec::new(),
        as_text: Vec::new(),
    }
}

/// Writes one load with one file of text columns and its commit record.
pub(crate) fn write(root: &Path, table: &str, key: &[&str], columns: &[&str], changes: &[Change]) {
    let batch = batch(table, key, columns, changes);
    write_batch(root, table, &batch);
}

/// Writes one load with one file of `batch`, whose schema describes the table.
pub(super) fn write_batch(root: &Path, table: &str, batch: &RecordBatch) {
    let seq = batch.column_by_name("_seq").unwrap();
    let seq = seq.as_any().downcast_ref::<UInt64Array>().unwrap();
    let (first, last) = (seq.values().iter().min(), seq.values().iter().max());
    let (first, last) = (*first.unwrap(), *last.unwrap());
    let relative = format!("{table}/{first:020}-{last:020}.parquet");
    let path = root.join(&relative);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let pairs = batch.schema().metadata().clone().into_iter();
    let pairs = pairs.map(|(key, value)| parquet::file::metadata::KeyValue::new(key, value));
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_key_value_metadata(Some(pairs.collect()))
        .build();
    let file = File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    let rows = batch.num_rows();
    let record = serde_json::json!({
        "files": [{
            "path": relative, "table": table, "rows": rows,
            "bytes": fs::metadata(&path).unwrap().len(),
            "first_position": first, "last_position": last,
        }],
        "rows": rows, "first_position": first, "last_position": last,
        "commit_lsn": "0/10", "committed_at": "2026-01-01T00:00:00Z",
    });
    fs::create_dir_all(root.join("_commits")).unwrap();
    let record_path = root.join(format!("_commits/{last:020}.json"));
    fs::write(record_path, record.to_string()).unwrap();
}

/// The metadata that describes a table of `types` by column.
pub(super) fn metadata(
    table: &str,
    key: &[&str],
    types: &BTreeMap<String, String>,
) -> std::collections::HashMap<String, String> {
    let pairs = [
        (KEY_TABLE, table.to_string()),
        (KEY_KEY, serde_json::json!(key).to_string()),
        (KEY_TYPES, serde_json::json!(types).to_string()),
    ];
    pairs.map(|(key, value)| (key.to_string(), value)).into()
}

fn batch(table: &str, key: &[&str], columns: &[&str], changes: &[Change]) -> RecordBatch {
    let mut arrays = system(changes);
    for (place, name) in columns.iter().enumerate() {
        let values: StringArray = changes
            .iter()
            .map(|change| change.values[place].as_deref())
            .collect();
        arrays.push(((*name).into(), Arc::new(values)));
    }
    let types = columns
        .iter()
        .map(|name| ((*name).into(), "text".into()))
        .collect();
    assemble(arrays, metadata(table, key, &types))
}

/// A batch of named arrays, every column nullable.
pub(super) fn assemble(
    arrays: Vec<(String, ArrayRef)>,
    metadata: std::collections::HashMap<String, String>,
) -> RecordBatch {
    let fields = arrays.iter();
    let fields = fields.map(|(name, array)| Field::new(name, array.data_type().clone(), true));
    let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), metadata);
    let arrays = arrays.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(schema), arrays).unwrap()
}

/// The system columns of `changes`.
pub(super) fn system(changes: &[Change]) -> Vec<(String, ArrayRef)> {
    let op: StringArray = changes.iter().map(|change| Some(change.op)).collect();
    let lsn: UInt64Array = changes.iter().map(|change| Some(change.lsn)).collect();
    let seq: UInt64Array = changes.iter().map(|change| Some(change.seq)).collect();
    let at = TimestampMicrosecondArray::from(vec![0; changes.len()]).with_timezone("UTC");
    vec![
        ("_op".into(), Arc::new(op) as ArrayRef),
        ("_lsn".into(), Arc::new(lsn)),
        ("_seq".into(), Arc::new(seq)),
        ("_committed_at".into(), Arc::new(at)),
        ("_unchanged".into(), unchanged(changes)),
        ("_as_text".into(), as_text(changes)),
    ]
}

fn unchanged(changes: &[Change]) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for change in changes {
        for name in &change.unchanged {
            lists.values().append_value(name);
        }
        lists.append(!change.unchanged.is_empty());
    }
    Arc::new(lists.finish())
}

fn as_text(changes: &[Change]) -> ArrayRef {
    let fields = ["column", "value"].map(|name| Field::new(name, DataType::Utf8, true));
    let mut lists = ListBuilder::new(StructBuilder::from_fields(fields.to_vec(), 0));
    for change in changes {
        for (column, value) in &change.as_text {
            let pair = lists.values();
            for (place, text) in [column, value].into_iter().enumerate() {
                pair.field_builder::<StringBuilder>(place)
                    .unwrap()
                    .append_value(text);
            }
            pair.append(true);
        }
        lists.append(!change.as_text.is_empty());
    }
    Arc::new(lists.finish())
}
