//! Blacksmith's destinations: where events are loaded.
//!
//! - [`parquet`]: the change log of each table, as Parquet files in a folder or an object store.

pub mod parquet;
