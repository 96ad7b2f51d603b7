//! The chain of commit records of one folder, as this process knows it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blacksmith_core::destination::{Queue, Toolkit};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::StoreId;
use blacksmith_core::failpoint;
use blacksmith_core::position::{Position, Span};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::commit::{self, Cleared, Record, RecordedFile, Standing};
use super::file::FinishedFile;
use super::folder::Folder;
use super::name;

/// Files that are made to appear at a time.
const PUBLISHED_AT_ONCE: usize = 64;

/// A folder and its newest commit record.
#[derive(Debug)]
pub(super) struct Chain {
    folder: Arc<dyn Folder>,
    known: Mutex<Known>,
}

#[derive(Debug, Clone)]
enum Known {
    /// The folder has not been reached yet.
    Nothing,
    /// This was the newest record; something may have been published since and not confirmed.
    Unsure(Option<Record>),
    /// This is the newest record, and nothing else was published.
    Newest(Option<Record>),
}

impl Chain {
    /// The chain in `folder`, of which nothing is known yet.
    pub(super) fn new(folder: Arc<dyn Folder>) -> Chain {
        Chain {
            folder,
            known: Mutex::new(Known::Nothing),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates the folder, or clears away what a crash left in it.
    ///
    /// # Errors
    /// Refused when it is another store's; unavailable when it cannot be reached or written.
    pub(super) async fn open(&self, toolkit: &Toolkit) -> Result<Option<Record>> {
        let folder = &*self.folder;
        folder.create().await?;
        let mut cleared = Cleared::default();
        let newest = commit::recover(folder, toolkit.store, toolkit.head, &mut cleared).await?;
        commit::sweep(folder, newest.as_ref(), &mut cleared).await?;
        let Cleared { files, drafts } = cleared;
        if files + drafts > 0 {
            let (action, place) = (&toolkit.action, folder.place());
            tracing::info!(%action, place, files, drafts, "removed what an interrupted load left");
        }
        *self.known() = Known::Newest(newest.clone());
        Ok(newest)
    }

    /// The newest record, after making sure that the folder is still the one it was.
    pub(super) async fn newest(&self, toolkit: &Toolkit) -> Result<Option<Record>> {
        let folder = &*self.folder;
        let known = self.known().clone();
        match known {
            Known::Nothing => self.open(toolkit).await,
            Known::Newest(None) => Ok(None),
            Known::Newest(Some(newest)) => {
                let found = commit::read(folder, newest.span().last).await?;
                match found.is_some_and(|found| found == newest) {
                    true => Ok(Some(newest)),
                    false => Err(self.went_missing(&newest)),
                }
            }
            Known::Unsure(before) => {
                let (store, head) = (toolkit.store, toolkit.head);
                let newest = commit::recover(folder, store, head, &mut Cleared::default()).await?;
                let upto = |record: &Option<Record>| record.as_ref().map(|r| r.last_position);
                if let Some(before) = before
                    .as_ref()
                    .filter(|b| upto(&newest) < Some(b.last_position))
                {
                    return Err(self.went_missing(before));
                }
                *self.known() = Known::Newest(newest.clone());
                Ok(newest)
            }
        }
    }

    /// An unmounted disk leaves an empty folder behind, which must not be taken for ours.
    fn went_missing(&self, record: &Record) -> Error {
        let (place, path) = (self.folder.place(), name::record(record.span().last));
        Error::unavailable(format!("{path} is no longer in {place}"))
            .help("was the folder unmounted, emptied or replaced? bring it back; loading then goes on by itself")
    }

    /// How `span` stands to the records.
    pub(super) async fn standing(&self, newest: Option<&Record>, span: Span) -> Result<Standing> {
        commit::standing(&*self.folder, newest, span).await
    }

    /// The record of a load of `queue`, taken to its end, into `files`.
    pub(super) fn record(
        &self,
        newest: Option<Record>,
        queue: &Queue,
        files: &[FinishedFile],
        store: StoreId,
    ) -> Record {
        let before = newest.map(|newest| (newest.commit_lsn, newest.committed_at));
        let (commit_lsn, committed_at) = match queue.completed() {
            Some(completed) => (Some(completed.lsn), Some(completed.at.to_string())),
            None => before.unwrap_or_default(),
        };
        Record {
            files: files.iter().map(recorded).collect(),
            rows: files.iter().map(|file| file.rows).sum(),
            first_position: queue.span().first.0,
            last_position: queue.span().last.0,
            commit_lsn,
            committed_at,
            store: store.to_string(),
        }
    }

    /// Makes `files` appear, and `record` with them; or takes back what appeared.
    pub(super) async fn publish(
        &self,
        record: Record,
        files: Vec<FinishedFile>,
        store: StoreId,
        head: Position,
    ) -> Result<()> {
        let before = match self.known().clone() {
            Known::Nothing => None,
            Known::Unsure(before) | Known::Newest(before) => before,
        };
        *self.known() = Known::Unsure(before);
        let published = self.announce_and_publish(&record, files).await;
        match &published {
            Ok(()) => *self.known() = Known::Newest(Some(record)),
            // As far as it works now; the next load does the rest, and before anything else.
            Err(_) => {
                let mut cleared = Cleared::default();
                let taken_back = commit::recover(&*self.folder, store, head, &mut cleared);
                taken_back.await.ok();
            }
        }
        published
    }

    async fn announce_and_publish(&self, record: &Record, files: Vec<FinishedFile>) -> Result<()> {
        let folder = &*self.folder;
        if files.is_empty() {
            return commit::confirm(folder, record).await;
        }
        commit::announce(folder, record).await?;
        failpoint!(FilesAnnounced?);
        let appearing = files.into_iter().map(|file| file.sealed.publish());
        let appearing = stream::iter(appearing).buffer_unordered(PUBLISHED_AT_ONCE);
        appearing.try_collect::<()>().await?;
        let directories = record
            .files
            .iter()
            .filter_map(|file| file.path.split_once('/'));
        let directories: BTreeSet<_> = directories.map(|(directory, _)| directory).collect();
        folder.settle(&Vec::from_iter(directories)).await?;
        failpoint!(FilesPublished?);
        commit::confirm(folder, record).await?;
        failpoint!(CommitRecorded?);
        commit::forget_pending(folder).await
    }
}

fn recorded(file: &FinishedFile) -> RecordedFile {
    RecordedFile {
        path: file.path.clone(),
        table: file.table.to_string(),
        rows: file.rows,
        bytes: file.bytes,
        first_position: file.span.first.0,
        last_position: file.span.last.0,
    }
}
