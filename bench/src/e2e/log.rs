//! The event log by itself, on the disk of the run: appended to, read back, and that disk without it.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use blacksmith_core::error::Error;
use blacksmith_core::log::{AppendError, Log, LogOptions, SystemDisk, open_read_only};
use blacksmith_core::position::Position;
use bytes::Bytes;

use super::Result;
use super::folder::at;
use super::reading::Answer;
use super::words::{folder, number};

/// Reads a log from its beginning to its end: FOLDER.
pub const REPLAY: &str = "--replay-log";
/// Appends events of 256 bytes from 64 threads: FOLDER EVENTS.
pub const APPEND: &str = "--append-to-log";
/// Appends events of 256 bytes, each when the one before is durable: FOLDER EVENTS.
pub const ONE_BY_ONE: &str = "--append-one-by-one";
/// Writes a file and syncs it, with nothing else to do: FOLDER EVENTS BYTES-OF-EACH.
pub const WRITE: &str = "--write-and-sync";

/// Bytes of an event.
pub const EVENT_BYTES: usize = 256;
const PRODUCERS: u64 = 64;
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of one write, and writes between two syncs: about what the log's writer does when it is busy.
const CHUNK_BYTES: usize = 1 << 20;
const CHUNKS_OF_SYNC: u64 = 8;

/// See [`REPLAY`].
///
/// # Errors
/// When the log cannot be read.
pub fn replay(words: &[&str]) -> Result<Answer> {
    let started = Instant::now();
    let (frames, bytes) = read(folder(words)?).map_err(told)?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Answer::since(started, frames).with("GB/s", bytes as f64 / seconds / 1e9))
}

fn read(folder: &Path) -> std::result::Result<(u64, u64), Error> {
    let log = open_read_only(folder, ())?;
    let mut reader = log.reader(Position::FIRST);
    let (mut frames, mut bytes) = (0, 0);
    while let Some(frame) = reader.next()? {
        frames += 1;
        bytes += frame.body.len() as u64;
    }
    Ok((frames, bytes))
}

/// See [`APPEND`].
///
/// # Errors
/// When the log stops.
pub fn append(words: &[&str]) -> Result<Answer> {
    let events: u64 = number(words, 1)?;
    let each = events.div_ceil(PRODUCERS);
    let log = open(folder(words)?).map_err(told)?;
    let body = Bytes::from(vec![7; EVENT_BYTES]);
    let started = Instant::now();
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|_| scope.spawn(|| produce(&log, &body, each)))
            .collect();
        let mut ended = producers.into_iter().map(|producer| producer.join());
        ended.try_for_each(|ended| ended.map_err(|_| "a producer panicked".to_owned())?)
    })?;
    let last = log.next_position().previous();
    log.durable()
        .wait_past(last.previous(), PATIENCE)
        .map_err(told)?;
    let answer = Answer::since(started, each * PRODUCERS);
    log.close().map_err(told)?;
    Ok(answer)
}

fn produce(log: &Log<()>, body: &Bytes, events: u64) -> Result<()> {
    for _ in 0..events {
        loop {
            match log.append(1, 1, std::slice::from_ref(body)) {
                Ok(_) => break,
                Err(AppendError::Full) => {
                    log.wait_for_room(body.len(), PATIENCE).map_err(told)?;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
    Ok(())
}

/// See [`ONE_BY_ONE`].
///
/// # Errors
/// When the log stops.
pub fn one_by_one(words: &[&str]) -> Result<Answer> {
    let events: u64 = number(words, 1)?;
    let log = open(folder(words)?).map_err(told)?;
    let body = Bytes::from(vec![7; EVENT_BYTES]);
    let mut took = Vec::new();
    let started = Instant::now();
    for _ in 0..events {
        let began = Instant::now();
        let receipt = log.append(1, 1, std::slice::from_ref(&body));
        let receipt = receipt.map_err(|error| error.to_string())?;
        receipt.wait(PATIENCE).map_err(told)?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let answer = Answer::since(started, events);
    log.close().map_err(told)?;
    Ok(super::reading::percentiles("durable", took)
        .into_iter()
        .fold(answer, |answer, (name, ms)| answer.with(&name, ms)))
}

fn open(folder: &Path) -> std::result::Result<Log<()>, Error> {
    Ok(Log::open(folder, LogOptions::default(), SystemDisk::shared(), ())?.log)
}

fn told(error: Error) -> String {
    error.report()
}

/// See [`WRITE`].
///
/// # Errors
/// When the disk fails.
pub fn write(words: &[&str]) -> Result<Answer> {
    let (events, event_bytes): (u64, u64) = (number(words, 1)?, number(words, 2)?);
    let path = folder(words)?.join("sequential");
    let started = Instant::now();
    sequential(&path, events * event_bytes).map_err(|error| at(&path, &error))?;
    let answer = Answer::since(started, events);
    let rate = (events * event_bytes) as f64 / answer.seconds / 1e6;
    Ok(answer.with("MB/s", rate))
}

fn sequential(path: &Path, bytes: u64) -> std::io::Result<()> {
    let chunk = vec![7_u8; CHUNK_BYTES];
    let mut file = File::create(path)?;
    for number in 1..=bytes.div_ceil(CHUNK_BYTES as u64) {
        file.write_all(&chunk)?;
        if number % CHUNKS_OF_SYNC == 0 {
            file.sync_data()?;
        }
    }
    file.sync_data()
}
