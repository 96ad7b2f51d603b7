//! One lane's loop: gather, record, load, settle.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::lane::Standing;
use super::load::{Loader, Work};
use super::retries::{Retries, Retry};
use super::settle::{Ended, Settled, settle};
use crate::clock::{Clock, Timestamp};
use crate::destination::Ordering;
use crate::error::{Error, Result};
use crate::event::LaneId;
use crate::job::{Status, Transition};
use crate::position::{Position, Span};
use crate::queue::{Batch, BatchLimits, LaneReader};
use crate::schedule::Schedule;
use crate::store::Lane;
use crate::watermark::Watermark;

/// Transitions in one record: they fit into a frame, with the errors that `settle` keeps. What comes
/// out of one batch is recorded at once unless it is cut into more pieces than this.
const RECORD_TRANSITIONS_MAX: usize = 1_000_000;
/// Transitions of one load that are logged one by one; the others are counted.
const TOLD_MAX: usize = 10;

pub(super) struct Runner {
    pub(super) id: LaneId,
    pub(super) name: Arc<str>,
    pub(super) loader: Loader,
    pub(super) ordering: Ordering,
    pub(super) schedule: Schedule,
    pub(super) limits: BatchLimits,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) watermark: Watermark,
    /// Everything up to here is wanted now.
    pub(super) flush: watch::Receiver<Position>,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) stop: CancellationToken,
    pub(super) retries: Retries,
    /// Jobs held for an operator, by position.
    pub(super) unknown: Vec<Span>,
    /// When the schedule lets the next batch go; none for a realtime action.
    pub(super) tick: Option<Timestamp>,
}

/// The lane's place in the store, and what it gathered there for the next load.
struct Filing {
    reader: LaneReader,
    batch: Batch,
}

impl Runner {
    pub(super) async fn run(mut self, lane: Lane) -> Result<()> {
        let next = self.resume(&lane);
        let mut filing = Filing {
            reader: LaneReader::new(&self.loader.store, next),
            batch: Batch::new(),
        };
        while !self.stop.is_cancelled() {
            self.hear_flush();
            if let Some(retry) = self.retries.take_due(self.clock.now()) {
                self.try_again(retry).await?;
                continue;
            }
            if !self.retries.hold() {
                filing = self.gather(filing).await?;
                if self.may_load(&filing.batch) {
                    self.load(std::mem::replace(&mut filing.batch, Batch::new()))
                        .await?;
                    continue;
                }
                self.pass_tick(&filing.batch);
            }
            self.say_when_stuck(&filing);
            self.wait(&filing.batch, filing.reader.read_upto()).await?;
        }
        Ok(())
    }

    /// Takes up where the lane stood; returns the first position that was in no batch. What failed
    /// is tried at once: a restart often is what mends the cause.
    fn resume(&mut self, lane: &Lane) -> Position {
        let now = self.clock.now();
        let mut next = lane.settled_upto.next();
        for open in lane.open() {
            next = next.max(open.span.last.next());
            match open.status {
                Status::Executing | Status::Failed | Status::Awaiting => {
                    self.retries.push(Retry {
                        span: open.span,
                        events: open.span.len(),
                        attempts: open.attempt,
                        due: now,
                    });
                }
                Status::Unknown => {
                    tracing::warn!(lane = %self.name, span = %open.span, "jobs of unknown outcome are held for an operator");
                    self.unknown.push(open.span);
                }
                Status::Succeeded | Status::Discarded | Status::Acknowledged => {}
            }
        }
        self.tick = (!self.schedule.realtime).then(|| self.schedule.due_after(now));
        next
    }

    fn asked_upto(&self) -> Position {
        *self.flush.borrow()
    }

    /// Whoever asks for everything now does not wait for retries either.
    fn hear_flush(&mut self) {
        if self.flush.has_changed().unwrap_or(false) {
            let asked = *self.flush.borrow_and_update();
            self.retries.hasten(asked, self.clock.now());
        }
    }

