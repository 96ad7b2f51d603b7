//! Jobs as lines of JSON in files of a folder, exactly once.
//!
//! ```toml
//! [destinations.archive]
//! driver = "file"
//! path = "archive"
//! content = "job"                # job: the line described in docs/destinations.md | data: its data alone
//! compression = "none"           # none | gzip | zstd
//! rotate = { max_bytes = "256MiB", max_age = "1h" }
//! ```
//! ```text
//! archive/00000000000000000001-00000000000000200000.ndjson
//! archive/00000000000000200001-open.ndjson
//! archive/_ledger.json
//! ```
//!
//! # What is promised
//! - A load is in one file, whole, and in order of position. It is synced before its jobs are reported.
//! - A load is done when the ledger names it: the same span loaded again writes nothing. What a crash left of a load that
//!   the ledger does not name is cut off before anything else is written. So jobs arrive exactly once, as long as the folder and
//!   the store stay together; when they do not match, nothing is written and the error says why.
//! - A file that has ended, by size or by age (also when nothing is loaded any more), is renamed and never touched again. Whoever reads the open file as it grows
//!   may see lines of a load that is cut off and written again; up to the length in the ledger they stay.

mod options;
mod ledger;
mod folder;
mod ageing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use blacksmith_core::destination::{
    Action, Destination, Jobs, Ordering, Queue, Then, Thens, Toolkit,
};
use blacksmith_core::error::{Advice, Error, Result};
use blacksmith_core::finding::Finding;
use blacksmith_core::job::QueuedJob;
use tokio::sync::{Mutex, OwnedMutexGuard};

pub use options::{Compression, FileOptions, Rotate};

use crate::line::Content;
use ageing::Ageing;
use folder::{Folder, Writing};

/// Writes jobs into files. Its action is `append`.
#[derive(Debug)]
pub struct FileSink {
    name: String,
    path: PathBuf,
    append: Arc<Append>,
}

impl FileSink {
    /// The destination that `options` describe. Nothing is touched before its `init`.
    #[must_use]
    pub fn new(options: &FileOptions) -> FileSink {
        let folder = Folder::new(options.path.clone(), options.compression, options.rotate);
        FileSink {
            name: options.name.clone(),
            path: options.path.clone(),
            append: Arc::new(Append {
                content: options.content,
                folder: Arc::new(Mutex::new(folder)),
                ageing: Ageing::default(),
            }),
        }
    }
}

#[async_trait]
impl Destination for FileSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![Arc::clone(&self.append) as Arc<dyn Action>]
    }

    async fn check(&self) -> Vec<Finding> {
        vec![crate::writable::folder(&self.path)]
    }
}

struct Append {
    content: Content,
    /// One load at a time, and none before the last thread of the one before has ended.
    folder: Arc<Mutex<Folder>>,
    ageing: Ageing,
}

impl fmt::Debug for Append {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Append").finish_non_exhaustive()
    }
}

/// A load, and the folder, which nobody else may use until it is over.
struct Session {
    folder: OwnedMutexGuard<Folder>,
    writing: Writing,
}

impl Append {
    async fn begin(&self, toolkit: &Toolkit, queue: &Queue) -> Result<Option<Session>> {
        let mut folder = Arc::clone(&self.folder).lock_owned().await;
        let (toolkit, span) = (toolkit.clone(), queue.span());
        blocking(move || {
            let writing = folder.begin_load(&toolkit, span)?;
            Ok(writing.map(|writing| Session { folder, writing }))
        })
        .await
    }
}

impl Session {
    async fn write(
        mut self,
        jobs: Vec<QueuedJob>,
        attempt: u32,
        content: Content,
    ) -> Result<Session> {
        blocking(move || {
            let mut lines = Vec::new();
            for job in &jobs {
                content.write(job, Some(attempt), &mut lines);
                lines.push(b'\n');
            }
            self.writing.write(&lines)?;
            Ok(self)
        })
        .await
    }

    async fn finish(self, toolkit: &Toolkit) -> Result<()> {
        let Session {
            mut folder,
            writing,
        } = self;
        let now = toolkit.clock.now();
        blocking(move || folder.finish_load(writing, now)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::stopped("writing was cut short").because(error))?
}

#[async_trait]
impl Action for Append {
    fn name(&self) -> &str {
        "append"
    }

    fn ordering(&self) -> Ordering {
        Ordering::Ordered
    }

    /// Looks at the folder. One that cannot be reached now stops nothing: jobs wait in the store, and each load
    /// looks again.
    async fn init(&self, toolkit: &Toolkit) -> Result<()> {
        let mut folder = Arc::clone(&self.folder).lock_owned().await;
        let own = toolkit.clone();
        let opened = blocking(move || folder.open(&own).map(drop)).await;
        self.ageing.begin(&self.folder, &toolkit.clock);
        match opened {
            Err(error) if error.advice() == Advice::Retry => {
                let (action, error) = (&toolkit.action, error.report());
                tracing::warn!(%action, %error, "the folder cannot be reached yet; jobs wait");
                Ok(())
            }
            opened => opened,
        }
    }

    async fn load(&self, toolkit: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        if let Some(mut session) = self.begin(toolkit, queue).await? {
            while let Some(jobs) = queue.next_jobs().await? {
                session = session.write(jobs, queue.attempt(), self.content).await?;
            }
            session.finish(toolkit).await?;
            self.ageing.loaded.notify_one();
        }
        then.send(Then::succeeded(Jobs::All));
        Ok(())
    }

    async fn shutdown(&self) -> Result<()> {
        self.ageing.end().await;
        Ok(())
    }
}
