//! The examples, run as their users run them: each a process of its own, with requests, clocks and signals.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "../running/mod.rs"]
mod running;
mod example;
mod crm;
mod typed_action;
mod batch_action;
mod guide;
