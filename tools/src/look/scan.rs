//! Events read back from the log, newest first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, RecordBatch};
use blacksmith_core::clock::Timestamp;
use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::{Block, FormatId, LaneId, SchemaId};
use blacksmith_core::job::QueuedJob;
use blacksmith_core::json::Json;
use blacksmith_core::position::{Position, Span};
use blacksmith_core::rows;
use blacksmith_core::source::{Asked, Decoded, Decoding, Limits, StoreSchemas, Takes, Wanted};
use blacksmith_core::spans::Spans;
use blacksmith_core::store::Store;
use serde_json::Value;

use super::Look;
use super::filter::Filter;

/// Positions looked at first; later windows are larger.
const WINDOW_MIN: u64 = 1_024;
/// Positions looked at together, at most: what is decoded of them is in memory.
const WINDOW_MAX: u64 = 65_536;

/// One event.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) position: Position,
    pub(super) received_at: Timestamp,
    pub(super) source: Arc<str>,
    pub(super) trigger: Arc<str>,
    /// What happened; empty when the event could not be decoded.
    pub(super) operation: String,
    /// Its rows, when asked for: two when an update changed the key.
    pub(super) rows: Vec<Value>,
    /// Why it could not be decoded.
    pub(super) parked: Option<String>,
}

impl Look {
    /// The newest events in `span` that pass `filter` and `keep`, at most `filter.limit`, newest first.
    pub(super) fn newest(
        &self,
        span: Span,
        filter: &Filter,
        keep: &dyn Fn(&Event) -> bool,
    ) -> Result<Vec<Event>> {
        let mut found = Vec::new();
        let mut size = WINDOW_MIN;
        let mut last = span.last;
        while last >= span.first && found.len() < filter.limit {
            let first = Position(last.0.saturating_sub(size - 1)).max(span.first);
            let events = self.events(Span { first, last }, filter, false)?;
            let earliest = events.first().map(|event| event.received_at);
            let passing = events.into_iter().rev();
            found.extend(
                passing.filter(|event| filter.wants_time(event.received_at) && keep(event)),
            );
            if earliest
                .zip(filter.since)
                .is_some_and(|(earliest, since)| earliest < since)
            {
                break;
            }
            last = first.previous();
            size = (size * 4).min(WINDOW_MAX);
        }
        found.truncate(filter.limit);
        Ok(found)
    }

    /// The events in `span` of the triggers that `filter` wants, oldest first.
    pub(super) fn events(
        &self,
        span: Span,
        filter: &Filter,
        with_rows: bool,
    ) -> Result<Vec<Event>> {
        let names = Names::of(self.store.as_ref());
        let wants = |schema| {
            names
                .trigger(schema)
                .is_some_and(|(source, trigger)| filter.wants_trigger(&source, &trigger))
        };
        let spans = Spans::from(span);
        let Some(wanted) = Wanted::of(&spans, &wants) else {
            return Ok(Vec::new());
        };
        let mut window = Window {
            with_rows,
            names: &names,
            received: Vec::new(),
            events: BTreeMap::new(),
        };
        let mut decoders: HashMap<FormatId, Box<dyn Decoding>> = HashMap::new();
        let mut out = Vec::new();
        let mut blocks = self.store.blocks(span.first);
        while let Some(block) = blocks.next()? {
            if block.first > span.last {
                break;
            }
            window.receive(&block);
            let decoder = match decoders.entry(block.format) {
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert(self.decoder(block.format)?)
                }
            };
            decoder.push(&block, &wanted, &mut out)?;
            if block
                .span()
                .is_some_and(|of_block| of_block.last >= span.last)
            {
                break;
            }
        }
        for decoder in decoders.values_mut() {
            decoder.finish(&mut out)?;
        }
        out.into_iter().for_each(|decoded| window.take(decoded));
        Ok(window.events.into_values().collect())
    }

    fn decoder(&self, format: FormatId) -> Result<Box<dyn Decoding>> {
        let known = self.formats.get(&format).ok_or_else(|| {
            Error::invalid(format!(
                "this program does not read events of format {}",
                format.0
            ))
            .help("use the version that wrote them, or a newer one")
        })?;
        Ok(known.decoding(Asked {
            schemas: Arc::new(StoreSchemas(Arc::clone(&self.store))),
            limits: Limits::default(),
            takes: if known.only_rows() {
                Takes::Rows
            } else {
                Takes::Jobs
            },
            store: self.store.id(),
            lane: LaneId(0),
            default_version: None,
        }))
    }
}

