//! Messages as they come off the wire into a block: what a change costs before it is written.

use std::hint::black_box;

use blacksmith_cdc::changes::append;
use blacksmith_cdc::protocol::{CopyFormat, CopyRows, Frame, Value};

use super::{Piece, Rows, Work};

const MESSAGES: u64 = 10_000;

/// From the stream, and from the rows of a batch.
#[must_use]
pub fn framings() -> Vec<Piece> {
    vec![
        Piece::new("framing of the stream".into(), streamed),
        Piece::new("framing of a backlog".into(), caught_up),
    ]
}

fn streamed() -> Work {
    let messages: Vec<Vec<u8>> = (0..MESSAGES).map(|n| Rows::Mixed.insert(n, true)).collect();
    let bytes = bytes_of(&messages);
    Work::new(MESSAGES, bytes, move || {
        let mut body = Vec::with_capacity(bytes as usize * 2);
        for message in &messages {
            frame(message, &mut body);
        }
        black_box(body);
    })
}

fn caught_up() -> Work {
    let rows = (0..MESSAGES).map(|n| {
        let message = Rows::Mixed.insert(n, true);
        let length = (message.len() as u32).to_be_bytes();
        [&[0, 1], length.as_slice(), message.as_slice()].concat()
    });
    let rows: Vec<Vec<u8>> = rows.collect();
    let bytes = bytes_of(&rows);
    Work::new(MESSAGES, bytes, move || {
        let mut body = Vec::with_capacity(bytes as usize * 2);
        for row in &rows {
            let rows = CopyRows::new(CopyFormat::Binary, row).expect("a row");
            for row in rows {
                let Some(Value::Binary(message)) = row.expect("a row").values().next() else {
                    panic!("one value")
                };
                frame(message, &mut body);
            }
        }
        black_box(body);
    })
}

fn frame(message: &[u8], body: &mut Vec<u8>) {
    let frame = Frame::peek(message, false).expect("an insert");
    black_box(frame.rows);
    append(body, message).expect("a short message");
}

fn bytes_of(messages: &[Vec<u8>]) -> u64 {
    messages.iter().map(|message| message.len() as u64).sum()
}
