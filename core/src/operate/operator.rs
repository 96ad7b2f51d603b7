//! Whoever carries orders out: the lanes that run in this process, and for others the store.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::order::{LaneOrder, Obeyed, Order, decide};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::{LaneId, Refusal, StateChange};
use crate::flow::Pattern;
use crate::store::{Lane, Store};

/// The source under which it is remembered which actions are paused: no source of a user can be called so.
const MEMORY: &str = "@operator";
/// How long a record may take to become durable.
const DURABLE_WAIT: Duration = Duration::from_secs(60);
/// Orders that wait for a lane's attention.
const WAITING_ORDERS: usize = 16;
/// Transitions in one record.
const RECORD_TRANSITIONS_MAX: usize = 500_000;

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
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    lanes: Mutex<HashMap<LaneId, mpsc::Sender<Ask>>>,
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
        self.operator.lanes().remove(&self.lane);
    }
}

impl Operator {
    /// An operator over `store`, of which no lane runs yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Operator {
        Operator(Arc::new(Inner {
            store,
            clock,
            lanes: Mutex::default(),
        }))
    }

    /// From now on `lane` runs here, and orders for it go there.
    pub(crate) fn attend(&self, lane: LaneId) -> Attendance {
        let (asks, asked) = mpsc::channel(WAITING_ORDERS);
        self.lanes().insert(lane, asks);
        Attendance {
            asked,
            operator: self.clone(),
            lane,
        }
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, HashMap<LaneId, mpsc::Sender<Ask>>> {
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self, lane: LaneId) -> Option<mpsc::Sender<Ask>> {
        self.lanes().get(&lane).cloned()
    }

    /// Has an order carried out in every lane that it concerns; durable when it returns. What each came to, in order of
    /// registration.
    ///
    /// # Errors
    /// `Refused` when it cannot be done as it was said ([`crate::operate`]): lanes before the one that refused have
    /// carried it out. When the store cannot be read or written.
    pub async fn order(&self, order: &Order) -> Result<Vec<Obeyed>> {
        let mut obeyed = Vec::new();
        for lane in self.0.store.lanes() {
            let (store, jobs) = (Arc::clone(&self.0.store), order.jobs.clone());
            let own = lane.clone();
            let among = blocking(move || jobs.among(store.as_ref(), &own)).await?;
            let Some(among) = among else { continue };
            let order = LaneOrder {
                command: order.command,
                among,
                statuses: order.jobs.statuses.clone(),
                reason: order.reason.clone(),
            };
            obeyed.push(self.give(&lane, order).await?);
        }
        if obeyed.is_empty() {
            return Err(
                Error::invalid("no action has such jobs").help(known(&self.0.store.lanes()))
            );
        }
        Ok(obeyed)
    }

    async fn give(&self, lane: &Lane, order: LaneOrder) -> Result<Obeyed> {
        let Some(asks) = self.running(lane.id) else {
            return self.record(lane.id, order).await;
        };
        let (reply, answer) = oneshot::channel();
        let stopped = || Error::stopped(format!("lane {} stopped", lane.name)).help("try again");
        let asked = asks.send(Ask::Order(order, reply)).await;
        asked.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Where no lane runs nothing else is recorded meanwhile.
    async fn record(&self, lane: LaneId, order: LaneOrder) -> Result<Obeyed> {
        let (store, now) = (Arc::clone(&self.0.store), self.0.clock.now());
        blocking(move || {
            let unknown = || Error::stopped(format!("the store does not know lane {}", lane.0));
            let lane = store.lane(lane).ok_or_else(unknown)?;
            let decision = decide(&lane, &order, None, now)?;
            for piece in decision.transitions.chunks(RECORD_TRANSITIONS_MAX) {
                store.record(piece)?.wait(DURABLE_WAIT)?;
            }
            Ok(decision.obeyed)
        })
        .await
    }

    /// Pauses the actions called so (`destination/action`, either may hold `*`): no load of them begins until they are
    /// resumed, also after a restart; those in hand come to their end. Returns their names.
    ///
    /// # Errors
    /// `Invalid` when no action is called so; when the store cannot be written.
    pub async fn pause(&self, actions: &Pattern) -> Result<Vec<Arc<str>>> {
        self.set_paused(actions, true).await
    }

    /// Lets the actions called so go on.
    ///
    /// # Errors
    /// As [`Operator::pause`].
    pub async fn resume(&self, actions: &Pattern) -> Result<Vec<Arc<str>>> {
        self.set_paused(actions, false).await
    }

    async fn set_paused(&self, actions: &Pattern, paused: bool) -> Result<Vec<Arc<str>>> {
        let all = self.0.store.lanes();
        let meant: Vec<_> = all
            .iter()
            .filter(|lane| actions.matches(&lane.name))
            .collect();
        if meant.is_empty() {
            return Err(Error::invalid("no action is called so").help(known(&all)));
        }
        self.remember(&meant, paused).await?;
        for lane in &meant {
            let (reply, heard) = oneshot::channel();
            if let Some(asks) = self.running(lane.id)
                && asks.send(Ask::Pause(paused, reply)).await.is_ok()
            {
                // A lane that stops meanwhile finds it remembered at its next start.
                _ = heard.await;
            }
        }
        Ok(meant.iter().map(|lane| Arc::clone(&lane.name)).collect())
    }

    async fn remember(&self, lanes: &[&Lane], paused: bool) -> Result<()> {
        let changes: Vec<_> = lanes
            .iter()
            .map(|lane| StateChange {
                key: key(&lane.name),
                value: if paused {
                    Bytes::from_static(b"paused")
                } else {
                    Bytes::new()
                },
            })
            .collect();
        let store = Arc::clone(&self.0.store);
        blocking(move || {
            let source = store.register_source(MEMORY)?;
            let remembered = store.remember(source, changes);
            let receipt = remembered.map_err(|refusal| match refusal {
                Refusal::Full(_) => Error::unavailable("the store is full").help("try again"),
                Refusal::Failed(error) => error,
            })?;
            receipt.wait(DURABLE_WAIT)
        })
        .await
    }
}

/// Whether the action `destination/action` was paused as a whole.
#[must_use]
pub fn is_paused(store: &dyn Store, action: &str) -> bool {
    let mut sources = store.sources().into_iter();
    let memory = sources.find(|(_, name)| &**name == MEMORY);
    memory.is_some_and(|(source, _)| store.recall(source, &key(action)).is_some())
}

fn key(action: &str) -> String {
    format!("paused/{action}")
}

fn known(lanes: &[Lane]) -> String {
    let names: Vec<&str> = lanes.iter().map(|lane| &*lane.name).collect();
    format!("there is {}", names.join(", "))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::stopped("carrying out an order panicked").because(error))?
}
