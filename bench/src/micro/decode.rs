//! Blocks of the log into record batches, on one core: what a change costs after it was written.

use std::hint::black_box;

use arrow_array::RecordBatch;
use blacksmith_cdc::changes::{Changes, CopyChanges, Step, Transaction};
use blacksmith_cdc::protocol::CopyFormat;
use blacksmith_cdc::value::{RowChange, RowMeta, Sheet, TableBuilder};

use super::{Piece, Rows, Work};

const ROWS: u64 = 10_000;

/// Every kind of rows: from the stream and from a copy, in text and in binary.
#[must_use]
pub fn decodes() -> Vec<Piece> {
    let forms = [(false, "text"), (true, "binary")];
    let each = Rows::ALL.into_iter().flat_map(|rows| {
        forms
            .into_iter()
            .flat_map(move |(binary, form)| [stream(rows, binary, form), copy(rows, binary, form)])
    });
    each.collect()
}

fn stream(rows: Rows, binary: bool, form: &str) -> Piece {
    let name = format!("decode {}, stream {form}", rows.name());
    Piece::new(name, move || {
        let mut builder = TableBuilder::new(rows.table(), false);
        let body = rows.inserts(ROWS, binary);
        Work::new(ROWS, body.len() as u64, move || {
            push_stream(&mut builder, &body);
            finish(&mut builder);
        })
    })
}

/// The record batch that so many inserted rows become.
pub(super) fn batch(rows: Rows, count: u64) -> RecordBatch {
    let mut builder = TableBuilder::new(rows.table(), false);
    push_stream(&mut builder, &rows.inserts(count, true));
    builder.finish().expect("a batch")
}

fn push_stream(builder: &mut TableBuilder, body: &[u8]) {
    let mut sheet = Sheet::default();
    for step in Changes::new(body, Some(TRANSACTION), false) {
        let Ok(Step::Row(row)) = step else {
            panic!("only rows")
        };
        let meta = RowMeta {
            lsn: row.transaction.commit_lsn,
            seq: row.ordinal,
            committed_at_us: Some(row.transaction.committed_at_us),
            event_id: None,
        };
        let change = row.change.expect("a whole row");
        stage(builder, &mut sheet, &meta, &change);
    }
    take(builder, &mut sheet);
}

/// As the decoder does it: rows gather, and are decoded by column.
fn stage<'a>(
    builder: &mut TableBuilder,
    sheet: &mut Sheet<'a>,
    meta: &RowMeta<'_>,
    change: &RowChange<'a>,
) {
    let staged = builder.stage(sheet, meta, change);
    staged.expect("as many values as columns");
    if sheet.is_full() {
        take(builder, sheet);
    }
}

fn take(builder: &mut TableBuilder, sheet: &mut Sheet<'_>) {
    let taken = builder.take(sheet);
    assert!(taken.refused.is_empty(), "values of their types");
}

const TRANSACTION: Transaction = Transaction {
    commit_lsn: 1,
    committed_at_us: 1,
};

fn copy(rows: Rows, binary: bool, form: &str) -> Piece {
    let name = format!("decode {}, copy {form}", rows.name());
    Piece::new(name, move || {
        let mut builder = TableBuilder::new(rows.table(), false);
        let body = rows.copied(ROWS, binary);
        let format = match binary {
            true => CopyFormat::Binary,
            false => CopyFormat::Text,
        };
        Work::new(ROWS, body.len() as u64, move || {
            decode_copy(&mut builder, &body, format);
        })
    })
}

fn decode_copy(builder: &mut TableBuilder, body: &[u8], format: CopyFormat) {
    let mut sheet = Sheet::default();
    for change in CopyChanges::new(body, format) {
        let (seq, change) = change.expect("a whole row");
        let meta = RowMeta {
            seq,
            ..RowMeta::default()
        };
        stage(builder, &mut sheet, &meta, &change);
    }
    take(builder, &mut sheet);
    finish(builder);
}

fn finish(builder: &mut TableBuilder) {
    let batch = builder.finish().expect("a batch");
    assert_eq!(black_box(batch).num_rows() as u64, ROWS);
}
