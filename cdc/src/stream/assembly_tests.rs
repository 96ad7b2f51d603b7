//! Transactions of every shape, as the server sends them, into steps for the store.

use std::collections::HashSet;

use super::*;

/// Tables 1 and 2 are wanted, table 9 is not; rows of tables in `held_back` come with a snapshot.
#[derive(Default)]
struct Known {
    held_back: HashSet<u32>,
}

impl Relations for Known {
    fn resolve(&mut self, relation: &Relation<'_>) -> Result<Option<SchemaId>> {
        Ok(match relation.oid {
            9 => None,
            1 => Some(SchemaId(100 + relation.columns().count() as u32)),
            oid => Some(SchemaId(oid)),
        })
    }

    fn admits(&self, oid: u32, _: u64) -> bool {
        !self.held_back.contains(&oid)
    }
}

fn begin(xid: u32, lsn: u64) -> Vec<u8> {
    let mut m = vec![b'B'];
    m.extend(lsn.to_be_bytes());
    m.extend(0i64.to_be_bytes());
    m.extend(xid.to_be_bytes());
    m
}

fn commit(lsn: u64) -> Vec<u8> {
    let mut m = vec![b'C', 0];
    m.extend(lsn.to_be_bytes());
    m.extend((lsn + 8).to_be_bytes());
    m.extend(0i64.to_be_bytes());
    m
}

fn relation(xid: Option<u32>, oid: u32, columns: usize) -> Vec<u8> {
    let mut m = vec![b'R'];
    m.extend(xid.into_iter().flat_map(u32::to_be_bytes));
    m.extend(oid.to_be_bytes());
    m.extend(b"public\0t\0d");
    m.extend((columns as u16).to_be_bytes());
    for column in 0..columns {
        m.push(1);
        m.extend(format!("c{column}\0").bytes());
        m.extend(23u32.to_be_bytes());
        m.extend((-1i32).to_be_bytes());
    }
    m
}

fn insert(xid: Option<u32>, oid: u32, bytes: usize) -> Vec<u8> {
    let mut m = vec![b'I'];
    m.extend(xid.into_iter().flat_map(u32::to_be_bytes));
    m.extend(oid.to_be_bytes());
    m.extend(b"N\0\x01t");
    m.extend((bytes as u32).to_be_bytes());
    m.extend(std::iter::repeat_n(b'7', bytes));
    m
}

fn truncate(oids: &[u32]) -> Vec<u8> {
    let mut m = vec![b'T'];
    m.extend((oids.len() as u32).to_be_bytes());
    m.push(0);
    m.extend(oids.iter().flat_map(|oid| oid.to_be_bytes()));
    m
}

fn stream_start(xid: u32) -> Vec<u8> {
    let mut m = vec![b'S'];
    m.extend(xid.to_be_bytes());
    m.push(1);
    m
}

fn stream_commit(xid: u32, lsn: u64) -> Vec<u8> {
    let mut m = vec![b'c'];
    m.extend(xid.to_be_bytes());
    m.push(0);
    m.extend(lsn.to_be_bytes());
    m.extend((lsn + 8).to_be_bytes());
    m.extend(0i64.to_be_bytes());
    m
}

fn stream_abort(xid: u32, subxid: u32) -> Vec<u8> {
    let mut m = vec![b'A'];
    m.extend(xid.to_be_bytes());
    m.extend(subxid.to_be_bytes());
    m
}

const STOP: &[u8] = b"E";

fn run(known: &mut Known, messages: &[Vec<u8>]) -> Vec<Step> {
    let mut assembly = Assembly::default();
    for message in messages {
        assembly.push(message, known).unwrap();
    }
    assembly.flush();
    std::iter::from_fn(|| assembly.next_step()).collect()
}

fn events(tally: &[Tally]) -> u32 {
    tally.iter().map(|tally| tally.count).sum()
}

#[test]
fn neighbouring_small_transactions_share_a_block_that_ends_at_the_last_commit() {
    let steps = run(
        &mut Known::default(),
        &[
            begin(5, 100),
            relation(None, 1, 1),
            insert(None, 1, 3),
            insert(None, 1, 3),
            commit(100),
            begin(6, 200),
            insert(None, 1, 3),
            commit(200),
        ],
    );
    let [
        Step::Append {
            tally, lsn: 208, ..
        },
    ] = &steps[..]
    else {
        panic!("{steps:?}")
    };
    assert_eq!(events(tally), 3);
}

