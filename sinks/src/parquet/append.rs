//! The action `append`: the change log of each table, one batch at a time, in order.

use std::sync::Arc;

use async_trait::async_trait;
use blacksmith_core::destination::{Action, Jobs, Ordering, Queue, Then, Thens, Toolkit};
use blacksmith_core::error::{Advice, Error, Result};
use blacksmith_core::source::Takes;
use blacksmith_core::{failpoint, planted};
use tokio::sync::Semaphore;

use super::chain::Chain;
use super::commit::Standing;
use super::encode::Bench;
use super::load::{Limits, Load};
use super::options::RowGroupLimits;

/// Appends each batch as new files and one commit record.
#[derive(Debug)]
pub(super) struct Append {
    bench: Arc<Bench>,
    threads: usize,
    row_group: RowGroupLimits,
    event_ids: bool,
    chain: Arc<Chain>,
    /// One load at a time, and none before the last thread of the one before has ended.
    turn: Arc<Semaphore>,
}

impl Append {
    /// The action that works at `bench`.
    pub(super) fn new(
        bench: Bench,
        threads: usize,
        row_group: RowGroupLimits,
        event_ids: bool,
    ) -> Append {
        Append {
            chain: Arc::new(Chain::new(Arc::clone(&bench.folder))),
            bench: Arc::new(bench),
            threads: threads.max(1),
            row_group,
            event_ids,
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

#[async_trait]
impl Action for Append {
    fn name(&self) -> &str {
        "append"
    }

    fn ordering(&self) -> Ordering {
        Ordering::Ordered
    }

    fn takes(&self) -> Takes {
        Takes::Rows
    }

    fn event_ids(&self) -> bool {
        self.event_ids
    }

    /// Looks at the folder. One that cannot be reached now stops nothing: events wait in the store,
    /// and each load looks again.
    async fn init(&self, toolkit: &Toolkit) -> Result<()> {
        match self.chain.open(toolkit).await {
            Err(error) if error.advice() == Advice::Retry => {
                let (action, error) = (&toolkit.action, error.report());
                tracing::warn!(%action, %error, "the folder cannot be reached yet; events wait");
                Ok(())
            }
            opened => opened.map(drop),
        }
    }

    async fn load(&self, toolkit: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let turn =
            Arc::new(turn.map_err(|error| Error::stopped("no turn to load").because(error))?);
        let newest = self.chain.newest(toolkit).await?;
        if !planted!(RecordUnread)
            && self.chain.standing(newest.as_ref(), queue.span()).await? == Standing::Committed
        {
            return succeeded(then);
        }
        let limits = Limits {
            held_bytes: toolkit.memory_bytes,
            threads: self.threads,
            row_group: self.row_group,
        };
        let stop = toolkit.stop.clone();
        let bench = Arc::clone(&self.bench);
        let load = Load::new(bench, limits, queue.attempt(), stop, Arc::clone(&turn));
        let files = load.run(queue).await?;
        failpoint!(FilesDrafted?);
        let record = self.chain.record(newest, queue, &files, toolkit.store);
        let chain = Arc::clone(&self.chain);
        let (store, head) = (toolkit.store, toolkit.head);
        // On a task of its own: once files begin to appear, it is finished or taken back, even when
        // nobody waits for this load any more.
        let publishing = tokio::spawn(async move {
            let published = chain.publish(record, files, store, head).await;
            drop(turn);
            published
        });
        planted!(SettledBeforeCommit, return succeeded(then));
        let published = publishing.await;
        published.map_err(|error| Error::stopped("publishing was cut short").because(error))??;
        succeeded(then)
    }
}

/// Reports that everything is loaded.
fn succeeded(then: &Thens) -> Result<()> {
    then.send(Then::succeeded(Jobs::All));
    Ok(())
}
