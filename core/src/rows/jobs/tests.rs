//! Rows of two tables, as a decoder hands them out, and the jobs that come of them.

use std::collections::HashMap;

use arrow_array::builder::{ListBuilder, StringBuilder, StructBuilder};
use arrow_array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema as ArrowSchema};

use super::*;
use crate::event::{About, FormatId, LaneId, Schema, SourceId, StoreId, Tally};
use crate::source::{Parked, Schemas};
use crate::spans::Spans;

const AT: Timestamp = Timestamp(1_700_000_000_000_000);

/// One change: position, operation, key, name, columns that were not sent, name as text.
#[derive(Clone, Copy)]
struct Row {
    position: u64,
    op: &'static str,
    id: Option<i64>,
    name: Option<&'static str>,
    unchanged: bool,
    as_text: Option<&'static str>,
}

fn row(position: u64, op: &'static str, id: i64, name: &'static str) -> Row {
    Row {
        position,
        op,
        id: Some(id),
        name: Some(name),
        unchanged: false,
        as_text: None,
    }
}

fn batch(rows: &[Row]) -> RecordBatch {
    let mut unchanged = ListBuilder::new(StringBuilder::new());
    let pair = vec![
        Field::new("column", DataType::Utf8, false),
        Field::new("value", DataType::Utf8, false),
    ];
    let mut as_text = ListBuilder::new(StructBuilder::from_fields(pair, 0));
    for row in rows {
        if row.unchanged {
            unchanged.values().append_value("name");
        }
        unchanged.append(row.unchanged);
        if let Some(text) = row.as_text {
            let pair = as_text.values();
            for (at, text) in ["name", text].into_iter().enumerate() {
                let field: &mut StringBuilder = pair.field_builder(at).unwrap();
                field.append_value(text);
            }
            pair.append(true);
        }
        as_text.append(row.as_text.is_some());
    }
    let committed_at = TimestampMicrosecondArray::from(vec![AT.0; rows.len()]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "_op",
            Arc::new(rows.iter().map(|row| Some(row.op)).collect::<StringArray>()),
        ),
        ("_lsn", Arc::new(UInt64Array::from(vec![100; rows.len()]))),
        (
            "_seq",
            Arc::new(rows.iter().map(|row| row.position).collect::<UInt64Array>()),
        ),
        ("_committed_at", Arc::new(committed_at.with_timezone("UTC"))),
        ("_unchanged", Arc::new(unchanged.finish())),
        ("_as_text", Arc::new(as_text.finish())),
        (
            "id",
            Arc::new(rows.iter().map(|row| row.id).collect::<Int64Array>()),
        ),
        (
            "name",
            Arc::new(rows.iter().map(|row| row.name).collect::<StringArray>()),
        ),
    ];
    let (names, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let fields = names.iter().zip(&arrays);
    let fields: Vec<_> = fields
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let key = HashMap::from([("blacksmith.key".to_owned(), "[\"id\"]".to_owned())]);
    RecordBatch::try_new(
        Arc::new(ArrowSchema::new_with_metadata(fields, key)),
        arrays,
    )
    .unwrap()
}

/// Hands out what it was given, whatever is pushed: each table's rows when it is told to finish.
#[derive(Debug)]
struct Tables(Vec<(u32, Vec<Row>)>);

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.position, self.op)
    }
}

impl Format for Tables {
    fn ids(&self) -> &'static [FormatId] {
        &[FormatId::PGOUTPUT]
    }

    fn name(&self) -> &'static str {
        "tables"
    }

    fn only_rows(&self) -> bool {
        true
    }

    fn decoding(&self, asked: Asked) -> Box<dyn Decoding> {
        assert_eq!(asked.takes, Takes::Rows);
        Box::new(Tables(self.0.clone()))
    }
}

impl Decoding for Tables {
    fn push(&mut self, _: &Block, _: &Wanted<'_>, out: &mut Vec<Decoded>) -> Result<()> {
        out.push(Decoded::Parked(Parked {
            position: Position(99),
            trigger: Arc::from("public.orders"),
            reason: "broken".into(),
        }));
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Decoded>) -> Result<()> {
        for (schema, rows) in self.0.drain(..) {
            let span = Span::new(
                Position(rows[0].position),
                Position(rows[rows.len() - 1].position),
            );
            out.push(Decoded::Rows {
                schema: SchemaId(schema),
                trigger: Arc::from("public.orders"),
                rows: batch(&rows),
                span,
            });
        }
        Ok(())
    }

    fn completed(&self) -> Option<Completed> {
        Some(Completed { lsn: 100, at: AT })
    }
}

struct Known;

impl Schemas for Known {
    fn schema(&self, id: SchemaId) -> Option<Arc<Schema>> {
        let table = if id.0 == 1 {
            "public.orders"
        } else {
            "public.items"
        };
        Some(Arc::new(Schema {
            id,
            source: SourceId(1),
            about: About::trigger(table, Bytes::new()),
        }))
    }

    fn source(&self, _: SourceId) -> Option<Arc<str>> {
        Some(Arc::from("shop"))
    }
}

