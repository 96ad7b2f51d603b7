//! One lane's loop: gather, record, load, settle. One task decides; loads run beside it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::counters::LaneCounters;
use super::filing::Filing;
use super::follow::Follower;
use super::hands::{Ended, Hand, Hands};
use super::lane::{Standing, Stuck};
use super::load::{Loader, Work};
use super::pace::Pace;
use super::retries::{NEXT_TIME, Retries, Retry};
use super::settle::{self, Rules, settle};
use super::telling;
use super::timing::{Timing, retry_due};
use crate::clock::{Clock, Now};
use crate::destination::{LoadLimits, Ordering};
use crate::error::Result;
use crate::event::LaneId;
use crate::failpoint;
use crate::job::{Status, Transition};
use crate::log::Receipt;
use crate::operate::{Ask, Attendance};
use crate::position::{Position, Span};
use crate::queue::{Batch, BatchLimits};
use crate::schedule::Schedule;
use crate::spans::Spans;
use crate::store::Lane;
use crate::watermark::Watermark;

pub(super) struct Runner {
    pub(super) id: LaneId,
    pub(super) name: Arc<str>,
    pub(super) loader: Loader,
    pub(super) follower: Follower,
    pub(super) rules: Rules,
    pub(super) limits: BatchLimits,
    pub(super) load_limits: LoadLimits,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) watermark: Watermark,
    /// Everything up to here is wanted now.
    pub(super) flush: watch::Receiver<Position>,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) stop: CancellationToken,
    pub(super) counters: Arc<LaneCounters>,
    pub(super) hands: Hands,
    pub(super) retries: Retries,
    /// Jobs of unknown outcome, held for an operator.
    pub(super) unknown: Spans,
    /// Jobs that an operator paused.
    pub(super) held: Spans,
    /// Whether an operator paused the action as a whole.
    pub(super) paused: bool,
    /// What operators ask.
    pub(super) attendance: Attendance,
    /// How fast loads may begin; none without a limit.
    pub(super) pace: Option<Pace>,
    /// When the schedule lets batches and retries go.
    pub(super) timing: Timing,
}

/// How long a batch that has begun, and is far from full, waits at least before more is gathered into it.
const GATHER_PAUSE: Duration = Duration::from_millis(1);

/// What the runner waits for besides those who ask something of it.
struct Signs {
    /// How long until something may be due.
    due: Option<Duration>,
    /// Whether it waits for events, behind this one.
    past: Option<Position>,
    /// Whether they join a batch that has begun and is far from full.
    young: bool,
}

/// Why the runner goes on.
enum Wake {
    /// Something is due, or there is more to read, or it is to stop.
    Look,
    /// A load came to its end.
    Ended(Box<Ended>),
    /// An operator asks something.
    Asked(Box<Ask>),
}

impl Runner {
    pub(super) async fn run(mut self, lane: Lane) -> Result<()> {
        let mut filing = self.resume(&lane).await?;
        loop {
            // Seen once a turn: who asks later in it is heard when it waits.
            let stopping = self.stop.is_cancelled();
            if stopping && self.hands.is_empty() {
                return Ok(());
            }
            self.hear_flush();
            filing = self.begin_loads(filing).await?;
            self.say_when_stuck(&filing);
            let signs = self.signs(&filing);
            match self.wait(signs, stopping).await? {
                Wake::Look => {}
                Wake::Ended(ended) => self.settle(*ended).await?,
                Wake::Asked(ask) => self.obey(*ask, &mut filing).await,
            }
        }
    }

    fn asked_upto(&self) -> Position {
        *self.flush.borrow()
    }

    /// Whoever asks for everything now does not wait for retries either.
    fn hear_flush(&mut self) {
        if self.flush.has_changed().unwrap_or(false) {
            let asked = *self.flush.borrow_and_update();
            self.retries.hasten(asked, self.clock.elapsed());
        }
    }

