//! Trying again what a server or network did not let happen, until asked to stop.

use std::future::Future;
use std::ops::ControlFlow;
use std::time::Duration;

use blacksmith_core::error::{Advice, Result};
use tokio_util::sync::CancellationToken;

/// First and longest pause before something that failed is tried again.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// One thing that is tried until it succeeds, with growing pauses.
#[derive(Debug)]
pub(crate) struct Retry<'a> {
    stop: &'a CancellationToken,
    source: &'a str,
    doing: &'static str,
    pause: Duration,
}

impl<'a> Retry<'a> {
    pub(crate) fn new(
        stop: &'a CancellationToken,
        source: &'a str,
        doing: &'static str,
    ) -> Retry<'a> {
        Retry {
            stop,
            source,
            doing,
            pause: PAUSE_MIN,
        }
    }

    /// Waits for one attempt. Breaks with its value, or with none when asked to stop; continues
    /// after a pause when it is to be tried again.
    ///
    /// # Errors
    /// What trying again does not mend.
    pub(crate) async fn attempt<T>(
        &mut self,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<ControlFlow<Option<T>>> {
        let outcome = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ok(ControlFlow::Break(None)),
            outcome = work => outcome,
        };
        let error = match outcome {
            Ok(value) => return Ok(ControlFlow::Break(Some(value))),
            Err(_) if self.stop.is_cancelled() => return Ok(ControlFlow::Break(None)),
            Err(error) if error.advice() == Advice::Stop => return Err(error),
            Err(error) => error,
        };
        let retry_ms = self.pause.as_millis() as u64;
        tracing::warn!(source = self.source, doing = self.doing, error = %error.report(), retry_ms, "interrupted; it will be tried again");
        tokio::select! {
            () = self.stop.cancelled() => return Ok(ControlFlow::Break(None)),
            () = tokio::time::sleep(self.pause) => {}
        }
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(ControlFlow::Continue(()))
    }
}