#[test]
fn half_a_transaction_is_never_shipped() {
    let messages = [
        begin(5, 100),
        relation(None, 1, 1),
        insert(None, 1, 3),
        commit(100),
        begin(6, 200),
        insert(None, 1, 3),
    ];
    let steps = run(&mut Known::default(), &messages);
    let [
        Step::Append {
            tally, lsn: 108, ..
        },
    ] = &steps[..]
    else {
        panic!("{steps:?}")
    };
    assert_eq!(events(tally), 1);
}

#[test]
fn a_large_transaction_is_staged_and_committed_behind_what_was_before_it() {
    let mut messages = vec![
        begin(5, 100),
        relation(None, 1, 1),
        insert(None, 1, 3),
        commit(100),
        begin(6, 200),
    ];
    messages.extend((0..6).map(|_| insert(None, 1, 1 << 20)));
    messages.push(commit(200));
    let steps = run(&mut Known::default(), &messages);
    assert!(
        matches!(&steps[0], Step::Append { lsn: 108, .. }),
        "{:?}",
        steps.len()
    );
    let staged: u32 = steps
        .iter()
        .map(|step| match step {
            Step::Stage { xid: 6, tally, .. } => events(tally),
            _ => 0,
        })
        .sum();
    assert_eq!(staged, 6);
    let Some(Step::Commit {
        xid: 6,
        lsn: 208,
        envelope,
        ..
    }) = steps.last()
    else {
        panic!()
    };
    assert_eq!(envelope.moment.unwrap().lsn, 200);
}

/// T36: a rolled back savepoint takes its own rows with it and no others.
#[test]
fn t36_a_subtransaction_abort_leaves_the_rest_of_the_transaction() {
    let mut messages = vec![stream_start(7), relation(Some(7), 1, 1)];
    messages.extend((0..500).map(|_| insert(Some(7), 1, 3)));
    messages.extend((0..500).map(|_| insert(Some(8), 1, 3)));
    messages.extend([STOP.to_vec(), stream_abort(7, 8), stream_start(7)]);
    messages.extend((0..5).map(|_| insert(Some(7), 1, 3)));
    messages.extend([STOP.to_vec(), stream_commit(7, 300)]);
    let steps = run(&mut Known::default(), &messages);
    let Some(Step::Commit {
        excluded, lsn: 308, ..
    }) = steps.last()
    else {
        panic!("{steps:?}")
    };
    let left: u64 = steps
        .iter()
        .map(|step| match step {
            Step::Stage { tally, .. } => excluded.remaining(tally),
            _ => 0,
        })
        .sum();
    assert_eq!(left, 505);
}

/// T37, T38: chunks are nobody's business before the commit, and all of them are in it.
#[test]
fn t38_a_streamed_transaction_that_is_rolled_back_leaves_only_a_drop() {
    let mut messages = vec![stream_start(7), relation(Some(7), 1, 1)];
    messages.extend((0..3).map(|_| insert(Some(7), 1, 1 << 20)));
    messages.extend([STOP.to_vec(), stream_abort(7, 7)]);
    let steps = run(&mut Known::default(), &messages);
    assert!(matches!(steps.last(), Some(Step::Drop { xid: 7 })));
    assert!(
        steps[..steps.len() - 1]
            .iter()
            .all(|step| matches!(step, Step::Stage { xid: 7, .. }))
    );
}

#[test]
fn t37_rows_before_a_stream_stop_are_kept_when_others_commit_in_between() {
    let mut messages = vec![
        stream_start(7),
        relation(Some(7), 1, 1),
        insert(Some(7), 1, 3),
        STOP.to_vec(),
    ];
    messages.extend([
        begin(8, 100),
        relation(None, 1, 1),
        insert(None, 1, 3),
        commit(100),
    ]);
    messages.extend([
        stream_start(7),
        insert(Some(7), 1, 3),
        STOP.to_vec(),
        stream_commit(7, 200),
    ]);
    let steps = run(&mut Known::default(), &messages);
    let kinds: Vec<_> = steps
        .iter()
        .map(|step| match step {
            Step::Append { tally, .. } => ("append", events(tally)),
            Step::Stage { tally, .. } => ("stage", events(tally)),
            Step::Commit { .. } => ("commit", 0),
            Step::Drop { .. } => ("drop", 0),
        })
        .collect();
    assert!(
        kinds.contains(&("append", 1)) && kinds.contains(&("stage", 2)),
        "{kinds:?}"
    );
    assert_eq!(kinds.last(), Some(&("commit", 0)));
}

