//! Whoever carries orders out: the lanes that run in this process, and for others the store.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::memory::{self, Pause};
use super::order::{LaneOrder, Obeyed, Order, decide, pieces};
use super::outcome::{LaneOutcome, Outcome, Refusal};
use super::plan::Plans;
use super::selection::{Chosen, Selection};
use super::standing::{self, Counted, Standing};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::LaneId;
use crate::flow::Pattern;
use crate::job::{Command, Status};
use crate::query::{Query, Selected};
use crate::store::Lane;

/// How long a record may take to become durable.
const DURABLE_WAIT: Duration = Duration::from_secs(60);
/// Orders that wait for a lane's attention.
const WAITING_ORDERS: usize = 16;

/// What a running lane is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    /// To carry an order out.
    Order(LaneOrder, oneshot::Sender<Result<Obeyed>>),
    /// To begin no load, or to begin again.
    Pause(bool, oneshot::Sender<()>),
}

/// Carries orders out. Cheap to clone: clones are the same operator.
#[derive(Clone)]
pub struct Operator(Arc<Inner>);

struct Inner {
    query: Query,
    plans: Plans,
    clock: Arc<dyn Clock>,
    lanes: Mutex<HashMap<LaneId, mpsc::Sender<Ask>>>,
    /// Held while an order is recorded in place of lanes: none begins to run meanwhile.
    recording: Mutex<()>,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").finish_non_exhaustive()
    }
}

/// A lane's end: it hears orders for as long as it has this.
#[derive(Debug)]
pub(crate) struct Attendance {
    pub(crate) asked: mpsc::Receiver<Ask>,
    operator: Operator,
    lane: LaneId,
}

impl Drop for Attendance {
    fn drop(&mut self) {
        lock(&self.operator.0.lanes).remove(&self.lane);
    }
}

impl Operator {
    /// An operator over the store that `query` asks, of which no lane runs yet. `plans` are those of the actions that are
    /// configured.
    #[must_use]
    pub fn new(query: Query, plans: Plans, clock: Arc<dyn Clock>) -> Operator {
        Operator(Arc::new(Inner {
            query,
            plans,
            clock,
            lanes: Mutex::default(),
            recording: Mutex::default(),
        }))
    }

    /// Whoever asks the same store.
    #[must_use]
    pub fn query(&self) -> &Query {
        &self.0.query
    }

    /// The clock of its transitions.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// From now on `lane` runs here, and orders for it go there. What was ordered before is in the store by then, so
    /// whoever calls this looks at the store afterwards.
    pub(crate) fn attend(&self, lane: LaneId) -> Attendance {
        let (asks, asked) = mpsc::channel(WAITING_ORDERS);
        let recording = lock(&self.0.recording);
        lock(&self.0.lanes).insert(lane, asks);
        drop(recording);
        Attendance {
            asked,
            operator: self.clone(),
            lane,
        }
    }

    fn running(&self, lane: LaneId) -> Option<mpsc::Sender<Ask>> {
        lock(&self.0.lanes).get(&lane).cloned()
    }

    /// Has an order carried out in every lane that it concerns; durable when it returns. An order that was begun comes to
    /// its end, also when this future is dropped.
    ///
    /// # Errors
    /// `Invalid` when too many ids are named, `Refused` when the jobs lie too scattered: nothing was done then. When the
    /// store cannot be read or written, or a lane stops meanwhile: then lanes before it have carried the order out.
    pub async fn order(&self, order: &Order) -> Result<Outcome> {
        let (operator, order) = (self.clone(), order.clone());
        let carrying = tokio::spawn(async move { operator.carry_out(&order).await });
        carrying.await.map_err(panicked)?
    }

