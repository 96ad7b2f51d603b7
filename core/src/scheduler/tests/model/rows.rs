//! The reference: one row per job, and the rules of the model said as plainly as they can be.
//!
//! It knows nothing of spans, lanes' places, timers or the store. It is told what happened to the real scheduler from
//! outside (a load began, a load ended, an operator ordered, the process ended) and says what each job must be now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::report::{About, End, Report, Said};
use crate::destination::{OnUnknown, Ordering};
use crate::job::{Command, Status};

/// Ends of the process in a row during a job's execution after which it may be held.
const CRASHES_MAX: usize = 3;

/// A job: the number of its lane, and its position.
pub(super) type Key = (usize, u64);

/// What one lane goes by.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) ordering: Ordering,
    pub(super) max_retries: u32,
    pub(super) max_retries_explicit: bool,
    pub(super) on_unknown: OnUnknown,
    pub(super) max_concurrency: usize,
    pub(super) rows_max: u64,
    /// Shortest and longest pause after attempts from 1 on, the last of them for all further ones.
    pub(super) pauses: Vec<(Duration, Duration)>,
    /// Jobs at once, and per second.
    pub(super) rate: Option<(u64, f64)>,
}

/// One job.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) status: Status,
    pub(super) attempts: u32,
    pub(super) error: Option<String>,
    /// Everything that happened to it.
    pub(super) past: Vec<(Status, u32, Option<Command>)>,
    pub(super) parent: Option<Key>,
    /// Whether it cannot be decoded.
    pub(super) torn: bool,
    /// Whether an operator paused it.
    pub(super) held: bool,
    /// The load that it is in.
    load: Option<u64>,
    /// The load that it was in when the process ended: it comes back with what is left of that, and nothing else.
    again: Option<u64>,
    /// Executions that it may have by now.
    may_have: u32,
    /// It is not loaded before this, and waits no longer than that.
    due: (Duration, Duration),
}

impl Row {
    fn become_(&mut self, status: Status, error: Option<String>, command: Option<Command>) {
        self.status = status;
        self.error = error;
        self.held = command == Some(Command::Pause);
        self.again = None;
        if status != Status::Executing {
            self.load = None;
        }
        self.past.push((status, self.attempts, command));
    }

    fn crashes(&self) -> usize {
        let executing = self.past.iter().rev();
        executing
            .take_while(|(status, ..)| *status == Status::Executing)
            .count()
    }

    pub(super) fn is_settled(&self) -> bool {
        matches!(self.status, Status::Succeeded | Status::Discarded)
    }

    /// Whether it waits for nothing but its time.
    fn waits(&self) -> bool {
        match self.status {
            Status::Failed => true,
            Status::Awaiting => !self.held,
            Status::Executing => self.load.is_none(),
            _ => false,
        }
    }
}

/// A load in hand.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) lane: usize,
    /// The positions of the batch.
    pub(super) spans: Vec<(u64, u64)>,
    jobs: Vec<u64>,
    cancelled: bool,
}

impl Load {
    fn has(&self, position: u64) -> bool {
        let mut spans = self.spans.iter();
        spans.any(|(first, last)| (*first..=*last).contains(&position))
    }

    fn names(&self, about: About, position: u64) -> bool {
        match about {
            About::One(one) => one == Some(position),
            About::Many(first, last) => {
                let (from, to) = (self.spans[0].0, self.spans[self.spans.len() - 1].1);
                let own = first >= from && last <= to;
                own && (first..=last).contains(&position)
            }
        }
    }
}

/// All jobs.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) rules: Vec<Rules>,
    pub(super) rows: BTreeMap<Key, Row>,
    pub(super) loads: BTreeMap<u64, Load>,
    /// Children that there must be: the parent's, and the lane of the child; and how many.
    pub(super) children: BTreeMap<(Key, usize), usize>,
    /// By lane: whether an operator paused it.
    pub(super) paused: Vec<bool>,
    /// By lane: everything up to here was asked for at once, in this process.
    pub(super) asked: Vec<u64>,
    /// By lane: loads that began in this process, and how many jobs they had.
    begun: Vec<Vec<(Duration, u64)>>,
    process_began: Duration,
}

impl Rows {
    pub(super) fn new(rules: Vec<Rules>) -> Rows {
        let lanes = rules.len();
        Rows {
            rules,
            rows: BTreeMap::new(),
            loads: BTreeMap::new(),
            children: BTreeMap::new(),
            paused: vec![false; lanes],
            asked: vec![0; lanes],
            begun: vec![Vec::new(); lanes],
            process_began: Duration::ZERO,
        }
    }

