//! The change log of one table: its files, columnar, and its rows in order.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::Schema;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::at;
use super::canon::canonical;

/// Rows per batch held in memory; only a lump size.
const BATCH_ROWS: usize = 64 * 1024;

/// What a row of the change log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// The key is gone. Before `Insert`, because a changed key is a delete and an insert of one
    /// position, in this order.
    Delete,
    /// A row of the snapshot.
    Read,
    /// A new row.
    Insert,
    /// A row's new content.
    Update,
    /// All rows are gone.
    Truncate,
}

/// One row, by where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRef {
    pub(super) batch: usize,
    pub(super) row: usize,
}

/// One row's place in the order of its table.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Commit LSN.
    pub lsn: u64,
    /// Position.
    pub seq: u64,
    /// What it says.
    pub op: Op,
    /// Where its columns are.
    pub at: RowRef,
}

/// All rows of one table's files.
#[derive(Debug)]
pub struct ChangeLog {
    /// `schema.table`.
    pub table: String,
    batches: Vec<Batch>,
    /// Key columns as the last file in order names them; empty when whole rows are the key.
    pub key: Vec<String>,
    /// See [`super::Lake::copied_until`].
    pub(super) copied_until: u64,
}

/// A batch and what its file says about the table.
#[derive(Debug)]
struct Batch {
    /// Its file's place among the files of the table.
    file: usize,
    rows: RecordBatch,
    types: std::rc::Rc<BTreeMap<String, String>>,
    /// The text of values whose Arrow type cannot hold them, by row and column.
    as_text: BTreeMap<(usize, String), String>,
}

/// Shows every batch of one file, whoever wrote it.
///
/// # Errors
/// When it cannot be read.
pub fn each_batch(path: &Path, see: &mut dyn FnMut(&RecordBatch)) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| e.to_string())?;
    for rows in reader
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|e| e.to_string())?
    {
        see(&rows.map_err(|error| error.to_string())?);
    }
    Ok(())
}

impl ChangeLog {
    pub(super) fn read(
        table: &str,
        copied_until: u64,
        files: impl Iterator<Item = PathBuf>,
    ) -> Result<ChangeLog, String> {
        let mut log = ChangeLog {
            table: table.into(),
            batches: Vec::new(),
            key: Vec::new(),
            copied_until,
        };
        for (number, path) in files.enumerate() {
            log.add(number, &path).map_err(|error| at(&path, error))?;
        }
        Ok(log)
    }

    fn add(&mut self, number: usize, path: &Path) -> Result<(), String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| e.to_string())?;
        let described = Described::from(&reader)?;
        if described.table != self.table {
            let (said, expected) = (described.table, &self.table);
            return Err(format!(
                "its metadata says {said}, its commit record {expected}"
            ));
        }
        self.key = described.key;
        let types = std::rc::Rc::new(described.types);
        let reader = reader
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|e| e.to_string())?;
        for rows in reader {
            let rows = rows.map_err(|error| error.to_string())?;
            let as_text = texts(&rows)?;
            self.batches.push(Batch {
                file: number,
                rows,
                types: std::rc::Rc::clone(&types),
                as_text,
            });
        }
        Ok(())
    }

    /// Every row's entry, in the order of the table: (`_lsn`, `_seq`), deletes first.
    ///
    /// # Errors
    /// When a system column is missing, null or of another type.
    pub fn entries(&self) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        for (number, batch) in self.batches.iter().enumerate() {
            if is_documents(&batch.rows.schema()) {
                entries.extend(documents(number, &batch.rows)?);
                continue;
            }
            let lsn = numbers(&batch.rows, "_lsn")?;
            let seq = numbers(&batch.rows, "_seq")?;
            let op = strings(&batch.rows, "_op")?;
            for row in 0..batch.rows.num_rows() {
                entries.push(Entry {
                    lsn: lsn.value(row),
                    seq: seq.value(row),
                    op: parse_op(op.value(row))?,
                    at: RowRef { batch: number, row },
                });
            }
        }
        entries.sort_by_key(|entry| (entry.lsn, entry.seq, entry.op));
        Ok(entries)
    }

    /// Which file of the table a row is in, in the order of commits.
    pub(super) fn file(&self, at: RowRef) -> usize {
        self.batches[at.batch].file
    }

    /// The names in `_unchanged` of a row.
    pub(super) fn unchanged(&self, at: RowRef) -> Vec<String> {
        let rows = &self.batches[at.batch].rows;
        let column = rows.column_by_name("_unchanged");
        let Some(lists) = column.and_then(|column| column.as_list_opt::<i32>()) else {
            return Vec::new();
        };
        if lists.is_null(at.row) {
            return Vec::new();
        }
        let names = lists.value(at.row);
        let names = names.as_string::<i32>().iter().flatten().map(String::from);
        names.collect()
    }

    /// Whether the file of this row has `column`.
    pub(super) fn has(&self, at: RowRef, column: &str) -> bool {
        self.batches[at.batch].rows.column_by_name(column).is_some()
    }

    /// The table's own columns in the newest file.
    #[must_use]
    pub fn columns(&self) -> Vec<String> {
        let Some(batch) = self.batches.last() else {
            return Vec::new();
        };
        let schema = batch.rows.schema();
        let names = schema.fields().iter().map(|field| field.name().clone());
        names
            .filter(|name| !SYSTEM.contains(&name.as_str()))
            .collect()
    }

    /// A value as Postgres text; `None` is NULL, also when the row's file lacks the column.
    pub(super) fn text(&self, at: RowRef, column: &str) -> Option<String> {
        let batch = &self.batches[at.batch];
        let array = batch.rows.column_by_name(column)?;
        let pg_type = batch.types.get(column).map_or("", String::as_str);
        if array.is_null(at.row) {
            let text = batch.as_text.get(&(at.row, column.to_string()))?;
            return Some(canonical(pg_type, text.clone()));
        }
        Some(super::render::text(array, pg_type, at.row))
    }

    /// Arrow schema of the newest file.
    #[must_use]
    pub fn schema(&self) -> Option<std::sync::Arc<Schema>> {
        self.batches.last().map(|batch| batch.rows.schema())
    }
}

