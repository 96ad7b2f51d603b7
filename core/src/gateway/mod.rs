//! The gateway: the service that takes events in.
//!
//! Whatever the mode of a trigger, its events go one way: [`Intake::begin`] gives the extraction its id, user code
//! extracts, [`Intake::prepare`] transforms and marshals, [`Intake::offer`] appends, and the source is answered when
//! the receipt is durable. CDC triggers bring raw blocks to the [`Door`](crate::door::Door) themselves.

mod deprecations;
mod registry;
mod intake;
pub mod route;
pub mod cron;
pub mod subscription;
#[cfg(feature = "http")]
pub mod http;

pub use deprecations::{Deprecations, Owner};
pub(crate) use intake::settle_version;
pub use intake::{
    EXTRACTION_BYTES_MAX, Intake, Prepared, SUB_EVENTS_MAX, Taken, TakenEvent, TakenJob,
};
pub use registry::{Registered, Registry};

#[cfg(test)]
mod tests;
