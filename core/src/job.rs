//! Jobs and their history: states, and transitions over ranges of positions.
//!
//! The job of action A for the event at position P exists because A is routed to P; nobody stores
//! a row for it. Its history is the list of [`Transition`]s of A's lane whose span contains P.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::event::LaneId;
use crate::id::Id;
use crate::json::Json;
use crate::position::{Position, Span};

/// What `marshal` makes of an event for one action: fields left out are the event's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Job {
    /// The destination's version that the job is written for; none takes its default.
    pub version: Option<Arc<str>>,
    /// Metadata in place of the event's.
    pub context: Option<Json>,
    /// Data in place of the event's.
    pub data: Option<Json>,
    /// When it was sent originally, in place of the event's.
    pub sent_at: Option<Timestamp>,
}

/// What every event of one trigger and version has in common.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The source.
    pub source: Arc<str>,
    /// The trigger, for a table `schema.table`.
    pub trigger: Arc<str>,
    /// The source's version; none when the source has no versions.
    pub version: Option<Arc<str>>,
}

/// The event that a job belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventHead {
    /// Its id.
    pub id: Id,
    /// The event that was extracted together with it, when this is a sub-event.
    pub parent: Option<Id>,
    /// Whose it is.
    pub origin: Arc<Origin>,
    /// When it was received.
    pub received_at: Timestamp,
    /// When it was sent originally, if the trigger said so.
    pub sent_at: Option<Timestamp>,
}

/// One job as an action is given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedJob {
    /// Its id.
    pub id: Id,
    /// Where it stands in its lane: that of its event, or one of its own for a follow-up.
    pub position: Position,
    /// The job that this one follows up.
    pub parent: Option<Id>,
    /// Its event.
    pub event: EventHead,
    /// The destination's version that it is written for; none when the destination has no versions.
    pub version: Option<Arc<str>>,
    /// Metadata: the job's own, else the event's.
    pub context: Json,
    /// Data: the job's own, else the event's.
    pub data: Json,
    /// When it was sent originally: the job's own time, else the event's.
    pub sent_at: Option<Timestamp>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Stored; no attempt yet.
    Acknowledged,
    /// In its lane, or waiting for a retry.
    Awaiting,
    /// Handed to the action.
    Executing,
    /// Loaded.
    Succeeded,
    /// The last attempt failed; it will be tried again.
    Failed,
    /// Given up, by the action or because its retries ran out. Stays visible.
    Discarded,
    /// The action returned without saying; held for an operator.
    Unknown,
}

impl Status {
    /// All states, in the order a job usually meets them.
    pub const ALL: [Status; 7] = [
        Status::Acknowledged,
        Status::Awaiting,
        Status::Executing,
        Status::Succeeded,
        Status::Failed,
        Status::Discarded,
        Status::Unknown,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::Acknowledged => "acknowledged",
            Status::Awaiting => "awaiting",
            Status::Executing => "executing",
            Status::Succeeded => "succeeded",
            Status::Failed => "failed",
            Status::Discarded => "discarded",
            Status::Unknown => "unknown",
        }
    }

    /// Whether nothing more happens to the job by itself.
    #[must_use]
    pub fn is_settled(self) -> bool {
        matches!(self, Status::Succeeded | Status::Discarded)
    }

    /// The number it is stored as.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The state stored as `code`.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Status> {
        Status::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Status {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Status::ALL.into_iter().find(|status| status.name() == text);
        found.ok_or_else(|| {
            let names = Status::ALL.map(Status::name).join(", ");
            Error::invalid(format!("no job status is called \"{text}\""))
                .help(format!("one of {names}"))
        })
    }
}

/// What an operator may have done with jobs. See `operate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Command {
    /// Try them now: what failed, what was given up, what is unknown.
    Retry,
    /// Give them up. A load in hand goes on without them.
    Discard,
    /// Give them up, and drop the load that has them in hand.
    Cancel,
    /// Pass them over until they are resumed.
    Pause,
    /// Load what was paused.
    Resume,
}

impl Command {
    /// All commands.
    pub const ALL: [Command; 5] = [
        Command::Retry,
        Command::Discard,
        Command::Cancel,
        Command::Pause,
        Command::Resume,
    ];

    /// The name on the wire and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Command::Retry => "retry",
            Command::Discard => "discard",
            Command::Cancel => "cancel",
            Command::Pause => "pause",
            Command::Resume => "resume",
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Command {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Command::ALL.into_iter().find(|own| own.name() == text);
        found.ok_or_else(|| {
            let names = Command::ALL.map(Command::name).join(", ");
            Error::invalid(format!("no command is called \"{text}\""))
                .help(format!("one of {names}"))
        })
    }
}

/// One change of state of every job in a span of one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The lane, that is the action.
    pub lane: LaneId,
    /// The positions whose jobs changed.
    pub span: Span,
    /// The state after.
    pub status: Status,
    /// Which attempt this belongs to; 0 before the first.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// Why, for `failed`, `discarded` and `unknown`; for `awaiting`, why they are held back until they are
    /// resumed. At most 4 KiB.
    pub error: Option<String>,
    /// The command of an operator that made the change; none when the engine did.
    pub command: Option<Command>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_its_code_and_its_name() {
        for status in Status::ALL {
            assert_eq!(Status::from_code(status.code()), Some(status));
            assert_eq!(status.name().parse::<Status>().unwrap(), status);
        }
        assert!(
            "done"
                .parse::<Status>()
                .unwrap_err()
                .report()
                .contains("succeeded")
        );
    }
}
