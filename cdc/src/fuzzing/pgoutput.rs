//! One pgoutput message: what is read whole is what was peeked at, and its rows are all of its bytes.

use crate::protocol::{Frame, Message, OldTuple, Tag, Tuple, Value};

/// A byte that says whether the message stands inside a stream, then the message.
pub(super) fn run(input: &[u8]) {
    let Some((choice, message)) = input.split_first() else {
        return;
    };
    let streamed = choice & 1 == 1;
    let frame = Frame::peek(message, streamed);
    let Ok((xid, parsed)) = Message::parse(message, streamed) else {
        return;
    };
    let frame = frame.expect("what is read whole can be peeked at");
    assert_eq!(frame.xid, xid);
    assert_eq!(Some(frame.tag), Tag::from_byte(message[0]));
    assert!(!frame.tag.is_two_phase());
    if let Some(written) = written(&parsed, streamed.then_some(xid).flatten()) {
        assert_eq!(written, message);
    }
    match parsed {
        Message::Relation(relation) => {
            assert_eq!(frame.relation, Some(relation.oid));
            assert!(relation.columns().count() <= message.len());
        }
        Message::Truncate(truncate) => {
            assert_eq!(truncate.relations().count(), frame.rows as usize);
        }
        Message::Insert { relation, .. }
        | Message::Update { relation, .. }
        | Message::Delete { relation, .. } => {
            assert_eq!((frame.relation, frame.rows), (Some(relation), 1));
        }
        _ => assert_eq!(frame.rows, 0),
    }
}

/// A message of rows again, from what was read of it; none for others.
fn written(message: &Message<'_>, xid: Option<u32>) -> Option<Vec<u8>> {
    let (tag, relation, old, new) = match message {
        Message::Insert { relation, new } => (b'I', relation, None, Some(new)),
        Message::Update { relation, old, new } => (b'U', relation, old.as_ref(), Some(new)),
        Message::Delete { relation, old } => (b'D', relation, Some(old), None),
        _ => return None,
    };
    let mut out = vec![tag];
    out.extend(xid.into_iter().flat_map(u32::to_be_bytes));
    out.extend(relation.to_be_bytes());
    match old {
        Some(OldTuple::Key(tuple)) => write_tuple(b'K', tuple, &mut out),
        Some(OldTuple::Full(tuple)) => write_tuple(b'O', tuple, &mut out),
        None => {}
    }
    if let Some(tuple) = new {
        write_tuple(b'N', tuple, &mut out);
    }
    Some(out)
}

fn write_tuple(kind: u8, tuple: &Tuple<'_>, out: &mut Vec<u8>) {
    assert_eq!(tuple.values().count(), tuple.columns());
    out.push(kind);
    out.extend((tuple.columns() as u16).to_be_bytes());
    for value in tuple.values() {
        match value {
            Value::Null => out.push(b'n'),
            Value::Unchanged => out.push(b'u'),
            Value::Text(text) => write_counted(b't', text, out),
            Value::Binary(binary) => write_counted(b'b', binary, out),
            Value::Escaped(_) => panic!("pgoutput escapes nothing"),
        }
    }
}

fn write_counted(format: u8, value: &[u8], out: &mut Vec<u8>) {
    out.push(format);
    out.extend((value.len() as u32).to_be_bytes());
    out.extend(value);
}
