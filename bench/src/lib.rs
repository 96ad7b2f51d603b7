//! Blacksmith's benchmarks: one file per structure in `benches/`, and measurements of the whole in
//! `examples/`, which share [`house`]. README.md beside this crate says how to run them and how far to trust them.

pub mod house;
