use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use blacksmith_core::error::Error;

use super::super::mapping::{self, arrow_schema, column_names};
use super::super::render::{Rendered, Renderer};
use super::super::table::Op;
use super::super::*;
use super::{NUMERIC, typmod};
use crate::changes::{Changes, Step, StreamRow, Transaction, append};

const INT4: u32 = 23;
const TEXT: u32 = 25;

fn column(name: &str, kind: TypeKind, typmod: i32, key: bool) -> Column {
    let pg_type = format!("{kind:?}");
    Column {
        name: name.into(),
        type_oid: 0,
        typmod,
        pg_type,
        kind,
        key,
        generated: false,
        nullable: true,
    }
}

/// id int4 (the key), note text, amount numeric(6,2)
pub(super) fn orders(identity: Identity) -> Arc<TableSchema> {
    Arc::new(TableSchema {
        oid: 7,
        namespace: "public".into(),
        name: "orders".into(),
        identity,
        version: 3,
        columns: vec![
            column("id", TypeKind::Base(INT4), -1, true),
            column("note", TypeKind::Base(TEXT), -1, false),
            column("amount", TypeKind::Base(NUMERIC), typmod(6, 2), false),
        ],
    })
}

/// A tuple of text values; `~` is unchanged, `-` is null.
fn tuple(values: &[&str]) -> Vec<u8> {
    let mut bytes = (values.len() as u16).to_be_bytes().to_vec();
    for value in values {
        match *value {
            "~" => bytes.push(b'u'),
            "-" => bytes.push(b'n'),
            text => {
                bytes.push(b't');
                bytes.extend((text.len() as u32).to_be_bytes());
                bytes.extend(text.as_bytes());
            }
        }
    }
    bytes
}

pub(super) fn message(tag: u8, tuples: &[(u8, &[&str])]) -> Vec<u8> {
    let mut bytes = vec![tag, 0, 0, 0, 7];
    for (mark, values) in tuples {
        bytes.push(*mark);
        bytes.extend(tuple(values));
    }
    bytes
}

/// Pushes messages into a builder; the results of the pushes, and the batch.
pub(super) fn load(table: &Arc<TableSchema>, messages: &[Vec<u8>]) -> (Vec<bool>, RecordBatch) {
    let body = body_of(messages);
    load_by(table, &body, TableBuilder::push)
}

/// As [`load`], with values lent; also the memory that they were lent from.
fn load_lent(
    table: &Arc<TableSchema>,
    messages: &[Vec<u8>],
) -> (Vec<bool>, RecordBatch, bytes::Bytes) {
    let body = bytes::Bytes::from(body_of(messages));
    let lent = |builder: &mut TableBuilder, meta: &RowMeta<'_>, change: &RowChange<'_>| {
        builder.push_lent(meta, change, &body)
    };
    let (pushed, batch) = load_by(table, &body, lent);
    (pushed, batch, body)
}

pub(super) fn body_of(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    let append = |message| append(&mut body, message).unwrap();
    messages.iter().map(Vec::as_slice).for_each(append);
    body
}

pub(super) const TRANSACTION: Transaction = Transaction {
    commit_lsn: 90,
    committed_at_us: 5,
};

