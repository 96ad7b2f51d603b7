//! Events that are not rows of tables, as a stranger reads them.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use serde_json::Value;

use super::Lake;

/// One event of a trigger.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its position.
    pub seq: u64,
    /// Its id.
    pub id: String,
    /// What is said about it.
    pub context: Value,
    /// What it says.
    pub data: Value,
}

impl Lake {
    /// The events of `table`, `source.trigger`, in order of position.
    ///
    /// # Errors
    /// When a file cannot be read, or lacks a column that every such file has.
    pub fn documents(&self, table: &str) -> Result<Vec<Document>, String> {
        let mut documents = Vec::new();
        let mut wrong = None;
        self.each_batch(table, &mut |rows| match read(rows) {
            Ok(read) => documents.extend(read),
            Err(why) => wrong = Some(why),
        })?;
        documents.sort_by_key(|document| document.seq);
        wrong.map_or(Ok(documents), |why| Err(format!("{table}: {why}")))
    }
}

fn read(rows: &RecordBatch) -> Result<Vec<Document>, String> {
    let positions = rows.column_by_name("_seq");
    let positions = positions.and_then(|column| column.as_primitive_opt::<UInt64Type>());
    let positions = positions.ok_or("_seq is not a column of UInt64")?;
    let (ids, contexts, data) = (
        texts(rows, "_event_id")?,
        texts(rows, "context")?,
        texts(rows, "data")?,
    );
    let document = |row: usize| {
        Ok(Document {
            seq: positions.value(row),
            id: ids[row].clone().ok_or("an event without an id")?,
            context: json(contexts[row].as_deref())?,
            data: json(data[row].as_deref())?,
        })
    };
    (0..rows.num_rows()).map(document).collect()
}

/// A column of text; null stands for JSON's `null`.
fn texts(rows: &RecordBatch, name: &str) -> Result<Vec<Option<String>>, String> {
    let column = rows.column_by_name(name);
    let column = column.and_then(|column| column.as_string_opt::<i32>());
    let column = column.ok_or_else(|| format!("{name} is not a column of Utf8"))?;
    let texts = column.iter().map(|text| text.map(str::to_owned));
    Ok(texts.collect())
}

fn json(text: Option<&str>) -> Result<Value, String> {
    serde_json::from_str(text.unwrap_or("null")).map_err(|error| error.to_string())
}
