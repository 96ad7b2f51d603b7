//! What a server's error means for us, and what a person should do about it.
//!
//! A server error arrives as fields (SQLSTATE, message, the C function that raised it). [`Refusal::of`]
//! decides what it means, from the code and, where one code means several things, from that function's name:
//! messages may be translated, function names are not. [`ServerError::into_error`] then says it in our words;
//! the server's own words stay attached as the cause. The detail field is never shown: it may carry values of
//! rows.

use std::fmt;

use blacksmith_core::error::{Error, Kind, Result};

use super::message::Fields;

/// An error as the server sent it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`.
    pub severity: String,
    /// SQLSTATE.
    pub code: String,
    /// The server's sentence, maybe translated.
    pub message: String,
    /// The server's own advice, if any.
    pub hint: String,
    /// The C function that raised it; the same in every language.
    pub routine: String,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.code, self.message)?;
        if !self.hint.is_empty() {
            write!(f, " [{}]", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for ServerError {}

/// What we were doing when the server refused.
#[derive(Debug, Clone, Copy)]
pub enum During<'a> {
    /// Connecting and logging in.
    Login,
    /// Creating, dropping, starting or advancing this slot.
    Slot(&'a str),
    /// Anything else, in a few words: "reading the tables of the publication".
    Doing(&'a str),
}

/// What a server error means for us.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The password is wrong, missing, or not accepted.
    WrongPassword,
    /// `pg_hba.conf` lets this role not in from here, or not like this.
    NotAllowedFromHere,
    /// No such role, or it may not log in.
    NoSuchRole,
    /// No such database.
    NoSuchDatabase,
    /// The role may not do this.
    MissingPrivilege,
    /// The role has no `REPLICATION`.
    NoReplicationRole,
    /// `wal_level` is not `logical`.
    WalLevel,
    /// All replication slots are taken.
    NoFreeSlot,
    /// All walsenders are taken.
    NoFreeWalSender,
    /// All connections are taken.
    NoFreeConnection,
    /// Another connection reads the slot; its process id, when the server says it.
    SlotInUse(Option<u32>),
    /// No such slot.
    SlotMissing,
    /// A slot of this name exists.
    SlotExists,
    /// The slot exists and has lost what we need.
    SlotLost,
    /// The slot belongs to another database.
    SlotElsewhere,
    /// A publication we asked for does not exist.
    PublicationMissing,
    /// The exported snapshot is gone.
    SnapshotGone,
    /// The server is a standby and this needs a primary.
    Standby,
    /// The server starts, stops or recovers.
    NotNow,
    /// An administrator ended our session.
    Terminated,
    /// A timeout or cancel request ended the command.
    Cancelled,
    /// What answers is a connection pooler.
    Pooler,
    /// The server failed inside itself while it read its log for the slot.
    Undecodable,
    /// The server has no disk, memory or the like left.
    OutOfResources,
    /// Anything else.
    Other,
}

impl Refusal {
    /// Decides what `error` means.
    #[must_use]
    pub fn of(error: &ServerError, during: During<'_>) -> Refusal {
        let (code, routine) = (error.code.as_str(), error.routine.as_str());
        let says = |words: &str| error.message.contains(words);
        match code {
            "28P01" => Refusal::WrongPassword,
            "28000" if routine == "InitializeSessionUserId" || says("role") && says("exist") => {
                Refusal::NoSuchRole
            }
            "28000" if says("permitted to log in") => Refusal::NoSuchRole,
            "28000" => Refusal::NotAllowedFromHere,
            "3D000" => Refusal::NoSuchDatabase,
            "42501"
                if routine == "CheckSlotPermissions"
                    || says("replication")
                    || says("REPLICATION") =>
            {
                Refusal::NoReplicationRole
            }
            "42501" => Refusal::MissingPrivilege,
            "53400" => Refusal::NoFreeSlot,
            "53300" if says("max_wal_senders") || routine == "InitWalSenderSlot" => {
                Refusal::NoFreeWalSender
            }
            "53300" => Refusal::NoFreeConnection,
            "55006" => Refusal::SlotInUse(process_id(&error.message)),
            "42710" if matches!(during, During::Slot(_)) => Refusal::SlotExists,
            "42704" if says("publication") || routine.starts_with("get_publication") => {
                Refusal::PublicationMissing
            }
            "42704" if matches!(during, During::Slot(_)) => Refusal::SlotMissing,
            "22023" if says("snapshot") || routine == "ImportSnapshot" => Refusal::SnapshotGone,
            "25006" => Refusal::Standby,
            "55000" => prerequisite(error),
            "0A000" if matches!(during, During::Slot(_)) && says("database") => {
                Refusal::SlotElsewhere
            }
            "08P01" if matches!(during, During::Login) && says("parameter") => Refusal::Pooler,
            // A segment that the slot should have kept: "requested WAL segment has already been removed".
            "58P01" if matches!(during, During::Slot(_)) => Refusal::SlotLost,
            _ if code.starts_with("XX") && matches!(during, During::Slot(_)) => {
                Refusal::Undecodable
            }
            "57P01" => Refusal::Terminated,
            "57P02" | "57P03" | "57P05" => Refusal::NotNow,
            "57014" => Refusal::Cancelled,
            _ if code.starts_with("53") => Refusal::OutOfResources,
            _ if code.starts_with("08") => Refusal::NotNow,
            _ => Refusal::Other,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Refusal::NoFreeWalSender
            | Refusal::NoFreeConnection
            | Refusal::NotNow
            | Refusal::Terminated
            | Refusal::Cancelled
            | Refusal::SnapshotGone
            | Refusal::OutOfResources => Kind::Unavailable,
            _ => Kind::Refused,
        }
    }
}

/// "Object not in prerequisite state": the settings, the slot or the server's role are not as needed.
fn prerequisite(error: &ServerError) -> Refusal {
    let says = |words: &str| error.message.contains(words);
    if says("wal_level") {
        return Refusal::WalLevel;
    }
    if says("recovery") || says("standby") {
        return Refusal::Standby;
    }
    if says("not created in this database") {
        return Refusal::SlotElsewhere;
    }
    // Only what is certain: the advice for a lost slot is to drop it. `find_slot` knows in any language.
    if says("no longer")
        || says("cannot read from")
        || error.routine == "RaiseSlotInvalidationError"
    {
        return Refusal::SlotLost;
    }
    Refusal::Other
}

/// The number in `... is active for PID 4711`, in whatever language.
fn process_id(message: &str) -> Option<u32> {
    // The slot's name comes first and may hold digits, but it stands between quotes.
    let after_name = message.rsplit(['"', '»', '“', '”']).next()?;
    let digits = after_name
        .split(|c: char| !c.is_ascii_digit())
        .find(|word| !word.is_empty())?;
    digits.parse().ok()
}

impl ServerError {
    /// Reads the body of an `ErrorResponse` or `NoticeResponse`.
    pub(super) fn read(body: &[u8]) -> Result<ServerError> {
        let mut fields = Fields(body);
        let mut error = ServerError::default();
        loop {
            let (kind, text) = match fields.u8()? {
                0 => return Ok(error),
                kind => (kind, fields.text()?),
            };
            match kind {
                b'V' => error.severity = text, // never translated, unlike S
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'H' => error.hint = text,
                b'R' => error.routine = text,
                _ => {}
            }
        }
    }

    /// Says it in our words. `target` is user, host and database, as [`super::ConnectOptions`] prints them.
    #[must_use]
    pub fn into_error(self, during: During<'_>, target: &str) -> Error {
        let refusal = Refusal::of(&self, during);
        let (what, help) = words(&refusal, &self, during);
        let error = Error::new(refusal.kind(), what).at(target).because(self);
        match help {
            "" => error,
            help => error.help(help),
        }
    }
}

/// What a server's error inside `error` means, if there is one.
#[must_use]
pub fn refusal_of(error: &Error, during: During<'_>) -> Option<Refusal> {
    server_error(error).map(|server| Refusal::of(server, during))
}

/// The server's error among the causes of `error`.
#[must_use]
pub fn server_error(error: &Error) -> Option<&ServerError> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(server) = error.downcast_ref::<ServerError>() {
            return Some(server);
        }
        cause = error.source();
    }
    None
}