/// The columns that are not the table's.
pub(super) const SYSTEM: [&str; 7] = [
    "_op",
    "_lsn",
    "_seq",
    "_committed_at",
    "_event_id",
    "_unchanged",
    "_as_text",
];

/// What a file's key-value metadata says.
struct Described {
    table: String,
    key: Vec<String>,
    types: BTreeMap<String, String>,
}

impl Described {
    fn from(reader: &ParquetRecordBatchReaderBuilder<File>) -> Result<Described, String> {
        let pairs = reader.metadata().file_metadata().key_value_metadata();
        let pairs = pairs.map(Vec::as_slice).unwrap_or_default();
        let find = |key: &str| {
            let pair = pairs.iter().find(|pair| pair.key == key);
            let value = pair.and_then(|pair| pair.value.as_deref());
            value.ok_or_else(|| format!("no {key} in the file's metadata"))
        };
        let json = |key: &str, error: serde_json::Error| format!("{key}: {error}");
        Ok(Described {
            table: find(KEY_TABLE)?.into(),
            key: serde_json::from_str(find(KEY_KEY)?).map_err(|error| json(KEY_KEY, error))?,
            types: match is_documents(reader.schema()) {
                true => BTreeMap::new(),
                false => serde_json::from_str(find(KEY_TYPES)?)
                    .map_err(|error| json(KEY_TYPES, error))?,
            },
        })
    }
}

/// Metadata: `schema.table`.
pub(super) const KEY_TABLE: &str = "blacksmith.table";
/// Metadata: the key columns, a JSON array of names.
pub(super) const KEY_KEY: &str = "blacksmith.key";
/// Metadata: the Postgres type of each column, a JSON object by name.
pub(super) const KEY_TYPES: &str = "blacksmith.types";

/// Whether these are events that are not rows of tables: no server gave their columns types.
fn is_documents(schema: &Schema) -> bool {
    schema.column_with_name("_trigger").is_some()
}

/// Such events stand for themselves: each is an insert of no transaction.
fn documents(number: usize, rows: &RecordBatch) -> Result<Vec<Entry>, String> {
    let seq = numbers(rows, "_seq")?.values().iter().enumerate();
    let entries = seq.map(|(row, seq)| Entry {
        lsn: 0,
        seq: *seq,
        op: Op::Insert,
        at: RowRef { batch: number, row },
    });
    Ok(entries.collect())
}

fn parse_op(text: &str) -> Result<Op, String> {
    match text {
        "read" => Ok(Op::Read),
        "insert" => Ok(Op::Insert),
        "update" => Ok(Op::Update),
        "delete" => Ok(Op::Delete),
        "truncate" => Ok(Op::Truncate),
        other => Err(format!("an unknown _op: {other:?}")),
    }
}

fn numbers<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a UInt64Array, String> {
    let column = rows.column_by_name(name);
    let column = column.and_then(|column| column.as_primitive_opt::<UInt64Type>());
    let column = column.ok_or_else(|| format!("{name} is not a column of UInt64"))?;
    without_nulls(column, name)
}

fn strings<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a StringArray, String> {
    let column = rows.column_by_name(name);
    let column = column.and_then(|column| column.as_string_opt::<i32>());
    let column = column.ok_or_else(|| format!("{name} is not a column of Utf8"))?;
    without_nulls(column, name)
}

fn without_nulls<'a, A: Array>(column: &'a A, name: &str) -> Result<&'a A, String> {
    match column.null_count() {
        0 => Ok(column),
        nulls => Err(format!("{name} has {nulls} nulls")),
    }
}

/// `_as_text` of a batch, by row and column.
fn texts(rows: &RecordBatch) -> Result<BTreeMap<(usize, String), String>, String> {
    let mut texts = BTreeMap::new();
    let Some(column) = rows.column_by_name("_as_text") else {
        return Ok(texts);
    };
    let lists = column
        .as_list_opt::<i32>()
        .ok_or("_as_text is not a list")?;
    for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
        let pairs = lists.value(row);
        let pairs = pairs
            .as_struct_opt()
            .ok_or("_as_text is not a list of structs")?;
        let column = |name| {
            let field: Option<&std::sync::Arc<dyn Array>> = pairs.column_by_name(name);
            let field = field.and_then(|field| field.as_string_opt::<i32>());
            field.ok_or_else(|| format!("_as_text has no field {name} of Utf8"))
        };
        let (names, values) = (column("column")?, column("value")?);
        for (name, value) in names.iter().zip(values.iter()) {
            let (name, value) = name.zip(value).ok_or("_as_text has a null inside")?;
            texts.insert((row, name.to_string()), value.to_string());
        }
    }
    Ok(texts)
}
