//! Calls: user code naming an action and what it is to load.
//!
//! A trigger or a flow calls actions when an event is extracted, and an action's
//! [`Then`](crate::destination::Then) calls others of its destination when jobs come out. Each call
//! becomes one job. What is called is a *value* that knows its payload ([`Marshal`]); what loads it is
//! the action registered under that name. So a call needs no client and no connection.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::error::Result;
use crate::job::Job;
use crate::json::Json;
use crate::service::Toolkit;

/// A value that becomes a job.
///
/// # Contract
/// Called once per event by the service that makes the job: the gateway, and for follow-ups the scheduler.
/// Must not wait: it runs before the event is stored. An error means no job for this action; the
/// event and its other jobs live, and the rejection is kept with the event and counted.
pub trait Marshal: fmt::Debug + Send + Sync + 'static {
    /// The job: fields left out are the event's own. [`Toolkit::event_id`] and [`Toolkit::job_id`] say for which it is.
    ///
    /// # Errors
    /// Whatever stands against the job; it is never tried again.
    fn marshal(&self, toolkit: &Toolkit) -> Result<Job>;
}

/// A job that is ready as it is.
impl Marshal for Job {
    fn marshal(&self, _toolkit: &Toolkit) -> Result<Job> {
        Ok(self.clone())
    }
}

/// An action by name, and what it is to load.
#[derive(Debug, Clone)]
pub struct Call {
    /// The action inside its destination.
    pub action: Arc<str>,
    /// What becomes its job.
    pub payload: Arc<dyn Marshal>,
}

impl Call {
    /// Calls `action` with a payload of its own.
    #[must_use]
    pub fn new(action: impl Into<Arc<str>>, payload: impl Marshal) -> Call {
        Call {
            action: action.into(),
            payload: Arc::new(payload),
        }
    }

    /// Calls `action` with the event as it is.
    #[must_use]
    pub fn pass(action: impl Into<Arc<str>>) -> Call {
        Call::new(action, Job::default())
    }

    /// Calls `action` with `data` in place of the event's.
    ///
    /// # Errors
    /// When `data` cannot be written as JSON.
    pub fn with<T: Serialize + ?Sized>(action: impl Into<Arc<str>>, data: &T) -> Result<Call> {
        let data = Some(Json::of(data)?);
        Ok(Call::new(
            action,
            Job {
                data,
                ..Job::default()
            },
        ))
    }
}

/// Calls of actions, grouped by the name of their destination.
#[derive(Debug, Clone, Default)]
pub struct Actions(BTreeMap<Arc<str>, Vec<Call>>);

impl Actions {
    /// No calls.
    #[must_use]
    pub fn new() -> Actions {
        Actions::default()
    }

    /// Adds a call of an action of `destination`.
    #[must_use]
    pub fn call(mut self, destination: impl Into<Arc<str>>, call: Call) -> Actions {
        self.push(destination, call);
        self
    }

    /// Adds a call of an action of `destination`.
    pub fn push(&mut self, destination: impl Into<Arc<str>>, call: Call) {
        self.0.entry(destination.into()).or_default().push(call);
    }

    /// Adds all calls of `others`, behind those that are here.
    pub fn append(&mut self, others: Actions) {
        for (destination, calls) in others.0 {
            self.0.entry(destination).or_default().extend(calls);
        }
    }

    /// Each destination's calls, in order of its name.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &[Call])> {
        self.0.iter().map(|(name, calls)| (name, &calls[..]))
    }

    /// Whether nothing is called.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
