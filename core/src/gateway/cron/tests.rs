//! Cron triggers over time that only tests make pass.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::error::Error;
use crate::gateway::Registry;
use crate::json::Json;
use crate::log::Retention;
use crate::position::Position;
use crate::service::{Service, Toolkit};
use crate::source::Event;
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::version::Versions;

/// Noon of a day without anything special.
const NOON: i64 = 1_777_636_800;
const MINUTE: Duration = Duration::from_secs(60);

/// Goes with tokio's paused time; its wall clock can be set.
#[derive(Debug)]
struct Wall {
    start: tokio::time::Instant,
    set_seconds: AtomicI64,
}

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        let set = NOON + self.set_seconds.load(Ordering::SeqCst);
        Timestamp(set * 1_000_000).after(self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Tells each time it was called for, and takes `takes` to return.
#[derive(Debug, Default)]
struct Tell {
    told: Mutex<Vec<Timestamp>>,
    calls: AtomicU32,
    running: AtomicU32,
    takes: Duration,
    /// Calls that fail, from 1.
    fails: Vec<u32>,
    /// Whether calls make no event.
    is_silent: bool,
    missed: Missed,
}

impl Tell {
    /// The times it was called for, in seconds after noon.
    fn told(&self) -> Vec<i64> {
        let told = self.told.lock().unwrap();
        told.iter().map(|at| at.seconds() - NOON).collect()
    }
}

#[async_trait]
impl ExtractCron for Tell {
    async fn extract(&self, toolkit: &Toolkit, due: Timestamp) -> Result<Option<Event>> {
        assert!(toolkit.event_id.is_some() && toolkit.job_id.is_none());
        assert_eq!(self.running.fetch_add(1, Ordering::SeqCst), 0, "overlap");
        self.told.lock().unwrap().push(due);
        tokio::time::sleep(self.takes).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        match self.fails.contains(&call) {
            true => Err(Error::unavailable("the other side is away")),
            false if self.is_silent => Ok(None),
            false => Ok(Some(Event::of(Json::of(&due.seconds())?))),
        }
    }

    fn missed(&self) -> Missed {
        self.missed
    }
}

/// A cron trigger that runs.
struct House {
    store: Arc<dyn Store>,
    wall: Arc<Wall>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<Result<()>>,
}

impl House {
    fn open(interval: &str, tell: &Arc<Tell>) -> House {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Retention::default()).unwrap());
        let wall = Arc::new(Wall {
            start: tokio::time::Instant::now(),
            set_seconds: AtomicI64::new(0),
        });
        House::over(store, wall, interval, tell)
    }

    /// Over a store that may have been another process's.
    fn over(store: Arc<dyn Store>, wall: Arc<Wall>, interval: &str, tell: &Arc<Tell>) -> House {
        let service = Arc::new(Service::new("test".into(), Service::GATEWAY));
        let clock: Arc<dyn Clock> = Arc::clone(&wall) as Arc<dyn Clock>;
        let registry = Arc::new(Registry::default());
        let versions = Versions::default();
        let intake = Intake::new(
            Arc::clone(&store),
            "ticks",
            versions,
            registry,
            service,
            clock,
        );
        let trigger = CronTrigger {
            intake: Arc::new(intake.unwrap()),
            trigger: Arc::from("nightly"),
            interval: Interval::parse(interval).unwrap(),
            extract: Arc::clone(tell) as Arc<dyn ExtractCron>,
        };
        let stop = CancellationToken::new();
        House {
            running: tokio::spawn(trigger.run(stop.clone())),
            store,
            wall,
            stop,
        }
    }

    /// Lets time pass, and everything that is due then happen.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn set(&self, seconds: i64) {
        self.wall.set_seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    fn events(&self) -> Position {
        self.store.durable().upto()
    }

    /// Stops, lets `down` pass, and starts again with these times.
    async fn down_for(self, down: Duration, interval: &str, tell: &Arc<Tell>) -> House {
        let (store, wall) = (Arc::clone(&self.store), Arc::clone(&self.wall));
        self.stop().await.unwrap();
        tokio::time::sleep(down).await;
        let house = House::over(store, wall, interval, tell);
        house.pass(Duration::from_millis(1)).await;
        house
    }

    async fn stop(self) -> Result<()> {
        self.stop.cancel();
        self.running.await.unwrap()
    }
}

