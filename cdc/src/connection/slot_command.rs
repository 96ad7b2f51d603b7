//! Replication slots: created, looked at, peeked into, advanced, dropped.

use std::time::Duration;

use blacksmith_core::error::{Error, Result};

use super::copy_out::CopyOut;
use super::lsn::Lsn;
use super::message::{Row, garbled};
use super::quote::{identifier, literal};
use super::refusal::{During, Refusal, refusal_of};
use super::replication::ReplicationConnection;
use super::sql_connection::ANSWER_TIMEOUT;
use super::stream_options::StreamOptions;

/// A slot to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSlot<'a> {
    /// Its name: lower-case letters, digits and `_`, at most 63.
    pub name: &'a str,
    /// Gone when the connection ends.
    pub temporary: bool,
    /// Copied to standbys, so that it survives a failover; version 17 and later.
    pub failover: bool,
    /// Whether its snapshot can be imported by other connections.
    pub export_snapshot: bool,
}

/// A slot that was just created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedSlot {
    /// Its name.
    pub name: String,
    /// The stream holds all transactions that commit after this point, and the snapshot all before.
    pub consistent_point: Lsn,
    /// For `SET TRANSACTION SNAPSHOT`; valid until the next command on, or the end of, the connection that
    /// created the slot. None when none was asked for.
    pub snapshot: Option<String>,
}

/// Where a slot stands, and how far its log can be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotStanding {
    /// Where decoding begins each time: no transaction that is not confirmed began before.
    pub restart: Lsn,
    /// What has been confirmed.
    pub confirmed: Lsn,
    /// Where the log ends that decoding may read.
    pub log_end: Lsn,
}

impl ReplicationConnection {
    /// Creates a logical slot for pgoutput. The server first waits for all running transactions to end; after
    /// `timeout` the command is cancelled.
    ///
    /// # Errors
    /// [`blacksmith_core::error::Kind::Config`] for an impossible name, [`blacksmith_core::error::Kind::Unavailable`] when a transaction stays open too long,
    /// otherwise what the server refused.
    pub fn create_slot(&mut self, slot: &NewSlot<'_>, timeout: Duration) -> Result<CreatedSlot> {
        check_slot_name(slot.name)?;
        let sql = self.create_slot_sql(slot)?;
        let rows = match self.sql.run(&sql, During::Slot(slot.name), timeout) {
            Err(error) if timed_out(&error) => {
                self.sql.cancel(self.sql.options.connect_timeout);
                return Err(Error::unavailable(format!(
                    "replication slot {:?} was not created within {} s, because a transaction is still open",
                    slot.name,
                    timeout.as_secs()
                ))
                .at(self.place())
                .because(error)
                .help("end it: SELECT pid, xact_start, query FROM pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY 2"));
            }
            rows => rows?,
        };
        let value = |index| rows.first().and_then(|row: &Row| row.get(index));
        let created = || {
            Some(CreatedSlot {
                name: value(0)?.to_owned(),
                consistent_point: value(1)?.parse().ok()?,
                snapshot: value(2).map(str::to_owned),
            })
        };
        created().ok_or_else(|| garbled("the answer to CREATE_REPLICATION_SLOT").at(self.place()))
    }

    fn create_slot_sql(&self, slot: &NewSlot<'_>) -> Result<String> {
        let name = identifier(slot.name);
        let temporary = if slot.temporary { " TEMPORARY" } else { "" };
        if slot.failover && !self.version().at_least(17) {
            return Err(Error::config(format!(
                "failover slots exist from version 17 on; the server is {}",
                self.version()
            ))
            .at(self.place()));
        }
        let snapshot = match (slot.export_snapshot, self.version().at_least(15)) {
            (true, true) => "(SNAPSHOT 'export'",
            (false, true) => "(SNAPSHOT 'nothing'",
            (true, false) => "EXPORT_SNAPSHOT",
            (false, false) => "NOEXPORT_SNAPSHOT",
        };
        let end = match (self.version().at_least(15), slot.failover) {
            (true, true) => ", FAILOVER)",
            (true, false) => ")",
            (false, _) => "",
        };
        Ok(format!(
            "CREATE_REPLICATION_SLOT {name}{temporary} LOGICAL pgoutput {snapshot}{end}"
        ))
    }

