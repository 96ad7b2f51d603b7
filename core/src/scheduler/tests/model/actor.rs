//! An action that does what dice say, and keeps a ledger of it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering as Atomic};

use tokio::sync::Notify;

use super::report::{About, End, Report, Said};
use super::*;
use crate::call::Call;
use crate::destination::Jobs;
use crate::event::{LaneId, StoreId};
use crate::id::Id;
use crate::log::sim::Dice;

/// What happened in the actions, in order.
#[derive(Debug)]
pub(super) enum Entry {
    /// A load began.
    Began {
        number: u64,
        lane: usize,
        spans: Vec<(u64, u64)>,
        attempt: u32,
        at: Duration,
    },
    /// A load ended, after it was given these jobs, if it came to read them all.
    Ended {
        number: u64,
        given: Option<BTreeSet<u64>>,
        reports: Vec<Report>,
        end: End,
        at: Duration,
    },
}

/// Shared by the actions of one life.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Mutex<Vec<Entry>>,
    numbers: AtomicU64,
    /// Lets loads go on that linger.
    release: Notify,
    /// From now on everything succeeds.
    peace: AtomicBool,
}

impl Ledger {
    pub(super) fn len(&self) -> usize {
        self.entries.lock().unwrap().len()
    }

    pub(super) fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut self.entries.lock().unwrap())
    }

    /// Forgets what came after the first `len`: the process had ended by then.
    pub(super) fn truncate(&self, len: usize) {
        self.entries.lock().unwrap().truncate(len);
    }

    pub(super) fn release(&self) {
        self.release.notify_waiters();
    }

    pub(super) fn make_peace(&self) {
        self.peace.store(true, Atomic::SeqCst);
        self.release();
    }

    fn push(&self, entry: Entry) {
        self.entries.lock().unwrap().push(entry);
    }
}

/// One action.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) lane: usize,
    pub(super) id: LaneId,
    pub(super) ordering: Ordering,
    /// Whether a load that hangs comes to an end.
    pub(super) has_timeout: bool,
    pub(super) seed: u64,
    pub(super) ledger: Arc<Ledger>,
}

/// A load in hand: says so when it is dropped.
struct InHand {
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    number: u64,
    given: Option<BTreeSet<u64>>,
    reports: Vec<Report>,
    end: End,
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.ledger.push(Entry::Ended {
            number: self.number,
            given: self.given.take(),
            reports: std::mem::take(&mut self.reports),
            end: self.end,
            at: self.clock.elapsed(),
        });
    }
}

#[async_trait]
impl Action for Actor {
    fn name(&self) -> &str {
        NAMES[self.lane]
    }

    fn ordering(&self) -> Ordering {
        self.ordering
    }

    async fn load(&self, toolkit: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        let mut hand = self.begin(toolkit, queue);
        let mut given = BTreeSet::new();
        while let Some(jobs) = queue.next_jobs().await? {
            given.extend(jobs.iter().map(|job| job.position.0));
        }
        hand.given = Some(given);
        let (first, attempt) = (queue.span().first.0, u64::from(queue.attempt()));
        let key = (self.lane as u64) << 56 ^ first << 16 ^ attempt;
        let mut dice = Dice(self.seed ^ key.wrapping_mul(0x2545_f491_4f6c_dd1d));
        if self.ledger.peace.load(Atomic::SeqCst) {
            self.say(&mut hand, then, self.all(Said::Succeeded), toolkit.store);
            hand.end = End::Returned;
            return Ok(());
        }
        for _ in 0..dice.below(4) {
            let report = self.report(&mut dice, queue);
            self.say(&mut hand, then, report, toolkit.store);
        }
        let end = dice.below(14);
        match end {
            0 => {
                hand.end = End::Errored;
                return Err(Error::unavailable("the sea is rough"));
            }
            1 => {
                hand.end = End::Panicked;
                panic!("as the dice say");
            }
            2 if self.has_timeout => std::future::pending().await,
            3 | 4 => self.ledger.release.notified().await,
            _ => {}
        }
        if !dice.once_in(4) {
            let said = if dice.once_in(4) {
                Said::Failed
            } else {
                Said::Succeeded
            };
            self.say(&mut hand, then, self.all(said), toolkit.store);
        }
        hand.end = End::Returned;
        Ok(())
    }
}