    pub(super) fn add(&mut self, key: Key, torn: bool, parent: Option<Key>) {
        let row = Row {
            status: Status::Acknowledged,
            attempts: 0,
            error: None,
            past: Vec::new(),
            parent,
            torn,
            held: false,
            load: None,
            again: None,
            may_have: self.rules[key.0].max_retries + 1,
            due: (Duration::ZERO, Duration::MAX),
        };
        assert!(
            self.rows.insert(key, row).is_none(),
            "{key:?} is there twice"
        );
    }

    /// A load of `lane` began: everything that forbids it fails.
    pub(super) fn begin(
        &mut self,
        number: u64,
        lane: usize,
        spans: &[(u64, u64)],
        attempt: u32,
        now: Duration,
    ) {
        let rules = self.rules[lane].clone();
        assert!(!self.paused[lane], "lane {lane} is paused");
        let in_hand = self.loads.values().filter(|load| load.lane == lane).count();
        assert!(in_hand < rules.max_concurrency, "{in_hand} loads in hand");
        let mut load = Load {
            lane,
            spans: spans.to_vec(),
            jobs: Vec::new(),
            cancelled: false,
        };
        let own = self
            .rows
            .keys()
            .filter(|(own, at)| *own == lane && load.has(*at));
        load.jobs = own.map(|(_, position)| *position).collect();
        self.allow_order(lane, &load);
        self.allow_pace(lane, load.jobs.len() as u64, now);
        self.allow_again(lane, &load);
        let rows = load.jobs.len() as u64;
        assert!(rows <= rules.rows_max, "{rows} jobs in a batch");
        for position in &load.jobs {
            let row = self.rows.get_mut(&(lane, *position)).expect("it is a job");
            let may = row.waits() || row.status == Status::Acknowledged;
            assert!(may, "{lane} {position} was loaded as it is: {row:?}");
            assert_eq!(attempt, row.attempts + 1, "{lane} {position}: {row:?}");
            let bound = rules.ordering == Ordering::Unordered;
            assert!(
                !bound || attempt <= row.may_have,
                "{lane} {position} was executed too often: {row:?}"
            );
            // A batch of which something was asked for does not wait for the rest of it.
            let early = load.spans[0].0 > self.asked[lane] && now < row.due.0;
            assert!(
                !early,
                "{lane} {position} was loaded too early, at {now:?}: {row:?}"
            );
            row.attempts = attempt;
            row.become_(Status::Executing, None, None);
            row.load = Some(number);
        }
        self.loads.insert(number, load);
    }

    /// Before an ordered load everything ahead of it must have come to its end.
    fn allow_order(&self, lane: usize, load: &Load) {
        let Some(first) = load.jobs.first() else {
            return;
        };
        if self.rules[lane].ordering == Ordering::Ordered {
            let mut ahead = self.rows.range((lane, 0)..(lane, *first));
            let left = ahead.find(|(_, row)| !row.is_settled() && row.status != Status::Unknown);
            assert!(left.is_none(), "{first} went before {left:?}");
        }
    }

    /// What was in hand when the process ended is loaded again as the same batch.
    fn allow_again(&self, lane: usize, load: &Load) {
        let own = |position: &u64| self.rows[&(lane, *position)].again;
        let Some(again) = load.jobs.iter().find_map(own) else {
            return;
        };
        let left = self.rows.iter().filter(|((own, _), row)| {
            *own == lane && row.again == Some(again) && row.status == Status::Executing
        });
        let left: Vec<u64> = left.map(|((_, position), _)| *position).collect();
        assert_eq!(load.jobs, left, "not the batch that it was");
    }

    fn allow_pace(&mut self, lane: usize, jobs: u64, now: Duration) {
        if let Some((burst, per_second)) = self.rules[lane].rate {
            let before: u64 = self.begun[lane].iter().map(|(_, jobs)| jobs).sum();
            let passed = (now - self.process_began).as_secs_f64();
            let may = burst as f64 + passed * per_second;
            assert!(before as f64 <= may + 0.01, "{before} jobs in {passed} s");
        }
        self.begun[lane].push((now, jobs));
    }