    /// Drops the slot of exactly this name; false when there is none, as when a temporary one went with
    /// its connection a moment ago.
    ///
    /// # Errors
    /// [`super::Refusal::SlotInUse`], or what else the server refuses.
    pub fn drop_slot(&mut self, name: &str) -> Result<bool> {
        check_slot_name(name)?;
        let sql = format!("DROP_REPLICATION_SLOT {}", identifier(name));
        let during = During::Slot(name);
        match self.sql.run(&sql, during, ANSWER_TIMEOUT) {
            Ok(_) => Ok(true),
            Err(error) if refusal_of(&error, during) == Some(Refusal::SlotMissing) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Moves a slot on to `to`, past whatever is there, within `timeout`. A temporary slot obeys only the
    /// connection that made it.
    ///
    /// # Errors
    /// [`super::Refusal::SlotMissing`], [`super::Refusal::SlotInUse`], or what else the server refuses.
    pub fn advance_slot(&mut self, name: &str, to: Lsn, timeout: Duration) -> Result<()> {
        check_slot_name(name)?;
        let name_literal = literal(name);
        let sql = format!("SELECT pg_catalog.pg_replication_slot_advance({name_literal}, '{to}')");
        self.sql.run(&sql, During::Slot(name), timeout).map(drop)
    }

    /// Where a slot stands.
    ///
    /// # Errors
    /// [`super::Refusal::SlotMissing`], or a lost connection.
    pub fn slot_standing(&mut self, name: &str) -> Result<SlotStanding> {
        let sql = format!(
            "SELECT restart_lsn, confirmed_flush_lsn, \
                    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
                         ELSE pg_current_wal_flush_lsn() END \
             FROM pg_replication_slots WHERE slot_name = {} AND database IS NOT NULL",
            literal(name)
        );
        let rows = self.sql.run(&sql, During::Slot(name), ANSWER_TIMEOUT)?;
        let value = |index| rows.first().and_then(|row: &Row| row.get(index));
        let standing = || {
            Some(SlotStanding {
                restart: value(0)?.parse().ok()?,
                confirmed: value(1)?.parse().ok()?,
                log_end: value(2)?.parse().ok()?,
            })
        };
        standing().ok_or_else(|| {
            Error::unavailable(format!("replication slot {name:?} has no position"))
                .at(self.place())
        })
    }

    /// Reads what a slot would stream next, and leaves it there: whole transactions, in commit order, up to the first
    /// that ends at or behind `upto` or with which there are `rows_max` messages. Each row of the answer, a binary
    /// COPY, has one value, a message of pgoutput as `options` ask for it. The server gathers the answer before
    /// it sends the first row, in memory of `memory_bytes` and on its disk.
    ///
    /// # Errors
    /// When the connection is lost. What the server refuses is told by [`CopyOut::receive`].
    pub fn peek_slot<'a>(
        &'a mut self,
        name: &'a str,
        upto: Lsn,
        rows_max: u32,
        memory_bytes: u64,
        options: &StreamOptions,
    ) -> Result<CopyOut<'a>> {
        check_slot_name(name)?;
        let kib = memory_bytes / 1024;
        let during = During::Slot(name);
        self.sql
            .run(&format!("SET work_mem = {kib}"), during, ANSWER_TIMEOUT)?;
        let sql = format!(
            "COPY (SELECT data FROM pg_logical_slot_peek_binary_changes({}, '{upto}', {rows_max}, {})) \
             TO STDOUT (FORMAT binary)",
            literal(name),
            options.arguments()
        );
        self.sql.copy_out(&sql, during)
    }
}

/// Whether it is our own time limit that ended a wait.
fn timed_out(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .is_some_and(|cause| cause.kind() == std::io::ErrorKind::TimedOut)
}

/// The server's own rule for names of slots, checked here so that the error can name the setting.
pub(crate) fn check_slot_name(name: &str) -> Result<()> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=63).contains(&name.len()) && name.bytes().all(legal) {
        return Ok(());
    }
    Err(
        Error::config(format!("{name:?} cannot be the name of a replication slot"))
            .help("use 1 to 63 lower-case letters, digits and underscores"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_server_takes_are_slot_names() {
        assert!(check_slot_name("blacksmith_shop_1").is_ok());
        for name in ["", "Shop", "a-b", "a b", "ä", &"x".repeat(64)] {
            assert!(check_slot_name(name).is_err(), "{name}");
        }
    }
}