    /// What an order would come to now. Nothing is done.
    ///
    /// # Errors
    /// As [`Operator::order`].
    pub async fn rehearse(&self, order: &Order) -> Result<Outcome> {
        let (operator, order) = (self.clone(), order.clone());
        blocking(move || {
            let chosen = order.jobs.choose(order.command, &operator.0.query)?;
            let mut outcome = Outcome::default();
            for selected in &chosen.lanes {
                let own = order.for_lane(selected);
                let obeyed = operator.decide(&selected.lane, &own).obeyed;
                outcome.add(operator.told(order.command, &selected.lane, &obeyed)?);
            }
            outcome.unknown = chosen.unknown;
            Ok(outcome)
        })
        .await
    }

    async fn carry_out(&self, order: &Order) -> Result<Outcome> {
        let (operator, own) = (self.clone(), order.clone());
        let choosing = move || own.jobs.choose(own.command, &operator.0.query);
        let Chosen { lanes, unknown } = blocking(choosing).await?;
        let mut outcome = Outcome {
            unknown,
            ..Outcome::default()
        };
        for selected in lanes {
            let obeyed = self.give(&selected.lane, order.for_lane(&selected)).await?;
            let (operator, command) = (self.clone(), order.command);
            let telling = move || operator.told(command, &selected.lane, &obeyed);
            outcome.add(blocking(telling).await?);
        }
        Ok(outcome)
    }

    async fn give(&self, lane: &Lane, order: LaneOrder) -> Result<Obeyed> {
        if let Some(asks) = self.running(lane.id) {
            return ask(asks, lane, order).await;
        }
        let (operator, id, own) = (self.clone(), lane.id, order.clone());
        match blocking(move || operator.record(id, &own)).await? {
            Some(obeyed) => Ok(obeyed),
            // The lane has begun to run meanwhile.
            None => match self.running(lane.id) {
                Some(asks) => ask(asks, lane, order).await,
                None => Err(stopped(lane)),
            },
        }
    }

    /// Records an order where no lane runs, so nobody else records anything of it; none where one does.
    fn record(&self, id: LaneId, order: &LaneOrder) -> Result<Option<Obeyed>> {
        let _recording = lock(&self.0.recording);
        if self.running(id).is_some() {
            return Ok(None);
        }
        let store = self.0.query.store();
        let unknown = || Error::stopped(format!("the store does not know lane {}", id.0));
        let lane = store.lane(id).ok_or_else(unknown)?;
        let decision = self.decide(&lane, order);
        for piece in pieces(&decision.transitions) {
            store.record(piece)?.wait(DURABLE_WAIT)?;
        }
        Ok(Some(decision.obeyed))
    }

    fn decide(&self, lane: &Lane, order: &LaneOrder) -> super::order::Decision {
        let plan = self.0.plans.get(&lane.name);
        let ordering = plan.map(|plan| plan.ordering);
        decide(lane, order, ordering, self.0.clock.now())
    }

    /// What an order came to, counted in jobs.
    fn told(&self, command: Command, lane: &Lane, obeyed: &Obeyed) -> Result<LaneOutcome> {
        let query = &self.0.query;
        let mut refused = Vec::new();
        for (why, spans) in &obeyed.refused {
            let jobs = query.jobs_in(lane, spans)?;
            if jobs > 0 {
                refused.push(Refusal {
                    jobs,
                    status: why.standing().to_owned(),
                    reason: why.reason(command).to_owned(),
                });
            }
        }
        Ok(LaneOutcome {
            action: lane.name.to_string(),
            taken: query.jobs_in(lane, &obeyed.taken)?,
            refused,
        })
    }

    /// Pauses the actions called so (`destination/action`, either may hold `*`): no load of them begins until they are
    /// resumed, also after a restart; those in hand come to their end. Returns their names.
    ///
    /// # Errors
    /// `Invalid` when no action is called so; when the store cannot be written.
    pub async fn pause(&self, actions: &[Pattern], reason: Option<&str>) -> Result<Vec<Arc<str>>> {
        let pause = Pause::new(self.0.clock.now(), reason);
        self.set_paused(actions, Some(pause)).await
    }

