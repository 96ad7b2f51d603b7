//! What a life is made of.

use proptest::prelude::*;

use super::super::house::{KINDS, ROWS};
use crate::job::Status;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Documents(Vec<usize>),
    Rows(Vec<usize>),
    /// A lane takes what comes next and loads it.
    Load {
        lane: usize,
        size: u64,
        outcome: Outcome,
    },
    /// A lane tries something again that is open.
    Again {
        lane: usize,
        which: usize,
        outcome: Outcome,
    },
    /// An operator's command over a span.
    Operate {
        lane: usize,
        first: u64,
        length: u64,
        discard: bool,
    },
    Crash(u64),
    Restart,
    Clock(i64),
    Retain,
}

/// What a load says of its jobs.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// Parts of the span, as (place, length, what), the first report of a job counts.
    pub(super) reports: Vec<(u64, u64, Report)>,
    pub(super) rest: Report,
    /// Whether what fails is followed up.
    pub(super) follows_up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    Succeeded,
    Failed,
    Discarded,
    Unknown,
    /// The process dies before anything is said.
    Nothing,
}

impl Report {
    pub(super) fn status(self) -> Option<Status> {
        match self {
            Report::Succeeded => Some(Status::Succeeded),
            Report::Failed => Some(Status::Failed),
            Report::Discarded => Some(Status::Discarded),
            Report::Unknown => Some(Status::Unknown),
            Report::Nothing => None,
        }
    }
}

pub(super) fn report() -> impl Strategy<Value = Report> {
    prop_oneof![
        4 => Just(Report::Succeeded),
        2 => Just(Report::Failed),
        1 => Just(Report::Discarded),
        1 => Just(Report::Unknown),
    ]
}

pub(super) fn outcome() -> impl Strategy<Value = Outcome> {
    let reports = proptest::collection::vec((0u64..20, 1u64..5, report()), 0..4);
    let rest = prop_oneof![9 => report(), 1 => Just(Report::Nothing)];
    (reports, rest, any::<bool>()).prop_map(|(reports, rest, follows_up)| Outcome {
        reports,
        rest,
        follows_up,
    })
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let documents = proptest::collection::vec(0..ROWS, 1..6).prop_map(Step::Documents);
    let rows = proptest::collection::vec(ROWS..KINDS.len(), 1..6).prop_map(Step::Rows);
    let load = (0usize..2, 1u64..12, outcome());
    let again = (0usize..2, 0usize..9, outcome());
    let operate = (0usize..2, 1u64..60, 0u64..9, any::<bool>());
    prop_oneof![
        4 => documents,
        4 => rows,
        8 => load.prop_map(|(lane, size, outcome)| Step::Load { lane, size, outcome }),
        6 => again.prop_map(|(lane, which, outcome)| Step::Again { lane, which, outcome }),
        3 => operate.prop_map(|(lane, first, length, discard)| Step::Operate {
            lane,
            first,
            length,
            discard,
        }),
        2 => any::<u64>().prop_map(Step::Crash),
        1 => Just(Step::Restart),
        2 => (-100i64..1_000).prop_map(Step::Clock),
        1 => Just(Step::Retain),
    ]
}