    /// Begins whatever may begin: what waits for its retry first, then what is new.
    async fn begin_loads(&mut self, mut filing: Filing) -> Result<Filing> {
        self.hear_calendar();
        while self.may_begin() && self.pause().is_zero() {
            let (now, idle) = (self.clock.elapsed(), self.hands.is_empty());
            if let Some(due) = self.retries.take_due(now, idle) {
                let work = Work {
                    events: due.spans.positions(),
                    spans: due.spans,
                    attempt: due.attempts + 1,
                    cached: None,
                };
                self.begin(work, due.alone)?;
                continue;
            }
            if self.retries.hold() {
                break;
            }
            let routing = Arc::clone(&self.loader.routing);
            let now = Now::of(&*self.clock);
            filing = filing.gather(&routing, self.watermark.upto(), now).await?;
            if !self.may_load(&filing) {
                self.pass_tick(&filing.batch);
                break;
            }
            self.load(&mut filing).await?;
        }
        Ok(filing)
    }

    /// Lets what waits for the next time of a calendar go when it has come.
    fn hear_calendar(&mut self) {
        let now = Now::of(&*self.clock);
        if self.timing.retries_may_go(now) {
            self.retries.time_has_come(now.elapsed);
        }
    }

    /// Whether there is room for a load.
    fn may_begin(&self) -> bool {
        !self.stop.is_cancelled()
            && !self.paused
            && self.hands.has_room(self.load_limits.max_concurrency)
    }

    /// How long the rate limit wants the next load to wait.
    fn pause(&mut self) -> Duration {
        let now = self.clock.elapsed();
        self.pace
            .as_mut()
            .map_or(Duration::ZERO, |pace| pace.pause(now))
    }

    fn may_load(&mut self, filing: &Filing) -> bool {
        let Some(span) = filing.batch.span() else {
            return false;
        };
        let now = Now::of(&*self.clock);
        let is_due = match self.timing.has_ticks() {
            true => self.timing.is_time(now),
            false => filing.batch.close(&self.limits, now.elapsed).is_some(),
        };
        is_due || self.asked_upto() >= span.first
    }

    /// A tick that met nothing is over: what comes later waits for the next.
    fn pass_tick(&mut self, batch: &Batch) {
        if batch.span().is_none() {
            self.timing.pass(Now::of(&*self.clock));
        }
    }

    /// Loads what was gathered.
    async fn load(&mut self, filing: &mut Filing) -> Result<()> {
        let now = Now::of(&*self.clock);
        // A full batch does not use up its tick: what else had gathered by then goes with it.
        if !filing.is_full() {
            self.timing.pass(now);
        }
        let (mut batch, spans) = filing.take();
        if batch.events() == 0 {
            return self.pass_over(&spans).await;
        }
        let (spans, later) = self.at_once(spans);
        for span in later {
            self.wait_for(span, 0, now.elapsed);
        }
        if spans.is_empty() {
            return Ok(());
        }
        let work = Work {
            events: batch.events().min(spans.positions()),
            spans,
            attempt: 1,
            cached: batch.take_cached(),
        };
        self.begin(work, false)
    }

    /// What of a batch goes into one load: an ordered action is given one span at a time.
    fn at_once(&self, spans: Spans) -> (Spans, Vec<Span>) {
        match (self.rules.ordering, spans.as_slice()) {
            (Ordering::Ordered, [first, later @ ..]) => (Spans::from(*first), later.to_vec()),
            _ => (spans, Vec::new()),
        }
    }

    /// Settles positions of which none is routed here, without a load.
    async fn pass_over(&mut self, spans: &Spans) -> Result<()> {
        let transitions = self.transitions(spans, Status::Succeeded, 0);
        let receipt = self.follower.record(&transitions)?;
        self.until_durable(receipt).await
    }

