//! The store's durable watermark, as async code waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::error::{Advice, Result};
use crate::log::{Durable, Receipt, Registration};
use crate::planted;
use crate::position::Position;

/// Waits for what becomes durable. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Watermark {
    durable: Durable,
    moved: Arc<Notify>,
    _registration: Arc<Registration>,
}

impl Watermark {
    /// Follows `durable`.
    #[must_use]
    pub fn new(durable: Durable) -> Watermark {
        let moved = Arc::new(Notify::new());
        let waker = Arc::clone(&moved);
        let registration = durable.register(Arc::new(move || waker.notify_waiters()));
        Watermark {
            durable,
            moved,
            _registration: Arc::new(registration),
        }
    }

    /// The highest durable position.
    #[must_use]
    pub fn upto(&self) -> Position {
        self.durable.upto()
    }

    /// Whether the store goes on taking things.
    ///
    /// # Errors
    /// Why not, when it is fenced or closed.
    pub fn goes_on(&self) -> Result<()> {
        let waited = self.durable.wait_past(Position::MAX, Duration::ZERO);
        waited.map(drop)
    }

    /// Returns once something beyond `position` is durable.
    ///
    /// # Errors
    /// When the store is fenced or closed.
    pub async fn past(&self, position: Position) -> Result<()> {
        self.until(|| {
            self.durable
                .wait_past(position, Duration::ZERO)
                .map(|upto| upto > position)
        })
        .await
    }

    /// Returns once what `receipt` stands for is durable.
    ///
    /// # Errors
    /// When the store is fenced or closed.
    pub async fn reached(&self, receipt: &Receipt) -> Result<()> {
        planted!(DurableUnawaited, return Ok(()));
        self.until(|| match receipt.wait(Duration::ZERO) {
            Ok(()) => Ok(true),
            Err(error) if error.advice() == Advice::Retry => Ok(false),
            Err(error) => Err(error),
        })
        .await
    }

    async fn until(&self, reached: impl Fn() -> Result<bool>) -> Result<()> {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if reached()? {
                return Ok(());
            }
            moved.await;
        }
    }
}
