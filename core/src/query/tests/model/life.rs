//! A store that lives through steps, and the model beside it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::house::{House, KINDS};
use super::plain::Model;
use super::step::{Outcome, Report, Step};
use crate::clock::Timestamp;
use crate::job::{Command, Status, Transition};
use crate::log::sim::{Cut, SimDisk};
use crate::log::{LogOptions, Retention};
use crate::position::{Position, Span};
use crate::store::Store;
use crate::store::log::LogStore;
use crate::store::memory::MemoryStore;

/// The store under test, and how it comes back.
pub(super) enum Kept {
    Disk(SimDisk),
    Memory,
}

pub(super) struct Life {
    pub(super) kept: Kept,
    pub(super) house: House,
    pub(super) model: Model,
    pub(super) dropped: bool,
}

pub(super) fn open(disk: &SimDisk) -> Arc<dyn Store> {
    let options = LogOptions {
        segment_bytes: 1 << 20,
        snapshot_frame_bytes: 200,
        ..LogOptions::default()
    };
    let retention = Retention {
        max_age: Duration::ZERO,
        max_bytes: 0,
    };
    let opened = LogStore::open(Path::new("/store"), options, disk.shared(), retention);
    Arc::new(opened.unwrap().0)
}

impl Life {
    pub(super) fn begin(in_memory: bool) -> Life {
        let (kept, store) = match in_memory {
            true => {
                let store = MemoryStore::new(Retention::default()).unwrap();
                (Kept::Memory, Arc::new(store) as Arc<dyn Store>)
            }
            false => {
                let disk = SimDisk::default();
                let store = open(&disk);
                (Kept::Disk(disk), store)
            }
        };
        Life {
            kept,
            house: House::over(store),
            model: Model::default(),
            dropped: false,
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        self.model.at.0 += 1;
        match step {
            Step::Documents(kinds) => {
                let draft = self.house.documents(kinds, self.model.at);
                let receipt = self.house.append(draft);
                self.model.append(receipt.first, kinds);
            }
            Step::Rows(kinds) => {
                // Large enough for a new segment every few steps.
                let draft = self.house.rows(kinds, self.model.at, 300 << 10);
                let receipt = self.house.append(draft);
                self.model.append(receipt.first, kinds);
            }
            Step::Load {
                lane,
                size,
                outcome,
            } => self.load(*lane, *size, outcome),
            Step::Again {
                lane,
                which,
                outcome,
            } => self.again(*lane, *which, outcome),
            Step::Operate {
                lane,
                first,
                length,
                discard,
            } => {
                self.operate(*lane, *first, *length, *discard);
            }
            Step::Crash(seed) => self.crash(*seed),
            Step::Restart => self.restart(),
            Step::Clock(by) => self.model.at.0 += by,
            Step::Retain => self.retain(),
        }
    }

    pub(super) fn head(&self) -> u64 {
        self.model
            .events
            .last_key_value()
            .map_or(0, |(last, _)| *last)
    }

    fn transition(&self, lane: usize, span: Span, status: Status, attempt: u32) -> Transition {
        let because = match status {
            Status::Failed | Status::Unknown => Some("the sea is rough".to_owned()),
            Status::Discarded => Some(format!("given up at {}", span.first)),
            _ => None,
        };
        Transition {
            lane: self.house.lanes[lane],
            span,
            status,
            attempt,
            at: self.model.at,
            error: because,
            command: None,
        }
    }

    fn record(&mut self, lane: usize, transitions: &[Transition]) {
        self.house.record(transitions);
        for transition in transitions {
            self.model.apply(lane, transition);
        }
    }

    fn load(&mut self, lane: usize, size: u64, outcome: &Outcome) {
        let first = self.model.read[lane] + 1;
        let last = (first + size - 1).min(self.head());
        if first <= last {
            self.model.read[lane] = last;
            self.execute(lane, Span::new(Position(first), Position(last)), 1, outcome);
        }
    }

    /// As a runner does after a restart: from what the lane says is open.
    fn again(&mut self, lane: usize, which: usize, outcome: &Outcome) {
        let standing = self.house.store.lane(self.house.lanes[lane]).unwrap();
        let tried = [Status::Executing, Status::Failed, Status::Awaiting];
        let open: Vec<_> = standing
            .open()
            .filter(|open| tried.contains(&open.status))
            .collect();
        if let Some(open) = open.get(which % open.len().max(1)) {
            self.execute(lane, open.span, open.attempt + 1, outcome);
        }
    }

    fn execute(&mut self, lane: usize, span: Span, attempt: u32, outcome: &Outcome) {
        let executing = self.transition(lane, span, Status::Executing, attempt);
        self.record(lane, &[executing]);
        let mut said: BTreeMap<u64, Report> = BTreeMap::new();
        for (place, length, report) in &outcome.reports {
            let first = span.first.0 + place;
            for position in (first..first + length).take_while(|at| *at <= span.last.0) {
                said.entry(position).or_insert(*report);
            }
        }
        let mut transitions: Vec<Transition> = Vec::new();
        for position in span.first.0..=span.last.0 {
            let report = said.get(&position).copied().unwrap_or(outcome.rest);
            let Some(status) = report.status() else {
                continue;
            };
            let one = Span::new(Position(position), Position(position));
            let next = self.transition(lane, one, status, attempt);
            match transitions.last_mut() {
                Some(last) if last.status == status && last.span.last.next() == one.first => {
                    last.span.last = one.last;
                }
                _ => transitions.push(next),
            }
        }
        let failed: Vec<Position> = transitions
            .iter()
            .filter(|transition| transition.status == Status::Failed)
            .map(|transition| transition.span.first)
            .collect();
        if lane == 0 && outcome.follows_up && !failed.is_empty() {
            self.follow_up(&transitions, &failed);
        } else if !transitions.is_empty() {
            self.record(lane, &transitions);
        }
    }

    fn follow_up(&mut self, transitions: &[Transition], parents: &[Position]) {
        let jobs = self.house.follow_ups(parents, self.model.at);
        let receipt = self.house.store.follow_up(transitions, jobs).unwrap();
        receipt.wait(Duration::from_secs(60)).unwrap();
        for transition in transitions {
            self.model.apply(0, transition);
        }
        let kinds = vec![KINDS.len(); parents.len()];
        self.model.append(receipt.first, &kinds);
    }

    fn operate(&mut self, lane: usize, first: u64, length: u64, discard: bool) {
        // Commands are about what was read: the rest waits for its first attempt anyway.
        let last = (first + length).min(self.model.read[lane]);
        let oldest = self.house.store.oldest().0;
        for position in first.max(oldest)..=last {
            let row = self.model.row(lane, position);
            let one = Span::new(Position(position), Position(position));
            let (status, command) = match (discard, row.status) {
                (true, status) if !status.is_settled() => (Status::Discarded, Command::Discard),
                (
                    false,
                    Status::Failed | Status::Discarded | Status::Unknown | Status::Succeeded,
                ) => (Status::Awaiting, Command::Retry),
                _ => continue,
            };
            let mut transition = self.transition(lane, one, status, row.attempts);
            transition.command = Some(command);
            self.record(lane, &[transition]);
        }
    }

    /// The power goes while an append may or may not be on the disk.
    fn crash(&mut self, seed: u64) {
        let Kept::Disk(disk) = &self.kept else {
            return;
        };
        let kinds = [0, 2, 1];
        let draft = self.house.documents(&kinds, self.model.at);
        let receipt = self.house.store.append(self.house.source, draft).unwrap();
        disk.power_cycle(Cut::Any(seed));
        let acknowledged = receipt.is_durable();
        let disk = disk.clone();
        self.house = House::over(open(&disk));
        let upto = self.house.store.durable().upto();
        assert!(
            upto >= Position(self.head()),
            "what was acknowledged is there"
        );
        assert!(upto >= receipt.last || !acknowledged);
        if upto >= receipt.last {
            self.model.append(receipt.first, &kinds);
        }
    }

    fn restart(&mut self) {
        if let Kept::Disk(disk) = &self.kept {
            self.house.store.close().unwrap();
            let disk = disk.clone();
            disk.kill();
            self.house = House::over(open(&disk));
        }
    }

    fn retain(&mut self) {
        let before = self.house.store.oldest();
        let settled = self.house.store.settled_upto();
        self.house.store.retain(Timestamp(i64::MAX)).unwrap();
        let oldest = self.house.store.oldest();
        assert!(oldest <= settled.next(), "nothing open was dropped");
        self.dropped |= oldest > before;
        self.model
            .events
            .retain(|position, _| *position >= oldest.0);
    }
}
