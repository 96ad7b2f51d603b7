//! Random lives of a store, held against one row per job after each step.
//!
//! `BLACKSMITH_MODEL_CASES=2000 cargo test -p blacksmith-core query::tests::model` runs it for long.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::house::{House, KINDS, ROWS};
use crate::clock::Timestamp;
use crate::flow::Pattern;
use crate::job::{Command, Status, Transition};
use crate::log::sim::{Cut, SimDisk};
use crate::log::{LogOptions, Retention};
use crate::position::{Position, Span};
use crate::query::{Attempts, Filter, Names, Page, Statuses, Times};
use crate::store::Store;
use crate::store::log::LogStore;
use crate::store::memory::MemoryStore;

#[derive(Debug, Clone)]
enum Step {
    Documents(Vec<usize>),
    Rows(Vec<usize>),
    /// A lane takes what comes next and loads it.
    Load {
        lane: usize,
        size: u64,
        outcome: Outcome,
    },
    /// A lane tries something again that is open.
    Again {
        lane: usize,
        which: usize,
        outcome: Outcome,
    },
    /// An operator's command over a span.
    Operate {
        lane: usize,
        first: u64,
        length: u64,
        discard: bool,
    },
    Crash(u64),
    Restart,
    Clock(i64),
    Retain,
}

/// What a load says of its jobs.
#[derive(Debug, Clone)]
struct Outcome {
    /// Parts of the span, as (place, length, what), the first report of a job counts.
    reports: Vec<(u64, u64, Report)>,
    rest: Report,
    /// Whether what fails is followed up.
    follows_up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    Succeeded,
    Failed,
    Discarded,
    Unknown,
    /// The process dies before anything is said.
    Nothing,
}

impl Report {
    fn status(self) -> Option<Status> {
        match self {
            Report::Succeeded => Some(Status::Succeeded),
            Report::Failed => Some(Status::Failed),
            Report::Discarded => Some(Status::Discarded),
            Report::Unknown => Some(Status::Unknown),
            Report::Nothing => None,
        }
    }
}

