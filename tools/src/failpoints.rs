//! `blacksmith-stream` with failpoints: the stock program, as the test bench kills it from within.

use std::process::ExitCode;

use blacksmith_core::failpoint;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What programs exit with whose configuration is wrong.
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    match failpoint::configure() {
        Ok(()) => blacksmith_stream::Program::new().main(),
        Err(error) => {
            eprintln!("{}", error.report());
            ExitCode::from(EXIT_CONFIG)
        }
    }
}