    /// A load came to its end, and what came of it was recorded between these two moments.
    pub(super) fn end(
        &mut self,
        number: u64,
        reports: &[Report],
        end: End,
        when: (Duration, Duration),
    ) {
        let load = self.loads.remove(&number).expect("the load began");
        let pause = reports.iter().map(|report| report.pause).max();
        for position in &load.jobs {
            let key = (load.lane, *position);
            let row = &self.rows[&key];
            // An operator decided it meanwhile.
            if row.load != Some(number) {
                continue;
            }
            let (outcome, by) = self.outcome(&load, *position, reports, end);
            let (status, error, command) = outcome;
            let is_torn = row.torn;
            // It was not in the queue. What failed in order is loaded again as it was.
            let failed = status == Status::Failed && (by.is_some() || end != End::Returned);
            let is_ordered = self.rules[load.lane].ordering == Ordering::Ordered;
            if is_torn && !(is_ordered && failed) {
                self.change(key, Status::Discarded, Some("torn".to_owned()), None);
                continue;
            }
            self.change(key, status, error, command);
            if status == Status::Failed {
                self.wait(key, when, pause.unwrap_or_default());
            }
            if is_torn {
                continue;
            }
            let follows = by.into_iter().flat_map(|by| &reports[by].follows);
            for (_, child) in follows.filter(|(on, _)| *on == status) {
                *self.children.entry((key, *child)).or_default() += 1;
            }
        }
    }

    /// How one job came out, and by which report.
    fn outcome(
        &self,
        load: &Load,
        position: u64,
        reports: &[Report],
        end: End,
    ) -> ((Status, Option<String>, Option<Command>), Option<usize>) {
        let names = |report: &Report| match &report.about {
            None => true,
            Some(all) => all.iter().any(|about| load.names(*about, position)),
        };
        let row = &self.rows[&(load.lane, position)];
        let failed = |why: &str| {
            let status = match self.is_spent(load.lane, row.attempts) {
                true => Status::Discarded,
                false => Status::Failed,
            };
            (status, Some(why.to_owned()), None)
        };
        if let Some(by) = reports.iter().position(names) {
            let outcome = match reports[by].said {
                Said::Succeeded => (Status::Succeeded, None, None),
                Said::Failed => failed("reported"),
                Said::Discarded => (Status::Discarded, Some("given up".to_owned()), None),
            };
            return (outcome, Some(by));
        }
        let rules = &self.rules[load.lane];
        let outcome = match end {
            End::Dropped if load.cancelled => (Status::Awaiting, None, Some(Command::Cancel)),
            End::Dropped => failed("timed out"),
            End::Errored => failed("rough"),
            End::Panicked => failed("panicked"),
            End::Returned if rules.on_unknown == OnUnknown::Retry => failed("without reporting"),
            End::Returned => (Status::Unknown, Some("without reporting".to_owned()), None),
        };
        (outcome, None)
    }

    /// Whether a job that failed now is given up.
    fn is_spent(&self, lane: usize, attempts: u32) -> bool {
        let rules = &self.rules[lane];
        let gives_up = rules.ordering == Ordering::Unordered || rules.max_retries_explicit;
        gives_up && attempts > rules.max_retries
    }

    fn change(&mut self, key: Key, status: Status, why: Option<String>, by: Option<Command>) {
        let row = self.rows.get_mut(&key).expect("it is a job");
        row.become_(status, why, by);
        row.due = (Duration::ZERO, Duration::ZERO);
        if by.is_some() && status == Status::Awaiting {
            row.may_have = row.may_have.max(row.attempts + 1);
        }
    }

    /// A job that failed at some moment between `when` waits for its next attempt.
    fn wait(&mut self, key: Key, when: (Duration, Duration), pause: Duration) {
        let asked = self.asked[key.0] >= key.1;
        let row = self.rows.get_mut(&key).expect("it is a job");
        let pauses = &self.rules[key.0].pauses;
        let (least, most) = pauses[(row.attempts as usize - 1).min(pauses.len() - 1)];
        row.due = match asked {
            true => (when.0 + pause, Duration::MAX),
            false => (
                when.0 + least.max(pause),
                when.1.saturating_add(most.max(pause)),
            ),
        };
    }

    /// An operator ordered something of the jobs at `positions` of `lane` that stand so, or anyhow; how many it changes.
    pub(super) fn order(
        &mut self,
        lane: usize,
        command: Command,
        positions: (u64, u64),
        only: Option<Status>,
    ) -> u64 {
        let pauses = matches!(command, Command::Pause | Command::Resume);
        if pauses && self.rules[lane].ordering == Ordering::Ordered {
            return 0;
        }
        let own = self.rows.range((lane, positions.0)..=(lane, positions.1));
        let meant: Vec<Key> = own
            .filter(|(_, row)| only.is_none_or(|only| only == row.status))
            .filter(|(_, row)| concerns(command, row))
            .map(|(key, _)| *key)
            .collect();
        for key in &meant {
            let key = *key;
            let load = self.rows[&key].load;
            let (status, why) = match command {
                Command::Discard => (Status::Discarded, Some("discarded by an operator")),
                Command::Cancel => (Status::Discarded, Some("cancelled by an operator")),
                Command::Pause => (Status::Awaiting, Some("paused by an operator")),
                Command::Retry | Command::Resume => (Status::Awaiting, None),
            };
            self.change(key, status, why.map(str::to_owned), Some(command));
            let load = load.and_then(|load| self.loads.get_mut(&load));
            if let Some(load) = load.filter(|_| command == Command::Cancel) {
                load.cancelled = true;
            }
        }
        meant.len() as u64
    }

