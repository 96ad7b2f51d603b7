use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use blacksmith_core::event::{About, Excluded, LaneId, Schema, SourceId, Tally};
use blacksmith_core::source::Takes;
use blacksmith_core::spans::Spans;
use bytes::Bytes;

use super::*;
use crate::changes::append;
use crate::value::{Column, Identity, TypeKind};

/// So many tables, each with as many columns as [`COLUMNS`]; their schemas have their oids as ids.
const TABLES: u32 = 40;
const COLUMNS: u16 = 1_000;
/// Rows of each table. All values together are more than may wait on pages.
const ROWS: u32 = 10;

#[derive(Debug)]
struct WideTables;

impl Schemas for WideTables {
    fn schema(&self, id: SchemaId) -> Option<Arc<Schema>> {
        let columns = (0..COLUMNS).map(|at| Column {
            name: format!("c{at}"),
            type_oid: 23,
            typmod: -1,
            pg_type: "integer".into(),
            kind: TypeKind::Base(23),
            key: false,
            generated: false,
            nullable: true,
        });
        let table = TableSchema {
            oid: id.0,
            namespace: "public".into(),
            name: format!("t{}", id.0),
            identity: Identity::Default,
            version: 1,
            columns: columns.collect(),
        };
        let body = Bytes::from(table.to_bytes().ok()?);
        Some(Arc::new(Schema {
            id,
            source: SourceId(1),
            about: About::trigger(format!("public.t{}", id.0), body),
        }))
    }

    fn source(&self, _: SourceId) -> Option<Arc<str>> {
        Some(Arc::from("shop"))
    }
}

/// An insert of NULLs into the table `oid`.
fn insert(oid: u32) -> Vec<u8> {
    let nulls = vec![b'n'; usize::from(COLUMNS)];
    [
        b"I",
        &oid.to_be_bytes()[..],
        b"N",
        &COLUMNS.to_be_bytes(),
        &nulls,
    ]
    .concat()
}

/// A block in which the tables take turns.
fn block() -> Block {
    let mut body = Vec::new();
    for row in 0..TABLES * ROWS {
        append(&mut body, &insert(1 + row % TABLES)).unwrap();
    }
    let moment = Moment { lsn: 9, at_us: 5 };
    Block {
        source: SourceId(1),
        format: FormatId::PGOUTPUT,
        received_at: Timestamp(0),
        first: Position::FIRST,
        count: TABLES * ROWS,
        transaction: None,
        tally: (1..=TABLES)
            .map(|schema| Tally {
                schema: SchemaId(schema),
                group: 0,
                count: ROWS,
            })
            .collect(),
        excluded: Arc::new(Excluded::default()),
        envelope: Envelope {
            streamed: false,
            moment: Some(moment),
        }
        .encode(),
        body: Bytes::from(body),
    }
}

#[test]
fn a_block_with_more_values_than_may_wait_gives_every_row_of_every_table_in_order() {
    let values = TABLES as usize * ROWS as usize * usize::from(COLUMNS);
    assert!(values > STAGED_VALUES_MAX);
    let mut decoding = PostgresFormat.decoding(Asked {
        schemas: Arc::new(WideTables),
        limits: Limits::default(),
        takes: Takes::Rows,
        store: StoreId(1),
        lane: LaneId(1),
        default_version: None,
        event_ids: false,
    });
    let block = block();
    let span = block.span().unwrap();
    let (all, every) = (Spans::from(span), |_| true);
    let wanted = Wanted::of(&all, &every).unwrap();
    let mut out = Vec::new();
    decoding.push(&block, &wanted, &mut out).unwrap();
    decoding.finish(&mut out).unwrap();
    assert_eq!(out.len(), TABLES as usize);
    for decoded in out {
        let Decoded::Rows {
            schema, rows, span, ..
        } = decoded
        else {
            panic!("rows")
        };
        let first = block.first.plus(u64::from(schema.0 - 1));
        let seqs: Vec<u64> = rows
            .column_by_name("_seq")
            .unwrap()
            .as_primitive::<UInt64Type>()
            .values()
            .to_vec();
        let expected = (0..ROWS).map(|row| first.plus(u64::from(row * TABLES)).0);
        assert_eq!(seqs, expected.collect::<Vec<_>>());
        assert_eq!(
            (span.first.0, span.last.0),
            (seqs[0], seqs[ROWS as usize - 1])
        );
    }
}
