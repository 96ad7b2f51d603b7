//! `blacksmith-stream`: Postgres changes, through a durable log, into Parquet.
//!
//! In reading order: [`cli`] what people type; [`screen`], [`logging`] and [`table`] how it looks;
//! [`drivers`] and [`assemble`] how a configuration becomes an application; then the commands, [`run`] with its
//! [`progress`], [`check`], [`look`] and [`store`]; [`exit`] how each of them ends.

mod cli;
mod screen;
mod logging;
mod table;
mod drivers;
mod assemble;
mod progress;
mod run;
mod check;
mod look;
mod store;
mod exit;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Two providers may be linked in; the first one installed decides. An error means it is installed.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    exit::with(cli::Cli::parse())
}
