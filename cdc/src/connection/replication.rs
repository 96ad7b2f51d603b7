//! A replication connection before it streams: commands, answers, slots.
//!
//! The walsender also runs plain SQL, one simple query at a time, which serves the few questions that belong
//! on the same connection; everything else is asked through [`super::SqlClient`].

use std::time::Instant;

use blacksmith_core::error::Result;
use postgres_protocol::message::frontend;

use super::auth::Purpose;
use super::copy_both::CopyBoth;
use super::lsn::Lsn;
use super::message::{Row, garbled};
use super::options::ConnectOptions;
use super::quote::identifier;
use super::refusal::{During, ServerError};
use super::slot_command::check_slot_name;
use super::sql_connection::{ANSWER_TIMEOUT, SqlConnection};
use super::stream_options::StreamOptions;
use super::version::ServerVersion;
use super::waker::Waker;

/// A connection that speaks the replication protocol.
#[derive(Debug)]
pub struct ReplicationConnection {
    pub(super) sql: SqlConnection,
}

/// What `IDENTIFY_SYSTEM` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemIdentity {
    /// The cluster's number; the same on its standbys, another after `initdb` or `pg_upgrade`.
    pub system_id: u64,
    /// The timeline; it changes when a standby is promoted.
    pub timeline: u32,
    /// The end of the log that has been flushed.
    pub wal_end: Lsn,
    /// The database of this connection.
    pub database: String,
    /// The server's version.
    pub version: ServerVersion,
}

impl ReplicationConnection {
    /// As [`SqlConnection::connect`], for a role that may replicate.
    ///
    /// # Errors
    /// As [`SqlConnection::connect`].
    pub fn connect(options: &ConnectOptions, waker: &Waker) -> Result<Self> {
        let sql = SqlConnection::connect_for(Purpose::Replication, options, waker)?;
        Ok(ReplicationConnection { sql })
    }

    /// The server's version.
    #[must_use]
    pub fn version(&self) -> ServerVersion {
        self.sql.version()
    }

    /// Whether the server is a standby.
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.sql.is_standby()
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.sql.is_encrypted()
    }

    /// A session setting that the server reported at login.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.sql.parameter(name)
    }

    /// The server's process that serves this connection; 0 when it did not say.
    #[must_use]
    pub fn process_id(&self) -> i32 {
        self.sql.process_id()
    }

    /// User, host and database, for messages.
    #[must_use]
    pub fn place(&self) -> &str {
        self.sql.place()
    }

    /// As [`SqlConnection::simple_query`].
    ///
    /// # Errors
    /// As [`SqlConnection::simple_query`].
    pub fn simple_query(&mut self, doing: &str, sql: &str) -> Result<Vec<Row>> {
        self.sql.simple_query(doing, sql)
    }

    /// Who the server is and where its log ends.
    ///
    /// # Errors
    /// As [`ReplicationConnection::simple_query`].
    pub fn identify_system(&mut self) -> Result<SystemIdentity> {
        let rows = self.sql.run(
            "IDENTIFY_SYSTEM",
            During::Doing("identifying the server"),
            ANSWER_TIMEOUT,
        )?;
        let value = |index| rows.first().and_then(|row: &Row| row.get(index));
        let identity = || {
            Some(SystemIdentity {
                system_id: value(0)?.parse().ok()?,
                timeline: value(1)?.parse().ok()?,
                wal_end: value(2)?.parse().ok()?,
                database: value(3)?.to_owned(),
                version: self.version(),
            })
        };
        identity().ok_or_else(|| garbled("the answer to IDENTIFY_SYSTEM").at(self.place()))
    }

    /// Starts to stream `slot` at `from` ([`Lsn::ZERO`]: where the slot is).
    ///
    /// The server silently starts later when the slot has been confirmed further than `from`; compare with the
    /// slot's own position first.
    ///
    /// # Errors
    /// What the server refused, see [`super::Refusal`].
    pub fn start_replication(
        self,
        slot: &str,
        from: Lsn,
        options: &StreamOptions,
    ) -> Result<CopyBoth> {
        check_slot_name(slot)?;
        let sql = format!(
            "START_REPLICATION SLOT {} LOGICAL {from} ({})",
            identifier(slot),
            options.clause()
        );
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let mut wire = self.sql.wire;
        wire.send_with(deadline, |message| frontend::query(&sql, message))?;
        loop {
            match wire.next(deadline)? {
                (b'W', _) => return Ok(CopyBoth::new(wire, slot.to_owned())),
                (b'E', body) => {
                    return Err(
                        ServerError::read(&body)?.into_error(During::Slot(slot), &wire.place)
                    );
                }
                (b'N' | b'S', _) => {}
                _ => return Err(garbled("the answer to START_REPLICATION").at(&wire.place)),
            }
        }
    }
}