/// TRG-04
#[tokio::test(start_paused = true)]
async fn an_event_is_stored_at_each_time_and_not_before_the_first() {
    let tell = Arc::new(Tell::default());
    let house = House::open("*/10 * * * *", &tell);
    house.pass(10 * MINUTE - Duration::from_millis(1)).await;
    assert_eq!(house.events(), Position::ZERO);
    house.pass(25 * MINUTE).await;
    assert_eq!(tell.told(), [600, 1_200, 1_800]);
    assert_eq!(house.events(), Position(3));
    house.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_runs_long_is_not_overtaken_and_what_passes_meanwhile_is_missed() {
    let tell = Arc::new(Tell {
        takes: 25 * MINUTE,
        ..Tell::default()
    });
    let house = House::open("*/10 * * * *", &tell);
    house.pass(95 * MINUTE).await;
    assert_eq!(tell.told(), [600, 2_400, 4_200]);
    house.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_error_stores_nothing_and_the_next_time_comes() {
    let tell = Arc::new(Tell {
        fails: vec![1],
        ..Tell::default()
    });
    let house = House::open("@every 10m", &tell);
    house.pass(21 * MINUTE).await;
    assert_eq!(tell.told(), [600, 1_200]);
    assert_eq!(house.events(), Position(1));
    house.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_or_forward_by_an_hour_fires_each_time_once() {
    let tell = Arc::new(Tell::default());
    let house = House::open("0 * * * *", &tell);
    house.pass(61 * MINUTE).await;
    house.set(-3_600);
    house.pass(60 * MINUTE).await;
    assert_eq!(tell.told(), [3_600], "13:00 came twice and was used once");
    house.set(3_600);
    house.pass(MINUTE).await;
    assert_eq!(
        tell.told(),
        [3_600, 10_800 - 3_600],
        "14:00 was jumped over"
    );
    house.pass(60 * MINUTE).await;
    assert_eq!(tell.told(), [3_600, 7_200, 10_800]);
    house.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_the_call_in_hand_end_and_its_event_is_stored() {
    let tell = Arc::new(Tell {
        takes: 5 * MINUTE,
        ..Tell::default()
    });
    let house = House::open("@every 10m", &tell);
    house.pass(11 * MINUTE).await;
    let store = Arc::clone(&house.store);
    house.stop().await.unwrap();
    assert_eq!(tell.told(), [600]);
    assert_eq!(store.durable().upto(), Position(1));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_nothing_any_more_ends_the_trigger_with_its_name() {
    let tell = Arc::new(Tell::default());
    let house = House::open("@every 10m", &tell);
    house.store.close().unwrap();
    let error = house.running.await.unwrap().unwrap_err();
    assert!(
        error.report().contains("trigger ticks/nightly"),
        "{error:?}"
    );
}

fn once() -> Arc<Tell> {
    Arc::new(Tell {
        missed: Missed::Once,
        ..Tell::default()
    })
}

/// TRG-04
#[tokio::test(start_paused = true)]
async fn times_that_passed_while_the_process_was_down_are_skipped_or_made_up_for_by_one_call() {
    for (tell, expected) in [
        (Arc::new(Tell::default()), vec![600, 3_600]),
        (once(), vec![600, 3_000, 3_600]),
    ] {
        let house = House::open("*/10 * * * *", &tell);
        house.pass(15 * MINUTE).await;
        // 12:20 to 12:50 pass.
        let house = house.down_for(40 * MINUTE, "*/10 * * * *", &tell).await;
        house.pass(6 * MINUTE).await;
        assert_eq!(tell.told(), expected);
        assert_eq!(house.events(), Position(expected.len() as u64));
        // Told and made up for already; 13:10 is still to come.
        let house = house.down_for(MINUTE, "*/10 * * * *", &tell).await;
        assert_eq!(tell.told(), expected);
        house.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_that_passes_before_the_very_first_call_is_made_up_for_too() {
    let tell = once();
    let house = House::open("0 * * * *", &tell);
    house.pass(MINUTE).await;
    let house = house.down_for(80 * MINUTE, "0 * * * *", &tell).await;
    assert_eq!(tell.told(), [3_600]);
    house.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_goes_on_counting_over_restarts_where_missed_times_are_made_up_for() {
    let tell = once();
    let mut house = House::open("@every 1h", &tell);
    for _ in 0..5 {
        house.pass(25 * MINUTE).await;
        house = house.down_for(15 * MINUTE, "@every 1h", &tell).await;
    }
    // It never ran for an hour at a stretch.
    let minutes: Vec<i64> = tell.told().iter().map(|second| second / 60).collect();
    assert_eq!(minutes, [60, 120, 180]);
    house.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn times_of_another_interval_were_not_missed() {
    let tell = once();
    let house = House::open("@daily", &tell);
    house.pass(MINUTE).await;
    let house = house.down_for(60 * MINUTE, "*/10 * * * *", &tell).await;
    assert_eq!(tell.told(), [0; 0]);
    house.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_made_no_event_has_used_its_time_and_one_that_was_cut_short_has_not() {
    for (is_silent, fails) in [(true, vec![]), (false, vec![1])] {
        let tell = Arc::new(Tell {
            missed: Missed::Once,
            is_silent,
            fails,
            ..Tell::default()
        });
        let house = House::open("0 * * * *", &tell);
        house.pass(61 * MINUTE).await;
        let house = house.down_for(MINUTE, "0 * * * *", &tell).await;
        assert_eq!(tell.told(), [3_600]);
        house.stop().await.unwrap();
    }
    let slow = Arc::new(Tell {
        missed: Missed::Once,
        takes: 5 * MINUTE,
        ..Tell::default()
    });
    let house = House::open("0 * * * *", &slow);
    house.pass(61 * MINUTE).await;
    // As a crash does.
    house.running.abort();
    let (store, wall) = (Arc::clone(&house.store), Arc::clone(&house.wall));
    assert!(house.running.await.unwrap_err().is_cancelled());
    let after = once();
    let house = House::over(store, wall, "0 * * * *", &after);
    house.pass(MINUTE).await;
    assert_eq!((slow.told(), after.told()), (vec![3_600], vec![3_600]));
    house.stop().await.unwrap();
}

/// What passed is told with its number, also where nothing makes up for it.
#[tokio::test(start_paused = true)]
async fn the_number_of_missed_times_is_logged() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let own = Arc::clone(&said);
    let writer = tracing_subscriber::fmt().with_writer(move || Said(Arc::clone(&own)));
    let _until_the_end = tracing::subscriber::set_default(writer.with_ansi(false).finish());
    for (tell, expected) in [
        (Arc::new(Tell::default()), "missed=4"),
        (once(), "missed=3"),
    ] {
        let house = House::open("*/10 * * * *", &tell);
        house.pass(15 * MINUTE).await;
        let house = house.down_for(40 * MINUTE, "*/10 * * * *", &tell).await;
        house.stop().await.unwrap();
        let said = String::from_utf8(std::mem::take(&mut *said.lock().unwrap())).unwrap();
        let lines: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("missed"))
            .collect();
        assert_eq!(lines.len(), 1, "{said}");
        assert!(
            lines[0].contains(expected) && lines[0].contains("nightly"),
            "{said}"
        );
    }
}

/// A log in memory.
struct Said(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
