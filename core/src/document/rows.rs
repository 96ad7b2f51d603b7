//! Entries into rows: documents beside tables in a warehouse.
//!
//! Every document has the same columns:
//!
//! | column | |
//! |---|---|
//! | `_event_id` | id of the event |
//! | `_seq` | position, by which rows are in order; of a follow-up its own |
//! | `_received_at` | when the event was received |
//! | `_source`, `_trigger`, `_version` | whose it is; the version is null when the source has none |
//! | `context`, `data` | JSON as text, the job's own where it has one; null for JSON's `null` |
//!
//! Rows of one trigger come together under the name `<source>.<trigger>`, whatever they call, and carry the metadata
//! that rows of tables carry.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{StringBuilder, TimestampMicrosecondBuilder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};

use super::decoding::{Reader, Reading};
use crate::error::{Error, Result};
use crate::event::{Block, SchemaId};
use crate::job::{Origin, QueuedJob};
use crate::json::Json;
use crate::position::Span;
use crate::source::{Completed, Decoded, Decoding, Limits, SCHEMA_KEY, SCHEMA_TABLE, Wanted};

/// Decodes documents into rows.
pub(super) struct IntoRows {
    reader: Reader,
    limits: Limits,
    arrow: Columns,
    /// By source and trigger.
    tables: HashMap<(Arc<str>, Arc<str>), Table>,
    held_bytes: usize,
}

/// Rows of one trigger.
struct Table {
    /// The schema of its first row stands for all.
    schema: SchemaId,
    name: Arc<str>,
    arrow: SchemaRef,
    rows: Builders,
    span: Option<Span>,
    bytes: usize,
}

struct Columns(Vec<Field>);

impl IntoRows {
    pub(super) fn new(reader: Reader, limits: Limits) -> IntoRows {
        IntoRows {
            reader,
            limits,
            arrow: Columns::new(),
            tables: HashMap::new(),
            held_bytes: 0,
        }
    }

    fn take(&mut self, schema: SchemaId, job: QueuedJob, out: &mut Vec<Decoded>) -> Result<()> {
        let origin = &job.event.origin;
        let key = (Arc::clone(&origin.source), Arc::clone(&origin.trigger));
        let arrow = &self.arrow;
        let table = self
            .tables
            .entry(key)
            .or_insert_with(|| Table::new(schema, arrow, origin));
        let bytes = job.context.bytes().len() + job.data.bytes().len() + ROW_BYTES;
        table.push(&job);
        table.bytes += bytes;
        self.held_bytes += bytes;
        if table.rows.len() >= self.limits.batch_rows {
            self.held_bytes -= table.bytes;
            return table.hand_out(out);
        }
        if self.held_bytes >= self.limits.held_bytes {
            return self.finish(out);
        }
        Ok(())
    }
}

/// What a row takes besides context and data, about.
const ROW_BYTES: usize = 128;

impl Decoding for IntoRows {
    fn push(&mut self, block: &Block, wanted: &Wanted<'_>, out: &mut Vec<Decoded>) -> Result<()> {
        let mut reading = Reading::of(block);
        while let Some((schema, job)) = self.reader.next(&mut reading, wanted)? {
            self.take(schema, job, out)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Decoded>) -> Result<()> {
        self.held_bytes = 0;
        let mut tables: Vec<&mut Table> = self.tables.values_mut().collect();
        tables.sort_by_key(|table| table.span.map(|span| span.first));
        tables.into_iter().try_for_each(|table| table.hand_out(out))
    }

    /// Documents have no transactions.
    fn completed(&self) -> Option<Completed> {
        None
    }
}

impl Table {
    fn new(schema: SchemaId, columns: &Columns, origin: &Origin) -> Table {
        let name = format!("{}.{}", origin.source, origin.trigger);
        let metadata = HashMap::from([
            (SCHEMA_TABLE.to_owned(), name.clone()),
            (SCHEMA_KEY.to_owned(), "[]".to_owned()),
        ]);
        Table {
            schema,
            name: Arc::from(name),
            arrow: Arc::new(ArrowSchema::new_with_metadata(columns.0.clone(), metadata)),
            rows: Builders::default(),
            span: None,
            bytes: 0,
        }
    }

    fn push(&mut self, job: &QueuedJob) {
        let first = self.span.map_or(job.position, |span| span.first);
        self.span = Some(Span::new(first, job.position));
        self.rows.push(job);
    }

    fn hand_out(&mut self, out: &mut Vec<Decoded>) -> Result<()> {
        self.bytes = 0;
        let Some(span) = self.span.take() else {
            return Ok(());
        };
        let rows = self.rows.finish();
        let rows = RecordBatch::try_new(Arc::clone(&self.arrow), rows)
            .map_err(|error: ArrowError| Error::invalid("cannot build a batch").because(error))?;
        out.push(Decoded::Rows {
            schema: self.schema,
            trigger: Arc::clone(&self.name),
            rows,
            span,
        });
        Ok(())
    }
}

impl Columns {
    fn new() -> Columns {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        Columns(vec![
            Field::new("_event_id", DataType::Utf8, false),
            Field::new("_seq", DataType::UInt64, false),
            Field::new("_received_at", time, false),
            Field::new("_source", DataType::Utf8, false),
            Field::new("_trigger", DataType::Utf8, false),
            Field::new("_version", DataType::Utf8, true),
            Field::new("context", DataType::Utf8, true),
            Field::new("data", DataType::Utf8, true),
        ])
    }
}

fn text(json: &Json) -> Option<&str> {
    (!json.is_null()).then(|| json.as_str())
}

/// The columns being filled.
#[derive(Default)]
struct Builders {
    event_ids: StringBuilder,
    positions: UInt64Builder,
    received_at: TimestampMicrosecondBuilder,
    sources: StringBuilder,
    triggers: StringBuilder,
    versions: StringBuilder,
    contexts: StringBuilder,
    data: StringBuilder,
}

impl Builders {
    fn len(&self) -> usize {
        self.positions.values_slice().len()
    }

    fn push(&mut self, job: &QueuedJob) {
        let origin = &job.event.origin;
        self.event_ids.append_value(job.event.id.to_string());
        self.positions.append_value(job.position.0);
        self.received_at.append_value(job.event.received_at.0);
        self.sources.append_value(&origin.source);
        self.triggers.append_value(&origin.trigger);
        self.versions.append_option(origin.version.as_deref());
        self.contexts.append_option(text(&job.context));
        self.data.append_option(text(&job.data));
    }

    /// The arrays in the order of [`Columns`]; the builders begin anew.
    fn finish(&mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.event_ids.finish()),
            Arc::new(self.positions.finish()),
            Arc::new(self.received_at.finish().with_timezone("UTC")),
            Arc::new(self.sources.finish()),
            Arc::new(self.triggers.finish()),
            Arc::new(self.versions.finish()),
            Arc::new(self.contexts.finish()),
            Arc::new(self.data.finish()),
        ]
    }
}

#[cfg(test)]
mod tests;
