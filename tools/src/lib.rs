//! `blacksmith-stream` as a library: the command line of an application of your own.
//!
//! [`Program`] is the stock program; add sources, destinations, flows and drivers to it, and call [`Program::main`].
//! `docs/first-application.md` begins with an empty folder; `examples/` has whole applications.
//!
//! In reading order: `pages` how it takes memory; `cli` what people type; `screen`, `logging` and `table` how it looks;
//! `program`, `drivers` and `assemble` how a configuration becomes an application; then the commands, `run` with its
//! `progress`, `check`, `look`, `order` and `store`; `exit` how each of them ends.

mod pages;
mod cli;
mod screen;
mod logging;
mod table;
mod program;
mod drivers;
mod assemble;
mod progress;
mod run;
mod check;
mod look;
mod order;
mod store;
mod exit;

pub use program::{DestinationDriver, Program, SourceDriver};
