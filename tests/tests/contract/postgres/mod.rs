//! Blacksmith's Postgres connections and catalog questions, against a real server.

mod catalog;
mod copies;
mod login;
mod preflight;
mod refusals;
mod stream;
mod tls;
mod versions;

use std::time::{Duration, Instant};

use blacksmith_cdc::connection::{
    ConnectOptions, CopyBoth, Lsn, Message, NewSlot, ReplicationConnection, SqlClient, Status,
    StreamOptions, Streaming, Waker,
};
use blacksmith_core::clock::Timestamp;
use blacksmith_tests::db::Db;

/// Long enough for a slow machine, short enough to end a hanging test.
const PATIENCE: Duration = Duration::from_secs(60);

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

fn options(url: &str) -> ConnectOptions {
    ConnectOptions::parse_text(url).unwrap()
}

fn replication(url: &str) -> ReplicationConnection {
    ReplicationConnection::connect(&options(url), &Waker::new().unwrap()).unwrap()
}

/// The error of connecting, as a person reads it.
fn refused(url: &str) -> blacksmith_core::error::Error {
    ReplicationConnection::connect(&options(url), &Waker::new().unwrap()).unwrap_err()
}

/// Runs an async part of a test.
fn wait_for<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

async fn sql(db: &Db) -> SqlClient {
    SqlClient::connect(&options(&db.url())).await.unwrap()
}

/// Creates slot and publication `name`, and streams.
fn stream_of(db: &Db, url: &str, name: &str) -> CopyBoth {
    let mut connection = replication(url);
    let slot = NewSlot {
        name,
        temporary: false,
        failover: false,
        export_snapshot: false,
    };
    connection.create_slot(&slot, PATIENCE).unwrap();
    db.execute(&format!("create publication {name} for all tables"));
    // Committed transactions only: their messages have one shape.
    let streaming = StreamOptions {
        streaming: Streaming::Off,
        ..StreamOptions::new(vec![name.into()])
    };
    connection
        .start_replication(name, Lsn::ZERO, &streaming)
        .unwrap()
}

/// A slot name that no other database of the shared server has.
fn unique(db: &Db, name: &str) -> String {
    format!("{name}_{}", db.name())
}

/// Reads until `count` messages with first byte `tag` have come; their payloads.
fn read(stream: &mut CopyBoth, tag: u8, count: usize) -> Vec<Vec<u8>> {
    let (mut found, deadline) = (Vec::new(), soon());
    while found.len() < count {
        assert!(
            Instant::now() < deadline,
            "{} of {count} messages {:?} came",
            found.len(),
            tag as char
        );
        let lump = stream.receive(deadline).unwrap();
        let large = lump.large_message().map(|large| large.pieces.concat());
        found.extend(large.filter(|large| large.first() == Some(&tag)));
        found.extend(lump.messages().filter_map(|message| match message {
            Message::Data { payload, .. } if payload.first() == Some(&tag) => {
                Some(payload.to_vec())
            }
            _ => None,
        }));
    }
    found
}

fn status(lsn: u64) -> Status {
    Status {
        write: Lsn(lsn),
        flush: Lsn(lsn),
        apply: Lsn(lsn),
        reply_wanted: true,
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    Timestamp(i64::try_from(since.as_micros()).unwrap())
}
