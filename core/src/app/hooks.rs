//! The hooks of sources, triggers, destinations and actions: prepared in order, let go in reverse.
//!
//! What is prepared stands in a row, parents before their children, siblings as they were registered.
//! When one fails, those before it are let go in reverse and nothing behind it was touched: only what was
//! prepared is ever let go. What fails while letting go is logged, and the others are let go all the same.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::destination::{Action, Destination, Toolkit as LoadToolkit};
use crate::error::Result;
use crate::service::Toolkit;
use crate::source::{Source, Trigger};

/// Something with hooks, and what its hooks are given.
#[async_trait]
pub(super) trait Hooked: fmt::Debug + Send + Sync {
    async fn init(&self) -> Result<()>;
    async fn shutdown(&self) -> Result<()>;
}

/// One step of the row.
#[derive(Debug)]
pub(super) struct Step {
    /// What people know it by, as `action crm/register`.
    pub(super) name: String,
    pub(super) hooked: Box<dyn Hooked>,
}

/// What was prepared, in order.
#[derive(Debug, Default)]
pub(super) struct Ready(Vec<Step>);

impl Ready {
    /// Prepares all steps in order.
    ///
    /// # Errors
    /// That of the first step that fails, named; those before it were let go.
    pub(super) async fn of(steps: Vec<Step>) -> Result<Ready> {
        let mut ready = Ready::default();
        for step in steps {
            if let Err(error) = step.hooked.init().await {
                ready.let_go().await;
                return Err(error.at(step.name));
            }
            ready.0.push(step);
        }
        Ok(ready)
    }

    /// Lets go of everything, the last first.
    pub(super) async fn let_go(self) {
        for Step { name, hooked } in self.0.into_iter().rev() {
            if let Err(error) = hooked.shutdown().await {
                tracing::error!(component = %name, error = %error.report(), "shutdown failed");
            }
        }
    }
}

/// A source, with the gateway.
#[derive(Debug)]
pub(super) struct HookedSource(pub(super) Arc<dyn Source>, pub(super) Toolkit);

#[async_trait]
impl Hooked for HookedSource {
    async fn init(&self) -> Result<()> {
        self.0.init(&self.1).await
    }

    async fn shutdown(&self) -> Result<()> {
        self.0.shutdown(&self.1).await
    }
}

/// A trigger, with the gateway.
#[derive(Debug)]
pub(super) struct HookedTrigger(pub(super) Arc<dyn Trigger>, pub(super) Toolkit);

#[async_trait]
impl Hooked for HookedTrigger {
    async fn init(&self) -> Result<()> {
        self.0.init(&self.1).await
    }

    async fn shutdown(&self) -> Result<()> {
        self.0.shutdown(&self.1).await
    }
}

/// A destination, with the scheduler.
#[derive(Debug)]
pub(super) struct HookedDestination(pub(super) Arc<dyn Destination>, pub(super) LoadToolkit);

#[async_trait]
impl Hooked for HookedDestination {
    async fn init(&self) -> Result<()> {
        self.0.init(&self.1).await
    }

    async fn shutdown(&self) -> Result<()> {
        self.0.shutdown().await
    }
}

/// An action, with the scheduler.
#[derive(Debug)]
pub(super) struct HookedAction(pub(super) Arc<dyn Action>, pub(super) LoadToolkit);

#[async_trait]
impl Hooked for HookedAction {
    async fn init(&self) -> Result<()> {
        self.0.init(&self.1).await
    }

    async fn shutdown(&self) -> Result<()> {
        self.0.shutdown().await
    }
}
