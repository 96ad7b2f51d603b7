//! Orders: `jobs retry` and its like, and `actions`.
//!
//! The process that runs on the store carries them out when there is one, through its admin socket; else this one opens
//! the store and does. Both leave the same transitions.

mod actions;
mod hand;
mod jobs;
mod socket;

pub(crate) use actions::actions;
pub(crate) use jobs::jobs;
