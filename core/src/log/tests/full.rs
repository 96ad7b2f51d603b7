//! A full disk: what was accepted becomes durable, nothing is lost, and nobody has to start anything again.

use std::sync::mpsc::{Receiver, channel};

use super::oracle::DIR;
use super::*;
use crate::log::Registration;
use crate::log::sim::SimDisk;

const RESERVE: usize = 64 << 10;

fn reserving() -> LogOptions {
    LogOptions {
        reserve_bytes: RESERVE as u64,
        ..small()
    }
}

/// Word of everything that the log tells those who registered.
fn told(log: &Log<Tally>) -> (Receiver<()>, Registration) {
    let (sender, receiver) = channel();
    let tell = move || _ = sender.send(());
    (receiver, log.durable().register(Arc::new(tell)))
}

/// Appends until the log is short of room; how many, all of them durable.
fn fill(log: &Log<Tally>) -> Result<u64> {
    let mut accepted = 0;
    while !log.is_short() {
        log.append(1, 1, &[body(accepted, 900)])?.wait(PATIENCE)?;
        accepted += 1;
    }
    Ok(accepted)
}

#[test]
fn on_a_full_disk_the_reserve_takes_what_was_accepted_and_room_ends_the_shortage() -> Result<()> {
    let disk = SimDisk::default();
    let log = open_on(Path::new(DIR), reserving(), disk.shared())?.log;
    disk.leave_room(20 << 10);
    let accepted = fill(&log)?;
    assert!(accepted > 10, "{accepted}");
    log.append(1, 1, &text("what a lane says of its jobs"))?
        .wait(PATIENCE)?;
    let (told, _registration) = told(&log);
    disk.set_capacity(None);
    while log.is_short() {
        told.recv_timeout(PATIENCE)
            .expect("word that there is room");
    }
    assert!(disk.files().contains(&Path::new(DIR).join("RESERVE")));
    log.append(1, 1, &text("more"))?.wait(PATIENCE)?;
    assert_eq!(all(&log)?.len() as u64, accepted + 2);
    log.close()
}

#[test]
fn when_even_the_reserve_is_used_up_the_writer_waits_and_goes_on_when_there_is_room() -> Result<()>
{
    let disk = SimDisk::default();
    let log = open_on(Path::new(DIR), reserving(), disk.shared())?.log;
    disk.leave_room(100 << 10);
    let mut accepted = fill(&log)?;
    let waiting = loop {
        let receipt = log.append(1, 1, &[body(accepted, 900)])?;
        accepted += 1;
        if receipt.wait(Duration::from_millis(300)).is_err() {
            break receipt;
        }
    };
    disk.set_capacity(None);
    waiting.wait(PATIENCE)?;
    assert_eq!(log.durable().upto().0, accepted);
    log.close()
}

#[test]
fn a_log_that_waits_for_room_can_be_closed_and_says_what_was_not_written() -> Result<()> {
    let disk = SimDisk::default();
    let log = open_on(Path::new(DIR), small(), disk.shared())?.log;
    log.append(1, 1, &text("safe"))?.wait(PATIENCE)?;
    disk.leave_room(0);
    let large = log.append(1, 1, &[body(1, 200_000)])?;
    assert!(large.wait(Duration::from_millis(300)).is_err());
    assert!(log.is_short());
    let error = log.close().unwrap_err();
    let report = error.report();
    assert!(report.contains("the disk is full"), "{report}");
    disk.set_capacity(None);
    let log = open_on(Path::new(DIR), small(), disk.shared())?.log;
    assert_eq!(all(&log)?.len(), 1);
    log.close()
}

#[test]
fn a_log_opens_on_a_full_disk_and_is_short_until_there_is_room() -> Result<()> {
    let disk = SimDisk::default();
    let log = open_on(Path::new(DIR), small(), disk.shared())?.log;
    log.append(1, 1, &text("safe"))?.wait(PATIENCE)?;
    log.close()?;
    disk.leave_room(RESERVE / 2);
    let log = open_on(Path::new(DIR), reserving(), disk.shared())?.log;
    assert!(log.is_short());
    assert!(!disk.files().contains(&Path::new(DIR).join("RESERVE")));
    let (told, _registration) = told(&log);
    disk.set_capacity(None);
    while log.is_short() {
        told.recv_timeout(PATIENCE)
            .expect("word that there is room");
    }
    assert_eq!(all(&log)?.len(), 1);
    log.close()
}
