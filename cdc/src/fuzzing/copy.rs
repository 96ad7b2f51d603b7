//! Payloads of COPY, text and binary: the rows of one, and what their values are written from.

use crate::protocol::copy::unescape;
use crate::protocol::{CopyFormat, CopyRows, Tuple, Value};

/// A byte that chooses the format, then a payload.
pub(super) fn run(input: &[u8]) {
    let Some((choice, payload)) = input.split_first() else {
        return;
    };
    let format = match choice & 1 {
        0 => CopyFormat::Text,
        _ => CopyFormat::Binary,
    };
    let Ok(rows) = CopyRows::new(format, payload) else {
        return;
    };
    let rows: Result<Vec<Tuple<'_>>, _> = rows.collect();
    let count = CopyRows::count(format, payload);
    assert_eq!(count.is_ok(), rows.is_ok());
    let Ok(rows) = rows else {
        return;
    };
    assert_eq!(count.ok(), Some(rows.len() as u32));
    let mut written = Vec::new();
    for row in &rows {
        assert_eq!(row.values().count(), row.columns());
        write(format, row, &mut written);
    }
    let again: Vec<Tuple<'_>> = CopyRows::new(format, &written)
        .and_then(Iterator::collect)
        .expect("what was written is read");
    assert_eq!(again.len(), rows.len());
    for (row, again) in rows.iter().zip(&again) {
        assert_eq!(plain(row), plain(again));
    }
}

/// The row as Postgres writes it.
fn write(format: CopyFormat, row: &Tuple<'_>, out: &mut Vec<u8>) {
    if format == CopyFormat::Binary {
        out.extend((row.columns() as u16).to_be_bytes());
    }
    for (at, value) in plain(row).into_iter().enumerate() {
        match (format, value) {
            (CopyFormat::Binary, None) => out.extend((-1i32).to_be_bytes()),
            (CopyFormat::Binary, Some(bytes)) => {
                out.extend((bytes.len() as u32).to_be_bytes());
                out.extend(bytes);
            }
            (CopyFormat::Text, value) => {
                out.extend((at > 0).then_some(b'\t'));
                match value {
                    None => out.extend(b"\\N"),
                    Some(bytes) => bytes.iter().for_each(|byte| escape(*byte, out)),
                }
            }
        }
    }
    if format == CopyFormat::Text {
        out.push(b'\n');
    }
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'\n' => out.extend(b"\\n"),
        b'\r' => out.extend(b"\\r"),
        b'\t' => out.extend(b"\\t"),
        b'\\' => out.extend(b"\\\\"),
        byte => out.push(byte),
    }
}

/// The values without escapes; none for NULL.
fn plain(row: &Tuple<'_>) -> Vec<Option<Vec<u8>>> {
    let plain = |value| match value {
        Value::Null => None,
        Value::Text(bytes) | Value::Binary(bytes) => Some(bytes.to_vec()),
        Value::Escaped(field) => {
            let mut bytes = Vec::new();
            unescape(field, &mut bytes);
            assert!(bytes.len() <= field.len());
            Some(bytes)
        }
        Value::Unchanged => panic!("a COPY leaves nothing out"),
    };
    row.values().map(plain).collect()
}
