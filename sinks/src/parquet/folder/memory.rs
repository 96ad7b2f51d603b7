//! A folder in memory: the simplest true one, and one that fails when told to.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use blacksmith_core::error::{Error, Result};
use blacksmith_core::finding::Finding;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{Draft, Folder, Sealed, numbered};

/// What a [`MemoryFolder`] can be told to fail at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Write,
    Publish,
    Settle,
    Put,
    Remove,
}

/// Files in a map.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryFolder {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    files: BTreeMap<String, Bytes>,
    /// Which step fails, and how often it still succeeds before.
    failing: Option<(Step, usize)>,
    /// Publishing says here that it has come, and waits there until it may go on.
    barrier: Option<Barrier>,
    drafts: usize,
    drafts_max: usize,
}

/// Where a publication is held up.
#[derive(Debug, Clone)]
pub(crate) struct Barrier {
    pub(crate) reached: Arc<Semaphore>,
    pub(crate) open: Arc<Semaphore>,
}

impl MemoryFolder {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// From now on `step` fails after succeeding `times` more.
    pub(crate) fn fail_at(&self, step: Step, times: usize) {
        self.held().failing = Some((step, times));
    }

    /// Nothing fails any more.
    pub(crate) fn heal(&self) {
        self.held().failing = None;
    }

    /// From now on publications stop at the barrier that is given back.
    pub(crate) fn hold_publications(&self) -> Barrier {
        let none = || Arc::new(Semaphore::new(0));
        let barrier = Barrier {
            reached: none(),
            open: none(),
        };
        self.held().barrier = Some(barrier.clone());
        barrier
    }

    /// The most drafts that were open at a time.
    pub(crate) fn drafts_max(&self) -> usize {
        self.held().drafts_max
    }

    /// All paths, in order.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.held().files.keys().cloned().collect()
    }

    fn step(&self, step: Step) -> Result<()> {
        match &mut self.held().failing {
            Some((failing, 0)) if *failing == step => Err(Error::unavailable(format!(
                "memory: {step:?} fails as told"
            ))),
            Some((failing, times)) if *failing == step => {
                *times -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Folder for MemoryFolder {
    fn place(&self) -> String {
        "memory".into()
    }

    async fn create(&self) -> Result<()> {
        Ok(())
    }

    fn draft(&self, directory: &str, _tag: &str) -> Result<Box<dyn Draft>> {
        let mut held = self.held();
        held.drafts += 1;
        held.drafts_max = held.drafts_max.max(held.drafts);
        drop(held);
        Ok(Box::new(MemoryDraft {
            folder: self.clone(),
            directory: directory.into(),
            content: Vec::new(),
        }))
    }

    async fn settle(&self, _directories: &[&str]) -> Result<()> {
        self.step(Step::Settle)
    }

    async fn put(&self, path: &str, content: Bytes) -> Result<()> {
        self.step(Step::Put)?;
        self.held().files.insert(path.into(), content);
        Ok(())
    }

    async fn read(&self, path: &str, bytes_max: usize) -> Result<Option<Bytes>> {
        let content = self.held().files.get(path).cloned();
        match content
            .as_ref()
            .is_some_and(|content| content.len() > bytes_max)
        {
            true => Err(Error::refused(format!(
                "{path} is longer than {bytes_max} bytes"
            ))),
            false => Ok(content),
        }
    }

    async fn remove(&self, path: &str) -> Result<()> {
        self.step(Step::Remove)?;
        self.held().files.remove(path);
        Ok(())
    }

    async fn directories(&self) -> Result<Vec<String>> {
        let paths = self.paths();
        let mut directories: Vec<_> = paths
            .iter()
            .filter_map(|path| Some(path.split_once('/')?.0.to_owned()))
            .collect();
        directories.dedup();
        Ok(directories)
    }

    async fn names(&self, directory: &str, after: &str) -> Result<Vec<String>> {
        let start = format!("{directory}/");
        let paths = self.paths();
        let names = paths.iter().filter_map(|path| path.strip_prefix(&start));
        Ok(names
            .filter(|name| *name > after)
            .map(str::to_owned)
            .collect())
    }

    async fn newest(&self, directory: &str, suffix: &str) -> Result<Option<String>> {
        let names = self.names(directory, "").await?;
        Ok(names
            .into_iter()
            .filter(|name| numbered(name, suffix).is_some())
            .max())
    }

    async fn check(&self) -> Vec<Finding> {
        Vec::new()
    }
}

struct MemoryDraft {
    folder: MemoryFolder,
    directory: String,
    content: Vec<u8>,
}

impl io::Write for MemoryDraft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let step = self.folder.step(Step::Write);
        step.map_err(|_| io::Error::from(io::ErrorKind::StorageFull))?;
        self.content.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for MemoryDraft {
    fn drop(&mut self) {
        self.folder.held().drafts -= 1;
    }
}

impl Draft for MemoryDraft {
    fn seal(mut self: Box<Self>, name: &str) -> Result<Box<dyn Sealed>> {
        Ok(Box::new(MemorySealed {
            path: format!("{}/{name}", self.directory),
            content: std::mem::take(&mut self.content).into(),
            folder: self.folder.clone(),
        }))
    }
}

struct MemorySealed {
    folder: MemoryFolder,
    path: String,
    content: Bytes,
}

#[async_trait]
impl Sealed for MemorySealed {
    async fn publish(self: Box<Self>) -> Result<()> {
        let barrier = self.folder.held().barrier.clone();
        if let Some(Barrier { reached, open }) = barrier {
            reached.add_permits(1);
            open.acquire().await.unwrap().forget();
        }
        self.folder.step(Step::Publish)?;
        self.folder.held().files.insert(self.path, self.content);
        Ok(())
    }
}
