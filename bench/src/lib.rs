//! Blacksmith's benchmarks: structures by themselves in `benches/` ([`micro`], held by the [`guard`]), single parts of the
//! whole in `examples/`, which share [`house`], and the program from end to end beside its ceilings in [`e2e`].
//! README.md beside this crate says how to run them and how far to trust them.

pub mod house;
pub mod micro;
pub mod guard;
pub mod e2e;
