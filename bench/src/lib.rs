//! Blacksmith's benchmarks: one file per structure in `benches/`, and measurements of the disk in
//! `examples/`. README.md beside this crate says how to run them and how far to trust them.
