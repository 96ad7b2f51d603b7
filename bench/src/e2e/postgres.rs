//! The private server of a run, set as a server in production would be, and what is asked of it.

use std::process::Command;

use blacksmith_tests::db::{Db, Session};
use blacksmith_tests::server::{Options, PASSWORD, Server, USER};

use super::Result;

/// Over the test bench's own settings. Commits are synced, as a server does whose data matter; checkpoints and
/// autovacuum stay out of the way, because when they come is chance.
const SETTINGS: [(&str, &str); 9] = [
    ("shared_buffers", "512MB"),
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    ("max_wal_size", "32GB"),
    ("checkpoint_timeout", "1h"),
    ("autovacuum", "off"),
    ("wal_sender_timeout", "0"),
    ("max_connections", "100"),
];

/// Starts it.
#[must_use]
pub fn start() -> Server {
    let settings = SETTINGS.iter();
    Server::start(settings.fold(Options::default(), |options, (name, value)| {
        options.set(name, value)
    }))
}

/// The settings, as they are told with the figures.
#[must_use]
pub fn settings() -> String {
    let settings = SETTINGS.map(|(name, value)| format!("{name} {value}"));
    settings.join(", ")
}

/// A client program of the server's version, connected to `db` over TCP as our program is.
#[must_use]
pub fn client(db: &Db, name: &str) -> Command {
    let mut command = Command::new(db.server().program(name));
    command
        .args(["--host=127.0.0.1", "--username", USER, "--no-password"])
        .arg(format!("--port={}", db.server().port()))
        .arg(format!("--dbname={}", db.name()))
        .env("PGPASSWORD", PASSWORD)
        .env("PGOPTIONS", "")
        .stdin(std::process::Stdio::null());
    command
}

/// A session that does not wait for the disk at each commit: for work that only has to be there.
#[must_use]
pub fn hurried(db: &Db) -> Session {
    let mut session = db.session();
    session.execute("set synchronous_commit = off");
    session
}

/// Mean bytes of a row of `table`, as text, of its first 10,000.
///
/// # Errors
/// What the server says.
pub fn row_bytes(session: &mut Session, table: &str) -> Result<f64> {
    let sql =
        format!("select avg(octet_length(t::text)) from (select * from {table} limit 10000) t");
    let rows = rows(session, &sql)?;
    let mean = rows
        .first()
        .and_then(|row| row.first()?.as_deref()?.parse().ok());
    mean.ok_or_else(|| format!("the table {table} is empty"))
}

/// Runs statements.
///
/// # Errors
/// What the server says, with the statements.
pub fn rows(session: &mut Session, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
    let rows = session.try_rows(sql);
    rows.map_err(|error| format!("{}\nin: {sql}", blacksmith_tests::db::explain(&error)))
}

/// Whether a slot is being read.
fn is_active(session: &mut Session, slot: &str) -> Result<bool> {
    let sql = format!("select active from pg_replication_slots where slot_name = '{slot}'");
    let rows = rows(session, &sql)?;
    let active = rows.first().and_then(|row| row.first());
    Ok(active.is_some_and(|active| active.as_deref() == Some("t")))
}

/// Makes `slot` a copy of `base`, so that whoever reads it finds the backlog from its beginning.
///
/// # Errors
/// When somebody still reads the old one, or the server refuses.
pub fn copy_slot(session: &mut Session, base: &str, slot: &str) -> Result<()> {
    drop_slot(session, slot)?;
    let sql = format!("select pg_copy_logical_replication_slot('{base}', '{slot}')");
    rows(session, &sql).map(drop)
}

/// Drops a slot, if there is one, as soon as its reader has left.
///
/// # Errors
/// When its reader does not leave, or the server refuses.
pub fn drop_slot(session: &mut Session, slot: &str) -> Result<()> {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
    let free = blacksmith_tests::wait::poll(PATIENCE, || match is_active(session, slot) {
        Ok(true) => None,
        other => Some(other.map(drop)),
    });
    free.unwrap_or_else(|| Err(format!("somebody still reads the slot {slot}")))?;
    let sql = format!(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '{slot}'"
    );
    rows(session, &sql).map(drop)
}
