//! A store with a large log and many scattered live jobs: filled, and opened again.
//!
//! Every other of twice as many positions has failed on its own, with a time of its own, so that no two jobs are alike.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use blacksmith_core::clock::Timestamp;
use blacksmith_core::destination::{Action, Queue, Thens, Toolkit};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::{About, Draft, FormatId, LaneId, SchemaId, Tally};
use blacksmith_core::job::{Status, Transition};
use blacksmith_core::log::{LogOptions, Retention, SystemDisk};
use blacksmith_core::position::{Position, Span};
use blacksmith_core::queue::BatchLimits;
use blacksmith_core::schedule::PartialSchedule;
use blacksmith_core::store::Store;
use blacksmith_core::store::log::LogStore;
use bytes::Bytes;
use tokio::sync::Notify;

use super::reading::Answer;
use super::words::{folder, number};
use crate::house::{House, runtime};

/// Fills a store: FOLDER GIB JOBS.
pub const FILL: &str = "--fill-store";
/// Opens it, and waits for its lane's first load: FOLDER.
pub const OPEN: &str = "--open-store";

const WAIT: Duration = Duration::from_secs(600);
/// Events of one block, and bytes of each.
const EVENTS: u32 = 8_192;
const EVENT_BYTES: usize = 512;
/// Transitions of one record.
const CHANGES: usize = 100_000;
const SOURCE: &str = "shop";
const LANE: &str = "lake/append";

/// See [`FILL`].
///
/// # Errors
/// When the log stops.
pub fn fill(words: &[&str]) -> super::Result<Answer> {
    let (gib, jobs) = (number(words, 1)?, number(words, 2)?);
    let started = Instant::now();
    let filled = age(folder(words)?, gib, jobs).map_err(|error| error.report())?;
    Ok(Answer::since(started, jobs).with("log GB", filled.bytes as f64 / 1e9))
}

/// See [`OPEN`].
///
/// # Errors
/// When the log cannot be opened.
pub fn open(words: &[&str]) -> super::Result<Answer> {
    let ready = get_ready(folder(words)?).map_err(|error| error.report())?;
    let ms = |took: Duration| took.as_secs_f64() * 1e3;
    let answer = Answer {
        rows: ready.failed,
        seconds: ready.opened.as_secs_f64(),
        ..Answer::default()
    };
    Ok(answer
        .with("opened_ms", ms(ready.opened))
        .with("first_block_durable_ms", ms(ready.recorded))
        .with("first_load_began_ms", ms(ready.began)))
}

/// What came of filling a store.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filled {
    /// Bytes of its log.
    pub bytes: u64,
    /// Files of its log.
    pub segments: usize,
    /// Pieces that its lane's jobs are in.
    pub pieces: usize,
    /// The longest call of `append` before there were many jobs.
    pub slowest_before: Duration,
    /// The same with many.
    pub slowest: Duration,
    /// The longest time until a block was durable, with many jobs.
    pub longest: Duration,
}

/// A store that was opened.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// Jobs that have failed in it.
    pub failed: u64,
    /// How long opening it took.
    pub opened: Duration,
    /// How long the first block then took until it was durable.
    pub recorded: Duration,
    /// How long its lane then took from its start to its first load, which is of what had failed.
    pub began: Duration,
}

fn open_store(folder: &Path) -> Result<LogStore> {
    let retention = Retention {
        max_age: Duration::from_secs(3_600),
        max_bytes: u64::MAX,
    };
    let options = LogOptions::default();
    Ok(LogStore::open(folder, options, SystemDisk::shared(), retention)?.0)
}

fn block(schema: SchemaId) -> Draft {
    Draft {
        format: FormatId::JSON,
        received_at: Timestamp(1),
        tally: vec![Tally {
            schema,
            group: 0,
            count: EVENTS,
        }],
        envelope: Bytes::new(),
        body: Bytes::from(vec![7; EVENTS as usize * EVENT_BYTES]),
        state: Vec::new(),
    }
}

