//! Ends a file when it is old enough, also when no load comes any more.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use blacksmith_core::clock::Clock;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::blocking;
use super::folder::Folder;

/// How long to wait before the clock is looked at again, at most: the wall clock may be set.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Looks after the open file of a folder while the process runs.
#[derive(Debug, Default)]
pub(super) struct Ageing {
    /// A load has ended: there may be an open file now.
    pub(super) loaded: Arc<Notify>,
    stop: CancellationToken,
    running: StdMutex<Option<JoinHandle<()>>>,
}

impl Ageing {
    /// Begins. To begin twice is to begin once.
    pub(super) fn begin(&self, folder: &Arc<Mutex<Folder>>, clock: &Arc<dyn Clock>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get_or_insert_with(|| {
            let watch = watch(
                Arc::clone(folder),
                Arc::clone(clock),
                Arc::clone(&self.loaded),
            );
            let stop = self.stop.clone();
            tokio::spawn(async move { stop.run_until_cancelled(watch).await.unwrap_or_default() })
        });
    }

    /// Ends, and waits for the end. What is being renamed is renamed.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        let running = self.running.lock().map(|mut running| running.take());
        if let Some(running) = running.unwrap_or_default() {
            running.await.unwrap_or_default();
        }
    }
}

async fn watch(folder: Arc<Mutex<Folder>>, clock: Arc<dyn Clock>, loaded: Arc<Notify>) {
    loop {
        let due = folder.lock().await.due();
        let wait = due.map_or(LOOK_AGAIN, |due| due.since(clock.now()).min(LOOK_AGAIN));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = loaded.notified() => continue,
        }
        // Nobody loads while it is being renamed.
        let (mut folder, now) = (Arc::clone(&folder).lock_owned().await, clock.now());
        if let Err(error) = blocking(move || folder.end_if_old(now)).await {
            tracing::warn!(error = %error.report(), "a file that is old enough could not be ended; the next load tries again");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