pub(super) fn meta_of(row: &StreamRow<'_>) -> RowMeta<'static> {
    RowMeta {
        lsn: row.transaction.commit_lsn,
        seq: 1000 + row.ordinal,
        committed_at_us: Some(row.transaction.committed_at_us),
        event_id: None,
    }
}

fn load_by(
    table: &Arc<TableSchema>,
    body: &[u8],
    push: impl Fn(&mut TableBuilder, &RowMeta<'_>, &RowChange<'_>) -> Result<(), Error>,
) -> (Vec<bool>, RecordBatch) {
    let mut builder = TableBuilder::new(Arc::clone(table), false);
    let mut pushed = Vec::new();
    for step in Changes::new(body, Some(TRANSACTION), false) {
        let Step::Row(row) = step.unwrap() else {
            continue;
        };
        let meta = meta_of(&row);
        pushed.push(push(&mut builder, &meta, &row.change.unwrap()).is_ok());
    }
    (pushed, builder.finish().unwrap())
}

/// `op seq: values` of each row; `~` is unchanged, `-` is null.
fn shown(table: &Arc<TableSchema>, batch: &RecordBatch) -> Vec<String> {
    let renderer = Renderer::new(Arc::clone(table));
    let ops = batch.column_by_name("_op").unwrap().as_string::<i32>();
    let seqs = batch.column_by_name("_seq").unwrap();
    let seqs = seqs.as_primitive::<arrow_array::types::UInt64Type>();
    let row = |at: usize| {
        let values = renderer
            .row(batch, at)
            .unwrap()
            .into_iter()
            .map(|value| match value {
                Rendered::Null => "-".to_string(),
                Rendered::Unchanged => "~".to_string(),
                Rendered::Text(text) => text,
            });
        let values: Vec<String> = values.collect();
        format!("{} {}: {}", ops.value(at), seqs.value(at), values.join(" "))
    };
    (0..batch.num_rows()).map(row).collect()
}

fn outcome(table: &Arc<TableSchema>, messages: &[Vec<u8>]) -> Vec<String> {
    let (pushed, batch) = load(table, messages);
    assert!(pushed.iter().all(|ok| *ok), "{pushed:?}");
    shown(table, &batch)
}

#[test]
fn an_update_without_old_tuple_is_one_row_that_tells_unchanged_from_null() {
    let update = message(b'U', &[(b'N', &["1", "~", "-"])]);
    assert_eq!(
        outcome(&orders(Identity::Default), &[update]),
        ["update 1000: 1 ~ -"]
    );
}

#[test]
fn a_changed_key_is_a_delete_and_an_insert_at_the_same_position() {
    let update = message(
        b'U',
        &[(b'K', &["1", "-", "-"]), (b'N', &["2", "~", "1.50"])],
    );
    let expected = ["delete 1000: 1 - -", "insert 1000: 2 ~ 1.50"];
    assert_eq!(outcome(&orders(Identity::Default), &[update]), expected);
}

#[test]
fn a_null_outside_the_identity_never_fills_an_unchanged_value() {
    // A key can come without having changed: when a part of it is stored out of line.
    let update = message(
        b'U',
        &[(b'K', &["1", "-", "-"]), (b'N', &["~", "~", "1.50"])],
    );
    assert_eq!(
        outcome(&orders(Identity::Index), &[update]),
        ["update 1000: 1 ~ 1.50"]
    );
}

#[test]
fn a_full_old_row_fills_what_was_not_sent() {
    let update = message(
        b'U',
        &[(b'O', &["1", "big", "1.00"]), (b'N', &["1", "~", "2.00"])],
    );
    assert_eq!(
        outcome(&orders(Identity::Full), &[update]),
        ["update 1000: 1 big 2.00"]
    );
}

#[test]
fn a_full_old_row_with_another_key_is_a_delete_and_an_insert() {
    let update = message(
        b'U',
        &[(b'O', &["1", "big", "1.00"]), (b'N', &["2", "~", "1.00"])],
    );
    let expected = ["delete 1000: 1 - -", "insert 1000: 2 big 1.00"];
    assert_eq!(outcome(&orders(Identity::Full), &[update]), expected);
}

#[test]
fn without_key_columns_the_whole_row_is_the_key() {
    let mut table = (*orders(Identity::Full)).clone();
    table.columns[0].key = false;
    let table = Arc::new(table);
    let messages = [
        message(
            b'U',
            &[(b'O', &["1", "a", "1.00"]), (b'N', &["1", "~", "2.00"])],
        ),
        message(
            b'U',
            &[(b'O', &["1", "a", "1.00"]), (b'N', &["1", "~", "1.00"])],
        ),
        message(b'D', &[(b'O', &["1", "-", "2.00"])]),
    ];
    let expected = [
        "delete 1000: 1 a 1.00",
        "insert 1000: 1 a 2.00",
        "update 1001: 1 a 1.00",
        "delete 1002: 1 - 2.00",
    ];
    assert_eq!(outcome(&table, &messages), expected);
}

#[test]
fn a_delete_carries_the_key_only_and_a_truncate_nothing() {
    let truncate = [b"T\0\0\0\x01\0".as_slice(), &7u32.to_be_bytes()].concat();
    let messages = [
        message(b'D', &[(b'K', &["1", "-", "-"])]),
        message(b'D', &[(b'O', &["2", "big", "1.00"])]),
        truncate,
    ];
    let expected = [
        "delete 1000: 1 - -",
        "delete 1001: 2 - -",
        "truncate 1002: - - -",
    ];
    assert_eq!(outcome(&orders(Identity::Full), &messages), expected);
}

#[test]
fn a_row_that_fails_in_its_last_value_leaves_no_trace() {
    let table = orders(Identity::Default);
    let messages = [
        message(b'I', &[(b'N', &["1", "a", "NaN"])]),
        message(b'I', &[(b'N', &["2", "~", "nonsense"])]),
        message(b'U', &[(b'K', &["1", "-", "-"]), (b'N', &["3", "b", "x"])]),
        message(b'I', &[(b'N', &["4", "c"])]),
        message(b'I', &[(b'N', &["5", "c", "1.00", "more"])]),
        message(b'I', &[(b'N', &["6", "d", "9999.99"])]),
    ];
    let (pushed, batch) = load(&table, &messages);
    assert_eq!(pushed, [true, false, false, false, false, true]);
    let expected = ["insert 1000: 1 a NaN", "insert 1005: 6 d 9999.99"];
    assert_eq!(shown(&table, &batch), expected);
    assert!(batch.column_by_name("_unchanged").unwrap().null_count() == 2);
    assert!(batch.column_by_name("_as_text").unwrap().is_valid(0));
    assert!(batch.column_by_name("amount").unwrap().is_null(0));
}

#[test]
fn an_error_names_table_column_and_type_but_never_the_value() {
    let row = message(b'I', &[(b'N', &["canary", "a", "1.00"])]);
    let Ok((_, crate::protocol::Message::Insert { new, .. })) =
        crate::protocol::Message::parse(&row, false)
    else {
        panic!("an insert")
    };
    let mut builder = TableBuilder::new(orders(Identity::Default), false);
    let error = builder
        .push(&RowMeta::default(), &RowChange::Insert { new })
        .unwrap_err();
    let report = error.report();
    assert!(
        report.contains("public.orders, column id (Base(23))"),
        "{report}"
    );
    assert!(!report.contains("canary"), "{report}");
}

#[test]
fn text_that_is_not_utf8_is_an_error_of_its_row() {
    let mut row = message(b'I', &[(b'N', &["1", "a", "1.00"])]);
    let at = row.iter().position(|byte| *byte == b'a').unwrap();
    row[at] = 0xff;
    let (pushed, batch) = load(&orders(Identity::Default), &[row]);
    assert_eq!((pushed, batch.num_rows()), (vec![false], 0));
}

#[test]
fn a_column_named_like_one_of_ours_gets_underscores_until_it_is_free() {
    let mut table = (*orders(Identity::Default)).clone();
    table.columns[0].name = "_op".into();
    table.columns[1].name = "_op_".into();
    assert_eq!(column_names(&table), ["_op__", "_op_", "amount"]);
    let schema = arrow_schema(&table, true);
    assert_eq!(schema.metadata()[mapping::SCHEMA_KEY], r#"["_op__"]"#);
    assert_eq!(
        schema
            .field_with_name("_event_id")
            .unwrap()
            .data_type()
            .to_string(),
        "Utf8"
    );
}

#[test]
fn a_schema_record_is_read_as_it_was_written() {
    let mut table = (*orders(Identity::Full)).clone();
    table.columns[1].kind = TypeKind::Array {
        element: Box::new(TypeKind::Domain {
            base: Box::new(TypeKind::Enum),
            typmod: 9,
        }),
        delimiter: ',',
    };
    assert_eq!(
        TableSchema::from_bytes(&table.to_bytes().unwrap()).unwrap(),
        table
    );
    assert!(TableSchema::from_bytes(b"{}").is_err());
}

#[test]
fn every_operation_has_its_word() {
    let ops = [Op::Read, Op::Insert, Op::Update, Op::Delete, Op::Truncate];
    let words = ops.map(Op::as_str);
    assert_eq!(words, ["read", "insert", "update", "delete", "truncate"]);
}

#[test]
fn a_large_value_that_is_alone_in_its_column_is_not_copied() {
    let table = orders(Identity::Default);
    let large = "é".repeat(1 << 19);
    let insert = |values: &[&str]| message(b'I', &[(b'N', values)]);
    let messages = [
        insert(&["1", "-", "1.50"]),
        insert(&["2", &large, "-"]),
        insert(&["3", "-", "7.00"]),
    ];
    let (pushed, batch, memory) = load_lent(&table, &messages);
    assert_eq!(pushed, [true; 3]);
    let note = batch.column_by_name("note").unwrap().as_string::<i32>();
    assert!(memory.as_ptr_range().contains(&note.values().as_ptr()));
    assert!(note.value(1) == large && note.is_null(0) && note.is_null(2));
}

#[test]
fn lent_values_make_the_same_batch_whatever_comes_before_and_after() {
    let table = orders(Identity::Full);
    let (a, b) = ("a".repeat(1 << 20), "b".repeat(3 << 19));
    let insert = |note: &str, amount: &str| message(b'I', &[(b'N', &["1", note, amount])]);
    let refused = |note: &str| insert(note, "no number");
    let old: &[&str] = &["1", &a, "1.00"];
    let unchanged = message(b'U', &[(b'O', old), (b'N', &["1", "~", "2.00"])]);
    let moved = message(b'U', &[(b'O', old), (b'N', &["1", &b, "2.00"])]);
    let lives = [
        vec![insert(&a, "-"), insert("x", "-")],
        vec![insert("x", "-"), insert(&a, "-"), insert(&b, "-")],
        vec![refused(&a), insert(&b, "-")],
        vec![insert(&a, "-"), refused(&b), refused("x"), insert("-", "-")],
        vec![
            insert("-", "-"),
            refused(&a),
            insert("x", "-"),
            insert(&b, "-"),
        ],
        vec![unchanged, insert("", "-")],
        vec![moved],
        vec![
            insert(&format!("{a}\u{0}"), "-"),
            message(b'D', &[(b'O', old)]),
        ],
    ];
    for messages in lives {
        let (pushed, batch) = load(&table, &messages);
        let (lent_pushed, lent, _) = load_lent(&table, &messages);
        assert_eq!(lent_pushed, pushed);
        assert!(lent == batch);
    }
}