    /// Records the work as executing, and has it loaded once that is durable.
    fn begin(&mut self, work: Work, alone: bool) -> Result<()> {
        let at = self.hands.free_moment(self.clock.now());
        let mut executing = self.transitions(&work.spans, Status::Executing, work.attempt);
        executing.iter_mut().for_each(|own| own.at = at);
        let receipt = self.follower.record(&executing)?;
        failpoint!(LaneRecorded);
        if let Some(pace) = &mut self.pace {
            pace.take(work.events);
        }
        let cancel = CancellationToken::new();
        let hand = Hand {
            spans: work.spans.clone(),
            decided: Spans::default(),
            events: work.events,
            attempt: work.attempt,
            at,
            alone,
            cancel: cancel.clone(),
        };
        let (loader, watermark) = (self.loader.clone(), self.watermark.clone());
        let (clock, timeout) = (Arc::clone(&self.clock), self.load_limits.timeout);
        self.hands.begin(hand, async move {
            if let Some(receipt) = receipt {
                watermark.reached(&receipt).await?;
            }
            failpoint!(LoadBegun);
            let started = clock.elapsed();
            let loaded = loader.load(work, timeout, &cancel).await;
            Ok((loaded, clock.elapsed().saturating_sub(started)))
        });
        Ok(())
    }

    /// Records what came out of a load, with the jobs that follow.
    async fn settle(&mut self, ended: Ended) -> Result<()> {
        let Ended { hand, loaded, took } = ended;
        let settled = settle(
            &settle::Ended {
                lane: self.id,
                spans: &hand.spans,
                decided: &hand.decided,
                attempt: hand.attempt,
                thens: &loaded.thens,
                parked: &loaded.parked,
                jobs: loaded.jobs.as_ref(),
                close: &loaded.close,
                at: self.clock.now(),
            },
            &self.rules,
        );
        let jobs = loaded.jobs.as_ref();
        telling::count(&self.counters, &settled, jobs, &loaded.close, took);
        telling::tell(&self.name, &settled, hand.events, took);
        let pause = loaded.thens.iter().filter_map(|then| then.retry_after);
        self.file(&settled.transitions, &hand.spans, pause.max());
        failpoint!(TransitionsDue);
        let receipt = self.follower.write(&settled, &loaded.thens).await?;
        failpoint!(TransitionsTaken);
        self.until_durable(receipt).await
    }

    /// Files what is not settled: what failed for its retry, when the schedule says and not before `pause` has
    /// passed. What failed in one load comes back together.
    fn file(&mut self, transitions: &[Transition], loaded: &Spans, pause: Option<Duration>) {
        // A time that came before these failed is not theirs.
        self.hear_calendar();
        let now = Now::of(&*self.clock);
        let pause = pause.unwrap_or_default();
        let seed = loaded.hull().map_or(0, |hull| hull.first.0);
        for transition in transitions {
            let (span, attempt) = (transition.span, transition.attempt);
            match transition.status {
                Status::Failed => {
                    let schedule = self.schedule_of(transition);
                    let due = retry_due(&schedule, attempt, now, seed, pause);
                    self.wait_for(span, attempt, due);
                }
                Status::Awaiting => self.wait_for(span, attempt, now.elapsed),
                Status::Unknown => self.unknown.add(span),
                _ => {}
            }
        }
    }

    pub(super) fn wait_for(&mut self, span: Span, attempts: u32, due: Duration) {
        self.retries.push(Retry {
            span,
            attempts,
            due,
            alone: false,
            batch: None,
        });
    }

    /// What is asked for now does not wait for an interval: it backs off as a realtime action does.
    fn schedule_of(&self, failed: &Transition) -> Schedule {
        let own = self.rules.schedule.clone();
        Schedule {
            realtime: own.realtime || self.asked_upto() >= failed.span.first,
            ..own
        }
    }

    /// The same change of all of `spans`.
    pub(super) fn transitions(
        &self,
        spans: &Spans,
        status: Status,
        attempt: u32,
    ) -> Vec<Transition> {
        let (lane, at) = (self.id, self.clock.now());
        let spans = spans.iter().map(|span| Transition {
            lane,
            span,
            status,
            attempt,
            at,
            error: None,
            command: None,
        });
        spans.collect()
    }

    /// Waits until what was recorded is durable, and says how far the lane is settled.
    pub(super) async fn until_durable(&mut self, receipt: Option<Receipt>) -> Result<()> {
        if let Some(receipt) = receipt {
            self.watermark.reached(&receipt).await?;
        }
        if let Some(settled) = self.loader.store.settled_in(self.id) {
            let stuck = None;
            self.standing.send_replace(Standing { settled, stuck });
        }
        Ok(())
    }

