//! How long a store with a large log and many scattered live jobs takes to open, how long its lane then takes to begin
//! loading, and how long appends wait while a segment with a large snapshot begins.
//!
//! `cargo run --release -p blacksmith-bench --example restart -- FOLDER [GIB] [JOBS]`, by default 10 GiB
//! and 1,000,000 jobs: every other of twice as many positions has failed on its own, with a time of its own.

#![allow(clippy::print_stdout, reason = "figures for a person")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use blacksmith_bench::house::{House, runtime};
use blacksmith_core::clock::Timestamp;
use blacksmith_core::destination::{Action, Queue, Thens, Toolkit};
use blacksmith_core::event::{About, Draft, FormatId, Tally};
use blacksmith_core::job::{Status, Transition};
use blacksmith_core::log::{LogOptions, Retention, SystemDisk};
use blacksmith_core::position::{Position, Span};
use blacksmith_core::queue::BatchLimits;
use blacksmith_core::schedule::PartialSchedule;
use blacksmith_core::store::Store;
use blacksmith_core::store::log::LogStore;
use bytes::Bytes;
use tokio::sync::Notify;

/// The stock binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WAIT: Duration = Duration::from_secs(600);
/// Events of one block, and bytes of each.
const EVENTS: u32 = 8_192;
const EVENT_BYTES: usize = 512;
/// Transitions of one record.
const CHANGES: usize = 100_000;

fn open(folder: &Path) -> Result<(LogStore, Duration), Box<dyn Error>> {
    let started = Instant::now();
    let retention = Retention {
        max_age: Duration::from_secs(3_600),
        max_bytes: u64::MAX,
    };
    let opened = LogStore::open(
        folder,
        LogOptions::default(),
        SystemDisk::shared(),
        retention,
    )?;
    Ok((opened.0, started.elapsed()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().ok_or("name a folder")?);
    let gib: f64 = args.next().map_or(Ok(10.0), |text| text.parse())?;
    let jobs: u64 = args.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let (store, _) = open(&folder)?;
    let source = store.register_source("shop")?;
    let lane = store.register_lane("lake/append")?;
    let schema = store.define(source, About::trigger("orders", Bytes::new()))?;
    let body = Bytes::from(vec![7; EVENTS as usize * EVENT_BYTES]);
    let block = || Draft {
        format: FormatId::JSON,
        received_at: Timestamp(1),
        tally: vec![Tally {
            schema,
            group: 0,
            count: EVENTS,
        }],
        envelope: Bytes::new(),
        body: body.clone(),
        state: Vec::new(),
    };
    let transition = |first: u64, last: u64, status| Transition {
        lane,
        span: Span::new(Position(first), Position(last)),
        status,
        attempt: 1,
        at: Timestamp(first as i64),
        error: (status == Status::Failed).then(|| "the other side is down".to_owned()),
        command: None,
    };
    let blocks = ((gib * f64::from(1 << 30)) as u64).div_ceil(body.len() as u64);
    let blocks = blocks.max((2 * jobs).div_ceil(u64::from(EVENTS)));
    let started = Instant::now();
    let mut slowest = Duration::ZERO;
    let append = |slowest: &mut Duration| -> Result<(), Box<dyn Error>> {
        let started = Instant::now();
        let receipt = store.append(source, block()).map_err(|_| "refused")?;
        let accepted = started.elapsed();
        receipt.wait(WAIT)?;
        *slowest = accepted.max(*slowest);
        Ok(())
    };
    // Half of the log first, then the failures, then the rest with the large state.
    for _ in 0..blocks / 2 {
        append(&mut slowest)?;
    }
    println!(
        "filled half of it in {:?}; slowest append call {slowest:?}",
        started.elapsed()
    );
    let started = Instant::now();
    let mut changes = vec![transition(1, 2 * jobs, Status::Executing)];
    let failures = (0..jobs).map(|index| transition(2 * index + 1, 2 * index + 1, Status::Failed));
    for failure in failures {
        changes.push(failure);
        if changes.len() == CHANGES {
            store.record(&std::mem::take(&mut changes))?.wait(WAIT)?;
        }
    }
    store.record(&changes)?.wait(WAIT)?;
    println!(
        "{jobs} scattered failures recorded in {:?}",
        started.elapsed()
    );
    let own = store.lane(lane).ok_or("the lane is there")?;
    println!("the lane keeps {} spans", own.pieces());
    let started = Instant::now();
    let lanes = store.lanes();
    println!("looking at all lanes took {:?}", started.elapsed());
    drop((own, lanes));
    let mut slowest = Duration::ZERO;
    let mut longest = Duration::ZERO;
    for _ in blocks / 2..blocks {
        let started = Instant::now();
        append(&mut slowest)?;
        longest = longest.max(started.elapsed());
    }
    println!(
        "slowest append call with the large state {slowest:?}, slowest until durable {longest:?}"
    );
    let bytes: u64 = store.segments().iter().map(|segment| segment.bytes).sum();
    println!("{bytes} bytes in {} segments", store.segments().len());
    store.close()?;
    drop(store);
    for _ in 0..3 {
        let (store, took) = open(&folder)?;
        let store: Arc<dyn Store> = Arc::new(store);
        let open = store.lane(lane).ok_or("the lane is there")?;
        let failed = open
            .open()
            .filter(|open| open.status == Status::Failed)
            .count();
        println!("opened in {took:?} with {failed} failed jobs");
        store.close()?;
    }
    let (store, opened) = open(&folder)?;
    let store: Arc<dyn Store> = Arc::new(store);
    let started = Instant::now();
    store
        .append(source, block())
        .map_err(|_| "refused")?
        .wait(WAIT)?;
    let appended = started.elapsed();
    let house = House::of(Arc::clone(&store), "shop", "lake");
    let began = runtime()?.block_on(first_load(&house))?;
    println!(
        "opened in {opened:?}; one block durable in {appended:?}; the lane's first load began {began:?} later"
    );
    store.close()?;
    Ok(())
}

/// Says when it is called first, and never ends.
#[derive(Debug)]
struct Patient(Arc<Notify>);

#[async_trait]
impl Action for Patient {
    fn name(&self) -> &str {
        "append"
    }

    async fn load(
        &self,
        _: &Toolkit,
        _: &mut Queue,
        _: &Thens,
    ) -> blacksmith_core::error::Result<()> {
        self.0.notify_one();
        std::future::pending().await
    }
}

/// How long the lane takes from its start to its first load, which is of what had failed.
async fn first_load(house: &House) -> blacksmith_core::error::Result<Duration> {
    let began = Arc::new(Notify::new());
    let action: Arc<dyn Action> = Arc::new(Patient(Arc::clone(&began)));
    let started = Instant::now();
    let _lane = house.lane(action, PartialSchedule::default(), BatchLimits::default())?;
    began.notified().await;
    Ok(started.elapsed())
}
