//! Work on a replication connection, which blocks its thread, for async code that may be dropped.

use blacksmith_core::error::{Error, Result};

use crate::connection::Waker;

/// Interrupts the connection when the one who waits has gone.
#[derive(Debug)]
pub(crate) struct Interrupt(pub(crate) Waker);

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// Runs `work` on a thread that may block. When this future is dropped, the wait of every connection
/// that was opened with the waker ends, so that nothing outlives a stop.
///
/// # Errors
/// What `work` fails with.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Waker) -> Result<T> + Send + 'static,
) -> Result<T> {
    let waker = Waker::new()?;
    let interrupt = Interrupt(waker.clone());
    let done = tokio::task::spawn_blocking(move || work(&waker)).await;
    drop(interrupt);
    done.map_err(|error| Error::stopped("talking to the server panicked").because(error))?
}
