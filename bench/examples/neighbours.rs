//! What an action that is ill does to one that is well: single events go durably through the intake at an even pace
//! to two actions, each alone in its lane, and it is measured how long after it was sent each reaches the one that
//! is well. The other first does nothing, which is the measure for the rest; then it panics, hangs, and keeps its
//! thread. Rounds follow each other in turn, several times, because machines are noisy.
//!
//! `cargo run --release -p blacksmith-bench --example neighbours -- [rounds] [seconds of each]`

#![allow(clippy::print_stdout, reason = "figures for a person")]

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use blacksmith_bench::house::{House, runtime};
use blacksmith_core::destination::{Action, Jobs, PartialLoadLimits, Queue, Then, Thens, Toolkit};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::gateway::Intake;
use blacksmith_core::json::Json;
use blacksmith_core::queue::BatchLimits;
use blacksmith_core::schedule::{Interval, PartialSchedule};
use blacksmith_core::source::Event;
use bytes::Bytes;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time between two events.
const PACE: Duration = Duration::from_millis(1);
/// How long the ill action hangs or keeps its thread before its time is up.
const TIMEOUT: Duration = Duration::from_millis(200);
/// How long an event waits for company, at most.
const AGE: Duration = Duration::from_millis(5);
/// When what failed is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// How an action behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    Panics,
    Hangs,
    Blocks,
}

const ALL: [Health; 4] = [Health::Well, Health::Panics, Health::Hangs, Health::Blocks];

/// When each event was sent, and how long it took to get here.
#[derive(Debug, Default)]
struct Journeys {
    sent: Mutex<Vec<Instant>>,
    took: Mutex<Vec<Duration>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journeys {
    /// The next `count` events in order are here.
    fn arrived(&self, count: usize) {
        let now = Instant::now();
        let (sent, mut took) = (lock(&self.sent), lock(&self.took));
        let next = sent.iter().skip(took.len()).take(count);
        let next: Vec<Duration> = next.map(|sent| now.duration_since(*sent)).collect();
        took.extend(next);
    }

    /// The given part of the journeys was not longer, in milliseconds.
    fn percentile(&self, part: f64) -> f64 {
        let mut took = lock(&self.took).clone();
        took.sort_unstable();
        let index = ((took.len() as f64 * part) as usize).min(took.len().saturating_sub(1));
        took.get(index)
            .map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    }
}

/// Takes jobs, and says when.
#[derive(Debug)]
struct Healthy(Arc<Journeys>);

#[async_trait]
impl Action for Healthy {
    fn name(&self) -> &str {
        "well"
    }

    async fn load(&self, _: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        while let Some(jobs) = queue.next_jobs().await? {
            self.0.arrived(jobs.len());
        }
        then.send(Then::succeeded(Jobs::All));
        Ok(())
    }
}

/// Its neighbour.
#[derive(Debug)]
struct Neighbour(Health);

#[async_trait]
impl Action for Neighbour {
    fn name(&self) -> &str {
        "neighbour"
    }

    fn limits(&self) -> PartialLoadLimits {
        PartialLoadLimits {
            timeout: Some(TIMEOUT),
            max_concurrency: Some(1),
            ..PartialLoadLimits::default()
        }
    }

    async fn load(&self, _: &Toolkit, _: &mut Queue, then: &Thens) -> Result<()> {
        match self.0 {
            Health::Well => then.send(Then::succeeded(Jobs::All)),
            Health::Panics => panic!("as it does"),
            Health::Hangs => std::future::pending().await,
            Health::Blocks => std::thread::sleep(2 * TIMEOUT),
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let rounds: usize = args.next().and_then(|text| text.parse().ok()).unwrap_or(5);
    let seconds: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(5);
    // Panics are what is measured, not what is to be read.
    std::panic::set_hook(Box::new(|_| {}));
    let mut seen: Vec<(Health, f64, f64)> = Vec::new();
    for _ in 0..rounds {
        for health in ALL {
            let folder = tempfile::tempdir_in("target")
                .map_err(|error| Error::unavailable("no folder below target").because(error))?;
            let journeys = round(folder.path(), health, Duration::from_secs(seconds))?;
            let (half, most) = (journeys.percentile(0.5), journeys.percentile(0.99));
            println!(
                "{health:<7?} p50 {half:6.2} ms  p99 {most:6.2} ms",
                health = health
            );
            seen.push((health, half, most));
        }
    }
    let median = |health: Health, of: fn(&(Health, f64, f64)) -> f64| {
        let own = seen.iter().filter(|(own, ..)| *own == health);
        let mut own: Vec<f64> = own.map(of).collect();
        own.sort_unstable_by(f64::total_cmp);
        own.get(own.len() / 2).copied().unwrap_or(f64::NAN)
    };
    println!("medians of {rounds} rounds");
    let measure = median(Health::Well, |seen| seen.2);
    for health in ALL {
        let (half, most) = (median(health, |seen| seen.1), median(health, |seen| seen.2));
        let ratio = most / measure;
        println!("neighbour {health:<7?} p50 {half:6.2} ms  p99 {most:6.2} ms  p99 x{ratio:.2}");
    }
    Ok(())
}

fn round(folder: &Path, health: Health, lasts: Duration) -> Result<Arc<Journeys>> {
    let house = House::open(folder, "web", "void")?;
    let journeys = Arc::new(Journeys::default());
    let well: Arc<dyn Action> = Arc::new(Healthy(Arc::clone(&journeys)));
    let intake = house.intake(&well)?;
    let runtime = runtime()?;
    let schedule = PartialSchedule {
        realtime: Some(true),
        interval: Some(Interval::every(RETRY)),
        ..PartialSchedule::default()
    };
    let batch = BatchLimits {
        age_max: AGE,
        ..BatchLimits::default()
    };
    let (well, _neighbour) = runtime.block_on(async {
        let own = house.lane(well, schedule.clone(), batch)?;
        let other = Arc::new(Neighbour(health));
        let other = house.lane(other, schedule, batch)?;
        Ok::<_, Error>((own, other))
    })?;
    let began = Instant::now();
    let mut due = began;
    while began.elapsed() < lasts {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due += PACE;
        send(&intake, &journeys)?;
    }
    let head = house.store.durable().upto();
    runtime.block_on(well.flush(head))?;
    runtime.shutdown_background();
    house.store.close()?;
    Ok(journeys)
}

fn send(intake: &Intake, journeys: &Journeys) -> Result<()> {
    let trigger = "orders".into();
    let toolkit = intake.begin(&trigger);
    let data = Json::parse(Bytes::from_static(br#"{"order":1}"#))?;
    let prepared = intake.prepare(&trigger, &toolkit, Event::of(data))?;
    lock(&journeys.sent).push(Instant::now());
    let taken = intake.offer(prepared);
    taken
        .map(drop)
        .map_err(|_| Error::unavailable("the log is full"))
}
