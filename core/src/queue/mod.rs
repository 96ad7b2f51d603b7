//! Lanes: what is routed to one action, gathered into batches.
//!
//! A lane holds no events. It follows the store's blocks in order of position and decides where one
//! batch ends; a few blocks stay in memory as a cache of what the load will read next. A lane that keeps up is
//! handed what became durable from memory ([`Store::follow`](crate::store::Store::follow)), and one that is behind reads
//! everything from the log.

mod batch;
mod lane;

pub use batch::{Batch, BatchLimits, Close};
pub use lane::LaneReader;

#[cfg(test)]
mod tests;
