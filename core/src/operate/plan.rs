//! What is configured of each action, as far as operators ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::destination::Ordering;
use crate::schedule::Schedule;

/// What is configured of one action.
#[derive(Debug, Clone)]
pub struct Plan {
    /// When it loads.
    pub schedule: Schedule,
    /// How its failures are treated.
    pub ordering: Ordering,
}

/// The plans of all configured actions, by `destination/action`. A lane without one has no action any more.
pub type Plans = BTreeMap<Arc<str>, Plan>;
