//! The replication slot as the server keeps it.

use blacksmith_core::error::{Error, Result};

use crate::connection::{Lsn, SqlClient};

/// One row of `pg_replication_slots`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotInfo {
    /// Its name.
    pub name: String,
    /// Its output plugin; none for a physical slot.
    pub plugin: Option<String>,
    /// Its database; none for a physical slot.
    pub database: Option<String>,
    /// Gone when its connection ends.
    pub temporary: bool,
    /// The process that reads it.
    pub active_pid: Option<u32>,
    /// How far we have confirmed; the stream starts here.
    pub confirmed_flush: Option<Lsn>,
    /// The oldest log that it keeps; none when it has been lost.
    pub restart: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Bytes of log until it is lost; none when there is no limit.
    pub safe_wal_bytes: Option<i64>,
    /// Why it was invalidated (from version 17 on; on 16 only `conflicting`).
    pub invalidation: Option<String>,
    /// Whether it decodes prepared transactions.
    pub two_phase: bool,
    /// Whether it is copied to standbys (from version 17 on).
    pub failover: bool,
    /// Bytes of log that it keeps, up to the end of the log now.
    pub held_bytes: i64,
}

impl SlotInfo {
    /// Whether log that we need has been removed.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.wal_status.as_deref() == Some("lost")
            || self.invalidation.is_some()
            || self.restart.is_none()
    }
}

// Columns that only newer versions have are taken from the row as JSON: absent means null.
const SQL: &str = "
select s.slot_name::text, s.plugin::text, s.database::text, s.temporary, s.active_pid,
       s.confirmed_flush_lsn::text, s.restart_lsn::text, s.wal_status::text, s.safe_wal_size,
       coalesce(to_jsonb(s) ->> 'invalidation_reason',
                case when to_jsonb(s) ->> 'conflicting' = 'true' then 'conflict with recovery' end),
       s.two_phase, coalesce((to_jsonb(s) ->> 'failover')::bool, false),
       coalesce(pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                                     else pg_current_wal_lsn() end, s.restart_lsn), 0)::int8
from pg_replication_slots s
where s.slot_name = $1::text::name";

/// The slot of exactly this name.
///
/// # Errors
/// What the server refused, or a lost connection.
pub async fn find_slot(client: &SqlClient, name: &str) -> Result<Option<SlotInfo>> {
    let rows = client
        .query("looking for the replication slot", SQL, &[&name])
        .await?;
    rows.first().map(slot_of).transpose()
}

fn slot_of(row: &tokio_postgres::Row) -> Result<SlotInfo> {
    let lsn = |column: usize| -> Result<Option<Lsn>> {
        row.get::<_, Option<&str>>(column)
            .map(str::parse)
            .transpose()
    };
    Ok(SlotInfo {
        name: row.get(0),
        plugin: row.get(1),
        database: row.get(2),
        temporary: row.get(3),
        active_pid: row
            .get::<_, Option<i32>>(4)
            .and_then(|pid| u32::try_from(pid).ok()),
        confirmed_flush: lsn(5)?,
        restart: lsn(6)?,
        wal_status: row.get(7),
        safe_wal_bytes: row.get(8),
        invalidation: row.get(9),
        two_phase: row.get(10),
        failover: row.get(11),
        held_bytes: row.get(12),
    })
}

const LOG_END: &str = "
select (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_flush_lsn() end)::text";

/// Where the server's log ends that decoding may read. A stream that is behind does not learn it: the server
/// tells it only how far it has sent.
///
/// # Errors
/// What the server refused, or a lost connection.
pub async fn log_end(client: &SqlClient) -> Result<Lsn> {
    let rows = client
        .query("looking where the log ends", LOG_END, &[])
        .await?;
    let end = rows.first().and_then(|row| row.get::<_, Option<&str>>(0));
    end.map_or(Ok(Lsn::ZERO), str::parse)
}

const TAKE_OVER: &str = "
select pg_terminate_backend(a.pid)
from pg_replication_slots s
join pg_stat_activity a on a.pid = s.active_pid
where s.slot_name = $1::text::name
  and a.application_name = $2::text
  and a.usename = current_user";

/// Ends the walsender that reads the slot, if it is one of ours: same role, and exactly this application name,
/// which must therefore name the pipeline and not only the program. Returns whether one was told to end; the
/// slot is free a moment later.
///
/// # Errors
/// What the server refused, or a lost connection.
pub async fn take_over_slot(
    client: &SqlClient,
    slot: &str,
    application_name: &str,
) -> Result<bool> {
    if application_name.len() > 63 || !application_name.is_ascii() {
        // The server would have shortened or changed it, and it would match no session, or a stranger's.
        return Err(Error::config(
            "the application name is longer than 63 characters or not ASCII",
        ));
    }
    let rows = client
        .query(
            "ending our own stale connection",
            TAKE_OVER,
            &[&slot, &application_name],
        )
        .await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}
