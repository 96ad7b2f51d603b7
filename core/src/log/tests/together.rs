//! Appenders, readers at every lag, and retention at the same time.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::clock::Timestamp;
use crate::log::Retention;

const FRAMES: u64 = 6000;

/// Reads everything as it becomes durable; `seen` says how far it is. A lazy reader looks only when
/// much has gathered.
fn follow(log: &Log<Tally>, seen: &AtomicU64, lag: u64) {
    let durable = log.durable();
    let mut reader = log.reader(Position::FIRST);
    let mut expected = 1;
    while expected <= FRAMES {
        let upto = (expected + lag).min(FRAMES) - 1;
        durable.wait_past(Position(upto), PATIENCE).unwrap();
        while let Some(frame) = reader.next().unwrap() {
            assert_eq!(frame.first, Position(expected), "a gap, or a frame twice");
            assert!(frame.first <= durable.upto(), "not durable yet");
            assert_eq!(frame.body, body(expected - 1, 100));
            expected += 1;
        }
        seen.store(expected - 1, Ordering::SeqCst);
    }
}

#[test]
fn readers_at_every_lag_miss_nothing_while_segments_roll_and_are_dropped_and_reused() -> Result<()>
{
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        pending_bytes_max: 64 << 10,
        ..small()
    };
    let log = open_on(dir.path(), options, SystemDisk::shared())?.log;
    let seen = [const { AtomicU64::new(0) }; 3];
    let policy = Retention {
        max_age: PATIENCE * 1000,
        max_bytes: 64 << 10,
    };
    let mut dropped = 0;
    std::thread::scope(|scope| {
        for (seen, lag) in seen.iter().zip([1, 40, 900]) {
            let log = log.clone();
            scope.spawn(move || follow(&log, seen, lag));
        }
        let appender = log.clone();
        scope.spawn(move || {
            for number in 0..FRAMES {
                let part = [body(number, 100)];
                while let Err(error) = appender.append(1, 1, &part) {
                    assert!(matches!(error, crate::log::AppendError::Full), "{error}");
                    appender.wait_for_room(200, PATIENCE).unwrap();
                }
            }
        });
        loop {
            let slowest = seen.iter().map(|seen| seen.load(Ordering::SeqCst)).min();
            let settled = Position(slowest.unwrap());
            dropped += log.retain(settled, &policy, Timestamp(0)).unwrap().len();
            if settled.0 == FRAMES {
                break;
            }
            log.durable()
                .wait_past(settled.plus(500), Duration::from_millis(5))
                .unwrap();
        }
    });
    assert!(dropped > 20, "{dropped} segments dropped");
    log.close()?;
    let opened = open(dir.path())?;
    assert_eq!(opened.log.next_position(), Position(FRAMES + 1));
    Ok(())
}
