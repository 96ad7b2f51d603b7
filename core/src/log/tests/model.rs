//! The log beside a plain list: whatever is done to it, it answers as the list does.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::oracle::{DIR, options};
use super::*;
use crate::log::SyncMode;
use crate::log::sim::SimDisk;
use crate::log::writer::Writer;

#[derive(Debug, Clone)]
enum Act {
    Append { kind: u8, count: u32, len: usize },
    Pieces(Vec<(u32, usize)>),
    Turn,
    Read,
    ReadFrom(u64),
    Reopen,
    Stage { chunks: Vec<usize>, kept: usize },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (0..4_u8, 0..4_u32, 0..2500_usize)
            .prop_map(|(kind, count, len)| Act::Append { kind, count, len }),
        3 => vec((1..4_u32, 1..900_usize), 1..6).prop_map(Act::Pieces),
        4 => Just(Act::Turn),
        2 => Just(Act::Read),
        3 => (0..200_u64).prop_map(Act::ReadFrom),
        1 => Just(Act::Reopen),
        2 => (vec(0..3000_usize, 0..5), 0..5_usize)
            .prop_map(|(chunks, kept)| Act::Stage { chunks, kept }),
    ];
    vec(act, 1..60)
}

/// The log, a reader that stays, and the list.
struct Pair {
    disk: SimDisk,
    log: Log<Tally>,
    writer: Writer,
    reader: Reader,
    read: usize,
    list: Vec<(u8, Position, u32, Bytes)>,
    durable: usize,
}

impl Pair {
    fn new(disk: SimDisk) -> Pair {
        let options = options(SyncMode::Always);
        let opened = Log::open_unwritten(Path::new(DIR), options, disk.shared(), Tally::default());
        let (opened, writer) = opened.unwrap();
        Pair {
            disk,
            reader: opened.log.reader(Position::ZERO),
            log: opened.log,
            writer,
            read: 0,
            list: Vec::new(),
            durable: 0,
        }
    }

    fn next(&self) -> Position {
        let last = self.list.last();
        last.map_or(Position::FIRST, |(_, first, count, _)| {
            first.plus(u64::from(*count))
        })
    }

    fn turn(&mut self) {
        self.writer.turn(false);
        self.durable = self.list.len();
    }

    fn act(&mut self, act: &Act) -> Result<(), TestCaseError> {
        match act {
            Act::Append { kind, count, len } => {
                let body = body(self.list.len() as u64, *len);
                let parts = [body.clone()];
                if let Ok(receipt) = self.log.append(*kind, *count, &parts) {
                    prop_assert_eq!(receipt.first, self.next());
                    self.list.push((*kind, receipt.first, *count, body));
                }
            }
            Act::Pieces(pieces) => self.pieces(pieces)?,
            Act::Turn => self.turn(),
            Act::Read => self.read()?,
            Act::ReadFrom(from) => self.read_from(Position(*from))?,
            Act::Reopen => self.reopen()?,
            Act::Stage { chunks, kept } => self.stage(chunks, *kept)?,
        }
        prop_assert_eq!(self.log.next_position(), self.next());
        Ok(())
    }

    /// Pieces that follow each other are one frame, until it is being written.
    fn pieces(&mut self, pieces: &[(u32, usize)]) -> Result<(), TestCaseError> {
        let head = Bytes::from_static(b"head");
        for (count, len) in pieces {
            let rest = body(*len as u64, *len);
            let frames = self.log.frames();
            let Ok(receipt) = self.log.append_piece(PIECES, *count, &head, &rest) else {
                continue;
            };
            prop_assert_eq!(receipt.first, self.next());
            let waits = self.list.len() > self.durable;
            match self.list.last_mut() {
                Some((PIECES, _, own, body)) if waits && self.log.frames() == frames => {
                    *own += count;
                    *body = [&body[..], &rest].concat().into();
                }
                _ => {
                    prop_assert_eq!(self.log.frames(), frames + 1);
                    let body = [&head[..], &rest].concat().into();
                    self.list.push((PIECES, receipt.first, *count, body));
                }
            }
        }
        Ok(())
    }

    /// The reader that stays gives what became durable since it was last asked.
    fn read(&mut self) -> Result<(), TestCaseError> {
        let frames = drain(&mut self.reader).unwrap();
        let expected = &self.list[self.read..self.durable];
        prop_assert_eq!(flat(&frames), expected);
        self.read = self.durable;
        Ok(())
    }

    fn read_from(&self, from: Position) -> Result<(), TestCaseError> {
        let frames = drain(&mut self.log.reader(from).want(&[0, 2])).unwrap();
        let reaches = |(kind, first, count, _): &&(u8, Position, u32, Bytes)| {
            let last = first.plus(u64::from(*count)).previous();
            let reaches = if *count == 0 {
                *first >= from
            } else {
                last >= from
            };
            reaches && (*kind == 0 || *kind == 2)
        };
        let durable = self.list[..self.durable].iter();
        let expected: Vec<_> = durable.filter(reaches).cloned().collect();
        prop_assert_eq!(flat(&frames), expected);
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), TestCaseError> {
        self.turn();
        self.read()?;
        self.disk.kill();
        let next = Pair::new(self.disk.clone());
        let before = std::mem::replace(self, next);
        self.list = before.list;
        self.durable = self.list.len();
        let others = self.list.iter().filter(|(kind, ..)| *kind != PIECES);
        prop_assert_eq!(
            self.log.with_fold(|tally| tally.frames),
            others.count() as u64
        );
        self.read()
    }

    fn stage(&mut self, chunks: &[usize], kept: usize) -> Result<(), TestCaseError> {
        let mut stage = self.log.stage().unwrap();
        let mut mark = stage.mark();
        for (index, len) in chunks.iter().enumerate() {
            if index == kept {
                mark = stage.mark();
            }
            self.writer.turn(false);
            stage.push(1, &[body(index as u64, *len)]).unwrap();
        }
        if kept < chunks.len() {
            stage.truncate(mark);
        }
        let kept = kept.min(chunks.len());
        self.turn();
        let count = stage.count() as u32;
        prop_assert_eq!(count as usize, kept);
        let receipt = self.log.commit(&mut stage, 3, count, &[]).unwrap();
        self.list.push((3, receipt.first, count, Bytes::new()));
        self.turn();
        let frames = drain(&mut self.log.reader(receipt.first)).unwrap();
        let commit = frames.iter().rfind(|frame| frame.staged.is_some()).unwrap();
        let mut reader = self.log.staged(commit).unwrap();
        for (index, len) in chunks[..kept].iter().enumerate() {
            let chunk = reader.next().unwrap().unwrap();
            prop_assert_eq!(chunk.body, body(index as u64, *len));
        }
        prop_assert_eq!(reader.next().unwrap(), None);
        Ok(())
    }
}

fn flat(frames: &[Frame]) -> Vec<(u8, Position, u32, Bytes)> {
    let flat = |frame: &Frame| (frame.kind, frame.first, frame.count, frame.body.clone());
    frames.iter().map(flat).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_answers_as_a_list_does(acts in acts()) {
        let mut pair = Pair::new(SimDisk::default());
        for act in &acts {
            pair.act(act)?;
        }
        pair.turn();
        pair.read()?;
    }
}