/// T39: PostgreSQL 18 sends aborts of transactions that were never streamed.
#[test]
fn t39_a_stray_abort_is_ignored() {
    let messages = [
        stream_abort(70, 70),
        begin(5, 100),
        relation(None, 1, 1),
        stream_abort(71, 72),
        insert(None, 1, 3),
        commit(100),
    ];
    let steps = run(&mut Known::default(), &messages);
    assert!(matches!(&steps[..], [Step::Append { .. }]), "{steps:?}");
}

/// T40: what a rolled back transaction said of a table holds for nobody else.
#[test]
fn t40_a_relation_inside_an_aborted_stream_does_not_leak() {
    let messages = [
        begin(5, 100),
        relation(None, 1, 1),
        insert(None, 1, 3),
        commit(100),
        stream_start(7),
        relation(Some(7), 1, 2),
        insert(Some(7), 1, 3),
        STOP.to_vec(),
        stream_abort(7, 7),
        begin(8, 200),
        insert(None, 1, 3),
        commit(200),
    ];
    let steps = run(&mut Known::default(), &messages);
    for step in &steps {
        if let Step::Append { tally, .. } = step {
            assert!(
                tally.iter().all(|tally| tally.schema == SchemaId(101)),
                "{tally:?}"
            );
        }
    }
}

#[test]
fn a_change_of_a_table_begins_a_new_block() {
    let messages = [
        begin(5, 100),
        relation(None, 1, 1),
        insert(None, 1, 3),
        commit(100),
        begin(6, 200),
        relation(None, 1, 2),
        insert(None, 1, 3),
        commit(200),
    ];
    let steps = run(&mut Known::default(), &messages);
    let versions: Vec<Vec<SchemaId>> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Append { tally, .. } => Some(tally.iter().map(|tally| tally.schema).collect()),
            _ => None,
        })
        .collect();
    assert_eq!(versions, [vec![SchemaId(101)], vec![SchemaId(102)]]);
}

/// The server describes a table anew when it has changed, not when a transaction that saw it otherwise
/// ends: here one whose subtransaction added a column and was rolled back, and that commits after
/// somebody else was told of the table as it is.
#[test]
fn a_streamed_transaction_that_ends_does_not_take_back_what_a_table_is_since() {
    let messages = [
        stream_start(7),
        relation(Some(8), 1, 2),
        insert(Some(8), 1, 3),
        STOP.to_vec(),
        stream_abort(7, 8),
        begin(9, 100),
        relation(None, 1, 1),
        insert(None, 1, 3),
        commit(100),
        stream_start(7),
        relation(Some(7), 2, 1),
        insert(Some(7), 2, 3),
        STOP.to_vec(),
        stream_commit(7, 200),
        begin(10, 300),
        insert(None, 1, 3),
        commit(300),
    ];
    let steps = run(&mut Known::default(), &messages);
    let versions: Vec<SchemaId> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Append { tally, .. } => Some(tally[0].schema),
            _ => None,
        })
        .collect();
    assert_eq!(versions, [SchemaId(101), SchemaId(101)]);
}

#[test]
fn what_a_streamed_transaction_was_told_of_a_table_last_holds_after_its_commit() {
    let messages = [
        begin(5, 100),
        relation(None, 1, 1),
        insert(None, 1, 3),
        commit(100),
        stream_start(7),
        relation(Some(7), 1, 2),
        insert(Some(7), 1, 3),
        STOP.to_vec(),
        stream_commit(7, 200),
        begin(10, 300),
        insert(None, 1, 3),
        commit(300),
    ];
    let steps = run(&mut Known::default(), &messages);
    let Some(Step::Append { tally, .. }) = steps.last() else {
        panic!("{steps:?}")
    };
    assert_eq!(tally[0].schema, SchemaId(102));
}

