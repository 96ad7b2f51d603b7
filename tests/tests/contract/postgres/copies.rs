use blacksmith_cdc::connection::{Copied, During, SqlConnection, server_error};
use blacksmith_core::error::Error;
use blacksmith_tests::server::Server;

use super::*;

fn connect(url: &str) -> SqlConnection {
    SqlConnection::connect(&options(url), &Waker::new().unwrap()).unwrap()
}

/// The contents of all messages of a copy.
fn copied(connection: &mut SqlConnection, sql: &str) -> Result<Vec<Vec<u8>>, Error> {
    let mut copy = connection.copy_out(sql, During::Doing("copying"))?;
    let mut messages = Vec::new();
    loop {
        match copy.receive(soon())? {
            Copied::Rows(rows) => messages.extend(rows.map(<[u8]>::to_vec)),
            Copied::Large(pieces) => messages.push(pieces.concat()),
            Copied::End => return Ok(messages),
        }
    }
}

fn code(error: &Error) -> Option<&str> {
    server_error(error).map(|error| error.code.as_str())
}

#[test]
fn a_copy_brings_small_and_large_rows_in_order_to_a_role_that_may_not_replicate() {
    let db = Server::shared().database("copies");
    db.execute("create table t (id int, v text); grant select on t to public");
    db.execute("alter table t alter v set storage external");
    db.execute("insert into t select n, repeat('x', case n % 7 when 3 then 9000000 else n end) from generate_series(1, 20) n");
    let role = format!("reads_{}", db.name());
    db.execute(&format!("create role {role} login password 'x'"));
    let at = db.url();
    let at = at.rsplit_once('@').unwrap().1;
    let mut connection = connect(&format!("postgres://{role}:x@{at}"));
    for _ in 0..2 {
        let rows = copied(&mut connection, "copy public.t to stdout").unwrap();
        let found: Vec<_> = rows.iter().map(|row| row.len()).collect();
        let expected = (1..=20).map(|n: usize| {
            let v = if n % 7 == 3 { 9_000_000 } else { n };
            n.to_string().len() + 1 + v + 1
        });
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}

#[test]
fn a_copy_that_is_refused_leaves_its_connection_as_it_was() {
    let db = Server::shared().database("copies");
    let mut connection = connect(&db.url());
    let refused = copied(&mut connection, "copy public.missing to stdout").unwrap_err();
    assert_eq!(code(&refused), Some("42P01"));
    // Refused in the middle: rows have come by then.
    let late = "copy (select 1 / (50000 - n) from generate_series(1, 60000) n) to stdout";
    let refused = copied(&mut connection, late).unwrap_err();
    assert_eq!(code(&refused), Some("22012"));
    let rows = copied(&mut connection, "copy (select 7) to stdout").unwrap();
    assert_eq!(rows, [b"7\n"]);
    let rows = connection.simple_query("asking", "select 8").unwrap();
    assert_eq!(rows[0].get(0), Some("8"));
}

#[test]
fn a_copy_whose_session_is_ended_says_what_the_server_said() {
    let db = Server::shared().database("copies");
    let mut connection = connect(&db.url());
    let ended = "copy (select pg_terminate_backend(pg_backend_pid())) to stdout";
    let error = copied(&mut connection, ended).unwrap_err();
    assert_eq!(code(&error), Some("57P01"), "{}", error.report());
}
