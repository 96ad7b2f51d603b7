//! The whole path against real servers: Postgres or requests, the program, its log, the Parquet lake.
//!
//! Each test names a claim. The traps of the change-data-capture field that a test holds are listed
//! in `tests/README.md`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod arrange;
mod canary;
mod catch_up;
mod changes;
mod chaos;
mod declared;
mod failpoints;
mod first_copy;
mod full_disk;
mod jobs;
mod lake_away;
mod limits;
mod many_rows;
mod many_tables;
mod names;
mod neighbours;
mod readme;
mod relay;
mod refusals;
mod restarts;
mod roles;
mod schema;
mod slot;
mod transactions;
mod values;
mod versions;
mod webhook;
