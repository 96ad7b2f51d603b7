//! Single events read back from blocks.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, RecordBatch};

use super::{Query, View};
use crate::clock::Timestamp;
use crate::document::{Entries, Entry};
use crate::error::{Error, Result};
use crate::event::{Block, FormatId, LaneId, SchemaId};
use crate::position::{Position, Span};
use crate::source::{Asked, Decoded, Limits, StoreSchemas, Takes, Wanted};
use crate::spans::Spans;

/// What lies at one position.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) position: Position,
    pub(super) schema: SchemaId,
    pub(super) received_at: Timestamp,
    /// What happened to a row; `event` for a document; empty when it cannot be decoded.
    pub(super) operation: String,
    /// The rows, one each: two when an update changed the key.
    pub(super) rows: Vec<RecordBatch>,
    /// Why it cannot be decoded.
    pub(super) parked: Option<String>,
    /// The document.
    pub(super) entry: Option<Entry>,
}

impl Query {
    /// What of `schemas` lies in `span` of `block`, in order of position.
    pub(super) fn read(
        &self,
        view: &View,
        block: &Block,
        span: Span,
        schemas: &HashSet<SchemaId>,
    ) -> Result<Vec<Seen>> {
        match block.format {
            FormatId::JSON => documents(block, span, schemas),
            _ => self.rows(view, block, span, schemas),
        }
    }

    fn rows(
        &self,
        view: &View,
        block: &Block,
        span: Span,
        schemas: &HashSet<SchemaId>,
    ) -> Result<Vec<Seen>> {
        let format = self.formats.get(&block.format).ok_or_else(|| {
            let number = block.format.0;
            Error::invalid(format!(
                "this program does not read events of format {number}"
            ))
            .help("use the version that wrote them, or a newer one")
        })?;
        let mut decoding = format.decoding(Asked {
            schemas: Arc::new(StoreSchemas(Arc::clone(&self.store))),
            limits: Limits::default(),
            takes: Takes::Rows,
            store: self.store.id(),
            lane: LaneId(0),
            default_version: None,
            event_ids: false,
        });
        let spans = Spans::from(span);
        let of_schemas = |schema| schemas.contains(&schema);
        let Some(wanted) = Wanted::of(&spans, &of_schemas) else {
            return Ok(Vec::new());
        };
        let mut out = Vec::new();
        decoding.push(block, &wanted, &mut out)?;
        decoding.finish(&mut out)?;
        let mut found = Rows {
            view,
            block,
            seen: BTreeMap::new(),
        };
        out.into_iter().for_each(|decoded| found.take(decoded));
        Ok(found.seen.into_values().collect())
    }
}

fn documents(block: &Block, span: Span, schemas: &HashSet<SchemaId>) -> Result<Vec<Seen>> {
    let mut entries = Entries::of(block.body.clone());
    let mut position = block.first;
    let mut seen = Vec::new();
    while let Some((schema, unread)) = entries.peek()? {
        if span.contains(position) && schemas.contains(&schema) {
            seen.push(Seen {
                position,
                schema,
                received_at: block.received_at,
                operation: "event".to_owned(),
                rows: Vec::new(),
                parked: None,
                entry: Some(unread.read(schema)?),
            });
        }
        position = position.next();
    }
    Ok(seen)
}

/// What the decoded rows of a block add up to.
struct Rows<'a> {
    view: &'a View,
    block: &'a Block,
    seen: BTreeMap<Position, Seen>,
}

impl Rows<'_> {
    fn take(&mut self, decoded: Decoded) {
        match decoded {
            Decoded::Rows { schema, rows, .. } => {
                for index in 0..rows.num_rows() {
                    self.row(schema, &rows, index);
                }
            }
            Decoded::Parked(parked) => {
                let own = |tally: &&crate::event::Tally| {
                    let known = self.view.schemas.get(&tally.schema);
                    known.is_some_and(|known| *known.schema.trigger() == parked.trigger)
                };
                let Some(tally) = self.block.tally.iter().find(own) else {
                    return;
                };
                let seen = Seen {
                    parked: Some(parked.reason),
                    ..self.at(parked.position, tally.schema, "")
                };
                self.seen.insert(seen.position, seen);
            }
            // Rows were asked for, and whatever has none is a document.
            Decoded::Jobs(_) => {}
        }
    }

    fn at(&self, position: Position, schema: SchemaId, operation: &str) -> Seen {
        Seen {
            position,
            schema,
            received_at: self.block.received_at,
            operation: operation.to_owned(),
            rows: Vec::new(),
            parked: None,
            entry: None,
        }
    }

    fn row(&mut self, schema: SchemaId, rows: &RecordBatch, index: usize) {
        let Some(position) = position(rows, index) else {
            return;
        };
        let operation = operation(rows, index);
        let new = self.at(position, schema, operation);
        let seen = self.seen.entry(position).or_insert(new);
        if !seen.rows.is_empty() {
            // A delete and an insert at one position: the update changed the key.
            "update".clone_into(&mut seen.operation);
        }
        seen.rows.push(rows.slice(index, 1));
    }
}

fn position(rows: &RecordBatch, index: usize) -> Option<Position> {
    let column = rows
        .column_by_name("_seq")?
        .as_primitive_opt::<UInt64Type>()?;
    Some(Position(column.value(index)))
}

fn operation(rows: &RecordBatch, index: usize) -> &str {
    let column = rows.column_by_name("_op");
    let column = column.and_then(|column| column.as_string_opt::<i32>());
    let column = column.filter(|column| column.is_valid(index));
    column.map_or("event", |column| column.value(index))
}