/// What the decoded rows of a window add up to.
struct Window<'a> {
    with_rows: bool,
    names: &'a Names,
    received: Vec<(Span, Timestamp)>,
    events: BTreeMap<Position, Event>,
}

impl Window<'_> {
    fn receive(&mut self, block: &Block) {
        self.received
            .extend(block.span().map(|span| (span, block.received_at)));
    }

    fn take(&mut self, decoded: Decoded) {
        match decoded {
            Decoded::Rows { schema, rows, .. } => {
                for index in 0..rows.num_rows() {
                    self.row(schema, &rows, index);
                }
            }
            Decoded::Jobs(jobs) => jobs.into_iter().for_each(|job| self.document(job)),
            Decoded::Parked(parked) => {
                let event = Event {
                    position: parked.position,
                    received_at: self.received_at(parked.position),
                    source: Arc::from(""),
                    trigger: parked.trigger,
                    operation: String::new(),
                    rows: Vec::new(),
                    parked: Some(parked.reason),
                };
                self.events.insert(event.position, event);
            }
        }
    }

    fn document(&mut self, job: QueuedJob) {
        let QueuedJob {
            position,
            event,
            context,
            data,
            ..
        } = job;
        let shown = |json: &Json| json.read().unwrap_or(Value::Null);
        let row = || serde_json::json!({"context": shown(&context), "data": shown(&data)});
        self.events.insert(
            position,
            Event {
                position,
                received_at: event.received_at,
                source: Arc::clone(&event.origin.source),
                trigger: Arc::clone(&event.origin.trigger),
                operation: "event".to_owned(),
                rows: self.with_rows.then(row).into_iter().collect(),
                parked: None,
            },
        );
    }

    fn row(&mut self, schema: SchemaId, batch: &RecordBatch, index: usize) {
        let Some(position) = position(batch, index) else {
            return;
        };
        let received_at = self.received_at(position);
        let (source, trigger) = self.names.trigger(schema).unwrap_or_default();
        let event = self.events.entry(position).or_insert_with(|| Event {
            position,
            received_at,
            source,
            trigger,
            operation: operation(batch, index),
            rows: Vec::new(),
            parked: None,
        });
        if !event.rows.is_empty() || (!self.with_rows && event.operation != operation(batch, index))
        {
            // A delete and an insert at one position: the update changed the key.
            event.operation = "update".to_owned();
        }
        if self.with_rows {
            let row = rows::object(batch, index);
            event.rows.push(row.read().unwrap_or(Value::Null));
        }
    }

    fn received_at(&self, position: Position) -> Timestamp {
        let at = self
            .received
            .partition_point(|(span, _)| span.last < position);
        self.received
            .get(at)
            .map(|(_, received_at)| *received_at)
            .unwrap_or_default()
    }
}

fn position(rows: &RecordBatch, index: usize) -> Option<Position> {
    let column = rows
        .column_by_name("_seq")?
        .as_primitive_opt::<UInt64Type>()?;
    Some(Position(column.value(index)))
}

fn operation(rows: &RecordBatch, index: usize) -> String {
    let column = rows
        .column_by_name("_op")
        .and_then(|column| column.as_string_opt::<i32>());
    let value = column
        .filter(|column| column.is_valid(index))
        .map(|column| column.value(index));
    value.unwrap_or("event").to_owned()
}

/// Source and trigger by schema.
pub(super) struct Names(HashMap<SchemaId, (Arc<str>, Arc<str>)>);

impl Names {
    pub(super) fn of(store: &dyn Store) -> Self {
        let sources: HashMap<_, _> = store.sources().into_iter().collect();
        let schemas = store.schemas().into_iter().map(|schema| {
            let source = sources.get(&schema.source).cloned().unwrap_or_default();
            (schema.id, (source, Arc::clone(schema.trigger())))
        });
        Names(schemas.collect())
    }

    fn trigger(&self, schema: SchemaId) -> Option<(Arc<str>, Arc<str>)> {
        self.0.get(&schema).cloned()
    }
}
