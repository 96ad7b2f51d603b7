//! How long a store with a large log and many scattered live jobs takes to open, how long its lane then takes to begin
//! loading, and how long appends wait while a segment with a large snapshot begins: see [`blacksmith_bench::e2e::restart`].
//!
//! `cargo run --release -p blacksmith-bench --example restart -- FOLDER [GIB] [JOBS]`, by default 10 GiB and 1,000,000 jobs.

#![allow(clippy::print_stdout, reason = "figures for a person")]

use std::error::Error;
use std::path::PathBuf;

use blacksmith_bench::e2e::restart;

/// The stock binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().ok_or("name a folder")?);
    let gib: f64 = args.next().map_or(Ok(10.0), |text| text.parse())?;
    let jobs: u64 = args.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let filled = restart::age(&folder, gib, jobs)?;
    println!(
        "{} bytes in {} segments; the lane keeps {} spans",
        filled.bytes, filled.segments, filled.pieces
    );
    println!(
        "slowest append call {:?}, with the large state {:?}; slowest until durable {:?}",
        filled.slowest_before, filled.slowest, filled.longest
    );
    for _ in 0..3 {
        let ready = restart::get_ready(&folder)?;
        println!(
            "opened in {:?} with {} failed jobs; one block durable in {:?}; the lane's first load began {:?} later",
            ready.opened, ready.failed, ready.recorded, ready.began
        );
    }
    Ok(())
}
