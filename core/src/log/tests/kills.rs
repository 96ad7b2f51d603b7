//! Real processes that append to one log and are killed, over and over: SIGKILL at any moment.
//!
//! A life is this test binary, run again: eight writers append to a log in a real folder, small segments roll, are
//! dropped and written over, and everything that became durable is said at once on a pipe (`life.rs`). What was read from the pipe
//! had been acknowledged. The parent kills it at some moment, starts the next, and holds what is in the log against
//! what was said (`ledger.rs`): nothing acknowledged is missing, each writer's events are in order and whole, none
//! that its writer never began is there, no position is left out.
//!
//! A seed is one log with twenty lives: it decides sizes, options and when to kill; the moment itself is the
//! machine's. `BLACKSMITH_SEED` is the first (0), `BLACKSMITH_SEEDS` their number.

mod ledger;
mod life;
mod record;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::PATIENCE;
use super::power::seeds;
use crate::log::readonly::open_read_only;
use crate::log::sim::Dice;
use crate::log::{Log, LogOptions, SystemDisk, verify};
use ledger::Ledger;
use life::{Order, Said};
use record::Heads;

/// Lives of one log.
const LIVES: u32 = 20;
/// Seeds of CI: 200 lives.
const SEEDS: u64 = 10;

/// Small segments, and other numbers for other seeds.
fn options(seed: u64) -> LogOptions {
    let mut dice = Dice(!seed);
    LogOptions {
        segment_bytes: [8 << 10, 16 << 10, 64 << 10][dice.below(3) as usize],
        pending_bytes_max: [8 << 10, 256 << 10][dice.below(2) as usize],
        // Snapshots of one frame, and of several.
        snapshot_frame_bytes: [16, 16 << 20][dice.below(2) as usize],
        spare_segments: dice.below(3) as usize,
        ..LogOptions::default()
    }
}

/// A process at work; it does not outlive this.
struct Life {
    process: Child,
    said: Receiver<String>,
}

