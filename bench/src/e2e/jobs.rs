//! Events that become jobs, end to end and without a database: requests of about 250 bytes of JSON go durably through the
//! gateway's intake into a log on this disk, are routed to one action that does nothing, and are settled.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
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

use super::meter::Usage;
use super::reading::Answer;
use super::words::{folder, number};
use crate::house::{House, runtime};

/// Takes events in and loads them, then loads them once more as a lane that is far behind: FOLDER EVENTS EVENTS-OF-A-REQUEST.
pub const COMMAND: &str = "--jobs";
/// Jobs of a load.
pub const BATCH_ROWS: u64 = 10_000;
/// Bytes that an event has in the log, about: one in a request.
pub const EVENT_BYTES: u64 = 296;

/// Threads that take requests in: as many as the async workers of a gateway on two cores.
const PRODUCERS: usize = 2;
/// Requests of one producer that wait for their answer at a time.
const IN_FLIGHT: usize = 4_096;
/// Different bodies that one producer sends.
const BODIES: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// See [`COMMAND`].
///
/// # Errors
/// When the log stops.
pub fn main(words: &[&str]) -> super::Result<Answer> {
    let (folder, events, bulk) = (folder(words)?, number(words, 1)?, number(words, 2)?);
    let told = |error: Error| error.report();
    let together = together(folder, events, bulk).map_err(told)?;
    let behind = far_behind(folder, events).map_err(told)?;
    let mut answer = Answer::default()
        .with("taken in /s", together.intake.rate(events))
        .with("far behind /s", behind.rate(events))
        .with(
            "log bytes of an event",
            together.log_bytes as f64 / events as f64,
        );
    answer.rows = events as u64;
    answer.seconds = together.settled.seconds;
    Ok(answer)
}

/// Time and processor time from a beginning on.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// Seconds.
    pub seconds: f64,
    /// What this process took; the peak of memory is that of its life.
    pub usage: Usage,
}

impl Mark {
    fn since(started: Instant, before: Usage) -> Mark {
        Mark {
            seconds: started.elapsed().as_secs_f64(),
            usage: Usage::of(std::process::id()).since(before),
        }
    }

    /// So many in a second.
    #[must_use]
    pub fn rate(&self, count: usize) -> f64 {
        count as f64 / self.seconds
    }
}

/// What came of taking in and loading at the same time.
#[derive(Debug, Clone, Copy)]
pub struct Together {
    /// When the last request was answered.
    pub intake: Mark,
    /// When the last job was settled.
    pub settled: Mark,
    /// Bytes of the log then.
    pub log_bytes: u64,
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

/// Takes events in, `bulk` with each request, while a lane loads them.
///
/// # Errors
/// When the log stops.
pub fn together(folder: &Path, events: usize, bulk: usize) -> Result<Together> {
    let house = open(folder)?;
    let intake = house.intake(&nothing("one"))?;
    let runtime = runtime()?;
    let (started, before) = (Instant::now(), Usage::of(std::process::id()));
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
    let intake = Mark::since(started, before);
    let head = house.store.durable().upto();
    runtime.block_on(lane.flush(head))?;
    let settled = Mark::since(started, before);
    let log_bytes = log_bytes(folder)?;
    house.store.close()?;
    Ok(Together {
        intake,
        settled,
        log_bytes,
    })
}

/// Loads what is in the log already, by an action that is new to it.
///
/// # Errors
/// When the log stops.
pub fn far_behind(folder: &Path, events: usize) -> Result<Mark> {
    let house = open(folder)?;
    let runtime = runtime()?;
    let (started, before) = (Instant::now(), Usage::of(std::process::id()));
    let head = house.store.durable().upto();
    let lane = runtime.block_on(async { lane(&house, "two") })?;
    runtime.block_on(lane.flush(head))?;
    let loaded = Mark::since(started, before);
    assert!(head.0 >= events as u64, "every event has a position");
    house.store.close()?;
    Ok(loaded)
}

/// What the log holds of transitions: records, and their bytes.
///
/// # Errors
/// When it cannot be read.
pub fn transitions(folder: &Path) -> Result<(u64, u64)> {
    const FRAME_HEADER_BYTES: usize = 64;
    let log = open_read_only(folder, ())?;
    let mut reader = log.reader(Position::FIRST).want(&[7, 8]);
    let (mut records, mut bytes) = (0, 0);
    while let Some(frame) = reader.next()? {
        records += 1;
        bytes += (FRAME_HEADER_BYTES + frame.body.len()).next_multiple_of(8) as u64;
    }
    Ok((records, bytes))
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
    let trigger = "orders".into();
    let toolkit = intake.begin(&trigger);
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
    let mut prepared = intake.prepare(&trigger, &toolkit, event)?;
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
