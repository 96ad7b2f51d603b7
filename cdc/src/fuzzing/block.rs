//! A whole block of the log through the decoder: each event comes out as a row, or is parked, or the block is refused.

use std::sync::Arc;

use blacksmith_core::clock::Timestamp;
use blacksmith_core::event::{
    About, Block, Excluded, FormatId, LaneId, Schema, SchemaId, SourceId, StoreId, Tally,
};
use blacksmith_core::position::{Position, Span};
use blacksmith_core::source::{Asked, Decoded, Format, Limits, Schemas, Takes, Wanted};
use blacksmith_core::spans::Spans;
use bytes::Bytes;

use super::pieces;
use crate::changes;
use crate::decoder::PostgresFormat;
use crate::value::{Column, Identity, TableSchema, TypeKind};

/// A byte that chooses the format, one for the length of the envelope, the envelope, then the pieces of the body.
pub(super) fn run(input: &[u8]) {
    let Some(([choice, length], rest)) = input.split_first_chunk() else {
        return;
    };
    let (envelope, rest) = rest.split_at(usize::from(length % 32).min(rest.len()));
    let mut body = Vec::new();
    for piece in pieces(rest) {
        changes::append(&mut body, piece).expect("a piece is short");
    }
    let format = match choice % 4 {
        0 => FormatId::PGCOPY_TEXT,
        1 => FormatId::PGCOPY_BINARY,
        _ => FormatId::PGOUTPUT,
    };
    let events = rest.len() as u32;
    let block = block(format, envelope, body, events);
    decode(&block, choice & 4 != 0);
}

fn block(format: FormatId, envelope: &[u8], body: Vec<u8>, events: u32) -> Block {
    let tally = |schema| Tally {
        schema: SchemaId(schema),
        group: 0,
        count: events,
    };
    Block {
        source: SourceId(1),
        format,
        received_at: Timestamp(0),
        first: Position::FIRST,
        count: events,
        transaction: None,
        tally: match format {
            FormatId::PGOUTPUT => [tally(1), tally(2)].into(),
            _ => [tally(1)].into(),
        },
        excluded: Arc::new(Excluded {
            schemas: Vec::new(),
            groups: vec![7],
        }),
        envelope: Bytes::copy_from_slice(envelope),
        body: Bytes::from(body),
    }
}

fn decode(block: &Block, event_ids: bool) {
    let mut decoding = PostgresFormat.decoding(Asked {
        schemas: Arc::new(Tables),
        limits: Limits {
            batch_rows: 7,
            held_bytes: 1 << 10,
        },
        takes: Takes::Rows,
        store: StoreId(1),
        lane: LaneId(1),
        default_version: None,
        event_ids,
    });
    let all = Spans::from(Span::new(Position(2), Position(1 << 32)));
    let every = |_| true;
    let wanted = Wanted::of(&all, &every).expect("some are wanted");
    let mut out = Vec::new();
    let pushed = decoding.push(block, &wanted, &mut out);
    decoding
        .finish(&mut out)
        .expect("what was begun can be finished");
    let rows = out.iter().map(|decoded| match decoded {
        Decoded::Rows { rows, span, .. } => {
            // A key that changes is a delete and an insert of one event.
            assert!(span.len() * 2 >= rows.num_rows() as u64);
            rows.num_rows()
        }
        Decoded::Parked(parked) => {
            assert!(!parked.reason.is_empty());
            1
        }
        Decoded::Jobs(_) => panic!("a table gives rows"),
    });
    let rows: usize = rows.sum();
    assert!(pushed.is_err() || rows <= 2 * block.body.len());
}

/// Two tables: one of a key and texts, one of numbers.
struct Tables;

impl Schemas for Tables {
    fn schema(&self, id: SchemaId) -> Option<Arc<Schema>> {
        let oids: &[u32] = match id.0 {
            1 => &[23, 25, 1700],
            _ => &[20, 1184],
        };
        let columns = oids.iter().enumerate().map(|(at, oid)| Column {
            name: format!("c{at}"),
            type_oid: *oid,
            typmod: -1,
            pg_type: String::new(),
            kind: TypeKind::Base(*oid),
            key: at == 0,
            generated: false,
            nullable: true,
        });
        let table = TableSchema {
            oid: id.0,
            namespace: "public".into(),
            name: "t".into(),
            identity: Identity::Default,
            version: 1,
            columns: columns.collect(),
        };
        let body = table.to_bytes().ok()?;
        Some(Arc::new(Schema {
            id,
            source: SourceId(1),
            about: About::trigger("public.t", Bytes::from(body)),
        }))
    }

    fn source(&self, _: SourceId) -> Option<Arc<str>> {
        Some(Arc::from("shop"))
    }
}
