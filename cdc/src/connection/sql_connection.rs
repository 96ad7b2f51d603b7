//! A connection of our own that runs commands, one at a time: what replication connections and copies share.
//!
//! Blocking, on the caller's thread, every call with a time limit, and interruptible through its [`Waker`]. Answers of a
//! few rows come as text; long ones are read as a [`super::CopyOut`], which the client library behind
//! [`super::SqlClient`] would hold several times in memory.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use blacksmith_core::error::{Error, Kind, Result};
use postgres_protocol::message::frontend;

use super::auth::{self, Purpose};
use super::large_memory::LargeMemory;
use super::message::{Row, garbled};
use super::options::{ConnectOptions, Host, TargetSession};
use super::refusal::{During, ServerError};
use super::session::{AS_STORED, knows_no_encoding};
use super::version::ServerVersion;
use super::waker::Waker;
use super::wire::{ANSWER_BYTES_MAX, Wire};

/// Longest wait for the answer to an ordinary command.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection that runs SQL.
#[derive(Debug)]
pub struct SqlConnection {
    pub(super) wire: Wire,
    version: ServerVersion,
    parameters: BTreeMap<String, String>,
    /// Process and secret, for a cancel request.
    key: Option<(i32, i32)>,
    pub(super) options: ConnectOptions,
    host: Host,
    pub(super) large: LargeMemory,
}

impl SqlConnection {
    /// Connects to the first host that will do, logs in and checks the version. `waker` interrupts this and
    /// everything that follows.
    ///
    /// # Errors
    /// [`Kind::Config`] for certificates that cannot be read, [`Kind::Unavailable`] when no host answers,
    /// [`Kind::Refused`] when one says no, [`Kind::Stopped`] when interrupted.
    pub fn connect(options: &ConnectOptions, waker: &Waker) -> Result<Self> {
        Self::connect_for(Purpose::Sql, options, waker)
    }

    pub(super) fn connect_for(
        purpose: Purpose,
        options: &ConnectOptions,
        waker: &Waker,
    ) -> Result<Self> {
        let mut failure = None;
        for wanted in rounds(options.target_session) {
            for host in &options.hosts {
                match Self::connect_to(purpose, options, host, waker) {
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

    fn connect_to(
        purpose: Purpose,
        options: &ConnectOptions,
        host: &Host,
        waker: &Waker,
    ) -> Result<Self> {
        let deadline = Instant::now() + options.connect_timeout;
        let mut wire = Wire::open(options, host, waker.clone(), deadline)?;
        let session = auth::login(&mut wire, purpose, options, deadline)?;
        wire.limit_bytes = ANSWER_BYTES_MAX;
        wire.owes_goodbye = true;
        let reported = session
            .parameters
            .get("server_version")
            .map_or("", String::as_str);
        let version = ServerVersion::parse(reported)
            .ok_or_else(|| garbled("it reports no version").at(&wire.place))?;
        if !version.at_least(ServerVersion::OLDEST) {
            return Err(too_old(version).at(&wire.place));
        }
        let mut connection = SqlConnection {
            wire,
            version,
            parameters: session.parameters,
            key: session.key,
            options: options.clone(),
            host: host.clone(),
            large: LargeMemory::default(),
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

    /// Gathers large rows in `memory`, which other connections may share.
    pub fn share(&mut self, memory: LargeMemory) {
        self.large = memory;
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

    /// Asks the server, over a second connection and for no longer than `patience`, to cancel what this one is
    /// doing. Best effort: the session ends anyway when its socket is closed, only later.
    pub(super) fn cancel(&self, patience: Duration) {
        let Some((process, secret)) = self.key else {
            return;
        };
        let deadline = Instant::now() + patience;
        let asked = Waker::new()
            .and_then(|waker| Wire::open(&self.options, &self.host, waker, deadline))
            .and_then(|mut wire| {
                wire.send_with(deadline, |message| {
                    frontend::cancel_request(process, secret, message);
                    Ok(())
                })?;
                wire.next(deadline).map(drop) // the server closes when it has passed the request on
            });
        if let Err(error) = asked {
            tracing::debug!(error = %error.report(), "cancel request");
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
