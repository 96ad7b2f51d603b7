//! The scheduler: one runner per lane, from durable events to settled jobs.
//!
//! A runner gathers a batch, records it as `executing`, loads it, and records what came out, in that
//! order and durably, so that a crash at any point leads to the same batch being formed again.

mod lane;
mod load;
mod retries;
mod routing;
mod runner;
mod settle;
#[cfg(test)]
mod tests;

pub use lane::{LaneHandle, LaneSettings, start_lane};
pub use load::Formats;
pub use routing::Routing;
