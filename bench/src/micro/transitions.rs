//! What became of jobs, as the store records it: encoded for the log, and taken by the catalog.

use std::hint::black_box;

use blacksmith_core::clock::Timestamp;
use blacksmith_core::job::{Status, Transition};
use blacksmith_core::position::{Position, Span};
use blacksmith_core::store::measured::Ledger;

use super::{Piece, Work};

/// Loads of a turn that succeed as a whole, and such of which some jobs fail: each of them records
/// 200 times as many transitions.
const WHOLE: u64 = 1_000;
const SCATTERED: u64 = 10;
/// Jobs of a load.
const JOBS: u64 = 10_000;
/// One job of so many fails at first, where failures are scattered.
const FAILING: u64 = 100;

/// Loads that succeed as a whole, and such of which some jobs fail and are tried once more.
#[must_use]
pub fn transitions() -> Vec<Piece> {
    vec![
        Piece::new("transitions of whole batches".into(), || {
            recorded((0..WHOLE).flat_map(whole).collect())
        }),
        Piece::new("transitions of scattered failures".into(), || {
            recorded((0..SCATTERED).flat_map(scattered).collect())
        }),
    ]
}

/// Takes these records into an empty catalog, one by one.
fn recorded(records: Vec<Vec<Transition>>) -> Work {
    let transitions = records.iter().map(|record| record.len() as u64).sum();
    Work::new(transitions, record_all(&records), move || {
        black_box(record_all(&records));
    })
}

/// The bytes that the records have. All of their jobs are settled at the end.
fn record_all(records: &[Vec<Transition>]) -> u64 {
    let mut ledger = Ledger::new().expect("a lane");
    let bytes = records
        .iter()
        .map(|record| ledger.record(record).expect("the lane is known") as u64);
    let bytes = bytes.sum();
    let last = records.iter().flatten().map(|own| own.span.last).max();
    assert_eq!(Some(ledger.settled_upto()), last);
    bytes
}

/// Executing, then succeeded.
fn whole(load: u64) -> [Vec<Transition>; 2] {
    let span = Span::starting(Position(1 + load * JOBS), JOBS);
    [Status::Executing, Status::Succeeded].map(|status| vec![transition(span, status, 1)])
}

/// Executing; some failed and the rest succeeded; those executing again; succeeded.
fn scattered(load: u64) -> [Vec<Transition>; 4] {
    let all = Span::starting(Position(1 + load * JOBS), JOBS);
    let runs = (0..JOBS / FAILING).map(|run| all.first.plus(run * FAILING));
    let (failing, fine): (Vec<Span>, Vec<Span>) = runs
        .map(|first| {
            (
                Span::starting(first, 1),
                Span::starting(first.next(), FAILING - 1),
            )
        })
        .unzip();
    let each = |spans: &[Span], status, attempt| -> Vec<Transition> {
        let spans = spans.iter();
        spans
            .map(|span| transition(*span, status, attempt))
            .collect()
    };
    [
        each(&[all], Status::Executing, 1),
        [
            each(&failing, Status::Failed, 1),
            each(&fine, Status::Succeeded, 1),
        ]
        .concat(),
        each(&failing, Status::Executing, 2),
        each(&failing, Status::Succeeded, 2),
    ]
}

fn transition(span: Span, status: Status, attempt: u32) -> Transition {
    let error = (status == Status::Failed).then(|| "the endpoint answered 503".to_owned());
    Transition {
        lane: Ledger::LANE,
        span,
        status,
        attempt,
        at: Timestamp(1_700_000_000_000_000),
        error,
        command: None,
    }
}