/// What happened, and what to do.
fn words(refusal: &Refusal, error: &ServerError, during: During<'_>) -> (String, &'static str) {
    let slot = match during {
        During::Slot(name) => format!("replication slot {name:?}"),
        During::Login | During::Doing(_) => "the replication slot".to_owned(),
    };
    let (what, help) = match refusal {
        Refusal::WrongPassword => (
            "the server does not accept the password".to_owned(),
            "set the right password in the connection URL or in PGPASSWORD",
        ),
        Refusal::NotAllowedFromHere => (
            "the server does not let this role in from this machine in this way".to_owned(),
            "add a line for this role, database and address to pg_hba.conf and reload the server; if it asks for encryption, set sslmode=require",
        ),
        Refusal::NoSuchRole => (
            "the role does not exist or may not log in".to_owned(),
            "CREATE ROLE name LOGIN REPLICATION PASSWORD '...', or correct the user in the connection URL",
        ),
        Refusal::NoSuchDatabase => (
            "the database does not exist".to_owned(),
            "correct the database in the connection URL",
        ),
        Refusal::MissingPrivilege => (
            format!("the role lacks a privilege{}", while_doing(during)),
            "grant it, or let the owner or a superuser run the command",
        ),
        Refusal::NoReplicationRole => (
            "the role may not replicate".to_owned(),
            "as a superuser: ALTER ROLE name REPLICATION (on a managed service, grant its replication role, such as rds_replication)",
        ),
        Refusal::WalLevel => (
            "the server's wal_level is not logical".to_owned(),
            "ALTER SYSTEM SET wal_level = logical, then restart the server",
        ),
        Refusal::NoFreeSlot => (
            "all replication slots of the server are taken".to_owned(),
            "drop an unused one (SELECT * FROM pg_replication_slots) or raise max_replication_slots and restart the server; a second one is needed while ours is made, and while tables are copied later",
        ),
        Refusal::NoFreeWalSender => (
            "all replication connections of the server are taken".to_owned(),
            "end an unused one (SELECT * FROM pg_stat_replication) or raise max_wal_senders and restart the server",
        ),
        Refusal::NoFreeConnection => (
            "the server has no connection left".to_owned(),
            "wait, end idle sessions, or raise max_connections",
        ),
        Refusal::SlotInUse(pid) => (
            match pid {
                Some(pid) => format!("{slot} is being read by another connection, process {pid}"),
                None => format!("{slot} is being read by another connection"),
            },
            "stop the other reader, or choose another slot name for this source; one slot serves one reader",
        ),
        Refusal::SlotMissing => (
            format!("{slot} does not exist"),
            "if it was dropped, changes since then are not in it: a new snapshot is needed, and is never taken unasked",
        ),
        Refusal::SlotExists => (
            format!("{slot} exists already"),
            "choose another slot name, or drop the slot when nobody needs it",
        ),
        Refusal::SlotLost => (
            format!("{slot} has lost log that we have not read"),
            "the server removed it (max_slot_wal_keep_size, or the slot was invalidated): drop the slot and take a new snapshot, and allow more log to be kept",
        ),
        Refusal::SlotElsewhere => (
            format!("{slot} belongs to another database"),
            "use the database in which the slot was created, or another slot name",
        ),
        Refusal::PublicationMissing => (
            "the publication does not exist".to_owned(),
            "CREATE PUBLICATION name FOR TABLE ..., or correct `publication`; one that was created after the slot is not seen in older log",
        ),
        Refusal::SnapshotGone => (
            "the exported snapshot is gone".to_owned(),
            "it lives as long as the connection that exported it, on the same server: do not connect through a pooler or load balancer",
        ),
        Refusal::Standby => (
            "the server is a standby, which cannot do this".to_owned(),
            "connect to the primary (several hosts with target_session_attrs=primary find it)",
        ),
        Refusal::NotNow => (
            "the server is not ready".to_owned(),
            "it is starting, stopping or recovering",
        ),
        Refusal::Terminated => ("the server ended our session".to_owned(), ""),
        Refusal::Cancelled => (
            format!("the server cancelled the command{}", while_doing(during)),
            "",
        ),
        Refusal::Pooler => (
            "the server refuses a session setting at login".to_owned(),
            "connect to Postgres itself: connection poolers such as PgBouncer neither pass these settings on nor carry replication",
        ),
        Refusal::Undecodable => (
            format!("the server cannot decode its log for {slot}"),
            "this is an error inside the server: install its newest minor release and start again; if it stays, drop the slot (SELECT pg_drop_replication_slot('...')) and begin anew, with `store.path` and the destinations pointing at empty folders",
        ),
        Refusal::OutOfResources => ("the server has run out of a resource".to_owned(), ""),
        Refusal::Other => (
            format!("the server refused ({}){}", error.code, while_doing(during)),
            "",
        ),
    };
    (what, help)
}

fn while_doing(during: During<'_>) -> String {
    match during {
        During::Doing(what) => format!(", {what}"),
        During::Slot(slot) => format!(", with replication slot {slot:?}"),
        During::Login => ", at login".to_owned(),
    }
}

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
