//! One order for one lane, and what comes of it. Pure.

use std::sync::Arc;

use super::selection::Selection;
use crate::clock::Timestamp;
use crate::destination::Ordering;
use crate::error::{Error, Result};
use crate::job::{Command, Status, Transition};
use crate::spans::Spans;
use crate::store::{Lane, OpenSpan};

/// Bytes of a reason, at most.
const REASON_BYTES_MAX: usize = 4_096;

/// What an operator wants done.
#[derive(Debug, Clone)]
pub struct Order {
    /// What.
    pub command: Command,
    /// With which jobs.
    pub jobs: Selection,
    /// Why, kept with the jobs that are discarded, cancelled or paused. At most 4 KiB; the rest is cut off.
    pub reason: Option<String>,
}

/// What an order came to in one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obeyed {
    /// `destination/action`.
    pub lane: Arc<str>,
    /// Positions whose jobs changed. Those that no route leads from have no job, and are counted all the same.
    pub changed: u64,
    /// Positions that were selected, and whose jobs the command does not concern as they stand.
    pub unchanged: u64,
}

/// An order as one lane is given it.
#[derive(Debug, Clone)]
pub(crate) struct LaneOrder {
    pub(crate) command: Command,
    /// Positions that the store has.
    pub(crate) among: Spans,
    /// Only jobs that stand so; any, when empty.
    pub(crate) statuses: Vec<Status>,
    pub(crate) reason: Option<String>,
}

/// What is to be recorded.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) transitions: Vec<Transition>,
    pub(crate) obeyed: Obeyed,
}

/// Whether jobs are awaiting because an operator paused them: then a reason is kept.
pub(crate) fn is_held(open: &OpenSpan) -> bool {
    open.status == Status::Awaiting && open.error.is_some()
}

/// Which jobs of `lane` an order changes.
///
/// # Errors
/// `Refused` when single jobs of an ordered action are to be paused.
pub(crate) fn decide(
    lane: &Lane,
    order: &LaneOrder,
    ordering: Option<Ordering>,
    at: Timestamp,
) -> Result<Decision> {
    let pauses = matches!(order.command, Command::Pause | Command::Resume);
    if pauses && ordering == Some(Ordering::Ordered) {
        let what = format!(
            "{} loads in order: single jobs of it are not paused",
            lane.name
        );
        return Err(Error::refused(what).help("pause the whole action"));
    }
    let mut decision = Decision {
        transitions: Vec::new(),
        obeyed: Obeyed {
            lane: Arc::clone(&lane.name),
            changed: 0,
            unchanged: 0,
        },
    };
    for open in order.among.iter().flat_map(|span| lane.all(span)) {
        let wanted = order.statuses.is_empty() || order.statuses.contains(&open.status);
        if !wanted {
            continue;
        }
        if !concerns(order.command, &open) {
            decision.obeyed.unchanged += open.span.len();
            continue;
        }
        decision.obeyed.changed += open.span.len();
        decision.transitions.push(Transition {
            lane: lane.id,
            span: open.span,
            status: after(order.command),
            attempt: open.attempt,
            at,
            error: reason(order),
            command: Some(order.command),
        });
    }
    Ok(decision)
}

fn concerns(command: Command, open: &OpenSpan) -> bool {
    use Status::{Acknowledged, Awaiting, Discarded, Failed, Succeeded, Unknown};
    match command {
        Command::Retry => matches!(open.status, Failed | Discarded | Unknown),
        Command::Discard | Command::Cancel => !matches!(open.status, Succeeded | Discarded),
        Command::Pause => matches!(open.status, Acknowledged | Awaiting | Failed) && !is_held(open),
        Command::Resume => is_held(open),
    }
}

fn after(command: Command) -> Status {
    match command {
        Command::Discard | Command::Cancel => Status::Discarded,
        Command::Retry | Command::Pause | Command::Resume => Status::Awaiting,
    }
}

fn reason(order: &LaneOrder) -> Option<String> {
    let done = match order.command {
        Command::Retry | Command::Resume => return None,
        Command::Discard => "discarded by an operator",
        Command::Cancel => "cancelled by an operator",
        Command::Pause => "paused by an operator",
    };
    let given = order.reason.as_deref().filter(|reason| !reason.is_empty());
    let mut reason = given.map_or_else(|| done.to_owned(), |why| format!("{done}: {why}"));
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    Some(reason)
}
