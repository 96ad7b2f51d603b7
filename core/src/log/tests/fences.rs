//! The disk fails: nothing is acknowledged after the first error, and the next opening goes on.

use std::io::ErrorKind;

use super::oracle::{DIR, Oracle, Process};
use super::*;
use crate::error::Kind;
use crate::log::sim::{Cut, Dice, Fault, SimDisk};
use crate::log::{AppendError, Receipt, SyncMode};

/// Works with one call failing; then restarts on what the cache shows, lives on a little, and is cut off
/// from the power with nothing unsynced kept. False when there was no such call.
fn fail_once(seed: u64, steps: usize, at: u64, kind: ErrorKind) -> Result<bool, String> {
    let disk = SimDisk::default();
    let mut oracle = Oracle::default();
    let mut dice = Dice(seed);
    disk.fault_in(at, Fault::Error(kind));
    let mut failed = false;
    if let Ok((mut process, _)) = Process::start(&disk, SyncMode::Always, &mut oracle) {
        for _ in 0..steps {
            let calls = disk.calls();
            let durable = oracle.durable;
            process.work(&mut oracle, &mut dice, 1);
            if failed && (oracle.durable > durable || disk.calls() > calls) {
                return Err("acknowledged or wrote after an error".to_owned());
            }
            failed = disk.calls() >= at;
            if failed {
                let refused = process.log().append(1, 1, &[]);
                let is_fenced = matches!(&refused, Err(AppendError::Fenced(error)) if error.kind() == Kind::Stopped);
                if !is_fenced {
                    return Err(format!("after an error: {refused:?}"));
                }
            }
        }
    }
    let happened = disk.calls() >= at;
    disk.clear_faults();
    disk.kill();
    let (mut process, _) = Process::start(&disk, SyncMode::Always, &mut oracle)?;
    process.work(&mut oracle, &mut dice, 5);
    drop(process);
    disk.power_cycle(Cut::Nothing);
    Process::start(&disk, SyncMode::Always, &mut oracle)?;
    Ok(happened)
}

#[test]
fn the_first_error_at_any_call_fences_and_a_restart_and_a_power_cut_later_lose_nothing() {
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        let happened = |at: &u64| {
            let done = fail_once(3, 200, *at, kind);
            done.unwrap_or_else(|error| panic!("{kind:?} at call {at}: {error}"))
        };
        let faults = (1..).take_while(happened).count();
        assert!(faults > 100, "{faults} faults are too few");
    }
}

#[test]
fn a_sync_that_fails_once_fails_every_receipt_and_is_not_asked_again() -> Result<()> {
    let disk = SimDisk::default();
    let log = open_on(Path::new(DIR), small(), disk.shared())?.log;
    log.append(1, 1, &text("safe"))?.wait(PATIENCE)?;
    let durable = log.durable();
    disk.fault_in(2, Fault::Error(ErrorKind::Other));
    let lost = log.append(1, 1, &text("lost"))?;
    let error = lost.wait(PATIENCE).unwrap_err();
    assert_eq!(error.kind(), Kind::Stopped);
    assert!(error.report().contains("cannot sync"), "{}", error.report());
    assert!(
        error.report().contains("00000000000000000001.seg"),
        "{}",
        error.report()
    );
    let calls = disk.calls();
    assert!(matches!(
        log.append(1, 1, &text("x")),
        Err(AppendError::Fenced(_))
    ));
    assert!(log.stage().is_err());
    assert_eq!(durable.upto(), Position(1));
    assert_eq!(all(&log)?.len(), 1, "what is not durable is not read");
    assert_eq!(log.close().unwrap_err().kind(), Kind::Stopped);
    assert_eq!(disk.calls(), calls, "nothing was written after the error");
    Ok(())
}

#[test]
fn a_full_queue_refuses_and_accepts_again_when_the_writer_went_on() -> Result<()> {
    let disk = SimDisk::default();
    let options = LogOptions {
        pending_bytes_max: 10_000,
        ..small()
    };
    let opened = Log::open_unwritten(Path::new(DIR), options, disk.shared(), Tally::default());
    let (opened, mut writer) = opened?;
    let log = opened.log;
    let mut stage = log.stage()?;
    stage.push(1, &[body(1, 5000)])?;
    log.append(1, 1, &[body(2, 4000)])?;
    let before = log.with_fold(Tally::clone);
    let full = log.append(1, 1, &[body(3, 4000)]).unwrap_err();
    assert!(matches!(full, AppendError::Full), "{full:?}");
    let full = stage.push(1, &[body(3, 4000)]).unwrap_err();
    assert!(matches!(full, AppendError::Full), "{full:?}");
    assert_eq!(log.with_fold(Tally::clone), before);
    assert!(!log.wait_for_room(4000, Duration::ZERO)?);
    assert!(
        log.append(1, 1, &[body(3, 100)]).is_ok(),
        "a small one still fits"
    );
    writer.turn(false);
    assert!(log.wait_for_room(4000, Duration::ZERO)?);
    let huge = log.append(1, 1, &[body(4, 50_000)])?;
    writer.turn(false);
    assert!(huge.is_durable(), "one frame passes whatever its size");
    assert_eq!(log.commit(&mut stage, 2, 1, &[])?.first, Position(4));
    Ok(())
}

