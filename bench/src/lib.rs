//! Blacksmith's benchmarks: single parts of the whole in `examples/`, which share [`house`], the program from end to end beside
//! its ceilings in [`e2e`], and structures by themselves in `benches/` ([`micro`], held by the [`guard`]).
//! README.md beside this crate says how to run them and how far to trust them.

pub mod house;
pub mod e2e;
pub mod micro;
pub mod guard;
