//! Blacksmith's engine and SDK, in reading order: each module uses only those above it.
//!
//! Follow one event: a [`source`] hands it to the [`door`], where the [`store`] gives it a position
//! and makes it durable; the [`scheduler`] follows what is durable and files it in the [`queue`]'s
//! lanes; a lane's batch is loaded by an action of a [`destination`], and what the action reports
//! goes back into the same store as transitions of its jobs.

pub mod error;
pub mod secret;
pub mod clock;
pub mod finding;
pub mod schedule;
pub mod position;
pub mod spans;
pub mod event;
pub mod id;
pub mod json;
pub mod fault;
pub mod job;
pub mod version;
pub mod service;
pub mod ring;
pub mod log;
pub mod store;
pub mod watermark;
pub mod door;
pub mod call;
pub mod flow;
pub mod source;
pub mod pubsub;
pub mod document;
pub mod rows;
pub mod destination;
pub mod settings;
#[cfg(feature = "http")]
pub mod server;
pub mod gateway;
pub mod query;
pub mod operate;
#[cfg(feature = "http")]
pub mod admin;
pub mod queue;
pub mod scheduler;
pub mod app;
