//! One value of any type that is decoded, in text or binary.
//!
//! What is read is shown as text, and that text is read as the same value: so both decoders agree, and nothing is lost on the
//! way. A value that cannot be read leaves its table as it was.

use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::protocol::Message;
use crate::value::render::{Rendered, Renderer};
use crate::value::{Column, Identity, RowChange, RowMeta, TableBuilder, TableSchema, TypeKind};

/// A byte that chooses the type, one for the format and for arrays, then the value's bytes.
pub(super) fn run(input: &[u8]) {
    let Some(([choice, form], value)) = input.split_first_chunk() else {
        return;
    };
    let table = Arc::new(table(usize::from(*choice), form & 2 != 0));
    let format = if form & 1 == 0 { b't' } else { b'b' };
    let Some(batch) = decode(&table, format, value) else {
        return;
    };
    let shown = show(&table, &batch);
    let again = decode(&table, b't', shown.as_bytes());
    let again = again.unwrap_or_else(|| panic!("{}: {shown:?} is not read", type_of(&table)));
    assert_eq!(show(&table, &again), shown, "{}", type_of(&table));
    assert_eq!(again, batch, "{}: {shown:?}", type_of(&table));
}

/// Type, modifier, and what it is called.
const TYPES: &[(u32, i32, &str)] = &[
    (16, -1, "bool"),
    (17, -1, "bytea"),
    (18, -1, "\"char\""),
    (19, -1, "name"),
    (20, -1, "int8"),
    (21, -1, "int2"),
    (23, -1, "int4"),
    (25, -1, "text"),
    (26, -1, "oid"),
    (114, -1, "json"),
    (700, -1, "float4"),
    (701, -1, "float8"),
    (1042, -1, "bpchar"),
    (1043, -1, "varchar"),
    (1082, -1, "date"),
    (1083, -1, "time"),
    (1114, -1, "timestamp"),
    (1184, -1, "timestamptz"),
    (1186, -1, "interval"),
    (1266, -1, "timetz"),
    (1700, -1, "numeric"),
    (1700, 4 + (10 << 16 | 2), "numeric(10,2)"),
    (1700, 4 + (38 << 16 | 38), "numeric(38,38)"),
    (1700, 4 + (76 << 16 | 30), "numeric(76,30)"),
    (1700, 4 + (3 << 16 | 0x7fe), "numeric(3,-2)"),
    (2950, -1, "uuid"),
    (3802, -1, "jsonb"),
    (600, -1, "point"),
];

fn table(choice: usize, array: bool) -> TableSchema {
    let (kind, typmod, pg_type) = match TYPES.get(choice % (TYPES.len() + 2)) {
        Some((oid, typmod, name)) => (TypeKind::Base(*oid), *typmod, *name),
        None if choice & 1 == 0 => (TypeKind::Extension("vector".into()), -1, "vector"),
        None => (TypeKind::Enum, -1, "public.mood"),
    };
    let kind = match array {
        true => TypeKind::Array {
            element: Box::new(kind),
            delimiter: ',',
        },
        false => kind,
    };
    let column = Column {
        name: "c".into(),
        type_oid: 0,
        typmod,
        pg_type: pg_type.into(),
        kind,
        key: false,
        generated: false,
        nullable: true,
    };
    TableSchema {
        oid: 1,
        namespace: "public".into(),
        name: "t".into(),
        identity: Identity::Default,
        version: 1,
        columns: vec![column],
    }
}

fn type_of(table: &TableSchema) -> String {
    format!("{:?} {}", table.columns[0].kind, table.columns[0].pg_type)
}

/// The batch of one row with this value; none when it cannot be read.
fn decode(table: &Arc<TableSchema>, format: u8, value: &[u8]) -> Option<RecordBatch> {
    let mut builder = TableBuilder::new(Arc::clone(table), false);
    let pushed = push(&mut builder, format, value);
    let rows = usize::from(pushed);
    assert_eq!(builder.rows(), rows);
    assert!(
        push_null(&mut builder),
        "a builder goes on behind any value"
    );
    let batch = builder.finish().expect("the columns fit each other");
    assert_eq!(batch.num_rows(), rows + 1);
    pushed.then(|| batch.slice(0, 1))
}

fn push(builder: &mut TableBuilder, format: u8, value: &[u8]) -> bool {
    let length = (value.len() as u32).to_be_bytes();
    let message = [b"I\0\0\0\x01N\0\x01", [format].as_slice(), &length, value].concat();
    insert(builder, &message)
}

fn push_null(builder: &mut TableBuilder) -> bool {
    insert(builder, b"I\0\0\0\x01N\0\x01n")
}

fn insert(builder: &mut TableBuilder, message: &[u8]) -> bool {
    let parsed = Message::parse(message, false);
    let Ok((_, Message::Insert { new, .. })) = parsed else {
        panic!("the message is an insert");
    };
    builder.push(&META, &RowChange::Insert { new }).is_ok()
}

const META: RowMeta<'_> = RowMeta {
    lsn: 1,
    seq: 1,
    committed_at_us: None,
    event_id: None,
};

fn show(table: &Arc<TableSchema>, batch: &RecordBatch) -> String {
    let mut row = Renderer::new(Arc::clone(table))
        .row(batch, 0)
        .expect("it is a row of the table");
    match row.pop() {
        Some(Rendered::Text(text)) => text,
        other => panic!("{}: a value is shown as {other:?}", type_of(table)),
    }
}
