//! Actions written for a type of their own: what a job carries is read before the action sees it.
//!
//! ```
//! use async_trait::async_trait;
//! use blacksmith_core::destination::{Jobs, Then, Thens, Toolkit, TypedAction, TypedQueue};
//! use blacksmith_core::error::{Error, Result};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! struct Contact {
//!     email: String,
//! }
//!
//! #[derive(Debug)]
//! struct Register;
//!
//! #[async_trait]
//! impl TypedAction for Register {
//!     type Payload = Contact;
//!     const NAME: &'static str = "register";
//!
//!     async fn load(
//!         &self,
//!         _toolkit: &Toolkit,
//!         queue: &mut TypedQueue<'_, Contact>,
//!         then: &Thens,
//!     ) -> Result<()> {
//!         while let Some(jobs) = queue.next_jobs().await? {
//!             for job in jobs {
//!                 match job.payload.email.contains('@') {
//!                     true => {} // Here the contact would be sent somewhere.
//!                     false => then.send(Then::discarded(&job.job, Error::invalid("no such address"))),
//!                 }
//!             }
//!         }
//!         // The first report of a job wins, so this speaks of all the others.
//!         then.send(Then::succeeded(Jobs::All));
//!         Ok(())
//!     }
//! }
//!
//! // One type names the action and what it takes: in a destination's list, and in a call of it.
//! let action = Register.into_action();
//! let call = Register::call(&Contact { email: "ada@example.com".into() })?;
//! assert_eq!(action.name(), &*call.action);
//! # Ok::<(), blacksmith_core::error::Error>(())
//! ```

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Action, Jobs, Ordering, PartialLoadLimits, Queue, Then, Thens, Toolkit};
use crate::call::Call;
use crate::error::{Error, Result};
use crate::job::QueuedJob;
use crate::position::Span;
use crate::schedule::PartialSchedule;

/// An action whose jobs all carry the same type as their data.
///
/// # Contract
/// That of [`Action`]. A job whose data has another shape is discarded with the reason, and the action never sees it; the
/// jobs beside it go on.
#[async_trait]
pub trait TypedAction: fmt::Debug + Send + Sync + 'static {
    /// What a job carries.
    type Payload: Serialize + DeserializeOwned + Send + 'static;

    /// Its name inside the destination.
    const NAME: &'static str;

    /// As [`Action::schedule`].
    fn schedule(&self) -> PartialSchedule {
        PartialSchedule::default()
    }

    /// As [`Action::ordering`].
    fn ordering(&self) -> Ordering {
        Ordering::Unordered
    }

    /// As [`Action::limits`].
    fn limits(&self) -> PartialLoadLimits {
        PartialLoadLimits::default()
    }

    /// As [`Action::init`].
    ///
    /// # Errors
    /// As [`Action::init`].
    async fn init(&self, _toolkit: &Toolkit) -> Result<()> {
        Ok(())
    }

    /// As [`Action::shutdown`].
    ///
    /// # Errors
    /// As [`Action::shutdown`].
    async fn shutdown(&self) -> Result<()> {
        Ok(())
    }

    /// Loads one batch.
    ///
    /// # Errors
    /// As [`Action::load`].
    async fn load(
        &self,
        toolkit: &Toolkit,
        queue: &mut TypedQueue<'_, Self::Payload>,
        then: &Thens,
    ) -> Result<()>;

    /// A call of this action with `payload` as the data of its job.
    ///
    /// # Errors
    /// `Invalid` when the payload cannot be written as JSON.
    fn call(payload: &Self::Payload) -> Result<Call>
    where
        Self: Sized,
    {
        Call::with(Self::NAME, payload)
    }

    /// The action as destinations list it.
    fn into_action(self) -> Arc<dyn Action>
    where
        Self: Sized,
    {
        Arc::new(Typed(self))
    }
}

/// A job, and what it carries.
#[derive(Debug, Clone)]
pub struct TypedJob<P> {
    /// Its data.
    pub payload: P,
    /// The job.
    pub job: QueuedJob,
}

/// A batch of jobs that carry a `P`.
#[derive(Debug)]
pub struct TypedQueue<'a, P> {
    queue: &'a mut Queue,
    then: &'a Thens,
    payload: PhantomData<fn() -> P>,
}

impl<'a, P: DeserializeOwned> TypedQueue<'a, P> {
    /// Reads the jobs of `queue`, and reports through `then` those that cannot be read.
    pub fn new(queue: &'a mut Queue, then: &'a Thens) -> TypedQueue<'a, P> {
        TypedQueue {
            queue,
            then,
            payload: PhantomData,
        }
    }

    /// As [`Queue::span`].
    #[must_use]
    pub fn span(&self) -> Span {
        self.queue.span()
    }

    /// As [`Queue::events`].
    #[must_use]
    pub fn events(&self) -> u64 {
        self.queue.events()
    }

    /// As [`Queue::attempt`].
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.queue.attempt()
    }

    /// The next jobs whose data is a `P`, in order of position, at least one; none when the batch is at its
    /// end. Jobs with other data are discarded on the way.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn next_jobs(&mut self) -> Result<Option<Vec<TypedJob<P>>>> {
        while let Some(jobs) = self.queue.next_jobs().await? {
            let typed = self.read(jobs);
            if !typed.is_empty() {
                return Ok(Some(typed));
            }
        }
        Ok(None)
    }

    fn read(&self, jobs: Vec<QueuedJob>) -> Vec<TypedJob<P>> {
        let mut typed = Vec::with_capacity(jobs.len());
        // One report for all jobs of a piece that are wrong in the same way.
        let mut wrong: HashMap<String, (Vec<Span>, Error)> = HashMap::new();
        for job in jobs {
            match job.data.read() {
                Ok(payload) => typed.push(TypedJob { payload, job }),
                Err(error) => {
                    let alike = wrong.entry(error.report());
                    let (spans, _) = alike.or_insert_with(|| (Vec::new(), error));
                    spans.push(Span::new(job.position, job.position));
                }
            }
        }
        for (spans, error) in wrong.into_values() {
            let error =
                error.help("mend whoever makes the job: its data is not what the action takes");
            self.then.send(Then::discarded(Jobs::Spans(spans), error));
        }
        typed
    }
}

/// A [`TypedAction`] as an [`Action`].
#[derive(Debug)]
struct Typed<A>(A);

#[async_trait]
impl<A: TypedAction> Action for Typed<A> {
    fn name(&self) -> &str {
        A::NAME
    }

    fn schedule(&self) -> PartialSchedule {
        self.0.schedule()
    }

    fn ordering(&self) -> Ordering {
        self.0.ordering()
    }

    fn limits(&self) -> PartialLoadLimits {
        self.0.limits()
    }

    async fn init(&self, toolkit: &Toolkit) -> Result<()> {
        self.0.init(toolkit).await
    }

    async fn shutdown(&self) -> Result<()> {
        self.0.shutdown().await
    }

    async fn load(&self, toolkit: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        let mut queue = TypedQueue::new(queue, then);
        self.0.load(toolkit, &mut queue, then).await
    }
}

#[cfg(test)]
mod tests;
