//! One life of a store and a scheduler: what happens to them, and how the reference hears of it.

use std::collections::BTreeMap;

use super::actor::Ledger;
use super::plan::{Plan, Step};
use super::process::{Process, open};
use super::rows::{Key, Rows};
use super::*;
use crate::call::Call;
use crate::event::{LaneId, Refusal};
use crate::flow::Pattern;
use crate::job::Command;
use crate::json::Json;
use crate::log::Receipt;
use crate::log::sim::{Dice, SimDisk};
use crate::operate::{Order, Selection};
use crate::query::{Filter, Names, Statuses};
use crate::source::Event;

/// How long real work may take before the test gives up.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Turns in which any chain of tasks that wake each other comes to its end.
pub(super) const TURNS: u64 = 50;

/// What is known of an event or a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) trigger: usize,
    pub(super) received_at: Timestamp,
    pub(super) is_event: bool,
}

/// An event on its way in.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) trigger: usize,
    pub(super) torn: bool,
    pub(super) calls: bool,
    pub(super) at: Timestamp,
}

pub(super) struct Life {
    /// The disk; none for a store in memory.
    pub(super) disk: Option<SimDisk>,
    pub(super) store: Arc<dyn Store>,
    pub(super) time: Arc<StandingTime>,
    pub(super) plans: Vec<Plan>,
    pub(super) seed: u64,
    pub(super) ledger: Arc<Ledger>,
    pub(super) process: Option<Process>,
    pub(super) lane_ids: Vec<LaneId>,
    pub(super) rows: Rows,
    pub(super) known: BTreeMap<u64, Known>,
    pub(super) taken: std::collections::VecDeque<Taken>,
    /// Children that were found, by parent and lane.
    pub(super) children: BTreeMap<(Key, usize), usize>,
    pub(super) probes: u64,
    pub(super) freezer: Option<std::sync::mpsc::Sender<()>>,
}

impl Life {
    /// A whole life: what the seed makes of it.
    pub(super) async fn live(seed: u64) {
        let mut dice = Dice(seed);
        let mut life = Life::begin(seed, &mut dice).await;
        eprintln!("{:?}", life.rows.rules);
        for _ in 0..8 + dice.below(18) {
            let step = Step::of(&mut dice);
            // Shown when the life fails.
            eprintln!("at {:?}: {step:?}", life.time.elapsed());
            life.step(&step).await;
            life.check(dice.roll());
        }
        life.end().await;
    }

    async fn begin(seed: u64, dice: &mut Dice) -> Life {
        let disk = (!dice.once_in(4)).then(SimDisk::default);
        let store = open(disk.as_ref());
        let plans: Vec<Plan> = NAMES.iter().map(|_| Plan::of(dice)).collect();
        let mut life = Life {
            disk,
            store,
            time: Arc::new(StandingTime::begin()),
            rows: Rows::new(plans.iter().map(|plan| plan.rules.clone()).collect()),
            plans,
            seed,
            ledger: Arc::default(),
            process: None,
            lane_ids: Vec::new(),
            known: BTreeMap::new(),
            taken: std::collections::VecDeque::new(),
            children: BTreeMap::new(),
            probes: 0,
            freezer: None,
        };
        // Noon of a day in 2026.
        life.time.set(1_777_636_800);
        life.freeze();
        life.start();
        life.come_to_rest().await;
        life
    }

