//! A wall clock that is set while a lane runs: an hour forth, an hour back, over the end of a year, at summer time.

use super::*;
use crate::schedule::LOOK_AGAIN;

const JUMPS: [i64; 2] = [3_600, -3_600];
const DAY: Duration = Duration::from_secs(86_400);

/// Loads what gathered, and tries again what failed, at three in the morning.
fn nightly() -> Setup {
    let mut setup = Setup::default().hourly();
    setup.schedule.interval = Interval::parse("0 3 * * *").unwrap();
    setup
}

/// Scenario 29
#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_makes_no_retry_early_or_late() {
    for jump in JUMPS {
        let mut lab = Setup::default().turns([Turn::Fail]).open();
        lab.append(10);
        lab.next().await;
        lab.time.set(jump);
        let again = lab.next().await;
        assert_eq!(again.attempt, 2);
        let pause = again.at.as_millis();
        assert!((500..=1_000).contains(&pause), "{pause} ms after {jump}");
    }
}

/// Scenario 29
#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_makes_no_hourly_retry_early_or_late() {
    for jump in JUMPS {
        let mut lab = Setup::default().hourly().turns([Turn::Fail]).open();
        lab.append(10);
        assert_eq!(lab.next().await.at, HOUR);
        lab.time.set(jump);
        assert_eq!(lab.next().await.at.as_secs(), 2 * 3_600, "after {jump}");
    }
}

/// Scenario 29
#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_makes_no_batch_old_and_none_wait() {
    for jump in JUMPS {
        let mut lab = Setup::default().open();
        lab.has_begun().await;
        lab.append(3);
        tokio::time::advance(SECOND).await;
        lab.time.set(jump);
        let seen = lab.next().await;
        assert_eq!(
            (seen.span, seen.at.as_secs()),
            (span(2, 4), 10),
            "after {jump}"
        );
    }
}

/// Scenario 29
#[tokio::test(start_paused = true)]
async fn every_hour_is_every_hour_wherever_the_wall_clock_is_set() {
    for jump in JUMPS {
        let mut lab = Setup::default().hourly().open();
        lab.has_begun().await;
        for hour in 1..=3 {
            lab.append(1);
            lab.time.set(jump);
            assert_eq!(lab.next().await.at.as_secs(), hour * 3_600, "after {jump}");
        }
    }
}

/// Scenario 29
#[tokio::test(start_paused = true)]
async fn a_time_of_the_calendar_that_the_wall_clock_jumps_over_is_used_once() {
    let mut lab = nightly().open();
    lab.has_begun().await;
    lab.append(1);
    tokio::time::advance(HOUR).await;
    lab.time.set(2 * 3_600 + 1_800);
    let seen = lab.next().await;
    assert!(seen.at <= HOUR + LOOK_AGAIN, "{:?}", seen.at);
    lab.settled(2).await;
    // It is half past two once more; three o'clock is over.
    lab.time.set(-3_600);
    lab.append(1);
    let at = lab.next().await.at;
    let next_night = DAY + 3 * HOUR - (HOUR + HOUR / 2);
    assert!(
        (next_night..=next_night + LOOK_AGAIN).contains(&at),
        "{at:?}"
    );
}

/// Scenario 29
#[tokio::test(start_paused = true)]
async fn what_failed_waits_for_the_next_time_of_the_calendar_wherever_the_clock_is_set() {
    let mut lab = nightly().turns([Turn::Fail, Turn::Fail]).open();
    lab.append(10);
    assert_eq!(lab.next().await.at, 3 * HOUR);
    lab.time.set(-6 * 3_600);
    let again = lab.next().await;
    assert_eq!((again.attempt, again.at), (2, DAY + 9 * HOUR));
    lab.time.set(5 * 3_600);
    let last = lab.next().await;
    assert_eq!((last.attempt, last.at), (3, 2 * DAY + 4 * HOUR));
    lab.settled(10).await;
}

/// Scenario 29
#[tokio::test(start_paused = true)]
async fn a_day_without_the_time_and_one_that_has_it_twice_load_once_and_so_does_the_new_year() {
    let days = [
        ("TZ=Europe/Berlin 30 2 * * *", "2026-03-28T12:00:00Z"),
        ("TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00:00Z"),
        ("@yearly", "2026-12-31T12:00:00Z"),
    ];
    for (interval, begin) in days {
        let mut setup = nightly();
        setup.schedule.interval = Interval::parse(interval).unwrap();
        setup.batch.rows_max = 1_000;
        let mut lab = setup.open();
        let begin: jiff::Timestamp = begin.parse().unwrap();
        lab.time.set(begin.as_second());
        lab.has_begun().await;
        let mut loads = 0;
        for _ in 0..24 * 4 {
            tokio::time::sleep(HOUR / 4).await;
            while lab.seen.try_recv().is_ok() {
                loads += 1;
            }
            lab.append(1);
        }
        assert_eq!(loads, 1, "{interval} from {begin}");
    }
}