impl Actor {
    fn begin(&self, toolkit: &Toolkit, queue: &Queue) -> InHand {
        let number = self.ledger.numbers.fetch_add(1, Atomic::SeqCst);
        let spans = queue.spans().iter();
        self.ledger.push(Entry::Began {
            number,
            lane: self.lane,
            spans: spans.map(|span| (span.first.0, span.last.0)).collect(),
            attempt: queue.attempt(),
            at: toolkit.clock.elapsed(),
        });
        InHand {
            ledger: Arc::clone(&self.ledger),
            clock: Arc::clone(&toolkit.clock),
            number,
            given: None,
            reports: Vec::new(),
            end: End::Dropped,
        }
    }

    fn all(&self, said: Said) -> Report {
        Report {
            about: None,
            said,
            follows: Vec::new(),
            pause: Duration::ZERO,
        }
    }

    /// Sends the report, and notes it.
    fn say(&self, hand: &mut InHand, then: &Thens, report: Report, store: StoreId) {
        let jobs = match &report.about {
            None => Jobs::All,
            Some(about) => named(about, store, self.id),
        };
        then.send(written(&report, jobs));
        hand.reports.push(report);
    }

    /// About any of the jobs in any order, about some twice, about strangers too.
    fn report(&self, dice: &mut Dice, queue: &Queue) -> Report {
        let (first, last) = (queue.span().first.0, queue.span().last.0);
        let any = |dice: &mut Dice| first + dice.below(last - first + 1);
        let about = match dice.below(8) {
            0 => None,
            1..=3 => {
                let some = 1 + dice.below(4);
                let some = (0..some).map(|_| About::One(Some(any(dice)))).collect();
                Some(some)
            }
            4 => Some(vec![About::One(None), About::One(Some(any(dice)))]),
            5 => Some(vec![About::Many(first, last + 1 + dice.below(9))]),
            _ => {
                let (one, other) = (any(dice), any(dice));
                Some(vec![About::Many(one.min(other), one.max(other))])
            }
        };
        let said = [
            Said::Succeeded,
            Said::Succeeded,
            Said::Failed,
            Said::Failed,
            Said::Discarded,
        ];
        let on = [Status::Succeeded, Status::Failed, Status::Discarded];
        // The last lane has nothing follow, so that every row of children comes to an end.
        let children = if self.lane < 2 { dice.below(3) } else { 0 };
        let pause = if dice.once_in(8) {
            SECOND * 30
        } else {
            Duration::ZERO
        };
        Report {
            about,
            said: said[dice.below(5) as usize],
            follows: (0..children)
                .map(|_| (on[dice.below(3) as usize], 2))
                .collect(),
            pause,
        }
    }
}

fn written(report: &Report, jobs: Jobs) -> Then {
    let mut then = match report.said {
        Said::Succeeded => Then::succeeded(jobs),
        Said::Failed => Then::failed(jobs, Error::unavailable("reported so")),
        Said::Discarded => Then::discarded(jobs, Error::invalid("given up")),
    };
    for (on, child) in &report.follows {
        let call = Call::pass(NAMES[*child]);
        then = match on {
            Status::Succeeded => then.on_succeeded(call),
            Status::Failed => then.on_failed(call),
            _ => then.on_discarded(call),
        };
    }
    match report.pause.is_zero() {
        true => then,
        false => then.retry_after(report.pause),
    }
}

/// Jobs of `lane` as a report names them.
fn named(about: &[About], store: StoreId, lane: LaneId) -> Jobs {
    let spans = about.iter().filter_map(|about| match about {
        About::Many(first, last) => Some(span(*first, *last)),
        About::One(_) => None,
    });
    let spans: Vec<_> = spans.collect();
    if !spans.is_empty() {
        return Jobs::Spans(spans);
    }
    let ids = about.iter().map(|about| match about {
        About::One(Some(position)) => Id::of_job(store, lane, Position(*position), Timestamp(0)),
        // A job of another lane.
        _ => Id::of_job(store, LaneId(lane.0 + 1), Position(1), Timestamp(0)),
    });
    Jobs::Ids(ids.collect())
}
