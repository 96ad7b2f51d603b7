//! `blacksmith-stream`: events from anywhere, through a durable log, to where they belong; the stock program.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    blacksmith_stream::Program::new().main()
}
