//! Power cuts and kills at every call of the disk, alone and among other trouble.
//!
//! A seed decides everything: `BLACKSMITH_SEED=17 BLACKSMITH_SEEDS=1` repeats it.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use super::oracle::{DIR, Oracle, Process, Stop, options};
use super::*;
use crate::log::sim::{Cut, Dice, Fault, SimDisk};
use crate::log::{Retention, SyncMode};

/// Works for `steps` with the power going at call `cut_at`; `None` when it never got there.
fn cut_once(
    disk: &SimDisk,
    seed: u64,
    steps: usize,
    cut_at: u64,
    cut: Cut,
    sync: SyncMode,
) -> Result<bool, String> {
    let mut oracle = Oracle::default();
    disk.fault_in(cut_at, Fault::PowerCut);
    if let Ok((mut process, _)) = Process::start(disk, sync, &mut oracle) {
        process.work(&mut oracle, &mut Dice(seed), steps);
    }
    let happened = disk.is_off();
    disk.power_cycle(cut);
    let (mut process, _) = Process::start(disk, sync, &mut oracle)?;
    // And it goes on: what is written now is found as well.
    process.work(&mut oracle, &mut Dice(!seed), 12);
    process.turn(&mut oracle);
    drop(process);
    disk.kill();
    Process::start(disk, sync, &mut oracle)?;
    Ok(happened)
}

fn cut_everywhere(seed: u64, steps: usize) -> Result<u64, String> {
    let mut cuts = 0;
    for cut_at in 1.. {
        let modes = [
            Cut::Nothing,
            Cut::Everything,
            Cut::Any(cut_at),
            Cut::Any(seed ^ cut_at << 20),
            Cut::Any(!seed ^ cut_at << 32),
        ];
        let mut happened = false;
        for cut in modes {
            let disk = SimDisk::default();
            happened = cut_once(&disk, seed, steps, cut_at, cut, SyncMode::Always)
                .map_err(|error| format!("seed {seed}, call {cut_at}, {cut:?}: {error}"))?;
            cuts += 1;
        }
        if !happened {
            break;
        }
    }
    Ok(cuts)
}

#[test]
fn a_power_cut_at_any_call_loses_nothing_acknowledged_and_invents_nothing() {
    let cuts = cut_everywhere(1, 260).unwrap() + cut_everywhere(2, 260).unwrap();
    assert!(cuts > 2000, "{cuts} cuts are too few");
}

/// Plans what goes wrong in a life: mostly the power; else a call that fails, or room that ends.
fn trouble(disk: &SimDisk, dice: &mut Dice) {
    // Every other time early, to hit the opening itself.
    let calls = if dice.once_in(2) { 8 } else { 90 };
    let calls = 1 + dice.below(calls);
    match dice.below(9) {
        0..5 => disk.fault_in(calls, Fault::PowerCut),
        5 => disk.fault_in(calls, Fault::Error(ErrorKind::Other)),
        6 => disk.fault_in(calls, Fault::Error(ErrorKind::StorageFull)),
        7 => disk.leave_room(dice.below(24 << 10) as usize),
        _ => disk.look_fault_in(calls, ErrorKind::Other),
    }
}

/// How a life ends; true when with the power.
fn end(disk: &SimDisk, dice: &mut Dice) -> bool {
    let cut = match dice.below(8) {
        0..2 => None,
        2 => Some(Cut::Nothing),
        3 => Some(Cut::Everything),
        _ => Some(Cut::Any(dice.roll())),
    };
    match cut {
        Some(cut) => disk.power_cycle(cut),
        None => disk.kill(),
    }
    disk.clear_faults();
    cut.is_some()
}

/// Several lives of one store, openings included, each with trouble of its own and ended by a cut or a kill; how
/// many by a cut.
fn lives(seed: u64) -> Result<u64, Stop> {
    let mut dice = Dice(seed);
    let disk = SimDisk::default();
    if dice.once_in(2) {
        disk.set_block_bytes(4 << 10);
    }
    let (mut oracle, mut cuts) = (Oracle::default(), 0);
    for _ in 0..12 {
        if dice.once_in(4) {
            disk.set_stutter(dice.roll());
        }
        trouble(&disk, &mut dice);
        match Process::start(&disk, SyncMode::Always, &mut oracle) {
            Ok((mut process, _)) => process.work(&mut oracle, &mut dice, 100),
            Err(stop) if stop.is_of(&disk) => {}
            Err(stop) => return Err(stop),
        }
        cuts += u64::from(end(&disk, &mut dice));
    }
    Process::start(&disk, SyncMode::Always, &mut oracle).map(|_| cuts)
}

