//! Measures events that become jobs, end to end and without a database: requests of about 250 bytes of JSON go
//! durably through the gateway's intake into a log on this disk, are routed to one action that does nothing, and are
//! settled. Beside it, in the same run, the ceiling: the same bytes written and synced with nothing else to do.
//!
//! `cargo run --release -p blacksmith-bench --example jobs -- [million events] [folder]`

#![allow(clippy::print_stdout, reason = "figures for a person")]

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use blacksmith_bench::house::{House, runtime};
use blacksmith_core::destination::{Action, Jobs, Queue, Then, Thens, Toolkit};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::Refusal;
use blacksmith_core::gateway::{Intake, Taken};
use blacksmith_core::json::Json;
use blacksmith_core::log::{Receipt, open_read_only};
use blacksmith_core::position::Position;
use blacksmith_core::queue::BatchLimits;
use blacksmith_core::schedule::PartialSchedule;
use blacksmith_core::scheduler::LaneHandle;
use blacksmith_core::source::{Event, SubEvent};
use bytes::Bytes;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Threads that take requests in: as many as the async workers of a gateway on two cores.
const PRODUCERS: usize = 2;
/// Requests of one producer that wait for their answer at a time.
const IN_FLIGHT: usize = 4_096;
/// Events of one request, where requests carry many.
const BULK: usize = 500;
/// Different bodies that one producer sends.
const BODIES: usize = 1_000;
const BATCH_ROWS: u64 = 10_000;
const PATIENCE: Duration = Duration::from_secs(120);

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
        let folder = tempfile::tempdir_in(&parent).map_err(|error| disk(&error))?;
        let bytes = together(folder.path(), events, bulk)?;
        apart(folder.path(), events)?;
        transitions(folder.path(), 2 * events)?;
        ceiling(folder.path(), bytes)?;
    }
    Ok(())
}

fn disk(error: &std::io::Error) -> Error {
    Error::unavailable(format!("the folder cannot be used: {error}"))
}

/// What an HTTP trigger says of a request.
#[derive(serde::Serialize)]
struct Context {
    ip: &'static str,
}

/// An action that takes every job and does nothing with it.
#[derive(Debug)]
struct Nothing(&'static str);

#[async_trait]
impl Action for Nothing {
    fn name(&self) -> &str {
        self.0
    }

    async fn load(&self, _: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        let mut jobs = 0;
        while let Some(piece) = queue.next_jobs().await? {
            jobs += piece.len() as u64;
        }
        assert_eq!(jobs, queue.events(), "each job exactly once");
        then.send(Then::succeeded(Jobs::All));
        Ok(())
    }
}

fn nothing(name: &'static str) -> Arc<dyn Action> {
    Arc::new(Nothing(name))
}

fn open(folder: &Path) -> Result<House> {
    House::open(folder, "web", "void")
}

/// Loads whatever is there, ten thousand jobs at a time.
fn lane(house: &House, action: &'static str) -> Result<LaneHandle> {
    let schedule = PartialSchedule {
        realtime: Some(true),
        ..PartialSchedule::default()
    };
    let batch = BatchLimits {
        rows_max: BATCH_ROWS,
        ..BatchLimits::default()
    };
    house.lane(nothing(action), schedule, batch)
}

/// Takes events in while the lane loads them. Returns the bytes of the log.
fn together(folder: &Path, events: usize, bulk: usize) -> Result<u64> {
    let house = open(folder)?;
    let intake = house.intake(&nothing("one"))?;
    let runtime = runtime()?;
    let usage = Usage::start();
    let lane = runtime.block_on(async { lane(&house, "one") })?;
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|_| scope.spawn(|| produce(&intake, events / PRODUCERS, bulk)))
            .collect();
        let ended = producers.into_iter().map(|producer| {
            producer
                .join()
                .unwrap_or_else(|_| Err(Error::stopped("a producer panicked")))
        });
        ended.collect::<Result<Vec<()>>>().map(drop)
    })?;
    println!("  intake      {}", usage.rate(events, "events"));
    let head = house.store.durable().upto();
    runtime.block_on(lane.flush(head))?;
    println!("  end to end  {}", usage.rate(events, "jobs"));
    let bytes = log_bytes(folder)?;
    house.store.close()?;
    Ok(bytes)
}

/// Loads what is in the log already, by an action that is new to it.
fn apart(folder: &Path, events: usize) -> Result<()> {
    let house = open(folder)?;
    let runtime = runtime()?;
    let usage = Usage::start();
    let head = house.store.durable().upto();
    let lane = runtime.block_on(async { lane(&house, "two") })?;
    runtime.block_on(lane.flush(head))?;
    println!("  far behind  {}", usage.rate(events, "jobs"));
    house.store.close()
}