    /// Reads on, away from the async threads: a lane that is behind reads much from the disk.
    async fn gather(&self, mut filing: Filing) -> Result<Filing> {
        let upto = self.watermark.upto();
        let limits = self.limits;
        if filing.reader.read_upto() >= upto || filing.batch.is_full(&limits) {
            return Ok(filing);
        }
        let routing = Arc::clone(&self.loader.routing);
        let gathering = tokio::task::spawn_blocking(move || {
            let routed = |schema| routing.leads(schema);
            let Filing { reader, batch } = &mut filing;
            let gathered = reader.gather(batch, &limits, &routed, upto);
            gathered.map(|()| filing)
        });
        let panicked = || Error::stopped(format!("lane {}: gathering panicked", self.name));
        gathering.await.map_err(|error| panicked().because(error))?
    }

    fn may_load(&self, batch: &Batch) -> bool {
        let Some(span) = batch.span() else {
            return false;
        };
        let now = self.clock.now();
        let is_due = || match self.tick {
            Some(tick) => tick <= now,
            None => batch.close(&self.limits, now).is_some(),
        };
        self.asked_upto() >= span.first || is_due()
    }

    /// A tick that met nothing is over: what comes later waits for the next.
    fn pass_tick(&mut self, batch: &Batch) {
        let now = self.clock.now();
        if batch.span().is_none() && self.tick.is_some_and(|tick| tick <= now) {
            self.tick = Some(self.schedule.due_after(now));
        }
    }

    async fn load(&mut self, mut batch: Batch) -> Result<()> {
        let Some(span) = batch.span() else {
            return Ok(());
        };
        let now = self.clock.now();
        // A full batch does not use up its tick: what else had gathered by then goes with it.
        if self.tick.is_some_and(|tick| tick <= now) && !batch.is_full(&self.limits) {
            self.tick = Some(self.schedule.due_after(now));
        }
        if batch.events() == 0 {
            return self.pass_over(span).await;
        }
        let work = Work {
            span,
            events: batch.events(),
            attempt: 1,
            cached: batch.take_cached(),
        };
        self.execute(work).await
    }

    async fn try_again(&mut self, retry: Retry) -> Result<()> {
        let work = Work {
            span: retry.span,
            events: retry.events,
            attempt: retry.attempts + 1,
            cached: None,
        };
        self.execute(work).await
    }

    /// Settles positions of which none is routed here, without a load.
    async fn pass_over(&mut self, span: Span) -> Result<()> {
        self.record(&[self.transition(span, Status::Succeeded, 0)])
            .await
    }

    async fn execute(&mut self, work: Work) -> Result<()> {
        let (span, attempt, events) = (work.span, work.attempt, work.events);
        self.record(&[self.transition(span, Status::Executing, attempt)])
            .await?;
        let started = self.clock.elapsed();
        let loaded = self.loader.load(work).await;
        let took = self.clock.elapsed().saturating_sub(started);
        let ended = Ended {
            lane: self.id,
            span,
            attempt,
            thens: &loaded.thens,
            parked: &loaded.parked,
            result: &loaded.result,
            at: self.clock.now(),
        };
        let settled = settle(&ended, self.ordering, &self.schedule);
        self.tell(&settled, events, took);
        let pause = loaded.thens.iter().filter_map(|then| then.retry_after);
        self.follow_up(&settled.transitions, events, pause.max());
        self.record(&settled.transitions).await
    }

    fn tell(&self, settled: &Settled, events: u64, took: Duration) {
        for span in &settled.foreign {
            tracing::error!(lane = %self.name, %span, "the action reported jobs that are not in its batch; ignored");
        }
        for span in &settled.contradicting {
            tracing::error!(lane = %self.name, %span, "the action reported jobs again, otherwise than before; ignored");
        }
        let took_ms = took.as_millis() as u64;
        for transition in settled.transitions.iter().take(TOLD_MAX) {
            self.tell_one(transition, events, took_ms);
        }
        let untold = settled.transitions.len().saturating_sub(TOLD_MAX);
        if untold > 0 {
            tracing::warn!(lane = %self.name, spans = untold, "and the rest in as many pieces; see the transitions");
        }
    }

    fn tell_one(&self, transition: &Transition, events: u64, took_ms: u64) {
        let error = transition.error.as_deref().unwrap_or_default();
        let (lane, span, attempt) = (&self.name, transition.span, transition.attempt);
        match transition.status {
            Status::Succeeded => {
                tracing::info!(%lane, %span, attempt, events, took_ms, "loaded");
            }
            Status::Failed => {
                tracing::warn!(%lane, %span, attempt, error, "load failed; it will be tried again");
            }
            Status::Discarded => {
                tracing::error!(%lane, %span, attempt, error, "jobs discarded");
            }
            _ => {
                tracing::warn!(%lane, %span, attempt, error, "jobs of unknown outcome are held for an operator");
            }
        }
    }

