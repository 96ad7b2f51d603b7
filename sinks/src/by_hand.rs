//! Batches of jobs made by hand, for tests of actions.

use std::sync::Arc;

use blacksmith_core::clock::{SystemClock, Timestamp};
use blacksmith_core::destination::{Action, Outcome, Piece, Queue, Then, Thens, Toolkit};
use blacksmith_core::error::Result;
use blacksmith_core::event::{LaneId, StoreId};
use blacksmith_core::id::Id;
use blacksmith_core::job::{EventHead, Origin, QueuedJob};
use blacksmith_core::json::Json;
use blacksmith_core::position::{Position, Span};

/// The store that all jobs are of.
pub(crate) const STORE: StoreId = StoreId(0x00c0_ffee);

/// The job of an event of `web/signup` at `position`.
pub(crate) fn job(position: u64, data: &str) -> QueuedJob {
    let (lane, at) = (LaneId(1), Timestamp(1_700_000_000_000_000));
    let position = Position(position);
    QueuedJob {
        id: Id::of_job(STORE, lane, position, at),
        position,
        parent: None,
        event: EventHead {
            id: Id::of_event(STORE, position, at),
            parent: None,
            origin: Arc::new(Origin {
                source: "web".into(),
                trigger: "signup".into(),
                version: None,
            }),
            received_at: at,
            sent_at: None,
        },
        version: None,
        context: Json::null(),
        data: Json::parse(data.to_owned().into()).unwrap(),
        sent_at: None,
    }
}

/// Jobs at `first` to `last`, each with its position as data.
pub(crate) fn jobs(first: u64, last: u64) -> Vec<QueuedJob> {
    (first..=last).map(|at| job(at, &at.to_string())).collect()
}

pub(crate) fn toolkit() -> Toolkit {
    Toolkit {
        head: Position(1_000_000_000),
        ..Toolkit::by_hand("by/hand", STORE, SystemClock::shared())
    }
}

/// What came of a load.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) thens: Vec<Then>,
    pub(crate) result: Result<()>,
}

impl Loaded {
    /// Whether everything was reported as succeeded, at once.
    pub(crate) fn all_succeeded(&self) -> bool {
        let [then] = &self.thens[..] else {
            return false;
        };
        self.result.is_ok() && matches!(then.outcome, Outcome::Succeeded)
    }

    /// The error that `load` returned.
    pub(crate) fn error(&self) -> String {
        self.result.as_ref().unwrap_err().report()
    }
}

/// Loads `jobs`, in pieces of three, as attempt number `attempt` of the span from their first to their last.
pub(crate) async fn load(action: &dyn Action, jobs: Vec<QueuedJob>, attempt: u32) -> Loaded {
    let span = Span::new(jobs[0].position, jobs[jobs.len() - 1].position);
    let pieces = jobs.chunks(3).map(|piece| Piece::Jobs(piece.to_vec()));
    load_pieces(action, span, pieces.collect(), attempt).await
}

/// Loads `pieces`.
pub(crate) async fn load_pieces(
    action: &dyn Action,
    span: Span,
    pieces: Vec<Piece>,
    attempt: u32,
) -> Loaded {
    load_with(action, &toolkit(), span, pieces, attempt).await
}

/// Loads `pieces` with another toolkit.
pub(crate) async fn load_with(
    action: &dyn Action,
    toolkit: &Toolkit,
    span: Span,
    pieces: Vec<Piece>,
    attempt: u32,
) -> Loaded {
    let (mut queue, feed) = Queue::new(span, span.len(), attempt);
    // Where time is paused, it stands still meanwhile.
    let feeding = tokio::task::spawn_blocking(move || {
        for piece in pieces {
            if !feed.push(Ok(piece)) {
                return;
            }
        }
        feed.finish(None);
    });
    let then = Thens::default();
    let result = action.load(toolkit, &mut queue, &then).await;
    drop(queue);
    feeding.await.unwrap();
    Loaded {
        thens: then.take(),
        result,
    }
}
