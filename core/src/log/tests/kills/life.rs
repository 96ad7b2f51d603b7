//! What the killed process does: eight writers, and somebody who drops old segments, until the end.

use std::collections::VecDeque;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use super::super::{PATIENCE, PIECES};
use super::options;
use super::record::{COMMIT, Heads, RECORD, Record, commit};
use crate::clock::Timestamp;
use crate::log::sim::Dice;
use crate::log::{AppendError, Log, Receipt, Retention, SystemDisk};
use crate::position::Position;

/// What a process is told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) dir: PathBuf,
    pub(super) seed: u64,
    pub(super) life: u32,
    /// Says what is accepted only to be durable: a bug that the tests must find.
    pub(super) hasty: bool,
}

impl Order {
    pub(super) const VARIABLE: &str = "BLACKSMITH_LIFE";

    pub(super) fn encode(&self) -> String {
        let dir = self.dir.display();
        format!("{} {} {} {dir}", self.seed, self.life, self.hasty)
    }

    fn decode(text: &str) -> Option<Order> {
        let mut words = text.splitn(4, ' ');
        Some(Order {
            seed: words.next()?.parse().ok()?,
            life: words.next()?.parse().ok()?,
            hasty: words.next()?.parse().ok()?,
            dir: words.next()?.into(),
        })
    }
}

/// One line of the pipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// The log is open, with this in it.
    Opened { life: u32, heads: Heads },
    /// The writer may append its events up to this number from now on.
    Begun { writer: usize, upto: u64 },
    /// These are durable: the first event and its position, and how many.
    Durable {
        writer: usize,
        first: u64,
        position: Position,
        count: u64,
    },
    /// Up to here segments may be dropped from now on.
    Settled(Position),
}

impl Said {
    fn encode(&self) -> String {
        match self {
            Said::Opened { life, heads } => {
                let heads: Vec<String> = heads.0.iter().map(u64::to_string).collect();
                format!("opened {life} {}\n", heads.join(" "))
            }
            Said::Begun { writer, upto } => format!("begun {writer} {upto}\n"),
            Said::Durable {
                writer,
                first,
                position,
                count,
            } => format!("durable {writer} {first} {position} {count}\n"),
            Said::Settled(upto) => format!("settled {upto}\n"),
        }
    }

    pub(super) fn decode(line: &str) -> Option<Said> {
        let (what, numbers) = line.split_once(' ')?;
        let numbers = numbers.split(' ').map(|number| number.parse().ok());
        let numbers: Vec<u64> = numbers.collect::<Option<_>>()?;
        match (what, numbers.as_slice()) {
            ("opened", [life, heads @ ..]) => Some(Said::Opened {
                life: u32::try_from(*life).ok()?,
                heads: Heads(heads.try_into().ok()?),
            }),
            ("begun", [writer, upto]) => Some(Said::Begun {
                writer: *writer as usize,
                upto: *upto,
            }),
            ("durable", [writer, first, position, count]) => Some(Said::Durable {
                writer: *writer as usize,
                first: *first,
                position: Position(*position),
                count: *count,
            }),
            ("settled", [upto]) => Some(Said::Settled(Position(*upto))),
            _ => None,
        }
    }

    /// One write of the system, which a kill does not divide. Without anybody who listens there is nothing to live for.
    fn say(&self) {
        let line = self.encode();
        if std::io::stderr().write_all(line.as_bytes()).is_err() {
            std::process::exit(1);
        }
    }
}

/// In a process that was started to be killed this never returns.
pub(super) fn if_ordered() {
    let Ok(order) = std::env::var(Order::VARIABLE) else {
        return;
    };
    live(&Order::decode(&order).expect("an order is whole"));
}

fn live(order: &Order) -> ! {
    let opened = Log::open_unwritten(
        &order.dir,
        options(order.seed),
        SystemDisk::shared(),
        Heads::default(),
    );
    let (opened, writer) = opened.unwrap_or_else(|error| panic!("{}", error.report()));
    let log = opened.log;
    let heads = log.with_fold(Heads::clone);
    Said::Opened {
        life: order.life,
        heads: heads.clone(),
    }
    .say();
    log.start(writer).unwrap();
    let mut dice = Dice(order.seed ^ u64::from(order.life) << 32);
    std::thread::scope(|scope| {
        for (writer, head) in heads.0.iter().enumerate() {
            let writer = Writer {
                log: log.clone(),
                order,
                writer,
                number: head + 1,
                dice: Dice(dice.roll()),
                waiting: VecDeque::new(),
            };
            scope.spawn(move || writer.run());
        }
        drop_old(&log, &mut dice);
    })
}