/// Appends a block and waits for it: how long the call took, and how long until it was durable.
fn append(store: &dyn Store) -> Result<(Duration, Duration)> {
    let source = store.register_source(SOURCE)?;
    let schema = store.define(source, About::trigger("orders", Bytes::new()))?;
    let draft = block(schema);
    let started = Instant::now();
    let receipt = store.append(source, draft);
    let receipt = receipt.map_err(|_| Error::unavailable("the log refused a block"))?;
    let accepted = started.elapsed();
    receipt.wait(WAIT)?;
    Ok((accepted, started.elapsed()))
}

/// Fills a store with at least so many GiB and jobs: half of the log first, then the failures, then the rest with the
/// large state.
///
/// # Errors
/// When the log stops.
pub fn age(folder: &Path, gib: f64, jobs: u64) -> Result<Filled> {
    let store = open_store(folder)?;
    let lane = store.register_lane(LANE)?;
    let blocks =
        ((gib * f64::from(1 << 30)) as u64).div_ceil(u64::from(EVENTS) * EVENT_BYTES as u64);
    let blocks = blocks.max((2 * jobs).div_ceil(u64::from(EVENTS)));
    let mut filled = Filled::default();
    for _ in 0..blocks / 2 {
        filled.slowest_before = filled.slowest_before.max(append(&store)?.0);
    }
    scatter(&store, lane, jobs)?;
    filled.pieces = store.lane(lane).map_or(0, |lane| lane.pieces());
    for _ in blocks / 2..blocks {
        let (accepted, durable) = append(&store)?;
        filled.slowest = filled.slowest.max(accepted);
        filled.longest = filled.longest.max(durable);
    }
    let segments = store.segments();
    filled.bytes = segments.iter().map(|segment| segment.bytes).sum();
    filled.segments = segments.len();
    store.close()?;
    Ok(filled)
}

/// Has every other of the first `2 * jobs` positions fail.
fn scatter(store: &LogStore, lane: LaneId, jobs: u64) -> Result<()> {
    let transition = |first: u64, last: u64, status| Transition {
        lane,
        span: Span::new(Position(first), Position(last)),
        status,
        attempt: 1,
        at: Timestamp(first as i64),
        error: (status == Status::Failed).then(|| "the other side is down".to_owned()),
        command: None,
    };
    let mut changes = vec![transition(1, 2 * jobs, Status::Executing)];
    for index in 0..jobs {
        changes.push(transition(2 * index + 1, 2 * index + 1, Status::Failed));
        if changes.len() == CHANGES {
            store.record(&std::mem::take(&mut changes))?.wait(WAIT)?;
        }
    }
    store.record(&changes)?.wait(WAIT)
}

/// Opens a store, records in it, and waits for its lane's first load.
///
/// # Errors
/// When the log cannot be opened.
pub fn get_ready(folder: &Path) -> Result<Ready> {
    let started = Instant::now();
    let store: Arc<dyn Store> = Arc::new(open_store(folder)?);
    let opened = started.elapsed();
    let lane = store.register_lane(LANE)?;
    let lane = store
        .lane(lane)
        .ok_or_else(|| Error::damaged("the lane is not there"))?;
    let failed = lane
        .open()
        .filter(|open| open.status == Status::Failed)
        .count() as u64;
    drop(lane);
    let (_, recorded) = append(&*store)?;
    let house = House::of(Arc::clone(&store), SOURCE, "lake");
    let began = runtime()?.block_on(first_load(&house))?;
    store.close()?;
    Ok(Ready {
        failed,
        opened,
        recorded,
        began,
    })
}

/// Says when it is called first, and never ends.
#[derive(Debug)]
struct Patient(Arc<Notify>);

#[async_trait]
impl Action for Patient {
    fn name(&self) -> &str {
        "append"
    }

    async fn load(&self, _: &Toolkit, _: &mut Queue, _: &Thens) -> Result<()> {
        self.0.notify_one();
        std::future::pending().await
    }
}

async fn first_load(house: &House) -> Result<Duration> {
    let began = Arc::new(Notify::new());
    let action: Arc<dyn Action> = Arc::new(Patient(Arc::clone(&began)));
    let started = Instant::now();
    let _lane = house.lane(action, PartialSchedule::default(), BatchLimits::default())?;
    began.notified().await;
    Ok(started.elapsed())
}
