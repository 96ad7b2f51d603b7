//! A transaction in progress that the server streams: chunks, subtransactions, their aborts.

use std::collections::BTreeSet;

use blacksmith_cdc::changes::{Changes, Step, Transaction, append};
use blacksmith_cdc::protocol::{Frame, Message, Tag};
use blacksmith_cdc::value::RowChange;
use blacksmith_tests::server::Server;

use super::server_side::messages;

#[test]
fn rows_of_a_streamed_transaction_less_its_aborted_subtransactions_are_those_committed() {
    let db = Server::shared().database("values_streamed");
    let mut session = db.session();
    session.execute(
        "create table big (id int primary key, filler text); create publication big for table big",
    );
    session.execute("select pg_create_logical_replication_slot('values_streamed', 'pgoutput')");
    session.execute("set logical_decoding_work_mem = '64kB'");
    let fill = |from: u32, to: u32| {
        format!("insert into big select n, repeat('x', 500) from generate_series({from}, {to}) n")
    };
    session.execute(&format!(
        "begin; {}; savepoint a; {}; rollback to a; {}; savepoint b; {}; release b; commit",
        fill(1, 500),
        fill(501, 1000),
        fill(1001, 1005),
        fill(1006, 1010),
    ));
    let options = [
        "proto_version",
        "2",
        "publication_names",
        "big",
        "streaming",
        "on",
    ];
    let messages = messages(&mut session, "values_streamed", &options);

    let mut streamed = false;
    let (mut chunk, mut aborted, mut commits, mut peeked) = (Vec::new(), BTreeSet::new(), 0, 0);
    for message in &messages {
        let frame = Frame::peek(message, streamed).unwrap();
        peeked += frame.rows;
        match Message::parse(message, streamed).unwrap().1 {
            Message::StreamStart { .. } => streamed = true,
            Message::StreamStop => streamed = false,
            Message::StreamAbort { xid, subxid, .. } if xid != subxid => {
                aborted.insert(subxid);
            }
            Message::StreamCommit { .. } => commits += 1,
            _ if streamed => {
                assert!(frame.xid.is_some() || frame.tag == Tag::Origin, "{frame:?}");
                append(&mut chunk, message).unwrap();
            }
            other => panic!("outside of a stream: {other:?}"),
        }
    }
    assert_eq!((commits, aborted.len()), (1, 1));

    let transaction = Transaction {
        commit_lsn: 1,
        committed_at_us: 1,
    };
    let (mut ids, mut rows) = (Vec::new(), 0);
    for step in Changes::new(&chunk, Some(transaction), true) {
        let Step::Row(row) = step.unwrap() else {
            continue;
        };
        assert_eq!(row.ordinal, rows);
        rows += 1;
        if aborted.contains(&row.group) {
            continue;
        }
        let RowChange::Insert { new } = row.change.unwrap() else {
            panic!("only inserts")
        };
        let Some(blacksmith_cdc::protocol::Value::Text(id)) = new.values().next() else {
            panic!("an id in text")
        };
        ids.push(std::str::from_utf8(id).unwrap().parse::<u32>().unwrap());
    }
    assert_eq!(rows, u64::from(peeked));
    assert!(rows > 510, "the aborted rows were streamed as well: {rows}");
    let committed: Vec<u32> = (1..=500).chain(1001..=1010).collect();
    assert_eq!(ids, committed);
}
