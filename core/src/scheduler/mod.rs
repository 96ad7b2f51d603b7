//! The scheduler: one runner per lane, from durable events to settled jobs.
//!
//! A runner gathers a batch, records it as `executing`, loads it, and records what came out, in that
//! order and durably, so that a crash at any point leads to the same batch being formed again.
//!
//! One task per lane decides everything that is recorded of it (`runner`), so no two of its transitions can
//! contradict each other; loads run beside it (`hands`, `load`, `decode`), one at a time for an ordered action. What came out
//! (`settle`) is recorded together with the jobs that follow (`follow`).

mod counters;
mod routing;
mod settle;
mod turns;
mod stretch;
mod decode;
mod load;
mod follow;
mod retries;
mod timing;
mod pace;
mod filing;
mod hands;
mod telling;
mod runner;
mod resume;
mod orders;
mod lane;
#[cfg(test)]
mod tests;

pub use counters::{Counter, LaneCounters};
pub use lane::{LaneHandle, LaneSettings, start_lane};
pub use routing::Routing;