fn report() -> impl Strategy<Value = Report> {
    prop_oneof![
        4 => Just(Report::Succeeded),
        2 => Just(Report::Failed),
        1 => Just(Report::Discarded),
        1 => Just(Report::Unknown),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let reports = proptest::collection::vec((0u64..20, 1u64..5, report()), 0..4);
    let rest = prop_oneof![9 => report(), 1 => Just(Report::Nothing)];
    (reports, rest, any::<bool>()).prop_map(|(reports, rest, follows_up)| Outcome {
        reports,
        rest,
        follows_up,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let documents = proptest::collection::vec(0..ROWS, 1..6).prop_map(Step::Documents);
    let rows = proptest::collection::vec(ROWS..KINDS.len(), 1..6).prop_map(Step::Rows);
    let load = (0usize..2, 1u64..12, outcome());
    let again = (0usize..2, 0usize..9, outcome());
    let operate = (0usize..2, 1u64..60, 0u64..9, any::<bool>());
    prop_oneof![
        4 => documents,
        4 => rows,
        8 => load.prop_map(|(lane, size, outcome)| Step::Load { lane, size, outcome }),
        6 => again.prop_map(|(lane, which, outcome)| Step::Again { lane, which, outcome }),
        3 => operate.prop_map(|(lane, first, length, discard)| Step::Operate {
            lane,
            first,
            length,
            discard,
        }),
        2 => any::<u64>().prop_map(Step::Crash),
        1 => Just(Step::Restart),
        2 => (-100i64..1_000).prop_map(Step::Clock),
        1 => Just(Step::Retain),
    ]
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    status: Status,
    attempts: u32,
    error: Option<String>,
}

#[derive(Debug, Clone)]
struct Event {
    /// Of [`KINDS`]; behind them, a follow-up.
    kind: usize,
    received_at: Timestamp,
}

/// Everything that happened, as simply as it can be kept.
#[derive(Debug, Default)]
struct Model {
    events: BTreeMap<u64, Event>,
    /// By lane (0 or 1) and position; whatever the lane was told of, be it a job or not.
    rows: BTreeMap<(usize, u64), Row>,
    transitions: Vec<Transition>,
    /// How far each lane has read.
    read: [u64; 2],
    at: Timestamp,
}

impl Model {
    fn append(&mut self, first: Position, kinds: &[usize]) {
        for (position, kind) in (first.0..).zip(kinds) {
            let (kind, received_at) = (*kind, self.at);
            self.events.insert(position, Event { kind, received_at });
        }
    }

    fn row(&self, lane: usize, position: u64) -> Row {
        let untouched = Row {
            status: Status::Acknowledged,
            attempts: 0,
            error: None,
        };
        self.rows
            .get(&(lane, position))
            .cloned()
            .unwrap_or(untouched)
    }

    fn apply(&mut self, lane: usize, transition: &Transition) {
        self.transitions.push(transition.clone());
        for position in transition.span.first.0..=transition.span.last.0 {
            let settled = self.row(lane, position).status.is_settled();
            let reopens = transition.command.is_some() && !transition.status.is_settled();
            if !settled || reopens {
                let row = Row {
                    status: transition.status,
                    attempts: transition.attempt,
                    error: transition.error.clone(),
                };
                self.rows.insert((lane, position), row);
            }
        }
    }

    fn is_job(&self, lane: usize, event: &Event) -> bool {
        match (KINDS.get(event.kind), lane) {
            (Some((_, routed, _)), 0) => *routed,
            (Some((_, _, calls)), _) => *calls,
            (None, lane) => lane == 1,
        }
    }

    fn trigger(event: &Event) -> &'static str {
        KINDS.get(event.kind).map_or("signup", |kind| kind.0)
    }

    /// Newest first, and in the order of lanes.
    fn jobs(&self, wanted: impl Fn(usize, u64, &Event, &Row) -> bool) -> Vec<(u64, usize, Row)> {
        let mut found = Vec::new();
        for (position, event) in self.events.iter().rev() {
            for lane in 0..2 {
                let row = self.row(lane, *position);
                if self.is_job(lane, event) && wanted(lane, *position, event, &row) {
                    found.push((*position, lane, row));
                }
            }
        }
        found
    }
}

/// The store under test, and how it comes back.
enum Kept {
    Disk(SimDisk),
    Memory,
}

struct Life {
    kept: Kept,
    house: House,
    model: Model,
    dropped: bool,
}

fn open(disk: &SimDisk) -> Arc<dyn Store> {
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
    fn begin(in_memory: bool) -> Life {
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

    fn step(&mut self, step: &Step) {
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

    fn head(&self) -> u64 {
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

    /// Holds every kind of query against the model.
    fn check(&self, salt: u64) -> Result<(), TestCaseError> {
        self.check_jobs()?;
        self.check_counts()?;
        self.check_filter(salt)?;
        self.check_history()?;
        let settled = self.house.store.settled_upto().0;
        let open = |position: &u64| (0..2).any(|lane| !self.settled(lane, *position));
        let expected = self.model.events.keys().find(|position| open(position));
        let expected = expected.map_or(self.head(), |first| first - 1);
        prop_assert_eq!(settled.min(self.head()), expected);
        Ok(())
    }

    /// Positions that are no jobs settle with those around them.
    fn settled(&self, lane: usize, position: u64) -> bool {
        self.model.row(lane, position).status.is_settled()
    }

    fn found(&self, filter: &Filter, page: &Page) -> Vec<(u64, usize, Row)> {
        let listed = self.house.query.jobs(filter, page).unwrap();
        listed.rows.into_iter().map(|job| self.of(job)).collect()
    }

    fn of(&self, job: crate::query::JobRow) -> (u64, usize, Row) {
        let lane = self.house.lanes.iter().position(|lane| *lane == job.lane);
        let row = Row {
            status: job.status,
            attempts: job.attempts,
            error: job.error.map(|error| error.to_string()),
        };
        (job.position.0, lane.unwrap(), row)
    }

    fn check_jobs(&self) -> Result<(), TestCaseError> {
        let expected = self.model.jobs(|_, _, _, _| true);
        let everything = Page {
            limit: usize::MAX,
            ..Page::default()
        };
        let found = self.found(&Filter::default(), &everything);
        prop_assert_eq!(&found, &expected);
        let mut paged = Vec::new();
        let mut page = Page {
            limit: 7,
            ..Page::default()
        };
        loop {
            let listed = self.house.query.jobs(&Filter::default(), &page).unwrap();
            paged.extend(listed.rows.into_iter().map(|job| self.of(job)));
            match listed.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        prop_assert_eq!(paged, expected);
        Ok(())
    }

    fn check_counts(&self) -> Result<(), TestCaseError> {
        let query = &self.house.query;
        for status in Status::ALL {
            let mut filter = Filter::default();
            filter.statuses.only.push(status);
            let expected = self.model.jobs(|_, _, _, row| row.status == status);
            prop_assert_eq!(query.count_jobs(&filter).unwrap(), expected.len() as u64);
            let mut events: Vec<u64> = expected
                .iter()
                .map(|(position, ..)| *position)
                .filter(|position| self.model.events[position].kind < KINDS.len())
                .collect();
            events.dedup();
            prop_assert_eq!(query.count_events(&filter).unwrap(), events.len() as u64);
        }
        for (trigger, ..) in KINDS {
            let filter = Filter {
                triggers: names(trigger),
                ..Filter::default()
            };
            let own = self.model.events.values();
            let own =
                own.filter(|event| KINDS.get(event.kind).is_some_and(|kind| kind.0 == trigger));
            prop_assert_eq!(query.count_events(&filter).unwrap(), own.count() as u64);
        }
        Ok(())
    }

    /// A filter that the salt makes up.
    fn check_filter(&self, salt: u64) -> Result<(), TestCaseError> {
        let pick = |bits: u64, of: u64| (salt >> bits) % of;
        let not = Status::ALL[pick(0, 7) as usize];
        let (first, length) = (1 + pick(3, 40), pick(8, 60));
        let span = Span::new(Position(first), Position(first + length));
        let since = Timestamp(pick(14, 200) as i64);
        let min = pick(22, 3) as u32;
        let lane = pick(24, 3) as usize;
        let trigger = pick(26, 3);
        let filter = Filter {
            statuses: Statuses {
                not: vec![not],
                ..Statuses::default()
            },
            positions: Some(span),
            created: Times {
                since: Some(since),
                before: None,
            },
            attempts: Attempts {
                min,
                max: Some(min + 1),
            },
            actions: match lane {
                0 => names("register"),
                1 => names("notify"),
                _ => Names::default(),
            },
            triggers: match trigger {
                0 => names("public.*"),
                1 => Names {
                    not: vec![Pattern::new("signup")],
                    ..Names::default()
                },
                _ => Names::default(),
            },
            ..Filter::default()
        };
        let wanted = |own: usize, position: u64, event: &Event, row: &Row| {
            let name = Model::trigger(event);
            row.status != not
                && span.contains(Position(position))
                && event.received_at >= since
                && (min..=min + 1).contains(&row.attempts)
                && (lane > 1 || own == lane)
                && match trigger {
                    0 => name.starts_with("public."),
                    1 => name != "signup",
                    _ => true,
                }
        };
        let expected = self.model.jobs(wanted);
        let page = Page {
            offset: pick(30, 5),
            limit: 5,
            after: None,
        };
        let query = &self.house.query;
        prop_assert_eq!(query.count_jobs(&filter).unwrap(), expected.len() as u64);
        let selected = query.select(&filter).unwrap();
        let jobs = selected.iter().map(|own| {
            let jobs = query.jobs_in(&own.lane, &own.spans).unwrap();
            assert!(jobs <= query.jobs_in_at_most(&own.lane, &own.spans));
            jobs
        });
        // Other positions may be among the spans, but no other job.
        prop_assert_eq!(jobs.sum::<u64>(), expected.len() as u64);
        let shown = expected.iter().skip(page.offset as usize).take(5);
        let shown: Vec<_> = shown.cloned().collect();
        prop_assert_eq!(self.found(&filter, &page), shown);
        Ok(())
    }

    fn check_history(&self) -> Result<(), TestCaseError> {
        let everything = Filter {
            positions: Some(Span::new(Position(1), Position::MAX)),
            ..Filter::default()
        };
        let page = Page {
            limit: usize::MAX,
            ..Page::default()
        };
        let query = &self.house.query;
        let kept = self.house.store.oldest();
        let rows = query.transitions(&everything, &page).unwrap();
        let found: Vec<_> = rows.into_iter().map(|row| row.transition).collect();
        let count = query.count_transitions(&everything).unwrap();
        prop_assert_eq!(count, found.len() as u64);
        let expected = self.model.transitions.iter().rev();
        let about_kept = |own: &&Transition| own.span.last >= kept;
        let expected: Vec<_> = expected.filter(about_kept).cloned().collect();
        if self.dropped {
            // Those of dropped segments are gone, the newer ones are not.
            prop_assert_eq!(&found[..], &expected[..found.len()]);
        } else {
            prop_assert_eq!(&found, &expected);
        }
        if let Some((position, _)) = self.model.events.last_key_value() {
            let one = Filter {
                job: Some((self.house.lanes[0], Position(*position))),
                ..Filter::default()
            };
            let expected = self.model.transitions.iter().filter(|own| {
                own.lane == self.house.lanes[0] && own.span.contains(Position(*position))
            });
            prop_assert_eq!(
                query.count_transitions(&one).unwrap(),
                expected.count() as u64
            );
        }
        Ok(())
    }
}

fn names(only: &str) -> Names {
    Names {
        only: vec![Pattern::new(only)],
        not: Vec::new(),
    }
}

fn cases() -> u32 {
    let asked = std::env::var("BLACKSMITH_MODEL_CASES");
    asked.ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        max_shrink_iters: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// STO-02 STO-05 STO-06 STA-08 CON-07 STA-01
    #[test]
    fn whatever_happens_queries_say_what_one_row_per_job_would(
        steps in proptest::collection::vec((step(), any::<u64>()), 1..60),
        in_memory in proptest::bool::weighted(0.25),
    ) {
        let mut life = Life::begin(in_memory);
        for (step, salt) in &steps {
            life.step(step);
            life.check(*salt)?;
        }
    }
}