    /// Whoever waits for a flush must hear that only an operator can finish it.
    fn say_when_stuck(&self, filing: &Filing) {
        let asked = self.asked_upto();
        if asked == Position::ZERO || self.hands.touch(asked) {
            return;
        }
        let done = self.retries.is_empty_upto(asked)
            && filing.batch.span().is_none()
            && filing.read_upto() >= asked;
        let first = |held: &Spans| {
            let first = held.as_slice().first().copied();
            first.filter(|held| done && held.first <= asked)
        };
        let paused = self.paused.then_some(Stuck::Paused);
        let unknown = first(&self.unknown).map(Stuck::Unknown);
        let held = first(&self.held).map(Stuck::Held);
        let stuck = paused.or(unknown).or(held);
        if stuck.is_some() {
            self.standing.send_modify(|standing| standing.stuck = stuck);
        }
    }

    /// What to wait for.
    fn signs(&mut self, filing: &Filing) -> Signs {
        // A lane that is held, full or busy does not gather: its backlog stays in the store.
        let gathers =
            self.may_begin() && self.pause().is_zero() && !self.retries.hold() && !filing.is_full();
        Signs {
            due: self.next_due(filing),
            past: gathers.then(|| filing.read_upto()),
            young: filing.is_young(),
        }
    }

    /// Waits for whichever comes first of all that could change what there is to do.
    async fn wait(&mut self, signs: Signs, stopping: bool) -> Result<Wake> {
        let read_upto = signs.past.unwrap_or(Position::MAX);
        tokio::select! {
            biased;
            // Stopping goes before everything: no new load begins after it was asked for.
            () = self.stop.cancelled(), if !stopping => Ok(Wake::Look),
            // What is settled makes room, for the next load and in the store.
            ended = self.hands.ended() => Ok(Wake::Ended(Box::new(ended?))),
            // What an operator decides goes before what is due.
            Some(ask) = self.attendance.asked.recv() => Ok(Wake::Asked(Box::new(ask))),
            // Somebody wants everything loaded now.
            () = flush_asked(&self.flush), if !stopping => Ok(Wake::Look),
            // A batch, a tick or a retry has come of age.
            () = sleep(signs.due), if !stopping => Ok(Wake::Look),
            // There is more to gather.
            past = more(&self.watermark, read_upto, signs.young), if signs.past.is_some() => past.map(|()| Wake::Look),
        }
    }

    /// How long until something may be due; none while there is no room for a load.
    fn next_due(&mut self, filing: &Filing) -> Option<Duration> {
        if !self.may_begin() {
            return None;
        }
        let pause = self.pause();
        if !pause.is_zero() {
            return Some(pause);
        }
        let now = Now::of(&*self.clock);
        let retry = match self.retries.next_due(self.hands.is_empty()) {
            Some(NEXT_TIME) => self.timing.until_retries(now),
            due => due.map(|due| due.saturating_sub(now.elapsed)),
        };
        if self.retries.hold() {
            return retry;
        }
        let age = || Some(filing.batch.due()?.saturating_sub(now.elapsed));
        let batch = self.timing.until_tick(now).or_else(age);
        [retry, batch].into_iter().flatten().min()
    }
}

/// Returns once there is more to gather behind `read_upto`. A batch goes when it is of age, or full: one that is `young` need
/// not look at every sync, of which a busy disk makes thousands a second.
async fn more(watermark: &Watermark, read_upto: Position, young: bool) -> Result<()> {
    if young {
        tokio::time::sleep(GATHER_PAUSE).await;
    }
    watermark.past(read_upto).await
}

/// Leaves the change to be seen by [`Runner::hear_flush`]; nobody asks when the handle is gone.
async fn flush_asked(flush: &watch::Receiver<Position>) {
    let mut flush = flush.clone();
    if flush.changed().await.is_err() {
        std::future::pending().await
    }
}

async fn sleep(until: Option<Duration>) {
    match until {
        Some(until) => tokio::time::sleep(until).await,
        None => std::future::pending().await,
    }
}