    /// Somebody wants everything up to `position` loaded now.
    pub(super) fn flush(&mut self, lane: usize, position: u64) {
        self.asked[lane] = self.asked[lane].max(position);
    }

    /// The process ended, and begins again. Whatever was in hand is taken up; `held` says which jobs came out of that
    /// as unknown because they were suspected of having ended it.
    pub(super) fn restart(&mut self, now: Duration, held: &BTreeSet<Key>) {
        let loads = std::mem::take(&mut self.loads);
        let keys: Vec<Key> = self.rows.keys().copied().collect();
        for key in keys {
            let row = self.rows.get_mut(&key).expect("it is a job");
            row.due = (Duration::ZERO, Duration::ZERO);
            if row.status != Status::Executing {
                continue;
            }
            let alone = row.load.and_then(|load| loads.get(&load));
            let alone = alone.is_none_or(|load| load.jobs.len() == 1);
            let crashes = row.crashes();
            row.again = row.load.filter(|_| crashes < CRASHES_MAX);
            row.load = None;
            let rules = &self.rules[key.0];
            let is_unordered = rules.ordering == Ordering::Unordered;
            if is_unordered && row.attempts > rules.max_retries {
                let status = match rules.on_unknown {
                    OnUnknown::Hold => Status::Unknown,
                    OnUnknown::Retry => Status::Discarded,
                };
                let why = "the process ended during the last attempt";
                self.change(key, status, Some(why.to_owned()), None);
            } else if held.contains(&key) {
                let may = is_unordered && alone && crashes >= CRASHES_MAX;
                assert!(may, "{key:?} was held: {:?}", self.rows[&key]);
                let why = "the process ended while the job was executing";
                self.change(key, Status::Unknown, Some(why.to_owned()), None);
            }
        }
        self.asked.fill(0);
        self.begun.iter_mut().for_each(Vec::clear);
        self.process_began = now;
    }

    /// An execution was recorded, and the process ended before the action heard of it.
    pub(super) fn began_unseen(&mut self, key: Key, attempt: u32) {
        let row = self.rows.get_mut(&key).expect("it is a job");
        let may = row.waits() || row.status == Status::Acknowledged;
        assert!(may && attempt == row.attempts + 1, "{key:?}: {row:?}");
        row.attempts = attempt;
        row.become_(Status::Executing, None, None);
    }

    /// What the action is given by a load: its jobs that can be decoded.
    pub(super) fn given(&self, load: u64) -> BTreeSet<u64> {
        let load = &self.loads[&load];
        let whole = |position: &&u64| !self.rows[&(load.lane, **position)].torn;
        load.jobs.iter().filter(whole).copied().collect()
    }

    /// The jobs of a load that nobody else decided.
    pub(super) fn in_load(&self, number: u64) -> Vec<Key> {
        let load = &self.loads[&number];
        let keys = load.jobs.iter().map(|position| (load.lane, *position));
        keys.filter(|key| self.rows[key].load == Some(number))
            .collect()
    }

    /// A job that is late although its lane had room for it. Nothing may wait longer than its pause, unless in order:
    /// there it waits also for positions that hold no job, of which nothing is known here.
    pub(super) fn late(&self, now: Duration) -> Option<Key> {
        let is_late = |(key, row): &(&Key, &Row)| {
            let rules = &self.rules[key.0];
            let mut in_hand = self.loads.values();
            let is_idle = !in_hand.any(|load| load.lane == key.0);
            is_idle
                && row.waits()
                && rules.ordering == Ordering::Unordered
                && !self.paused[key.0]
                && rules.rate.is_none()
                && row.due.1 < now
        };
        self.rows.iter().find(is_late).map(|(key, _)| *key)
    }
}

/// Whether a command changes a job as it stands.
fn concerns(command: Command, row: &Row) -> bool {
    let status = row.status;
    match command {
        Command::Retry => [Status::Failed, Status::Discarded, Status::Unknown].contains(&status),
        Command::Discard | Command::Cancel => !row.is_settled(),
        Command::Pause => {
            let waiting = [Status::Acknowledged, Status::Awaiting, Status::Failed];
            waiting.contains(&status) && !row.held
        }
        Command::Resume => row.held,
    }
}
