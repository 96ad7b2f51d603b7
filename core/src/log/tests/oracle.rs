//! What must be true after anything that can happen, and a workload to make it happen.
//!
//! The oracle remembers every accepted frame and how many were durable. After a restart the log must
//! hold, from its oldest kept segment on, exactly the accepted frames up to some point at or after the last
//! durable one: nothing lost, nothing half, nothing twice, nothing invented, in order, with its
//! positions, state and staged chunks.

use super::*;
use crate::clock::ManualClock;
use crate::error::Kind;
use crate::log::sim::{Dice, SimDisk};
use crate::log::writer::Writer;
use crate::log::{AppendError, Receipt, Recovery, Retention, Stage, StageMark, SyncMode};

/// An accepted frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) kind: u8,
    pub(super) first: Position,
    pub(super) count: u32,
    pub(super) body: Bytes,
    pub(super) chunks: Option<Vec<(u32, Bytes)>>,
}

impl Accepted {
    fn fold_into(&self, tally: &mut Tally) {
        let frame = FrameRef {
            kind: self.kind,
            first: self.first,
            count: self.count,
            staged: None,
            parts: std::slice::from_ref(&self.body),
        };
        tally.apply(&frame).unwrap();
    }
}

/// Why a process did not begin.
#[derive(Debug)]
pub(super) enum Stop {
    /// The log says that it cannot be opened or read.
    Refused(Error),
    /// The log is not what it must be.
    Broken(String),
}

impl Stop {
    /// Whether that is what a disk that fails has to lead to: the log says so, and nothing else.
    pub(super) fn is_of(&self, disk: &SimDisk) -> bool {
        let Stop::Refused(error) = self else {
            return false;
        };
        let kind = error.kind();
        disk.is_off() || disk.has_met_faults() && kind == Kind::Unavailable
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Refused(error)
    }
}

impl From<String> for Stop {
    fn from(what: String) -> Stop {
        Stop::Broken(what)
    }
}

