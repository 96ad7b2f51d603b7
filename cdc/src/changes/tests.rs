use super::*;
use crate::protocol::Value;

fn insert(relation: u32, text: &str) -> Vec<u8> {
    let mut message = vec![b'I'];
    message.extend(relation.to_be_bytes());
    message.extend(b"N\0\x01t");
    message.extend((text.len() as u32).to_be_bytes());
    message.extend(text.as_bytes());
    message
}

/// The message as it stands inside a stream.
fn of_group(message: Vec<u8>, group: u32) -> Vec<u8> {
    let (tag, rest) = message.split_first().unwrap();
    [&[*tag], group.to_be_bytes().as_slice(), rest].concat()
}

fn begin(lsn: u64) -> Vec<u8> {
    [
        b"B".as_slice(),
        &lsn.to_be_bytes(),
        &0u64.to_be_bytes(),
        &9u32.to_be_bytes(),
    ]
    .concat()
}

fn commit(lsn: u64) -> Vec<u8> {
    let numbers = [lsn, lsn + 8, 0].map(u64::to_be_bytes).concat();
    [b"C\0".as_slice(), &numbers].concat()
}

fn truncate(relations: [u32; 2]) -> Vec<u8> {
    let oids = relations.map(u32::to_be_bytes).concat();
    [b"T\0\0\0\x02\0".as_slice(), &oids].concat()
}

fn body(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for message in messages {
        append(&mut body, message).unwrap();
    }
    body
}

/// `ordinal relation group lsn` of each row.
fn rows(changes: Changes<'_>) -> Vec<(u64, u32, u32, u64)> {
    let rows = changes.filter_map(|step| match step.unwrap() {
        Step::Row(row) => Some((
            row.ordinal,
            row.relation,
            row.group,
            row.transaction.commit_lsn,
        )),
        _ => None,
    });
    rows.collect()
}

#[test]
fn rows_count_on_over_transactions_and_truncates_count_each_table() {
    let body = body(&[
        begin(100),
        insert(7, "a"),
        truncate([7, 8]),
        commit(100),
        begin(200),
        insert(8, "b"),
        commit(200),
    ]);
    let expected = [
        (0, 7, 0, 100),
        (1, 7, 0, 100),
        (2, 8, 0, 100),
        (3, 8, 0, 200),
    ];
    assert_eq!(rows(Changes::new(&body, None, false)), expected);
}

#[test]
fn a_block_that_begins_inside_a_transaction_uses_the_one_it_is_given() {
    let given = Transaction {
        commit_lsn: 50,
        committed_at_us: 1,
    };
    let body = body(&[insert(7, "a"), commit(50), begin(60)]);
    let mut changes = Changes::new(&body, Some(given), false);
    let Some(Ok(Step::Row(row))) = changes.next() else {
        panic!("a row first")
    };
    assert_eq!(row.transaction, given);
    let RowChange::Insert { new } = row.change.unwrap() else {
        panic!("an insert")
    };
    assert_eq!(new.values().next(), Some(Value::Text(b"a")));
    assert!(matches!(changes.next(), Some(Ok(Step::Commit(commit))) if commit.end_lsn == 58));
    assert!(changes.next().is_none());
    assert_eq!(changes.transaction().unwrap().commit_lsn, 60);
}

#[test]
fn rows_of_a_streamed_block_name_their_subtransaction() {
    let given = Transaction {
        commit_lsn: 50,
        committed_at_us: 1,
    };
    let stop = b"E".to_vec();
    let start = b"S\0\0\0\x05\0".to_vec();
    let chunk = [
        of_group(insert(7, "a"), 5),
        stop,
        start,
        of_group(truncate([7, 8]), 6),
    ];
    let body = body(&chunk);
    let expected = [(0, 7, 5, 50), (1, 7, 6, 50), (2, 8, 6, 50)];
    assert_eq!(rows(Changes::new(&body, Some(given), true)), expected);
}

#[test]
fn a_row_that_cannot_be_read_keeps_its_ordinal_and_the_next_one_is_read() {
    let mut broken = insert(7, "a");
    broken.pop();
    let body = body(&[begin(1), broken, insert(7, "b")]);
    let steps: Vec<_> = Changes::new(&body, None, false)
        .map(Result::unwrap)
        .collect();
    let [Step::Row(first), Step::Row(second)] = steps.as_slice() else {
        panic!("two rows")
    };
    assert!(first.change.is_err() && second.change.is_ok());
    assert_eq!((first.ordinal, second.ordinal), (0, 1));
}

#[test]
fn a_block_cut_short_or_without_its_transaction_is_damaged() {
    let whole = body(&[begin(1), insert(7, "a")]);
    for len in 1..whole.len() {
        let results: Vec<_> = Changes::new(&whole[..len], None, false).collect();
        let at_a_border = len == body(&[begin(1)]).len();
        assert_eq!(
            results.iter().all(Result::is_ok),
            at_a_border,
            "cut at {len}"
        );
    }
    let orphan = body(&[insert(7, "a")]);
    assert!(Changes::new(&orphan, None, false).next().unwrap().is_err());
}

#[test]
fn copied_rows_count_on_over_payloads() {
    let body = body(&[b"a\tb\n".to_vec(), b"c\t\\N\nd\te\n".to_vec()]);
    let rows: Vec<_> = CopyChanges::new(&body, CopyFormat::Text)
        .map(Result::unwrap)
        .collect();
    let ordinals: Vec<u64> = rows.iter().map(|(ordinal, _)| *ordinal).collect();
    assert_eq!(ordinals, [0, 1, 2]);
    let RowChange::Read { row } = rows[1].1 else {
        panic!("a read")
    };
    assert_eq!(row.values().last(), Some(Value::Null));
}

proptest::proptest! {
    #[test]
    fn random_bodies_end_and_never_panic(bytes in proptest::collection::vec(0u8.., 0..300), streamed: bool) {
        let given = Transaction { commit_lsn: 1, committed_at_us: 1 };
        let steps = Changes::new(&bytes, Some(given), streamed).count();
        let copied = CopyChanges::new(&bytes, CopyFormat::Binary).count();
        proptest::prop_assert!(steps <= bytes.len() + 1 && copied <= bytes.len() + 1);
    }
}
