//! Blacksmith's destinations: where events are loaded.
//!
//! - [`parquet`]: the change log of each table, as Parquet files in a folder or an object store.
//! - [`mod@file`]: jobs as lines of JSON in files of a folder.
//! - [`http`]: jobs by requests to an endpoint.
//! - [`stdout`]: jobs as lines of JSON on standard output.
//! - [`blackhole`]: jobs, to nowhere.
//!
//! [`Content`] is what three of them write of a job; [`declared`] are the columns that a table of events may have.

mod line;
#[cfg(test)]
mod by_hand;
mod writable;
pub mod declared;
pub mod blackhole;
pub mod stdout;
pub mod file;
pub mod http;
pub mod parquet;

pub use line::Content;