/// The same bytes, written in order and synced, as fast as the disk takes them.
fn ceiling(folder: &Path, bytes: u64) -> Result<()> {
    let chunk = vec![7_u8; 1 << 20];
    let path = folder.join("ceiling");
    let written = || -> std::io::Result<f64> {
        let mut file = File::create(&path)?;
        let started = Instant::now();
        for number in 0..bytes.div_ceil(chunk.len() as u64) {
            file.write_all(&chunk)?;
            if number % 8 == 7 {
                file.sync_data()?;
            }
        }
        file.sync_data()?;
        Ok(started.elapsed().as_secs_f64())
    };
    let took = written().map_err(|error| disk(&error))?;
    let mib = bytes as f64 / f64::from(1 << 20);
    println!(
        "  ceiling     {mib:.0} MiB in {took:.2} s, {:.0} MiB/s",
        mib / took
    );
    Ok(())
}

/// What the log holds of transitions.
fn transitions(folder: &Path, jobs: usize) -> Result<()> {
    const FRAME_HEADER_BYTES: usize = 64;
    let log = open_read_only(folder, ())?;
    let mut reader = log.reader(Position::FIRST).want(&[7, 8]);
    let (mut records, mut bytes) = (0, 0);
    while let Some(frame) = reader.next()? {
        records += 1;
        bytes += (FRAME_HEADER_BYTES + frame.body.len()).next_multiple_of(8);
    }
    let each = bytes as f64 / jobs as f64;
    println!("  transitions {records} records, {each:.4} bytes per job");
    Ok(())
}

fn log_bytes(folder: &Path) -> Result<u64> {
    let log = open_read_only(folder, ())?;
    Ok(log.segments().iter().map(|segment| segment.bytes).sum())
}

/// Sends requests as clients would: each is answered when it is durable, and many wait at a time.
fn produce(intake: &Intake, events: usize, bulk: usize) -> Result<()> {
    let bodies: Vec<String> = (0..BODIES).map(body).collect();
    let mut waiting: VecDeque<Receipt> = VecDeque::new();
    for request in 0..events / bulk {
        if waiting.len() >= IN_FLIGHT.div_ceil(bulk)
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.wait(PATIENCE)?;
        }
        waiting.push_back(take(intake, &bodies, request, bulk)?.receipt);
    }
    waiting
        .iter()
        .try_for_each(|receipt| receipt.wait(PATIENCE))
}

fn take(intake: &Intake, bodies: &[String], request: usize, bulk: usize) -> Result<Taken> {
    let toolkit = intake.begin("orders");
    let context = Json::of(&Context { ip: "10.1.2.3" })?;
    // Copied, as from a socket, and checked, as an HTTP trigger does.
    let body = |number: usize| {
        let body = bodies[number % bodies.len()].as_bytes();
        Json::parse(Bytes::copy_from_slice(body))
    };
    let mut event = Event::of(body(request * bulk)?).context(context.clone());
    event.sub_events.reserve(bulk - 1);
    for number in 1..bulk {
        event.sub_events.push(SubEvent {
            context: context.clone(),
            data: body(request * bulk + number)?,
            ..SubEvent::default()
        });
    }
    let mut prepared = intake.prepare("orders", &toolkit, event)?;
    loop {
        prepared = match intake.offer(prepared) {
            Ok(taken) => return Ok(taken),
            Err(Refusal::Full(back)) => *back,
            Err(Refusal::Failed(error)) => return Err(error),
        };
        // The house is full: a client would be told to come back, or wait here.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A body of about 250 bytes.
fn body(number: usize) -> String {
    let total = number % 100_000;
    format!(
        concat!(
            r#"{{"order":{number},"customer":"c-{customer:06}","status":"paid","currency":"EUR","total":{total},"#,
            r#""items":[{{"sku":"A-1001","quantity":2,"price":1299}},{{"sku":"B-2002","quantity":1,"price":499}}],"#,
            r#""address":{{"city":"Berlin","zip":"10115"}},"note":"leave it at the door please"}}"#
        ),
        number = number,
        customer = number % 1_000_000,
        total = total,
    )
}

/// Time, processor time and memory since a moment.
struct Usage {
    started: Instant,
    processor: f64,
}

impl Usage {
    fn start() -> Usage {
        // Has the peak of memory counted from here on; where that is not allowed it is that of the whole run.
        _ = fs::write("/proc/self/clear_refs", "5");
        Usage {
            started: Instant::now(),
            processor: processor_seconds(),
        }
    }

    fn rate(&self, count: usize, what: &str) -> String {
        let took = self.started.elapsed().as_secs_f64();
        let per_second = count as f64 / took;
        let processor = (processor_seconds() - self.processor) * 1e6 / count as f64;
        let peak = peak_mib();
        format!(
            "{per_second:>9.0} {what}/s in {took:.2} s; {processor:.2} CPU s per million; peak {peak} MiB"
        )
    }
}

/// User and system time of this process.
fn processor_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: f64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / TICKS_PER_SECOND
}

fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
