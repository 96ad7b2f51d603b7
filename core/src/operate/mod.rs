//! What operators do with jobs: retry, discard, cancel, pause and resume them.
//!
//! An [`Order`] names a [`Command`](crate::job::Command) and a [`Selection`] of jobs; an [`Operator`] has it carried out. Every change leaves a
//! transition that names the command. Where a lane runs, its own task decides, between two of its loads' reports, so
//! that no order can contradict what is being recorded; where it does not, the order is recorded right away. An
//! [`Outcome`] says how many jobs were taken, and of those that were not, why.
//!
//! | command | concerns jobs that are | and makes them |
//! |---|---|---|
//! | retry | failed, discarded, unknown | awaiting, due now, whatever retries are left |
//! | discard | anything but succeeded or discarded | discarded; a load in hand goes on without them |
//! | cancel | as discard | discarded; a load that has them in hand is dropped, its other jobs wait again |
//! | pause | acknowledged, awaiting, failed | awaiting, held until they are resumed |
//! | resume | paused | awaiting, due now |
//!
//! An action as a whole is paused and resumed apart from that ([`Operator::pause`]): it begins no load meanwhile, also
//! after a restart, and its jobs stay what they are. [`Operator::standings`] says how all actions stand.

mod plan;
mod selection;
mod order;
mod outcome;
mod memory;
mod operator;
mod standing;
mod wanted;
#[cfg(test)]
mod tests;

pub use memory::Pause;
pub(crate) use memory::paused;
pub use operator::Operator;
pub(crate) use operator::{Ask, Attendance};
pub use order::Order;
pub(crate) use order::{LaneOrder, Obeyed, decide, is_held, pieces};
pub use outcome::{LaneOutcome, Outcome, Refusal, Unknown};
pub use plan::{Plan, Plans};
pub use selection::Selection;
pub use standing::{Standing, State};
pub use wanted::Wanted;