    /// Time stands still while something blocks.
    pub(super) fn freeze(&mut self) {
        let (freezer, frozen) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || frozen.recv());
        self.freezer = Some(freezer);
    }

    /// Lets so much time go by: the runtime goes from one timer to the next.
    async fn pass(&mut self, time: Duration) {
        self.freezer = None;
        tokio::time::sleep(time).await;
        self.freeze();
    }

    /// Lets every task that can go on do so, so many times, without time going by.
    pub(super) async fn turns(&self, turns: u64) {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }

    /// Steady time.
    pub(super) fn elapsed(&self) -> Duration {
        self.time.elapsed()
    }

    pub(super) fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    /// Has everything happen that can happen without time going by, but for a few milliseconds.
    pub(super) async fn come_to_rest(&mut self) {
        let mut before = (usize::MAX, u64::MAX);
        loop {
            let frames = self.until_durable();
            let now = (self.ledger.len(), frames);
            if now == before {
                break;
            }
            before = now;
            self.pass(Duration::from_millis(1)).await;
            // Others whose time came in the same millisecond have their turn.
            self.turns(TURNS).await;
        }
        self.discover();
    }

    /// Waits until all that was recorded is durable, and everybody was woken who waits for it; how many frames that were.
    fn until_durable(&mut self) -> u64 {
        let probe = self.store.register_source("probe").unwrap();
        let receipt: Receipt = match self.store.remember(probe, Vec::new()) {
            Ok(receipt) => receipt,
            Err(Refusal::Full(_)) => panic!("the store is full"),
            Err(Refusal::Failed(error)) => panic!("{error:?}"),
        };
        receipt.wait(PATIENCE).unwrap();
        self.probes += 1;
        let frames = self.store.durable().frames();
        self.process().pulse.wait(frames);
        frames - self.probes
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Take(events) => {
                self.take(events);
                self.come_to_rest().await;
            }
            Step::Pass(time) => {
                // In parts, so that what takes its time in truth falls behind by as little.
                for _ in 0..8 {
                    self.pass(*time / 8).await;
                    self.come_to_rest().await;
                    self.tell();
                }
            }
            Step::Order {
                lane,
                command,
                first,
                more,
                only,
            } => {
                self.order(*lane, *command, (*first, first + more), *only)
                    .await;
            }
            Step::Pause(lane, paused) => self.pause(*lane, *paused).await,
            Step::Release => {
                self.ledger.release();
                self.come_to_rest().await;
            }
            Step::Flush(lane) => self.flush(*lane).await,
            Step::Set(seconds) => {
                self.time.set(*seconds);
                self.pass(SECOND).await;
                self.come_to_rest().await;
            }
            Step::Crash { turns, seed } => self.crash(*turns, *seed).await,
            Step::Restart => self.restart().await,
        }
        self.tell();
    }

    pub(super) fn take(&mut self, events: &[(usize, bool, bool)]) {
        for (trigger, torn, calls) in events {
            let intake = &self.process().intake;
            let name = TRIGGERS[*trigger].into();
            let toolkit = intake.begin(&name);
            let data = if *torn { "torn" } else { "whole" };
            let mut event = Event::of(Json::of(data).unwrap());
            if *calls {
                event = event.call("crm", Call::pass(NAMES[2]));
            }
            let prepared = intake.prepare(&name, &toolkit, event).unwrap();
            let taken = Taken {
                trigger: *trigger,
                torn: *torn,
                calls: *calls,
                at: prepared.received_at(),
            };
            intake.offer(prepared).unwrap();
            self.taken.push_back(taken);
        }
    }

    async fn order(
        &mut self,
        lane: usize,
        command: Command,
        positions: (u64, u64),
        only: Option<Status>,
    ) {
        let head = self.store.durable().upto().0;
        let positions = (positions.0, positions.1.min(head));
        if positions.0 > positions.1 {
            return;
        }
        let order = Order {
            command,
            jobs: Selection::from(Filter {
                actions: Names {
                    only: vec![Pattern::new(NAMES[lane])],
                    not: Vec::new(),
                },
                statuses: Statuses {
                    only: only.into_iter().collect(),
                    not: Vec::new(),
                },
                positions: Some(span(positions.0, positions.1)),
                ..Filter::default()
            }),
            reason: None,
        };
        let operator = self.process().operator.clone();
        let rehearsed = operator.rehearse(&order).await.unwrap();
        let taken = self.rows.order(lane, command, positions, only);
        let outcome = operator.order(&order).await.unwrap();
        assert_eq!(outcome.taken, taken, "{order:?} {outcome:?} {rehearsed:?}");
        assert_eq!(outcome, rehearsed);
        self.come_to_rest().await;
    }

    async fn pause(&mut self, lane: usize, paused: bool) {
        let operator = self.process().operator.clone();
        let action = [Pattern::new(format!("crm/{}", NAMES[lane]))];
        self.rows.paused[lane] = paused;
        match paused {
            true => operator.pause(&action, None).await.unwrap(),
            false => operator.resume(&action).await.unwrap(),
        };
        self.come_to_rest().await;
    }

    async fn flush(&mut self, lane: usize) {
        let head = self.store.durable().upto();
        self.rows.flush(lane, head.0);
        let handle = &self.process().lanes[lane];
        // Whether it is through, or stuck, is not waited for.
        tokio::select! {
            biased;
            _ = handle.flush(head) => {}
            () = std::future::ready(()) => {}
        }
        self.come_to_rest().await;
    }

    /// Everything comes to its end, once nobody holds it and the actions do well.
    async fn end(&mut self) {
        self.ledger.make_peace();
        for lane in 0..NAMES.len() {
            self.pause(lane, false).await;
            self.tell();
            let head = self.store.durable().upto().0;
            for command in [Command::Resume, Command::Retry] {
                self.order(lane, command, (1, head), None).await;
                self.tell();
            }
        }
        for _ in 0..12 {
            self.step(&Step::Pass(HOUR)).await;
            self.ledger.release();
        }
        self.check(7);
        let left = self.rows.rows.iter().find(|(_, row)| !row.is_settled());
        assert!(left.is_none(), "left in the end: {left:?}");
        let head = self.store.durable().upto();
        assert_eq!(self.store.settled_upto(), head);
    }
}