    /// Lets the actions called so go on.
    ///
    /// # Errors
    /// As [`Operator::pause`].
    pub async fn resume(&self, actions: &[Pattern]) -> Result<Vec<Arc<str>>> {
        self.set_paused(actions, None).await
    }

    /// The names of the actions called so.
    ///
    /// # Errors
    /// `Invalid` when a pattern names none.
    pub fn called(&self, actions: &[Pattern]) -> Result<Vec<Arc<str>>> {
        Ok(self
            .meant(actions)?
            .into_iter()
            .map(|lane| lane.name)
            .collect())
    }

    fn meant(&self, actions: &[Pattern]) -> Result<Vec<Lane>> {
        let mut lanes = self.0.query.store().lanes();
        for pattern in actions {
            if !lanes.iter().any(|lane| pattern.matches(&lane.name)) {
                return Err(Error::invalid("no action is called so").help(known(&lanes)));
            }
        }
        lanes.retain(|lane| actions.iter().any(|pattern| pattern.matches(&lane.name)));
        Ok(lanes)
    }

    async fn set_paused(&self, actions: &[Pattern], pause: Option<Pause>) -> Result<Vec<Arc<str>>> {
        let meant = self.meant(actions)?;
        let names: Vec<_> = meant.iter().map(|lane| Arc::clone(&lane.name)).collect();
        let (operator, own, is_paused) = (self.clone(), names.clone(), pause.is_some());
        blocking(move || {
            let store = operator.0.query.store();
            memory::remember(store.as_ref(), &own, pause.as_ref())?.wait(DURABLE_WAIT)
        })
        .await?;
        for lane in &meant {
            let (reply, heard) = oneshot::channel();
            if let Some(asks) = self.running(lane.id)
                && asks.send(Ask::Pause(is_paused, reply)).await.is_ok()
            {
                // A lane that stops meanwhile finds it remembered at its next start.
                _ = heard.await;
            }
        }
        Ok(names)
    }

    /// How every action stands, in order of registration.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn standings(&self) -> Result<Vec<Standing>> {
        let operator = self.clone();
        blocking(move || {
            let own = &operator.0;
            standing::of_all(&own.query, &own.plans, Counted::Exactly)
        })
        .await
    }

    /// The same at a glance, for whoever asks every few seconds: jobs are counted as
    /// [`Query::jobs_in_at_most`] counts them, and one block is read for each action that has something to do.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn glance(&self) -> Result<Vec<Standing>> {
        standing::of_all(&self.0.query, &self.0.plans, Counted::AtMost)
    }
}

impl Order {
    fn for_lane(&self, selected: &Selected) -> LaneOrder {
        LaneOrder {
            command: self.command,
            among: selected.spans.clone(),
            statuses: self.statuses(),
            reason: self.reason.clone(),
        }
    }

    /// The states that were asked for: what left them since it was selected is not meant any more.
    fn statuses(&self) -> Vec<Status> {
        match &self.jobs {
            Selection::Filter(filter) => filter.statuses.only.clone(),
            Selection::Ids(_) => Vec::new(),
        }
    }
}

async fn ask(asks: mpsc::Sender<Ask>, lane: &Lane, order: LaneOrder) -> Result<Obeyed> {
    let (reply, answer) = oneshot::channel();
    let asked = asks.send(Ask::Order(order, reply)).await;
    asked.map_err(|_| stopped(lane))?;
    answer.await.map_err(|_| stopped(lane))?
}

fn stopped(lane: &Lane) -> Error {
    Error::stopped(format!("lane {} stopped", lane.name)).help("try again")
}

fn known(lanes: &[Lane]) -> String {
    let names: Vec<&str> = lanes.iter().map(|lane| &*lane.name).collect();
    match names.is_empty() {
        true => "the store has none yet: run the program once".to_owned(),
        false => format!("there is {}", names.join(", ")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(panicked)?
}

fn panicked(error: tokio::task::JoinError) -> Error {
    Error::stopped("carrying out an order panicked").because(error)
}
