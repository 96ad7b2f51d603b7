//! The test bench: what the tests of the whole system share.
//!
//! In reading order: [`wait`] for conditions, a private Postgres ([`server`]) and its databases
//! ([`db`]), the Parquet [`lake`] read back. Nothing here uses Blacksmith's own code: the bench is
//! the witness, not the accused.
//!
//! The bench panics with a full sentence when the machine lacks something: a test that cannot run
//! has failed, it is never skipped silently.

pub mod wait;
pub mod dice;
pub mod folder;
pub mod server;
pub mod db;
pub mod roles;
pub mod lake;
pub mod duckdb;
pub mod workload;
pub mod proxy;
pub mod failpoints;
pub mod stream;
pub mod http;
pub mod endpoint;

use std::path::PathBuf;

/// Cargo's target folder: the one this test binary was built into.
///
/// # Panics
/// When the running program has no path.
#[must_use]
pub fn target_dir() -> PathBuf {
    let program = std::env::current_exe().expect("a running test knows its own path");
    let found = program
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").exists());
    // Without dots: processes are looked for by their folders.
    found.map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).with_file_name("target"),
        PathBuf::from,
    )
}
