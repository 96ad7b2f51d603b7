//! Measures the event log on this machine's disk: appends with `fdatasync`, reading back, opening.
//!
//! `cargo run --release -p blacksmith-bench --example log_append -- [folder]`

#![allow(clippy::print_stdout, reason = "figures for a person")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blacksmith_core::error::{Error, Result};
use blacksmith_core::log::{AppendError, Log, LogOptions, SyncMode, SystemDisk};
use blacksmith_core::position::Position;
use bytes::Bytes;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<()> {
    let parent = std::env::args().nth(1).map(PathBuf::from);
    let parent = parent.unwrap_or_else(std::env::temp_dir);
    for sync in [SyncMode::Always, SyncMode::Never] {
        println!("sync {sync:?}");
        one_by_one(&parent, sync, 2000)?;
        for (threads, frame_bytes, frames) in [
            (8, 256, 200_000),
            (1, 4 << 10, 100_000),
            (1, 64 << 10, 16_000),
            (1, 1 << 20, 1000),
        ] {
            flow(&parent, sync, threads, frame_bytes, frames)?;
        }
    }
    Ok(())
}

/// A new log in a folder of its own, which goes away with it.
fn open(parent: &Path, sync: SyncMode) -> Result<(Log<()>, TempDir)> {
    let folder = tempfile::tempdir_in(parent)
        .map_err(|error| Error::unavailable("cannot make a folder").because(error))?;
    let options = LogOptions {
        sync,
        ..LogOptions::default()
    };
    let log = Log::open(folder.path(), options, SystemDisk::shared(), ())?.log;
    Ok((log, folder))
}

/// A lone appender that waits for each frame.
fn one_by_one(parent: &Path, sync: SyncMode, frames: usize) -> Result<()> {
    let (log, _folder) = open(parent, sync)?;
    let body = Bytes::from(vec![7; 256]);
    let mut took = Vec::with_capacity(frames);
    for _ in 0..frames {
        let started = Instant::now();
        log.append(1, 1, std::slice::from_ref(&body))?
            .wait(PATIENCE)?;
        took.push(started.elapsed());
    }
    took.sort_unstable();
    let at = |share: usize| took.get(frames * share / 100).copied().unwrap_or_default();
    println!("  one by one, 256 B: p50 {:?}, p99 {:?}", at(50), at(99));
    log.close()
}

/// Appenders that wait only for room.
fn flow(
    parent: &Path,
    sync: SyncMode,
    threads: usize,
    frame_bytes: usize,
    frames: usize,
) -> Result<()> {
    let (log, folder) = open(parent, sync)?;
    let body = Bytes::from(vec![7; frame_bytes]);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| append_all(&log, &body, frames / threads));
        }
    });
    let last = log.next_position().previous();
    log.durable().wait_past(last.previous(), PATIENCE)?;
    let took = started.elapsed().as_secs_f64();
    let mib = (frames * frame_bytes) as f64 / f64::from(1 << 20);
    let started = Instant::now();
    let mut reader = log.reader(Position::FIRST);
    let mut read = 0;
    while let Some(frame) = reader.next()? {
        read += frame.body.len();
    }
    let reading = started.elapsed().as_secs_f64();
    assert_eq!(read, frames * frame_bytes, "everything is read back");
    log.close()?;
    let started = Instant::now();
    let options = LogOptions::default();
    let reopened = Log::open(folder.path(), options, SystemDisk::shared(), ())?;
    println!(
        "  {threads} x {frame_bytes} B: {:.0} frames/s, {:.0} MiB/s; read {:.0} MiB/s; opened in {:?}",
        frames as f64 / took,
        mib / took,
        mib / reading,
        started.elapsed(),
    );
    reopened.log.close()
}

fn append_all(log: &Log<()>, body: &Bytes, frames: usize) {
    for _ in 0..frames {
        loop {
            match log.append(1, 1, std::slice::from_ref(body)) {
                Ok(_) => break,
                Err(AppendError::Full) => {
                    let room = log.wait_for_room(body.len(), PATIENCE);
                    assert!(room.is_ok(), "the log stopped: {room:?}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}
