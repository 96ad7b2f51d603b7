//! What operators do with jobs: retry, discard, cancel, pause and resume them.
//!
//! An [`Order`] names a [`Command`](crate::job::Command) and a [`Selection`] of jobs; an [`Operator`] has it carried out. Every change leaves a
//! transition that names the command. Where a lane runs, its own task decides, between two of its loads' reports, so
//! that no order can contradict what is being recorded; where it does not, the order is recorded right away.
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
//! after a restart, and its jobs stay what they are.

mod order;
mod operator;
mod selection;

pub(crate) use operator::{Ask, Attendance};
pub use operator::{Operator, is_paused};
pub(crate) use order::{LaneOrder, decide, is_held};
pub use order::{Obeyed, Order};
pub use selection::Selection;
