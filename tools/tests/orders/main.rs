//! What operators order of jobs and actions, with the program running and without.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "../running/mod.rs"]
mod running;
mod endpoint;
mod house;
mod jobs;
mod actions;
mod access;
mod damage;
