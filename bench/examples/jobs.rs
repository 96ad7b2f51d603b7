//! Measures events that become jobs, end to end and without a database: see [`blacksmith_bench::e2e::jobs`]. Beside it, in
//! the same run, the ceiling: the same bytes written and synced with nothing else to do.
//!
//! `cargo run --release -p blacksmith-bench --example jobs -- [million events] [folder]`

#![allow(clippy::print_stdout, reason = "figures for a person")]

use std::fs;
use std::path::{Path, PathBuf};

use blacksmith_bench::e2e::jobs::{self, BATCH_ROWS, Mark};
use blacksmith_bench::e2e::log;
use blacksmith_core::error::{Error, Result};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events of one request, where requests carry many.
const BULK: usize = 500;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let millions = args.next().and_then(|text| text.parse::<f64>().ok());
    let events = (millions.unwrap_or(2.0) * 1e6) as usize;
    let parent = args.next().map_or("target/jobs".into(), PathBuf::from);
    fs::create_dir_all(&parent).map_err(|error| disk(&error))?;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{events} events, batches of {BATCH_ROWS} jobs; load {}",
        load.trim()
    );
    for (name, bulk) in [
        ("one event in a request", 1),
        ("500 events in a request", BULK),
    ] {
        println!("{name}");
        // Has the peak of memory counted from here on; where that is not allowed it is that of the whole run.
        _ = fs::write("/proc/self/clear_refs", "5");
        let folder = tempfile::tempdir_in(&parent).map_err(|error| disk(&error))?;
        measure(folder.path(), events, bulk)?;
    }
    Ok(())
}

fn disk(error: &std::io::Error) -> Error {
    Error::unavailable(format!("the folder cannot be used: {error}"))
}

fn measure(folder: &Path, events: usize, bulk: usize) -> Result<()> {
    let together = jobs::together(folder, events, bulk)?;
    println!("  intake      {}", rate(&together.intake, events, "events"));
    println!("  end to end  {}", rate(&together.settled, events, "jobs"));
    let behind = jobs::far_behind(folder, events)?;
    println!("  far behind  {}", rate(&behind, events, "jobs"));
    let (records, bytes) = jobs::transitions(folder)?;
    let each = bytes as f64 / (2 * events) as f64;
    println!("  transitions {records} records, {each:.4} bytes per job");
    let (path, bytes) = (folder.to_string_lossy(), together.log_bytes.to_string());
    let ceiling = log::write(&[&path, &bytes, "1"]).map_err(Error::unavailable)?;
    let mib = together.log_bytes as f64 / f64::from(1 << 20);
    println!(
        "  ceiling     {mib:.0} MiB in {:.2} s, {:.0} MiB/s",
        ceiling.seconds,
        mib / ceiling.seconds
    );
    Ok(())
}

fn rate(mark: &Mark, count: usize, what: &str) -> String {
    let (per_second, took) = (mark.rate(count), mark.seconds);
    let processor = mark.usage.cpu_seconds * 1e6 / count as f64;
    let peak = mark.usage.rss_peak_bytes >> 20;
    format!(
        "{per_second:>9.0} {what}/s in {took:.2} s; {processor:.2} CPU s per million; peak {peak} MiB"
    )
}