#[test]
fn short_and_interrupted_writes_are_carried_on() -> Result<()> {
    let disk = SimDisk::default();
    disk.set_stutter(5);
    let log = open_on(Path::new(DIR), small(), disk.shared())?.log;
    for number in 0..100 {
        log.append(1, 1, &[body(number, 700)])?;
    }
    log.append(1, 1, &[])?.wait(PATIENCE)?;
    for (number, frame) in (0..100).zip(all(&log)?) {
        assert_eq!(frame.body, body(number, 700));
    }
    Ok(())
}

/// A log of several segments, left by a process that was killed.
fn left(seed: u64) -> (SimDisk, Oracle) {
    let (disk, mut dice, mut oracle) = (SimDisk::default(), Dice(seed), Oracle::default());
    let started = Process::start(&disk, SyncMode::Always, &mut oracle);
    let (mut process, _) = started.unwrap();
    process.work(&mut oracle, &mut dice, 150);
    disk.kill();
    (disk, oracle)
}

#[test]
fn an_error_at_any_call_that_looks_is_said_and_is_never_taken_for_an_end_or_for_damage() {
    for seed in 0..4 {
        let (disk, oracle) = left(seed);
        let mut said = 0;
        for at in 1.. {
            let (disk, mut oracle) = (disk.fork(), oracle.clone());
            disk.look_fault_in(at, ErrorKind::Other);
            match Process::start(&disk, SyncMode::Always, &mut oracle) {
                Err(stop) => {
                    assert!(stop.is_of(&disk), "seed {seed}, look {at}: {stop:?}");
                    said += 1;
                }
                Ok(_) if !disk.has_met_faults() => break,
                Ok(_) => {}
            }
            disk.kill();
            disk.clear_faults();
            let again = Process::start(&disk, SyncMode::Always, &mut oracle);
            again.unwrap_or_else(|stop| panic!("seed {seed}, look {at}: {stop:?}"));
        }
        assert!(said > 20, "{said} errors are too few");
    }
}

/// A log whose writer hangs in the `call`th call that comes, with something on its way.
fn hanging(call: u64) -> Result<(SimDisk, Log<Tally>, Receipt)> {
    let disk = SimDisk::default();
    let options = LogOptions {
        pending_bytes_max: 10_000,
        ..small()
    };
    let log = open_on(Path::new(DIR), options, disk.shared())?.log;
    log.append(1, 1, &text("before"))?.wait(PATIENCE)?;
    disk.fault_in(call, Fault::Slow);
    let late = log.append(1, 1, &text("late"))?;
    disk.wait_until_slow();
    Ok((disk, log, late))
}

#[test]
fn while_a_call_takes_its_time_nothing_is_acknowledged_and_what_waits_is_bounded() -> Result<()> {
    // The write, and the sync.
    for call in 1..=2 {
        let (disk, log, late) = hanging(call)?;
        let mut more = Vec::new();
        while let Ok(receipt) = log.append(1, 1, &[body(more.len() as u64, 900)]) {
            more.push(receipt);
        }
        assert!(more.len() < 11, "{} wait", more.len());
        assert!(!log.wait_for_room(1000, Duration::ZERO)?);
        let error = late.wait(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert_eq!(log.durable().upto(), Position(1));
        assert_eq!(all(&log)?.len(), 1, "what is not durable is not read");
        disk.go_on();
        late.wait(PATIENCE)?;
        assert!(log.wait_for_room(1000, PATIENCE)?);
        for receipt in &more {
            receipt.wait(PATIENCE)?;
        }
        assert_eq!(all(&log)?.len(), 2 + more.len());
    }
    Ok(())
}

#[test]
fn what_hangs_in_a_call_when_the_power_goes_was_never_acknowledged() -> Result<()> {
    for call in 1..=2 {
        let (disk, log, late) = hanging(call)?;
        disk.power_cycle(Cut::Nothing);
        disk.go_on();
        assert_eq!(late.wait(PATIENCE).unwrap_err().kind(), Kind::Stopped);
        assert_eq!(log.close().unwrap_err().kind(), Kind::Stopped);
        let log = open_on(Path::new(DIR), small(), disk.shared())?.log;
        assert_eq!(all(&log)?.len(), 1);
    }
    Ok(())
}
