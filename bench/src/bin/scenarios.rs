//! `cargo x bench`: see [`blacksmith_bench::e2e`].

use std::process::ExitCode;

/// The stock binary's, so that what runs in this process is comparable.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    blacksmith_bench::e2e::run()
}