/// Drops segments that are behind; how far behind the dice say each time.
fn drop_old(log: &Log<Heads>, dice: &mut Dice) -> ! {
    let durable = log.durable();
    loop {
        let upto = durable.upto();
        let more = Position(upto.0 + dice.below(200));
        durable.wait_past(more, PATIENCE).unwrap();
        let settled = Position(upto.0.saturating_sub(dice.below(300)));
        Said::Settled(settled).say();
        let policy = Retention {
            max_age: Duration::MAX,
            max_bytes: 32 << 10,
        };
        log.retain(settled, &policy, Timestamp(0)).unwrap();
    }
}

/// One of those who append.
struct Writer<'a> {
    log: Log<Heads>,
    order: &'a Order,
    writer: usize,
    /// That of the next event.
    number: u64,
    dice: Dice,
    /// What is on its way: receipt, number and count.
    waiting: VecDeque<(Receipt, u64, u64)>,
}

impl Writer<'_> {
    fn run(mut self) {
        loop {
            match self.dice.below(12) {
                0..6 => self.append(),
                6..10 => self.pieces(),
                _ => self.transaction(),
            }
            let ahead = self.dice.below(6) as usize;
            while self.waiting.len() > ahead {
                self.acknowledge();
            }
        }
    }

    /// The next `count` events, from now on begun.
    fn begin(&mut self, count: u64) -> Vec<Record> {
        let upto = self.number + count - 1;
        Said::Begun {
            writer: self.writer,
            upto,
        }
        .say();
        let numbers = self.number..=upto;
        numbers
            .map(|number| Record {
                writer: self.writer as u32,
                life: self.order.life,
                number,
                len: match self.dice.below(20) {
                    0 => self.dice.below(9_000) as u32,
                    1..6 => 0,
                    _ => self.dice.below(400) as u32,
                },
            })
            .collect()
    }

    fn append(&mut self) {
        for record in self.begin(1) {
            let body = record.encode();
            let half = body.len() / 2;
            let parts = [body.slice(..half), body.slice(half..)];
            let receipt = self.insist(|log| log.append(RECORD, 1, &parts));
            self.accepted(receipt, 1);
        }
    }

    fn pieces(&mut self) {
        let count = 1 + self.dice.below(5);
        let head = Bytes::from_static(b"head");
        for record in self.begin(count) {
            let rest = record.encode();
            let receipt = self.insist(|log| log.append_piece(PIECES, 1, &head, &rest));
            self.accepted(receipt, 1);
        }
    }

    /// Some chunks in a staged file, some of them taken back; at times all of them are.
    fn transaction(&mut self) {
        let mut stage = self.log.stage().unwrap();
        let count = 1 + self.dice.below(4);
        let records = self.begin(count);
        for record in &records {
            let chunk = [record.encode()];
            self.push(&mut stage, &chunk);
            if self.dice.once_in(4) {
                let mark = stage.mark();
                self.push(&mut stage, &chunk);
                stage.truncate(mark);
            }
        }
        if self.dice.once_in(5) {
            return;
        }
        let said = [commit(self.writer as u32, self.number, count)];
        let receipt = self.insist(|log| log.commit(&mut stage, COMMIT, count as u32, &said));
        self.accepted(receipt, count);
    }

    fn push(&self, stage: &mut crate::log::Stage, chunk: &[Bytes]) {
        self.insist(|_| stage.push(1, chunk));
    }

    /// Does what `act` does, however long the queue is full.
    fn insist<R>(&self, mut act: impl FnMut(&Log<Heads>) -> Result<R, AppendError>) -> R {
        loop {
            match act(&self.log) {
                Ok(done) => return done,
                Err(AppendError::Full) => {
                    _ = self.log.wait_for_room(1 << 10, PATIENCE).unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn accepted(&mut self, receipt: Receipt, count: u64) {
        self.waiting.push_back((receipt, self.number, count));
        self.number += count;
        if self.order.hasty {
            self.acknowledge();
        }
    }

    /// Says that the first of those on their way is durable, when it is.
    fn acknowledge(&mut self) {
        let Some((receipt, first, count)) = self.waiting.pop_front() else {
            return;
        };
        if !self.order.hasty {
            receipt.wait(PATIENCE).unwrap();
        }
        Said::Durable {
            writer: self.writer,
            first,
            position: receipt.first,
            count,
        }
        .say();
    }
}
