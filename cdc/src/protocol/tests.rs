use proptest::prelude::*;

use super::copy::unescape;
use super::message::{Begin, Commit, POSTGRES_EPOCH_US};
use super::*;

/// Writes messages as the server does.
#[derive(Default, Clone)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn tag(tag: u8) -> Self {
        Bytes(vec![tag])
    }
    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }
    fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }
    fn name(mut self, value: &str) -> Self {
        self.0.extend(value.as_bytes());
        self.u8(0)
    }
    fn value(self, format: u8, value: &[u8]) -> Self {
        let mut counted = self.u8(format).u32(value.len() as u32);
        counted.0.extend(value);
        counted
    }
}

fn update_of_a_key() -> Vec<u8> {
    let old = Bytes::tag(b'U')
        .u32(77)
        .u8(b'K')
        .u16(3)
        .value(b't', b"1")
        .u8(b'n')
        .u8(b'n');
    old.u8(b'N')
        .u16(3)
        .value(b't', b"2")
        .u8(b'u')
        .value(b'b', &[0, 1])
        .0
}

fn relation() -> Vec<u8> {
    let head = Bytes::tag(b'R')
        .u32(77)
        .name("")
        .name("orders")
        .u8(b'd')
        .u16(2);
    let id = head.u8(1).name("id").u32(20).u32(u32::MAX);
    id.u8(0).name("total").u32(1700).u32(655_366).0
}

fn samples() -> Vec<(Vec<u8>, bool)> {
    vec![
        (Bytes::tag(b'B').u64(5).u64(6).u32(7).0, false),
        (Bytes::tag(b'C').u8(0).u64(5).u64(6).u64(7).0, false),
        (Bytes::tag(b'O').u64(5).name("other").0, false),
        (relation(), false),
        (Bytes::tag(b'Y').u32(9).name("public").name("mood").0, false),
        (
            Bytes::tag(b'I').u32(77).u8(b'N').u16(1).value(b't', b"x").0,
            false,
        ),
        (
            Bytes::tag(b'I')
                .u32(9)
                .u32(77)
                .u8(b'N')
                .u16(1)
                .value(b't', b"x")
                .0,
            true,
        ),
        (update_of_a_key(), false),
        (
            Bytes::tag(b'D').u32(77).u8(b'O').u16(1).value(b'b', b"x").0,
            false,
        ),
        (Bytes::tag(b'T').u32(2).u8(3).u32(77).u32(78).0, false),
        (
            Bytes::tag(b'M').u8(1).u64(5).name("p").u32(2).u8(1).u8(2).0,
            false,
        ),
        (Bytes::tag(b'S').u32(9).u8(1).0, false),
        (Bytes::tag(b'E').0, false),
        (Bytes::tag(b'c').u32(9).u8(0).u64(5).u64(6).u64(7).0, false),
        (Bytes::tag(b'A').u32(9).u32(10).0, false),
        (Bytes::tag(b'A').u32(9).u32(10).u64(5).u64(6).0, false),
    ]
}

