//! The record of transitions without a log around it: for benchmarks, and there only with the feature `measured`.

use super::catalog::Catalog;
use super::record::Record;
use crate::error::Result;
use crate::event::LaneId;
use crate::job::Transition;
use crate::log::{Fold, FrameRef};
use crate::position::Position;

/// A catalog with one lane, from the first position on.
#[derive(Debug, Default)]
pub struct Ledger(Catalog);

impl Ledger {
    /// The lane.
    pub const LANE: LaneId = LaneId(1);

    /// A lane of which nothing has happened yet.
    ///
    /// # Errors
    /// Never: the record is one that the catalog knows.
    pub fn new() -> Result<Ledger> {
        let mut ledger = Ledger::default();
        ledger.append(&Record::Lane {
            id: Ledger::LANE,
            name: "void/one".into(),
            start: Position::FIRST,
        })?;
        Ok(ledger)
    }

    /// Records `transitions` as the log's store does: encodes them, and has the catalog take the frame. Gives back how many
    /// bytes the frame's body has.
    ///
    /// # Errors
    /// When they name another lane.
    pub fn record(&mut self, transitions: &[Transition]) -> Result<usize> {
        self.append(&Record::Transitions(transitions.to_vec()))
    }

    /// The position up to which every job is settled.
    #[must_use]
    pub fn settled_upto(&self) -> Position {
        self.0.settled_upto().unwrap_or(Position::ZERO)
    }

    fn append(&mut self, record: &Record) -> Result<usize> {
        let body = [record.encode()];
        let frame = FrameRef {
            kind: record.kind(),
            first: Position::FIRST,
            count: 0,
            staged: None,
            parts: &body,
        };
        Fold::apply(&mut self.0, &frame)?;
        let [body] = &body;
        Ok(body.len())
    }
}