/// For tests on disks that do not fail.
impl From<Stop> for String {
    fn from(stop: Stop) -> String {
        match stop {
            Stop::Refused(error) => format!("refused: {}", error.report()),
            Stop::Broken(what) => what,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Oracle {
    pub(super) accepted: Vec<Accepted>,
    /// How many of them were durable.
    pub(super) durable: usize,
    /// Up to here segments may have been dropped.
    pub(super) settled: Position,
}

impl Oracle {
    /// How many of the accepted frames make up the state `tally`, of those that were durable and more.
    fn found(&self, tally: &Tally) -> Option<usize> {
        let mut own = Tally::default();
        for (frames, accepted) in self.accepted.iter().enumerate() {
            if own == *tally && frames >= self.durable {
                return Some(frames);
            }
            accepted.fold_into(&mut own);
        }
        (own == *tally).then_some(self.accepted.len())
    }

    /// Holds the log against what was accepted; what is in it is durable from now on.
    pub(super) fn check(&mut self, log: &Log<Tally>) -> Result<(), Stop> {
        let tally = log.with_fold(Tally::clone);
        let found = self.found(&tally).ok_or_else(|| {
            let (durable, accepted) = (self.durable, self.accepted.len());
            format!("{tally:?} is no state between {durable} durable and {accepted} accepted")
        })?;
        let next = self.accepted[..found].last();
        let next = next.map_or(1, |last| last.first.0 + u64::from(last.count));
        if log.next_position() != Position(next) {
            let found = log.next_position();
            return Err(format!("next position {found} instead of {next}").into());
        }
        self.accepted.truncate(found);
        self.check_frames(log)?;
        self.durable = found;
        Ok(())
    }

    fn check_frames(&self, log: &Log<Tally>) -> Result<(), Stop> {
        let oldest = log.segments()[0].span.first;
        if oldest > self.settled.next() {
            let settled = self.settled;
            return Err(format!("positions before {oldest} are gone, settled {settled}").into());
        }
        let frames = drain(&mut log.reader(oldest))?;
        let kept = self.accepted.len().checked_sub(frames.len());
        let kept = kept.ok_or_else(|| "more frames than accepted".to_owned())?;
        let gone = self.accepted[..kept].last();
        if gone.is_some_and(|gone| gone.first.plus(u64::from(gone.count)) > oldest) {
            return Err("a frame is missing at the front".to_owned().into());
        }
        for (frame, accepted) in frames.iter().zip(&self.accepted[kept..]) {
            if log_frame(log, frame)? != *accepted {
                return Err(format!("{frame:?} was accepted as {accepted:?}").into());
            }
        }
        Ok(())
    }
}

fn log_frame(log: &Log<Tally>, frame: &Frame) -> Result<Accepted> {
    let chunks = match frame.staged {
        None => None,
        Some(_) => Some(chunks(log, frame)?),
    };
    Ok(Accepted {
        kind: frame.kind,
        first: frame.first,
        count: frame.count,
        body: frame.body.clone(),
        chunks,
    })
}

fn chunks(log: &Log<Tally>, frame: &Frame) -> Result<Vec<(u32, Bytes)>> {
    let mut reader = log.staged(frame)?;
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.next()? {
        chunks.push((chunk.count, chunk.body));
    }
    Ok(chunks)
}

/// A staged transaction under way.
struct Transaction {
    stage: Stage,
    chunks: Vec<(u32, Bytes)>,
    savepoint: Option<(StageMark, usize)>,
}

/// A process that uses the log: everything it does follows from the dice.
pub(super) struct Process {
    log: Log<Tally>,
    writer: Writer,
    transactions: Vec<Transaction>,
    /// Frames accepted before this process.
    base: usize,
}

pub(super) const DIR: &str = "/log";

pub(super) fn options(sync: SyncMode) -> LogOptions {
    LogOptions {
        segment_bytes: 8 << 10,
        pending_bytes_max: 16 << 10,
        // Every snapshot takes several frames.
        snapshot_frame_bytes: 16,
        recent_bytes_max: 0,
        sync,
        spare_segments: 1,
        reserve_bytes: 0,
        clock: Arc::new(ManualClock::default()),
    }
}

impl Process {
    /// Opens the log and holds it against the oracle.
    pub(super) fn start(
        disk: &SimDisk,
        sync: SyncMode,
        oracle: &mut Oracle,
    ) -> Result<(Process, Recovery), Stop> {
        let opened = Log::open_unwritten(
            Path::new(DIR),
            options(sync),
            disk.shared(),
            Tally::default(),
        );
        let (opened, writer) = opened?;
        oracle.check(&opened.log)?;
        let process = Process {
            log: opened.log,
            writer,
            transactions: Vec::new(),
            base: oracle.accepted.len(),
        };
        Ok((process, opened.recovery))
    }

    pub(super) fn log(&self) -> &Log<Tally> {
        &self.log
    }

    /// Does `steps` things.
    pub(super) fn work(&mut self, oracle: &mut Oracle, dice: &mut Dice, steps: usize) {
        for _ in 0..steps {
            self.step(oracle, dice);
            self.look(oracle);
        }
    }

    /// Lets the writer do what waits.
    pub(super) fn turn(&mut self, oracle: &mut Oracle) {
        self.writer.turn(false);
        self.look(oracle);
    }

    fn look(&self, oracle: &mut Oracle) {
        oracle.durable = self.base + self.log.durable().frames() as usize;
    }

    fn step(&mut self, oracle: &mut Oracle, dice: &mut Dice) {
        match dice.below(20) {
            0..4 => self.append(oracle, dice),
            4..7 => self.pieces(oracle, dice),
            7..13 => _ = self.writer.turn(false),
            13 if self.transactions.len() < 3 => self.begin(),
            13..16 => self.push(dice),
            16 => self.savepoint(dice),
            17 => self.commit(oracle, dice),
            18 => self.abort(dice),
            _ => self.retain(oracle, dice),
        }
    }

    fn append(&mut self, oracle: &mut Oracle, dice: &mut Dice) {
        let len = match dice.below(8) {
            0 => 0,
            1 => 3000 + dice.below(4000),
            _ => dice.below(700),
        };
        let body = body(dice.roll(), len as usize);
        let (kind, count) = (dice.below(3) as u8, dice.below(3) as u32);
        let half = body.len() / 2;
        let parts = [body.slice(..half), body.slice(half..)];
        let accepted = self.log.append(kind, count, &parts);
        self.accepted(oracle, accepted, kind, count, body, None);
    }

    /// A few pieces in a row, most of them alike.
    fn pieces(&mut self, oracle: &mut Oracle, dice: &mut Dice) {
        for _ in 0..1 + dice.below(6) {
            let head = Bytes::from_static([b"head", b"HEAD"][usize::from(dice.below(6) == 0)]);
            let rest = body(dice.roll(), 1 + dice.below(200) as usize);
            let (frames, count) = (self.log.frames(), 1 + dice.below(3) as u32);
            let receipt = self.log.append_piece(PIECES, count, &head, &rest);
            if receipt.is_ok() && self.log.frames() == frames {
                let last = oracle.accepted.last_mut().expect("it joined the last");
                last.body = [&last.body[..], &rest].concat().into();
                last.count += count;
            } else {
                let body = [&head[..], &rest].concat().into();
                self.accepted(oracle, receipt, PIECES, count, body, None);
            }
        }
    }

    fn accepted(
        &self,
        oracle: &mut Oracle,
        receipt: Result<Receipt, AppendError>,
        kind: u8,
        count: u32,
        body: Bytes,
        chunks: Option<Vec<(u32, Bytes)>>,
    ) {
        let receipt = match receipt {
            Ok(receipt) => receipt,
            Err(AppendError::Full | AppendError::Fenced(_)) => return,
            Err(error) => panic!("{error}"),
        };
        oracle.accepted.push(Accepted {
            kind,
            first: receipt.first,
            count,
            body,
            chunks,
        });
    }

    fn begin(&mut self) {
        if let Ok(stage) = self.log.stage() {
            self.transactions.push(Transaction {
                stage,
                chunks: Vec::new(),
                savepoint: None,
            });
        }
    }

    fn pick(&mut self, dice: &mut Dice) -> Option<usize> {
        let count = self.transactions.len() as u64;
        (count > 0).then(|| dice.below(count) as usize)
    }

    fn push(&mut self, dice: &mut Dice) {
        let Some(index) = self.pick(dice) else {
            return;
        };
        let transaction = &mut self.transactions[index];
        let chunk = body(dice.roll(), dice.below(1500) as usize);
        let count = dice.below(5) as u32;
        if transaction
            .stage
            .push(count, std::slice::from_ref(&chunk))
            .is_ok()
        {
            transaction.chunks.push((count, chunk));
        }
    }

    fn savepoint(&mut self, dice: &mut Dice) {
        let Some(index) = self.pick(dice) else {
            return;
        };
        let transaction = &mut self.transactions[index];
        match transaction.savepoint.take() {
            None => {
                let chunks = transaction.chunks.len();
                transaction.savepoint = Some((transaction.stage.mark(), chunks));
            }
            Some((mark, chunks)) => {
                transaction.stage.truncate(mark);
                transaction.chunks.truncate(chunks);
            }
        }
    }

    fn commit(&mut self, oracle: &mut Oracle, dice: &mut Dice) {
        let Some(index) = self.pick(dice) else {
            return;
        };
        let mut transaction = self.transactions.swap_remove(index);
        let count = transaction.stage.count() as u32;
        let body = body(dice.roll(), 40);
        let parts = [body.clone()];
        let receipt = self.log.commit(&mut transaction.stage, 9, count, &parts);
        self.accepted(oracle, receipt, 9, count, body, Some(transaction.chunks));
    }

    fn abort(&mut self, dice: &mut Dice) {
        if let Some(index) = self.pick(dice) {
            self.transactions.swap_remove(index);
        }
    }

    /// Drops what is settled, all but the newest two segments' worth.
    fn retain(&mut self, oracle: &mut Oracle, dice: &mut Dice) {
        let upto = self.log.durable().upto();
        oracle.settled = oracle.settled.max(Position(dice.below(upto.0 + 1)));
        let policy = Retention {
            max_age: PATIENCE,
            max_bytes: 24 << 10,
        };
        self.log.begin_retain(oracle.settled, &policy);
    }
}
