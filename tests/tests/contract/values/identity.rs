//! Updates and deletes under every replica identity, with values stored out of line.

use arrow_array::cast::AsArray;
use blacksmith_tests::db::Session;
use blacksmith_tests::server::Server;

use super::server_side::{UNCHANGED, messages, rendered, streamed, table_schema};

/// Long and hard to compress: stored out of line.
const BIG: &str = "(select string_agg(md5(n::text), '') from generate_series(1, 3000) n)";

/// `op seq: values` of each change of `table` since the slot was made, long values by their length.
fn changes(session: &mut Session, table: &str) -> Vec<String> {
    let schema = table_schema(session, table);
    let options = ["proto_version", "1", "publication_names", table];
    let messages = messages(session, table, &options);
    let batch = streamed(&[std::sync::Arc::clone(&schema)], &messages)
        .remove(table)
        .unwrap();
    let ops = batch
        .column_by_name("_op")
        .unwrap()
        .as_string::<i32>()
        .clone();
    let seqs = batch.column_by_name("_seq").unwrap();
    let seqs = seqs.as_primitive::<arrow_array::types::UInt64Type>();
    let rows = rendered(&schema, &batch)
        .into_iter()
        .enumerate()
        .map(|(at, row)| {
            let values = row.into_iter().map(|value| match value {
                None => "-".to_string(),
                Some(text) if text == UNCHANGED => "~".to_string(),
                Some(text) if text.len() > 100 => format!("{} bytes", text.len()),
                Some(text) => text,
            });
            format!(
                "{} {}: {}",
                ops.value(at),
                seqs.value(at),
                values.collect::<Vec<_>>().join(" ")
            )
        });
    rows.collect()
}

/// A table `(id, code, note, big)` with one row, its publication and a slot behind that row, both
/// named after the table: slots belong to the whole server.
fn prepare(session: &mut Session, table: &str, identity: &str) {
    session.execute(&format!(
        "create table {table} (id int primary key, code int not null unique, note text, big text); \
         alter table {table} alter big set storage external; \
         alter table {table} replica identity {identity}; \
         create publication {table} for table {table}; \
         insert into {table} values (1, 10, null, {BIG})"
    ));
    session.execute(&format!(
        "select pg_create_logical_replication_slot('{table}', 'pgoutput')"
    ));
}

fn trade(session: &mut Session, table: &str) {
    for statement in [
        "update T set note = 'a'",
        "update T set code = 11",
        "update T set id = 2",
        "update T set note = null",
        "delete from T",
        "truncate T",
    ] {
        session.execute(&statement.replace('T', table));
    }
}

#[test]
fn under_default_identity_an_unchanged_value_is_listed_and_a_new_key_deletes_the_old() {
    let db = Server::shared().database("identity_default");
    let mut session = db.session();
    prepare(&mut session, "trades_default", "default");
    trade(&mut session, "trades_default");
    let expected = [
        "update 0: 1 10 a ~",
        "update 1: 1 11 a ~",
        "delete 2: 1 - - -",
        "insert 2: 2 11 a ~",
        "update 3: 2 11 - ~",
        "delete 4: 2 - - -",
        "truncate 5: - - - -",
    ];
    assert_eq!(changes(&mut session, "trades_default"), expected);
}

#[test]
fn under_index_identity_the_index_is_the_key() {
    let db = Server::shared().database("identity_index");
    let mut session = db.session();
    prepare(
        &mut session,
        "trades_index",
        "using index trades_index_code_key",
    );
    trade(&mut session, "trades_index");
    let expected = [
        "update 0: 1 10 a ~",
        "delete 1: - 10 - -",
        "insert 1: 1 11 a ~",
        "update 2: 2 11 a ~",
        "update 3: 2 11 - ~",
        "delete 4: - 11 - -",
        "truncate 5: - - - -",
    ];
    assert_eq!(changes(&mut session, "trades_index"), expected);
}

#[test]
fn under_full_identity_every_value_is_there() {
    let db = Server::shared().database("identity_full");
    let mut session = db.session();
    prepare(&mut session, "trades_full", "full");
    trade(&mut session, "trades_full");
    let expected = [
        "update 0: 1 10 a 96000 bytes",
        "update 1: 1 11 a 96000 bytes",
        "delete 2: 1 - - -",
        "insert 2: 2 11 a 96000 bytes",
        "update 3: 2 11 - 96000 bytes",
        "delete 4: 2 - - -",
        "truncate 5: - - - -",
    ];
    assert_eq!(changes(&mut session, "trades_full"), expected);
}

#[test]
fn a_key_stored_out_of_line_that_did_not_change_is_filled_from_the_old_tuple() {
    let db = Server::shared().database("identity_toasted");
    let mut session = db.session();
    session.execute(
        "create table wide (key text primary key, n int) with (toast_tuple_target = 128); \
         alter table wide alter key set storage external; \
         create publication wide for table wide; \
         insert into wide select string_agg(md5(n::text), ''), 1 from generate_series(1, 70) n",
    );
    session.execute("select pg_create_logical_replication_slot('wide', 'pgoutput')");
    session.execute("update wide set n = 2");
    session.execute("update wide set key = 'short'");
    let expected = [
        "update 0: 2240 bytes 2",
        "delete 1: 2240 bytes -",
        "insert 1: short 2",
    ];
    assert_eq!(changes(&mut session, "wide"), expected);
}
