//! A replication connection before it streams: commands, answers, slots.
//!
//! Blocking, on the caller's thread, every call with a time limit, and interruptible through its [`Waker`].
//! The walsender also runs plain SQL, one simple query at a time, which serves the few questions that belong
//! on the same connection; everything else is asked through [`super::SqlClient`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use blacksmith_core::error::{Error, Kind, Result};
use postgres_protocol::message::frontend;

use super::auth;
use super::copy_both::CopyBoth;
use super::lsn::Lsn;
use super::message::{Row, garbled};
use super::options::{ConnectOptions, Host, TargetSession};
use super::quote::identifier;
use super::refusal::{During, ServerError};
use super::session::{AS_STORED, knows_no_encoding};
use super::slot_command::check_slot_name;
use super::stream_options::StreamOptions;
use super::version::ServerVersion;
use super::waker::Waker;
use super::wire::{ANSWER_BYTES_MAX, Wire};

/// Longest wait for the answer to an ordinary command.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection that speaks the replication protocol.
#[derive(Debug)]
pub struct ReplicationConnection {
    pub(super) wire: Wire,
    pub(super) version: ServerVersion,
    parameters: BTreeMap<String, String>,
    /// Process and secret, for a cancel request.
    pub(super) key: Option<(i32, i32)>,
    pub(super) options: ConnectOptions,
    pub(super) host: Host,
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
    /// Connects to the first host that will do, logs in and checks the version. `waker` interrupts this and
    /// everything that follows.
    ///
    /// # Errors
    /// [`Kind::Config`] for certificates that cannot be read, [`Kind::Unavailable`] when no host answers,
    /// [`Kind::Refused`] when one says no, [`Kind::Stopped`] when interrupted.
    pub fn connect(options: &ConnectOptions, waker: &Waker) -> Result<Self> {
        let mut failure = None;
        for wanted in rounds(options.target_session) {
            for host in &options.hosts {
                match Self::connect_to(options, host, waker) {
                    Ok(connection)
                        if wanted.is_none_or(|standby| connection.is_standby() == standby) =>
                    {
                        return Ok(connection);
                    }
                    Ok(connection) => failure = Some(connection.wrong_role()),
                    // Only what may be different elsewhere is tried elsewhere: a password is wrong everywhere.
                    Err(error) if error.kind() == Kind::Unavailable => failure = Some(error),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(failure.unwrap_or_else(|| Error::config("the connection options name no host")))
    }

    fn connect_to(options: &ConnectOptions, host: &Host, waker: &Waker) -> Result<Self> {
        let deadline = Instant::now() + options.connect_timeout;
        let mut wire = Wire::open(options, host, waker.clone(), deadline)?;
        let session = auth::login(&mut wire, options, deadline)?;
        wire.limit_bytes = ANSWER_BYTES_MAX;
        let reported = session
            .parameters
            .get("server_version")
            .map_or("", String::as_str);
        let version = ServerVersion::parse(reported)
            .ok_or_else(|| garbled("it reports no version").at(&wire.place))?;
        if !version.at_least(ServerVersion::OLDEST) {
            return Err(too_old(version).at(&wire.place));
        }
        let mut connection = ReplicationConnection {
            wire,
            version,
            parameters: session.parameters,
            key: session.key,
            options: options.clone(),
            host: host.clone(),
        };
        if knows_no_encoding(connection.parameter("server_encoding")) {
            connection.simple_query("the client's encoding", AS_STORED)?;
        }
        Ok(connection)
    }

    fn wrong_role(&self) -> Error {
        let is = if self.is_standby() {
            "a standby"
        } else {
            "a primary"
        };
        Error::unavailable(format!(
            "the server is {is}, and target_session_attrs asks for the other"
        ))
        .at(&self.wire.place)
    }

    /// The server's version.
    #[must_use]
    pub fn version(&self) -> ServerVersion {
        self.version
    }

    /// Whether the server is a standby.
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.parameter("in_hot_standby") == Some("on")
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.wire.channel.is_encrypted()
    }

    /// A session setting that the server reported at login.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The server's process that serves this connection; 0 when it did not say.
    #[must_use]
    pub fn process_id(&self) -> i32 {
        self.key.map_or(0, |(process, _)| process)
    }

    /// User, host and database, for messages.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.wire.place
    }

    /// Runs one statement and returns its rows. `doing` says what for, in a few words, for errors.
    ///
    /// # Errors
    /// What the server refused, or a lost connection. Values must be quoted by [`super::quote`].
    pub fn simple_query(&mut self, doing: &str, sql: &str) -> Result<Vec<Row>> {
        self.run(sql, During::Doing(doing), ANSWER_TIMEOUT)
    }

    pub(super) fn run(
        &mut self,
        sql: &str,
        during: During<'_>,
        timeout: Duration,
    ) -> Result<Vec<Row>> {
        let deadline = Instant::now() + timeout;
        self.wire
            .send_with(deadline, |message| frontend::query(sql, message))?;
        let mut rows = Vec::new();
        let mut failure = None;
        loop {
            let (tag, body) = self.wire.next(deadline)?;
            match tag {
                b'D' => rows.push(Row::read(&body)?),
                b'E' => failure = Some(ServerError::read(&body)?),
                b'Z' => break,
                b'T' | b'C' | b'I' | b'N' | b'S' => {}
                _ => return Err(garbled("an unknown message after a command").at(&self.wire.place)),
            }
        }
        match failure {
            Some(error) => Err(error.into_error(during, &self.wire.place)),
            None => Ok(rows),
        }
    }

    /// Who the server is and where its log ends.
    ///
    /// # Errors
    /// As [`ReplicationConnection::simple_query`].
    pub fn identify_system(&mut self) -> Result<SystemIdentity> {
        let rows = self.run(
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
                version: self.version,
            })
        };
        identity().ok_or_else(|| garbled("the answer to IDENTIFY_SYSTEM").at(&self.wire.place))
    }

    /// Starts to stream `slot` at `from` ([`Lsn::ZERO`]: where the slot is).
    ///
    /// The server silently starts later when the slot has been confirmed further than `from`; compare with the
    /// slot's own position first.
    ///
    /// # Errors
    /// What the server refused, see [`super::Refusal`].
    pub fn start_replication(
        mut self,
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
        self.wire
            .send_with(deadline, |message| frontend::query(&sql, message))?;
        loop {
            match self.wire.next(deadline)? {
                (b'W', _) => return Ok(CopyBoth::new(self.wire, slot.to_owned())),
                (b'E', body) => {
                    return Err(
                        ServerError::read(&body)?.into_error(During::Slot(slot), &self.wire.place)
                    );
                }
                (b'N' | b'S', _) => {}
                _ => return Err(garbled("the answer to START_REPLICATION").at(&self.wire.place)),
            }
        }
    }
}

/// Which roles to look for, in rounds: none means any, else whether a standby is wanted.
fn rounds(target: TargetSession) -> Vec<Option<bool>> {
    match target {
        TargetSession::Any => vec![None],
        TargetSession::Primary => vec![Some(false)],
        TargetSession::Standby => vec![Some(true)],
        TargetSession::PreferStandby => vec![Some(true), None],
    }
}

pub(super) fn too_old(version: ServerVersion) -> Error {
    Error::refused(format!(
        "the server's version is {version}; {} is the oldest that works",
        ServerVersion::OLDEST
    ))
    .help("upgrade the server")
}
