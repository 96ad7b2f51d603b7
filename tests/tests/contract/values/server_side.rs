//! What a test needs from the server: table schemas from its catalog, rows in each of the ways.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use arrow_array::RecordBatch;
use blacksmith_cdc::changes::{Changes, CopyChanges, Step, Transaction, append};
use blacksmith_cdc::protocol::CopyFormat;
use blacksmith_cdc::value::render::{Rendered, Renderer};
use blacksmith_cdc::value::table::RowMeta;
use blacksmith_cdc::value::{Column, Identity, TableBuilder, TableSchema, TypeKind};
use blacksmith_tests::db::{Db, Session};
use futures_util::TryStreamExt;

/// The schema of `public.table` as the catalog has it now.
pub(super) fn table_schema(session: &mut Session, table: &str) -> Arc<TableSchema> {
    let head = session.rows(&format!(
        "select oid, relreplident from pg_class where oid = 'public.{table}'::regclass"
    ));
    let oid = text(&head[0][0]).parse().unwrap();
    let identity = Identity::from_byte(text(&head[0][1]).as_bytes()[0]).unwrap();
    let flag = match identity {
        Identity::Index => "indisreplident",
        _ => "indisprimary",
    };
    let rows = session.rows(&format!(
        "select attname, atttypid, atttypmod, format_type(atttypid, atttypmod), \
         coalesce(attnum = any(indkey), false), attnotnull \
         from pg_attribute left join pg_index on indrelid = attrelid and {flag} \
         where attrelid = {oid} and attnum > 0 and not attisdropped order by attnum"
    ));
    let columns = rows.into_iter().map(|row| {
        let type_oid: u32 = text(&row[1]).parse().unwrap();
        Column {
            name: text(&row[0]),
            type_oid,
            typmod: text(&row[2]).parse().unwrap(),
            pg_type: text(&row[3]),
            kind: type_kind(session, type_oid),
            key: text(&row[4]) == "t",
            generated: false,
            nullable: text(&row[5]) == "f",
        }
    });
    Arc::new(TableSchema {
        oid,
        namespace: "public".into(),
        name: table.into(),
        identity,
        version: 1,
        columns: columns.collect(),
    })
}

fn type_kind(session: &mut Session, oid: u32) -> TypeKind {
    let row = session.rows(&format!(
        "select typtype, typbasetype, typtypmod, typname, typelem, \
         exists (select from pg_type e where e.oid = t.typelem and e.typarray = t.oid), \
         (select e.typdelim from pg_type e where e.oid = t.typelem) \
         from pg_type t where oid = {oid}"
    ));
    let field = |at: usize| text(&row[0][at]);
    let number = |at: usize| field(at).parse::<u32>().unwrap();
    match field(0).as_str() {
        "d" => TypeKind::Domain {
            base: Box::new(type_kind(session, number(1))),
            typmod: field(2).parse().unwrap(),
        },
        "e" => TypeKind::Enum,
        "c" => TypeKind::Composite,
        "r" | "m" => TypeKind::Range,
        _ if field(5) == "t" => TypeKind::Array {
            element: Box::new(type_kind(session, number(4))),
            delimiter: field(6).chars().next().unwrap(),
        },
        _ if oid < 16_384 => TypeKind::Base(oid),
        _ => TypeKind::Extension(field(3)),
    }
}

fn text(value: &Option<String>) -> String {
    value.clone().expect("the catalog has no NULL here")
}

/// The batch of a whole table by COPY.
pub(super) fn copied(db: &Db, table: &Arc<TableSchema>, format: CopyFormat) -> RecordBatch {
    let mut body = Vec::new();
    for payload in copy_payloads(db, &table.name, format) {
        append(&mut body, &payload).unwrap();
    }
    let mut builder = TableBuilder::new(Arc::clone(table), false);
    for change in CopyChanges::new(&body, format) {
        let (ordinal, change) = change.unwrap();
        let meta = RowMeta {
            seq: ordinal,
            ..RowMeta::default()
        };
        builder.push(&meta, &change).unwrap();
    }
    builder.finish().unwrap()
}

fn copy_payloads(db: &Db, table: &str, format: CopyFormat) -> Vec<Vec<u8>> {
    let format = match format {
        CopyFormat::Text => "text",
        CopyFormat::Binary => "binary",
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = db.connect().await;
        let copy = format!("copy \"{table}\" to stdout (format {format})");
        let stream = client.copy_out(&copy).await.unwrap();
        let payloads: Vec<_> = pin!(stream)
            .map_ok(|bytes| bytes.to_vec())
            .try_collect()
            .await
            .unwrap();
        payloads
    })
}

/// The messages that wait in a slot, each with the options `name, value, ...` of pgoutput.
pub(super) fn messages(session: &mut Session, slot: &str, options: &[&str]) -> Vec<Vec<u8>> {
    let options: Vec<String> = options.iter().map(|option| format!("'{option}'")).collect();
    let rows = session.rows(&format!(
        "select encode(data, 'hex') from \
         pg_logical_slot_peek_binary_changes('{slot}', null, null, {})",
        options.join(", ")
    ));
    rows.iter().map(|row| from_hex(&text(&row[0]))).collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// Batches by table from messages of the stream; `seq` counts row events from 0.
pub(super) fn streamed(
    tables: &[Arc<TableSchema>],
    messages: &[Vec<u8>],
) -> BTreeMap<String, RecordBatch> {
    let mut builders: BTreeMap<u32, TableBuilder> = tables
        .iter()
        .map(|table| (table.oid, TableBuilder::new(Arc::clone(table), false)))
        .collect();
    let mut body = Vec::new();
    messages
        .iter()
        .for_each(|message| append(&mut body, message).unwrap());
    let nothing_before: Option<Transaction> = None;
    for step in Changes::new(&body, nothing_before, false) {
        let Step::Row(row) = step.unwrap() else {
            continue;
        };
        let meta = RowMeta {
            lsn: row.transaction.commit_lsn,
            seq: row.ordinal,
            committed_at_us: Some(row.transaction.committed_at_us),
            event_id: None,
        };
        let builder = builders.get_mut(&row.relation).expect("a table we know");
        builder.push(&meta, &row.change.unwrap()).unwrap();
    }
    builders
        .into_values()
        .map(|mut builder| (builder.table().name.clone(), builder.finish().unwrap()))
        .collect()
}

/// The rows of a batch as Postgres text: NULL is `None`, unchanged a word of its own.
pub(super) fn rendered(table: &Arc<TableSchema>, batch: &RecordBatch) -> Vec<Vec<Option<String>>> {
    let renderer = Renderer::new(Arc::clone(table));
    let row = |at: usize| {
        let values = renderer
            .row(batch, at)
            .unwrap()
            .into_iter()
            .map(|value| match value {
                Rendered::Null => None,
                Rendered::Unchanged => Some(UNCHANGED.to_string()),
                Rendered::Text(text) => Some(text),
            });
        values.collect()
    };
    (0..batch.num_rows()).map(row).collect()
}

/// What [`rendered`] gives for a value that was not sent.
pub(super) const UNCHANGED: &str = "<unchanged>";