impl Life {
    fn begin(test: &str, order: &Order) -> Life {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let own = module_path!().split_once("::").unwrap().1;
        command.args(["--exact", &format!("{own}::{test}"), "--nocapture"]);
        command.env(Order::VARIABLE, order.encode());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let (sender, said) = bounded(1 << 16);
        std::thread::spawn(move || {
            // Somebody else's end of the pipe is the end of the life.
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Life { process, said }
    }

    /// Listens for `time`, and for `lines` at most; false when there is nothing to hear any more.
    fn listen(&self, ledger: &mut Ledger, time: Duration, lines: u64) -> Result<bool, String> {
        let until = Instant::now() + time;
        for _ in 0..lines {
            let left = until.saturating_duration_since(Instant::now());
            match self.said.recv_timeout(left) {
                Ok(line) => hear(ledger, &line)?,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// SIGKILL; then whatever it said before.
    fn kill(mut self, ledger: &mut Ledger) -> Result<(), String> {
        self.end();
        self.said.iter().try_for_each(|line| hear(ledger, &line))
    }

    fn end(&mut self) -> ExitStatus {
        self.process.kill().unwrap();
        self.process.wait().unwrap()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.end();
    }
}

fn hear(ledger: &mut Ledger, line: &str) -> Result<(), String> {
    let said = Said::decode(line).ok_or_else(|| format!("it complained: {line}"))?;
    ledger.hear(&said)
}

/// Lives one life up to a moment that `dice` choose.
fn live(test: &str, order: &Order, ledger: &mut Ledger, dice: &mut Dice) -> Result<(), String> {
    let life = Life::begin(test, order);
    let goes_on = match dice.once_in(3) {
        // In its beginnings, too.
        true => life.listen(ledger, Duration::from_micros(dice.below(25_000)), u64::MAX)?,
        false => {
            let lines = 1 + dice.below(500);
            let rest = Duration::from_micros(dice.below(2_000));
            life.listen(ledger, PATIENCE, lines)? && life.listen(ledger, rest, u64::MAX)?
        }
    };
    if !goes_on {
        return Err("it ended by itself".to_owned());
    }
    life.kill(ledger)
}

/// Holds the log in `dir` against the ledger: as it was left, or as the next opening leaves it.
fn look(dir: &Path, order: &Order, ledger: &mut Ledger, mends: bool) -> Result<(), String> {
    if !mends {
        let log = open_read_only(dir, Heads::default());
        let log = log.map_err(|error| format!("opening to read: {}", error.report()))?;
        let oldest = log.segments()[0].span.first;
        let staged = |frame: &_| log.staged(frame);
        return ledger.check(
            log.fold(),
            oldest,
            log.next_position(),
            &mut log.reader(oldest),
            &staged,
        );
    }
    let options = options(order.seed);
    let opened = Log::open_unwritten(dir, options, SystemDisk::shared(), Heads::default());
    let (opened, _writer) = opened.map_err(|error| format!("opening: {}", error.report()))?;
    let log = opened.log;
    ledger.opened(&log.with_fold(Heads::clone), order.life)?;
    let oldest = log.segments()[0].span.first;
    let staged = |frame: &_| log.staged(frame);
    ledger.check(
        &log.with_fold(Heads::clone),
        oldest,
        log.next_position(),
        &mut log.reader(oldest),
        &staged,
    )?;
    let verified = verify(dir).map_err(|error| error.report())?;
    match verified.is_sound() {
        true => Ok(()),
        false => Err(format!("not sound: {verified:?}")),
    }
}

/// All lives of one log; how many events were acknowledged in them.
fn lives(test: &str, seed: u64, lives: u32, hasty: bool) -> Result<Ledger, String> {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice(seed);
    let mut ledger = Ledger::default();
    let mut all = |life: u32| {
        let order = Order {
            dir: dir.path().to_owned(),
            seed,
            life,
            hasty,
        };
        live(test, &order, &mut ledger, &mut dice)?;
        let (looks, mends) = (dice.once_in(2), dice.once_in(2));
        let is_there = dir.path().join("LOCK").exists() && ledger.has_begun();
        match is_there && (looks || life == lives) {
            true => look(dir.path(), &order, &mut ledger, mends || life == lives),
            false => Ok(()),
        }
    };
    for life in 1..=lives {
        if let Err(error) = all(life) {
            let kept = dir.keep();
            return Err(format!("life {life}: {error}\nthe log: {}", kept.display()));
        }
    }
    Ok(ledger)
}

#[test]
fn a_log_killed_at_any_moment_has_everything_acknowledged_whole_in_order_and_nothing_else() {
    life::if_ordered();
    let (began, mut killed, mut acknowledged, mut dropped) = (Instant::now(), 0, 0, 0);
    for seed in seeds(SEEDS) {
        let own = "a_log_killed_at_any_moment_has_everything_acknowledged_whole_in_order_and_nothing_else";
        let ledger = lives(own, seed, LIVES, false);
        let ledger = ledger.unwrap_or_else(|error| panic!("seed {seed}, {error}"));
        killed += u64::from(LIVES);
        acknowledged += ledger.acknowledged();
        dropped += ledger.dropped();
    }
    assert!(
        acknowledged > killed * 10 && dropped > acknowledged / 4,
        "{acknowledged} events acknowledged, {dropped} gone with their segments: too few"
    );
    eprintln!(
        "{killed} kills, {acknowledged} events acknowledged, {dropped} gone with their segments, {:?}",
        began.elapsed()
    );
}

#[test]
fn a_log_that_acknowledges_what_is_not_written_is_caught_by_these_tests() {
    life::if_ordered();
    let own = "a_log_that_acknowledges_what_is_not_written_is_caught_by_these_tests";
    let caught = (0..20).find_map(|seed| lives(own, seed, LIVES, true).err());
    let caught = caught.expect("the harness must see acknowledged events go missing");
    assert!(caught.contains("acknowledged"), "{caught}");
}
