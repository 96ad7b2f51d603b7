//! Blacksmith's Postgres source, in reading order: each module may use only those above it.

pub mod connection;
pub mod catalog;
pub mod protocol;
pub mod value;
pub mod changes;
mod body;
pub mod envelope;
mod pages;
pub mod decoder;
pub mod state;
pub mod options;
mod stream;
mod schemas;
mod enquiry;
mod tables;
mod slot;
mod retry;
mod blocking;
mod snapshot;
mod scout;
mod setup;
mod reconcile;
pub mod source;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

pub use options::PostgresOptions;
pub use source::PostgresSource;
pub use stream::Ack;
