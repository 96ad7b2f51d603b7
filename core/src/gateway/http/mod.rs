//! HTTP triggers: from a request to a durable event, and back to a reply.
//!
//! One request goes through [`Gateway`] like this: its route is found ([`Routes`]), its body received within bounds, its `Idempotency-Key`
//! looked up; the trigger extracts, the [`Intake`](super::Intake) prepares and offers, and when the receipt is durable the reply is 202 with the
//! ids. Every error on the way is the model's error object ([`crate::fault`]), and nothing is stored then.
//!
//! [`HttpSource`] is a source made of configuration alone.

mod keys;
mod reply;
mod routes;
mod service;
mod source;
mod traffic;
#[cfg(test)]
mod tests;

pub use crate::settings::Keeping;
pub use routes::Routes;
pub use service::{Gateway, HttpTrigger, Middleware, Options};
pub use source::{HttpOptions, HttpSource};