#[test]
fn rows_that_a_snapshot_holds_are_left_out_of_streamed_transactions_too() {
    let mut known = Known {
        held_back: HashSet::from([2]),
    };
    let messages = [
        stream_start(7),
        relation(Some(7), 1, 1),
        relation(Some(7), 2, 1),
        insert(Some(7), 1, 3),
        insert(Some(7), 2, 3),
        STOP.to_vec(),
        stream_commit(7, 100),
        begin(8, 200),
        relation(None, 2, 1),
        insert(None, 2, 3),
        commit(200),
    ];
    let steps = run(&mut known, &messages);
    let [Step::Stage { tally, .. }, Step::Commit { excluded, .. }] = &steps[..] else {
        panic!("{steps:?}")
    };
    assert_eq!(excluded.remaining(tally), 1);
}

/// T32: a truncate is one event for each of its tables that is wanted, and names no other.
#[test]
fn t32_a_truncate_is_kept_for_the_tables_that_are_wanted() {
    let messages = [
        begin(5, 100),
        relation(None, 1, 1),
        relation(None, 9, 1),
        relation(None, 2, 1),
        truncate(&[1, 9, 2]),
        commit(100),
    ];
    let steps = run(&mut Known::default(), &messages);
    let [Step::Append { tally, body, .. }] = &steps[..] else {
        panic!("{steps:?}")
    };
    assert_eq!(events(tally), 2);
    let kept = truncate(&[1, 2]);
    assert!(body.windows(kept.len()).any(|window| window == kept));
}

#[test]
fn a_row_of_a_table_never_described_ends_the_connection() {
    let mut assembly = Assembly::default();
    assembly
        .push(&begin(5, 100), &mut Known::default())
        .unwrap();
    assert!(
        assembly
            .push(&insert(None, 4, 3), &mut Known::default())
            .is_err()
    );
}

#[test]
fn between_transactions_means_that_nothing_received_is_unshipped() {
    let mut assembly = Assembly::default();
    let known = &mut Known::default();
    assert!(assembly.is_between_transactions());
    for message in [begin(5, 100), relation(None, 1, 1), insert(None, 1, 3)] {
        assembly.push(&message, known).unwrap();
        assert!(!assembly.is_between_transactions());
    }
    assembly.push(&commit(100), known).unwrap();
    assert!(
        !assembly.is_between_transactions(),
        "the block is not shipped"
    );
    assembly.flush();
    assert!(
        !assembly.is_between_transactions(),
        "the step is not carried out"
    );
    assembly.next_step().unwrap();
    assert!(assembly.is_between_transactions());
    assert_eq!(assembly.ended().0, 108);
}

#[test]
fn a_row_in_pieces_is_staged_at_once_and_as_it_would_be_in_one() {
    let large = insert(None, 1, 9 << 20);
    let within = insert(Some(7), 1, 9 << 20);
    let lives = [
        vec![
            begin(5, 100),
            relation(None, 1, 1),
            insert(None, 1, 3),
            large.clone(),
            insert(None, 1, 4),
            commit(100),
        ],
        vec![
            begin(5, 100),
            relation(None, 9, 1),
            insert(None, 9, 9 << 20),
            commit(100),
        ],
        vec![
            stream_start(7),
            relation(Some(7), 1, 1),
            insert(Some(7), 1, 3),
            within,
            STOP.to_vec(),
            stream_commit(7, 200),
        ],
    ];
    for messages in lives {
        let known = &mut Known::default();
        let mut assembly = Assembly::default();
        let mut steps = Vec::new();
        for message in &messages {
            if message.len() < 1 << 20 {
                assembly.push(message, known).unwrap();
                continue;
            }
            let bytes = Bytes::copy_from_slice(message);
            let pieces = [bytes.slice(..1 << 20), bytes.slice(1 << 20..)];
            assembly.push_large(&pieces, known).unwrap();
            steps.extend(std::iter::from_fn(|| assembly.next_step()));
            if let Some(Step::Stage { body, .. }) = steps.last() {
                assert!(
                    pieces
                        .iter()
                        .all(|piece| body.iter().any(|part| part.as_ptr() == piece.as_ptr()))
                );
            }
        }
        assembly.flush();
        steps.extend(std::iter::from_fn(|| assembly.next_step()));
        let said = |steps: &[Step]| -> Vec<(u32, Vec<u8>)> {
            let told = steps.iter().map(|step| match step {
                Step::Append { tally, body, .. } => (events(tally), body.to_vec()),
                Step::Stage { tally, body, .. } => (events(tally), body.concat()),
                Step::Commit { xid, .. } | Step::Drop { xid } => (*xid, Vec::new()),
            });
            told.collect()
        };
        assert!(said(&steps) == said(&run(known, &messages)));
    }
}