/// The jobs that come of these tables, and how often a piece came.
fn jobs(tables: Vec<(u32, Vec<Row>)>, batch_rows: usize) -> (Vec<QueuedJob>, usize) {
    let asked = Asked {
        schemas: Arc::new(Known),
        limits: Limits {
            batch_rows,
            ..Limits::default()
        },
        takes: Takes::Jobs,
        store: StoreId(7),
        lane: LaneId(3),
        default_version: Some(Arc::from("v1")),
        event_ids: false,
    };
    let mut decoding = crate::rows::decoding(&Tables(tables), asked);
    let span = Span::starting(Position(1), 100);
    let block = Block {
        source: SourceId(1),
        format: FormatId::PGOUTPUT,
        received_at: AT,
        first: span.first,
        count: 100,
        transaction: None,
        tally: Arc::from([Tally {
            schema: SchemaId(1),
            group: 0,
            count: 100,
        }]),
        excluded: Arc::default(),
        envelope: Bytes::new(),
        body: Bytes::new(),
    };
    let spans = Spans::from(span);
    let wanted = Wanted::of(&spans, &|_| true).unwrap();
    let mut out = Vec::new();
    decoding.push(&block, &wanted, &mut out).unwrap();
    decoding.finish(&mut out).unwrap();
    assert_eq!(
        decoding.completed().map(|completed| completed.lsn),
        Some(100)
    );
    let (mut jobs, mut pieces, mut parked) = (Vec::new(), 0, 0);
    for decoded in out {
        match decoded {
            Decoded::Jobs(piece) => {
                pieces += 1;
                jobs.extend(piece);
            }
            Decoded::Parked(_) => parked += 1,
            Decoded::Rows { .. } => panic!("rows for an action that takes jobs"),
        }
    }
    assert_eq!(parked, 1, "what is parked passes through");
    (jobs, pieces)
}

fn one(row: Row) -> QueuedJob {
    jobs(vec![(1, vec![row])], 10).0.remove(0)
}

/// CON-06 ACT-08
#[test]
fn a_row_is_a_job_with_the_row_as_data_and_its_circumstances_as_context() {
    let job = one(row(5, "insert", 7, "a"));
    assert_eq!(job.data.as_str(), r#"{"id":7,"name":"a"}"#);
    assert_eq!(
        job.context.as_str(),
        r#"{"op":"insert","lsn":100,"committed_at":"2023-11-14T22:13:20Z"}"#
    );
    assert_eq!(
        (job.position, job.id.position()),
        (Position(5), Some(Position(5)))
    );
    assert_eq!(
        (job.id.lane(), job.event.id.lane()),
        (Some(LaneId(3)), None)
    );
    assert_eq!(
        (&*job.event.origin.source, &*job.event.origin.trigger),
        ("shop", "public.orders")
    );
    assert_eq!((job.sent_at, job.event.received_at), (Some(AT), AT));
    assert_eq!(job.version.as_deref(), Some("v1"));
}

#[test]
fn a_removed_row_is_its_key_and_an_emptied_table_is_nothing() {
    let removed = one(row(5, "delete", 7, "gone"));
    assert_eq!(removed.data.as_str(), r#"{"id":7}"#);
    let emptied = Row {
        id: None,
        name: None,
        ..row(6, "truncate", 0, "")
    };
    assert_eq!(one(emptied).data.as_str(), "{}");
}

#[test]
fn what_was_not_sent_is_left_out_and_named_and_what_does_not_fit_is_text() {
    let partial = one(Row {
        name: None,
        unchanged: true,
        ..row(5, "update", 7, "")
    });
    assert_eq!(partial.data.as_str(), r#"{"id":7}"#);
    assert!(partial.context.as_str().contains(r#""unchanged":["name"]"#));
    let wide = one(Row {
        name: None,
        as_text: Some("1e1000"),
        ..row(5, "insert", 7, "")
    });
    assert_eq!(wide.data.as_str(), r#"{"id":7,"name":"1e1000"}"#);
}

#[test]
fn an_update_that_changes_the_key_is_one_job_that_knows_what_was_before() {
    let moved = vec![
        row(5, "delete", 7, "a"),
        row(5, "insert", 8, "a"),
        row(6, "insert", 9, "b"),
    ];
    let (jobs, _) = jobs(vec![(1, moved)], 10);
    assert_eq!(jobs.len(), 2);
    assert_eq!(jobs[0].data.as_str(), r#"{"id":8,"name":"a"}"#);
    let context = jobs[0].context.as_str();
    assert!(context.starts_with(r#"{"op":"update","#) && context.contains(r#""before":{"id":7}"#));
    assert_eq!(jobs[1].position, Position(6));
}

#[test]
fn jobs_of_several_tables_come_in_order_of_position_and_in_bounded_pieces() {
    let orders = [1, 4, 5].map(|position| row(position, "insert", 1, "order"));
    let items = [2, 3, 6].map(|position| row(position, "insert", 2, "item"));
    let (jobs, pieces) = jobs(vec![(1, orders.into()), (2, items.into())], 4);
    let positions: Vec<_> = jobs.iter().map(|job| job.position.0).collect();
    assert_eq!((positions, pieces), (vec![1, 2, 3, 4, 5, 6], 2));
    assert_eq!(&*jobs[1].event.origin.trigger, "public.items");
}