fn values(tuple: Tuple<'_>) -> Vec<Value<'_>> {
    tuple.values().collect()
}

#[test]
fn every_message_is_read_whole_and_refused_when_cut_anywhere() {
    for (bytes, streamed) in samples() {
        let (_, message) = Message::parse(&bytes, streamed).unwrap();
        for len in 0..bytes.len() {
            let cut = Message::parse(&bytes[..len], streamed);
            // The short form of an abort is a message of its own.
            let short_abort = bytes[0] == b'A' && len == 9;
            assert_eq!(cut.is_ok(), short_abort, "{message:?} cut at {len}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(
            Message::parse(&longer, streamed).is_err(),
            "{message:?} with a byte more"
        );
    }
}

#[test]
fn begin_and_commit_times_count_from_1970() {
    let begin = Bytes::tag(b'B').u64(5).u64(0).u32(7).0;
    let Message::Begin(begin) = Message::parse(&begin, false).unwrap().1 else {
        panic!()
    };
    let expected = Begin {
        commit_lsn: 5,
        committed_at_us: POSTGRES_EPOCH_US,
        xid: 7,
    };
    assert_eq!(begin, expected);

    let commit = Bytes::tag(b'C').u8(0).u64(5).u64(6).u64(1).0;
    let Message::Commit(commit) = Message::parse(&commit, false).unwrap().1 else {
        panic!()
    };
    let time = POSTGRES_EPOCH_US + 1;
    assert_eq!(
        commit,
        Commit {
            commit_lsn: 5,
            end_lsn: 6,
            committed_at_us: time
        }
    );
}

#[test]
fn an_update_of_a_key_gives_the_old_key_and_tells_unchanged_from_null() {
    let bytes = update_of_a_key();
    let Message::Update {
        relation,
        old: Some(OldTuple::Key(old)),
        new,
    } = Message::parse(&bytes, false).unwrap().1
    else {
        panic!("an update with its key")
    };
    assert_eq!(relation, 77);
    assert_eq!(values(old), [Value::Text(b"1"), Value::Null, Value::Null]);
    assert_eq!(
        values(new),
        [Value::Text(b"2"), Value::Unchanged, Value::Binary(&[0, 1])]
    );
}

#[test]
fn a_relation_names_its_columns_and_an_empty_schema_is_pg_catalog() {
    let bytes = relation();
    let Message::Relation(relation) = Message::parse(&bytes, false).unwrap().1 else {
        panic!()
    };
    assert_eq!(
        (relation.namespace, relation.name),
        ("pg_catalog", "orders")
    );
    let columns: Vec<_> = relation.columns().collect();
    assert_eq!(
        columns[0],
        RelationColumn {
            key: true,
            name: "id",
            type_oid: 20,
            typmod: -1
        }
    );
    assert_eq!(columns[1].typmod, 655_366);
    assert!(!columns[1].key);
}

#[test]
fn a_message_inside_a_stream_gives_its_subtransaction() {
    let bytes = Bytes::tag(b'I').u32(9).u32(77).u8(b'N').u16(0).0;
    let frame = Frame::peek(&bytes, true).unwrap();
    let expected = Frame {
        tag: Tag::Insert,
        xid: Some(9),
        relation: Some(77),
        rows: 1,
    };
    assert_eq!(frame, expected);
    assert_eq!(Message::parse(&bytes, true).unwrap().0, Some(9));
}

#[test]
fn a_truncate_counts_one_row_event_per_table() {
    let bytes = Bytes::tag(b'T').u32(2).u8(1).u32(77).u32(78).0;
    assert_eq!(Frame::peek(&bytes, false).unwrap().rows, 2);
    let Message::Truncate(truncate) = Message::parse(&bytes, false).unwrap().1 else {
        panic!()
    };
    assert!(truncate.cascade && !truncate.restart_identity);
    assert_eq!(truncate.relations().collect::<Vec<_>>(), [77, 78]);
}

#[test]
fn a_truncate_cannot_claim_more_tables_than_it_names() {
    let bytes = Bytes::tag(b'T').u32(u32::MAX).u8(0).u32(77).0;
    assert!(Frame::peek(&bytes, false).is_err());
    assert!(Message::parse(&bytes, false).is_err());
}

#[test]
fn a_two_phase_message_and_an_unknown_tag_say_what_to_do() {
    let prepared = Message::parse(&Bytes::tag(b'b').u64(1).0, false).unwrap_err();
    assert!(
        prepared.report().contains("TWO_PHASE"),
        "{}",
        prepared.report()
    );
    let unknown = Frame::peek(b"~", false).unwrap_err();
    assert!(unknown.report().contains("0x7e"), "{}", unknown.report());
}

#[test]
fn copy_text_tells_null_empty_and_backslash_n_apart() {
    let payload = b"1\t\\N\t\t\\\\N\ta\\tb\n";
    let rows: Vec<_> = CopyRows::new(CopyFormat::Text, payload).unwrap().collect();
    let [Ok(row)] = rows.as_slice() else {
        panic!("one row, not {rows:?}")
    };
    let expected = [
        Value::Text(b"1"),
        Value::Null,
        Value::Text(b""),
        Value::Escaped(b"\\\\N"),
        Value::Escaped(b"a\\tb"),
    ];
    assert_eq!(values(*row), expected);
    assert_eq!(row.columns(), 5);
}

#[test]
fn every_escape_of_copy_text_is_undone() {
    let mut out = Vec::new();
    unescape(b"\\b\\f\\n\\r\\t\\v\\\\|\\101\\x4a\\x|\\q\\7z\\", &mut out);
    assert_eq!(out, b"\x08\x0c\n\r\t\x0b\\|AJx|q\x07z\\");
}

fn copy_binary() -> Vec<u8> {
    let mut file = Bytes(b"PGCOPY\n\xff\r\n\0".to_vec()).u32(0).u32(0);
    file = file.u16(2).u32(1).u8(7).u32(u32::MAX);
    file.u16(2).u32(0).u32(2).u8(8).u8(9).u16(u16::MAX).0
}

#[test]
fn copy_binary_is_read_through_header_and_trailer() {
    let payload = copy_binary();
    let rows: Vec<_> = CopyRows::new(CopyFormat::Binary, &payload)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(values(rows[0]), [Value::Binary(&[7]), Value::Null]);
    assert_eq!(
        values(rows[1]),
        [Value::Binary(&[]), Value::Binary(&[8, 9])]
    );
    assert_eq!(CopyRows::count(CopyFormat::Binary, &payload).unwrap(), 2);
    assert_eq!(
        CopyRows::count(CopyFormat::Binary, &[0xff, 0xff]).unwrap(),
        0
    );
}

#[test]
fn a_copy_row_with_a_length_beyond_its_bytes_is_an_error() {
    let row = Bytes::default().u16(1).u32(i32::MAX as u32).0;
    assert!(CopyRows::count(CopyFormat::Binary, &row).is_err());
}

/// Reads everything that can be read; returns how many rows the two levels saw.
fn exhaust(bytes: &[u8], streamed: bool) -> Option<(u32, u32)> {
    let peeked = Frame::peek(bytes, streamed);
    let (_, message) = Message::parse(bytes, streamed).ok()?;
    let rows = match message {
        Message::Insert { new, .. } => {
            assert_eq!(new.values().count(), new.columns());
            1
        }
        Message::Update { old, new, .. } => {
            if let Some(OldTuple::Key(old) | OldTuple::Full(old)) = old {
                assert_eq!(old.values().count(), old.columns());
            }
            assert_eq!(new.values().count(), new.columns());
            1
        }
        Message::Delete { .. } => 1,
        Message::Truncate(truncate) => truncate.relations().count() as u32,
        Message::Relation(relation) => {
            assert!(relation.columns().count() <= 65_535);
            0
        }
        _ => 0,
    };
    Some((rows, peeked.expect("what parses can be peeked").rows))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_are_a_message_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..200),
                                              tag in prop::sample::select(b"BCORYIUDTMSEcAbPKrp".to_vec()),
                                              streamed: bool) {
        if let Some(first) = bytes.first_mut() {
            *first = tag;
        }
        if let Some((rows, peeked)) = exhaust(&bytes, streamed) {
            prop_assert_eq!(rows, peeked);
        }
    }

    #[test]
    fn a_mutated_message_is_a_message_or_an_error(which in 0usize..16, at: prop::sample::Index, byte: u8) {
        let (mut bytes, streamed) = samples().swap_remove(which);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Some((rows, peeked)) = exhaust(&bytes, streamed) {
            prop_assert_eq!(rows, peeked);
        }
    }

    #[test]
    fn random_copy_payloads_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), header: bool) {
        if header {
            bytes.splice(0..0, copy_binary());
        }
        for format in [CopyFormat::Text, CopyFormat::Binary] {
            for row in CopyRows::new(format, &bytes).into_iter().flatten().flatten() {
                prop_assert_eq!(row.values().count(), row.columns());
            }
        }
    }

    #[test]
    fn an_escaped_field_is_what_it_was(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
        let mut escaped = Vec::new();
        for byte in &bytes {
            match byte {
                b'\\' => escaped.extend(b"\\\\"),
                b'\t' => escaped.extend(b"\\t"),
                b'\n' => escaped.extend(b"\\n"),
                b'\r' => escaped.extend(b"\\r"),
                other => escaped.push(*other),
            }
        }
        let line = [escaped.as_slice(), b"\tend\n"].concat();
        let row = CopyRows::new(CopyFormat::Text, &line).unwrap().next().unwrap().unwrap();
        let mut out = Vec::new();
        match row.values().next() {
            Some(Value::Escaped(field)) => unescape(field, &mut out),
            Some(Value::Text(field)) => out.extend(field),
            other => panic!("{other:?}"),
        }
        prop_assert_eq!(out, bytes);
        prop_assert_eq!(row.values().last(), Some(Value::Text(b"end")));
    }
}
