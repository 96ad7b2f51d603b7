//! One order for one lane, and what comes of it. Pure.

use std::collections::BTreeMap;

use super::selection::Selection;
use crate::clock::Timestamp;
use crate::destination::Ordering;
use crate::job::{Command, Status, Transition};
use crate::spans::Spans;
use crate::store::{Lane, OpenSpan};

/// Bytes of a reason, at most.
const REASON_BYTES_MAX: usize = 512;
/// Bytes of reasons in one record, about: with what else a transition takes, a record holds them.
const RECORD_REASONS_BYTES_MAX: usize = 8 << 20;
/// Transitions in one record.
const RECORD_TRANSITIONS_MAX: usize = 100_000;

/// What an operator wants done.
#[derive(Debug, Clone)]
pub struct Order {
    /// What.
    pub command: Command,
    /// With which jobs.
    pub jobs: Selection,
    /// Why, kept with the jobs that are discarded, cancelled or paused. At most 512 bytes; the rest is cut off.
    pub reason: Option<String>,
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

/// What an order came to in one lane. In both there may be positions that hold no job of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Obeyed {
    pub(crate) taken: Spans,
    pub(crate) refused: BTreeMap<Why, Spans>,
}

/// Why a command is not carried out on a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// The command does not concern jobs that stand so.
    Stands(Status),
    /// It is paused.
    Paused,
    /// Its action loads in order, so that no single job of it can be passed over.
    Ordered,
}

impl Why {
    /// Where the job stands, in a word.
    pub(super) fn standing(self) -> &'static str {
        match self {
            Why::Stands(status) => status.name(),
            Why::Paused => "paused",
            Why::Ordered => "ordered",
        }
    }

    /// Why, and what can be done instead.
    pub(super) fn reason(self, command: Command) -> &'static str {
        use Status::{Acknowledged, Awaiting, Discarded, Executing, Failed, Succeeded, Unknown};
        match (self, command) {
            (Why::Ordered, _) => {
                "the action loads in order, and single jobs of it are not paused: pause the action"
            }
            (Why::Paused, Command::Pause) => "paused already",
            (Why::Paused, _) => "paused: resume it",
            (Why::Stands(Executing), _) => "executing: wait for the end of its load, or cancel it",
            (Why::Stands(Succeeded), _) => "succeeded already",
            (Why::Stands(Discarded), Command::Pause | Command::Resume) => {
                "discarded: retry it first"
            }
            (Why::Stands(Discarded), _) => "discarded already",
            (Why::Stands(Unknown), _) => {
                "held, because its outcome is unknown: retry or discard it"
            }
            (Why::Stands(Acknowledged | Awaiting), Command::Retry) => {
                "not loaded yet: it waits for its load"
            }
            (Why::Stands(Acknowledged | Awaiting | Failed), _) => "not paused",
        }
    }
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

/// Which jobs of `lane` an order changes. `ordering` is unknown where no action is configured.
pub(crate) fn decide(
    lane: &Lane,
    order: &LaneOrder,
    ordering: Option<Ordering>,
    at: Timestamp,
) -> Decision {
    let pauses = matches!(order.command, Command::Pause | Command::Resume);
    let never = (pauses && ordering == Some(Ordering::Ordered)).then_some(Why::Ordered);
    let mut transitions = Vec::new();
    let mut obeyed = Obeyed::default();
    for open in order.among.iter().flat_map(|span| lane.all(span)) {
        let wanted = order.statuses.is_empty() || order.statuses.contains(&open.status);
        if !wanted {
            continue;
        }
        if let Some(why) = never.or_else(|| refusal(order.command, &open)) {
            obeyed.refused.entry(why).or_default().add(open.span);
            continue;
        }
        obeyed.taken.add(open.span);
        transitions.push(Transition {
            lane: lane.id,
            span: open.span,
            status: after(order.command),
            attempt: open.attempt,
            at,
            error: reason(order),
            command: Some(order.command),
        });
    }
    Decision {
        transitions,
        obeyed,
    }
}

/// Transitions in parts, each of which one record holds.
pub(crate) fn pieces(transitions: &[Transition]) -> impl Iterator<Item = &[Transition]> {
    let longest = transitions.iter().filter_map(|own| own.error.as_deref());
    let longest = longest.map(str::len).max().unwrap_or(0).max(1);
    let size = (RECORD_REASONS_BYTES_MAX / longest).clamp(1, RECORD_TRANSITIONS_MAX);
    transitions.chunks(size)
}

/// Why a command does not concern a job, if it does not.
fn refusal(command: Command, open: &OpenSpan) -> Option<Why> {
    use Status::{Acknowledged, Awaiting, Discarded, Failed, Succeeded, Unknown};
    let held = is_held(open);
    let concerns = match command {
        Command::Retry => matches!(open.status, Failed | Discarded | Unknown),
        Command::Discard | Command::Cancel => !matches!(open.status, Succeeded | Discarded),
        Command::Pause => matches!(open.status, Acknowledged | Awaiting | Failed) && !held,
        Command::Resume => held,
    };
    match (concerns, held) {
        (true, _) => None,
        (false, true) => Some(Why::Paused),
        (false, false) => Some(Why::Stands(open.status)),
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