    /// Files what failed for its retry: when the schedule says, and not before `pause` has passed.
    fn follow_up(&mut self, transitions: &[Transition], events: u64, pause: Option<Duration>) {
        let earliest = self.clock.now().after(pause.unwrap_or_default());
        for transition in transitions {
            match transition.status {
                Status::Failed => self.retries.push(Retry {
                    span: transition.span,
                    events: events.min(transition.span.len()),
                    attempts: transition.attempt,
                    due: self.retry_at(transition).max(earliest),
                }),
                Status::Unknown => self.unknown.push(transition.span),
                _ => {}
            }
        }
        self.unknown.sort_by_key(|span| span.first);
    }

    /// What is asked for now does not wait for an interval: it backs off as a realtime action does.
    fn retry_at(&self, failed: &Transition) -> Timestamp {
        let first = failed.span.first;
        let at = |schedule: &Schedule| schedule.retry_at(failed.attempt, failed.at, first.0);
        if self.asked_upto() >= first {
            let hurried = Schedule {
                realtime: true,
                ..self.schedule.clone()
            };
            return at(&hurried);
        }
        at(&self.schedule)
    }

    fn transition(&self, span: Span, status: Status, attempt: u32) -> Transition {
        Transition {
            lane: self.id,
            span,
            status,
            attempt,
            at: self.clock.now(),
            error: None,
            command: None,
        }
    }

    /// Records durably, and says how far the lane is settled.
    async fn record(&self, transitions: &[Transition]) -> Result<()> {
        let store = &self.loader.store;
        for piece in transitions.chunks(RECORD_TRANSITIONS_MAX) {
            let receipt = store.record(piece)?;
            self.watermark.reached(&receipt).await?;
        }
        if let Some(settled) = store.settled_in(self.id) {
            let stuck = None;
            self.standing.send_replace(Standing { settled, stuck });
        }
        Ok(())
    }

    /// Whoever waits for a flush must hear that only an operator can finish it.
    fn say_when_stuck(&self, filing: &Filing) {
        let asked = self.asked_upto();
        let done = self.retries.is_empty_upto(asked)
            && filing.batch.span().is_none()
            && filing.reader.read_upto() >= asked;
        let stuck = self.unknown.first().filter(|span| span.first <= asked);
        if done && stuck.is_some() {
            let stuck = stuck.copied();
            self.standing.send_modify(|standing| standing.stuck = stuck);
        }
    }

    /// Waits for whichever comes first of all that could change what there is to do.
    async fn wait(&self, batch: &Batch, read_upto: Position) -> Result<()> {
        let due = self.next_due(batch);
        let now = self.clock.now();
        // A held or full lane does not gather: its backlog stays in the store.
        let gathers = !self.retries.hold() && !batch.is_full(&self.limits);
        tokio::select! {
            biased;
            // Stopping goes before everything: no new load begins after it was asked for.
            () = self.stop.cancelled() => Ok(()),
            // Somebody wants everything loaded now.
            () = flush_asked(&self.flush) => Ok(()),
            // A batch, a tick or a retry has come of age.
            () = sleep_until(due, now) => Ok(()),
            // There is more to gather.
            past = self.watermark.past(read_upto), if gathers => past,
        }
    }

    fn next_due(&self, batch: &Batch) -> Option<Timestamp> {
        let retry = self.retries.next_due();
        if self.retries.hold() {
            return retry;
        }
        let batch_due = self.tick.or_else(|| batch.due(&self.limits));
        [retry, batch_due].into_iter().flatten().min()
    }
}

/// Leaves the change to be seen by [`Runner::hear_flush`]; nobody asks when the handle is gone.
async fn flush_asked(flush: &watch::Receiver<Position>) {
    let mut flush = flush.clone();
    if flush.changed().await.is_err() {
        std::future::pending().await
    }
}

async fn sleep_until(due: Option<Timestamp>, now: Timestamp) {
    match due {
        Some(due) => tokio::time::sleep(due.since(now)).await,
        None => std::future::pending().await,
    }
}