/// `BLACKSMITH_SEED` starts elsewhere, `BLACKSMITH_SEEDS` takes another number of them.
pub(super) fn seeds(count: u64) -> Range<u64> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = number("BLACKSMITH_SEED").unwrap_or(0);
    first..first + number("BLACKSMITH_SEEDS").unwrap_or(count)
}

#[test]
fn many_lives_of_one_store_with_failing_calls_end_in_cuts_and_kills_without_loss() {
    let (began, mut cuts) = (Instant::now(), 0);
    for seed in seeds(250) {
        cuts += lives(seed).unwrap_or_else(|stop| panic!("seed {seed}: {stop:?}"));
    }
    eprintln!("{cuts} power cuts in {:?}", began.elapsed());
}

#[test]
fn a_log_that_does_not_sync_is_caught_by_these_tests() {
    let lost = (1..400).any(|cut_at| {
        let disk = SimDisk::default();
        cut_once(&disk, 1, 260, cut_at, Cut::Nothing, SyncMode::Never).is_err()
    });
    assert!(lost, "the harness must see acknowledged frames go missing");
}

#[test]
fn a_disk_that_forgets_to_sync_folders_is_caught_by_these_tests() {
    let lost = (1..400).any(|cut_at| {
        let disk = SimDisk::default();
        disk.forget_folders();
        cut_once(&disk, 1, 260, cut_at, Cut::Any(cut_at), SyncMode::Always).is_err()
    });
    assert!(lost, "the harness must see names go missing");
}

#[test]
fn a_power_cut_during_retention_leaves_no_staged_file_behind() -> Result<()> {
    let staged = |disk: &SimDisk| {
        let is_staged = |path: &&PathBuf| path.extension().is_some_and(|kind| kind == "stage");
        disk.files().iter().filter(is_staged).count()
    };
    let open = |disk: &SimDisk| {
        let options = options(SyncMode::Always);
        Log::open_unwritten(Path::new(DIR), options, disk.shared(), Tally::default())
    };
    for cut_at in 1..12 {
        let disk = SimDisk::default();
        let (opened, mut writer) = open(&disk)?;
        for _ in 0..3 {
            let mut stage = opened.log.stage()?;
            stage.push(1, &[body(1, 1000)])?;
            opened.log.commit(&mut stage, 1, 1, &[body(2, 3500)])?;
            writer.turn(false);
        }
        assert_eq!((opened.log.segments().len(), staged(&disk)), (3, 3));
        let policy = Retention {
            max_age: PATIENCE,
            max_bytes: 0,
        };
        opened.log.begin_retain(Position(3), &policy);
        disk.fault_in(cut_at, Fault::PowerCut);
        writer.turn(false);
        disk.power_cycle(Cut::Any(cut_at));
        let (opened, _writer) = open(&disk)?;
        let segments = opened.log.segments().len();
        assert_eq!(staged(&disk), segments, "cut at {cut_at}");
        let oldest = opened.log.segments()[0].span.first;
        for commit in drain(&mut opened.log.reader(oldest))? {
            assert!(opened.log.staged(&commit)?.next()?.is_some());
        }
    }
    Ok(())
}

#[test]
fn segments_go_only_when_everything_accepted_before_is_durable() -> Result<()> {
    let open = |disk: &SimDisk| {
        let options = options(SyncMode::Always);
        Log::open_unwritten(Path::new(DIR), options, disk.shared(), Tally::default())
    };
    let mut dropped = 0;
    for cut_at in 1..12 {
        let disk = SimDisk::default();
        let (opened, mut writer) = open(&disk)?;
        for number in 0..3 {
            opened.log.append(1, 1, &[body(number, 5_000)])?;
            writer.turn(false);
        }
        let policy = Retention {
            max_age: PATIENCE,
            max_bytes: 0,
        };
        opened.log.append(9, 0, &text("they are settled"))?;
        opened.log.begin_retain(Position(3), &policy);
        disk.fault_in(cut_at, Fault::PowerCut);
        writer.turn(false);
        disk.power_cycle(Cut::Nothing);
        let (opened, _writer) = open(&disk)?;
        let oldest = opened.log.segments()[0].span.first;
        let frames = drain(&mut opened.log.reader(oldest))?;
        if oldest > Position::FIRST {
            dropped += 1;
            let said = frames.iter().any(|frame| frame.kind == 9);
            assert!(
                said,
                "cut at {cut_at}: dropped, and nothing says that it was settled"
            );
        }
    }
    assert!(dropped > 0, "no cut came behind a drop");
    Ok(())
}
