//! A prefix of an object store.
//!
//! Objects appear whole by nature: a small file by one put, a longer one by an upload in parts whose
//! last request makes it visible. Nothing has to be synced. The parts of a file are uploaded when it
//! is sealed, by the thread that encoded it. An upload that a crash left open is invisible but paid
//! for: let the bucket's lifecycle rules abort incomplete uploads after a day.

use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use blacksmith_core::error::{Error, Result};
use blacksmith_core::finding::{Finding, Severity};
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use super::spool::Spool;
use super::{Draft, Folder, Sealed, numbered};

/// Parts of one file that are on their way at a time.
const PARTS_AT_ONCE: usize = 4;
/// An answer of a server is cut to this in errors.
const CAUSE_CHARS_MAX: usize = 400;

/// The objects below one prefix.
#[derive(Clone)]
pub(crate) struct ObjectFolder {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    place: Arc<str>,
}

impl ObjectFolder {
    /// The objects of `store` below `prefix`; `place` is how people name it.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, prefix: Path, place: &str) -> ObjectFolder {
        ObjectFolder {
            store,
            prefix,
            place: place.trim_end_matches('/').into(),
        }
    }

    fn at(&self, path: &str) -> Result<Path> {
        let whole = format!("{}/{path}", self.prefix);
        let parsed = Path::parse(whole.trim_start_matches('/'));
        parsed.map_err(|error| Error::refused(format!("{path} is not a path")).because(error))
    }

    fn failed(&self, what: &str, path: &str, error: object_store::Error) -> Error {
        unavailable(format!("cannot {what} {}/{path}", self.place), error)
    }

    /// The first name `<20 digits><suffix>` in `directory` whose number is at least `least`.
    async fn numbered_from(
        &self,
        directory: &str,
        suffix: &str,
        least: u64,
    ) -> Result<Option<u64>> {
        let (within, before) = (
            self.at(directory)?,
            self.at(&format!("{directory}/{least:020}"))?,
        );
        let mut found = self.store.list_with_offset(Some(&within), &before);
        while let Some(object) = found.next().await {
            let object = object.map_err(|error| self.failed("list", directory, error))?;
            let name = object.location.filename().unwrap_or_default();
            if let Some(number) = numbered(name, suffix) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    async fn probe(&self) -> Result<()> {
        self.create().await?;
        let path = "_commits/.check";
        self.put(path, Bytes::from_static(b"checked")).await?;
        self.remove(path).await
    }
}

impl fmt::Debug for ObjectFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The store knows credentials.
        f.debug_tuple("ObjectFolder").field(&self.place).finish()
    }
}

#[async_trait]
impl Folder for ObjectFolder {
    fn place(&self) -> String {
        self.place.to_string()
    }

    /// There is nothing to create, only to find out whether the bucket answers: a read in a bucket
    /// that does not exist looks like one of an object that does not.
    async fn create(&self) -> Result<()> {
        let first = self.store.list(Some(&self.prefix)).next().await.transpose();
        first
            .map(drop)
            .map_err(|error| self.failed("list", "", error))
    }

    fn draft(&self, directory: &str, _tag: &str) -> Result<Box<dyn Draft>> {
        Ok(Box::new(ObjectDraft {
            folder: self.clone(),
            directory: directory.to_owned(),
            spool: Spool::default(),
        }))
    }

    async fn settle(&self, _directories: &[&str]) -> Result<()> {
        Ok(())
    }

    async fn put(&self, path: &str, content: Bytes) -> Result<()> {
        let put = self.store.put(&self.at(path)?, content.into()).await;
        put.map(drop)
            .map_err(|error| self.failed("write", path, error))
    }

    async fn read(&self, path: &str, bytes_max: usize) -> Result<Option<Bytes>> {
        let found = match self.store.get(&self.at(path)?).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("read", path, error)),
        };
        if found.meta.size > bytes_max as u64 {
            let what = format!("{}/{path} is longer than {bytes_max} bytes", self.place);
            return Err(Error::refused(what).help("is it a file of Blacksmith?"));
        }
        let content = found.bytes().await;
        content
            .map(Some)
            .map_err(|error| self.failed("read", path, error))
    }

    async fn remove(&self, path: &str) -> Result<()> {
        match self.store.delete(&self.at(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", path, error)),
        }
    }

    async fn directories(&self) -> Result<Vec<String>> {
        let listed = self.store.list_with_delimiter(Some(&self.prefix)).await;
        let listed = listed.map_err(|error| self.failed("list", "", error))?;
        let names = listed.common_prefixes.iter().filter_map(Path::filename);
        Ok(names.map(str::to_owned).collect())
    }

    async fn names(&self, directory: &str, after: &str) -> Result<Vec<String>> {
        let within = self.at(directory)?;
        let before = match after {
            "" => within.clone(),
            after => self.at(&format!("{directory}/{after}"))?,
        };
        let listed = self.store.list_with_offset(Some(&within), &before);
        let listed: Vec<_> = listed
            .try_collect()
            .await
            .map_err(|error| self.failed("list", directory, error))?;
        let names = listed.iter().filter_map(|object| {
            let mut below = object.location.prefix_match(&within)?;
            let name = below.next()?;
            below.next().is_none().then(|| name.as_ref().to_owned())
        });
        Ok(names.collect())
    }

    /// A listing of years of names is long, and starts at the oldest. So the end is searched for: in
    /// growing steps forward, then by halves; some forty requests.
    async fn newest(&self, directory: &str, suffix: &str) -> Result<Option<String>> {
        let Some(mut best) = self.numbered_from(directory, suffix, 0).await? else {
            return Ok(None);
        };
        let (mut step, mut beyond) = (1u64, u64::MAX);
        while best < beyond {
            let probe = match best.checked_add(step) {
                Some(probe) if probe <= beyond => probe,
                _ => best + (beyond - best).div_ceil(2),
            };
            match self.numbered_from(directory, suffix, probe).await? {
                Some(found) => (best, step) = (found, step.saturating_mul(4)),
                None => (beyond, step) = (probe - 1, u64::MAX),
            }
        }
        Ok(Some(format!("{best:020}{suffix}")))
    }

    async fn check(&self) -> Vec<Finding> {
        let place = &self.place;
        vec![match self.probe().await {
            Ok(()) => Finding {
                severity: Severity::Good,
                what: format!("{place} can be listed, written and deleted from"),
                fix: None,
            },
            Err(error) => Finding {
                severity: Severity::Problem,
                what: error.report(),
                fix: error.advised().map(str::to_owned),
            },
        }]
    }
}

struct ObjectDraft {
    folder: ObjectFolder,
    directory: String,
    spool: Spool,
}

impl io::Write for ObjectDraft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.spool.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Draft for ObjectDraft {
    fn seal(self: Box<Self>, name: &str) -> Result<Box<dyn Sealed>> {
        let ObjectDraft {
            folder,
            directory,
            spool,
        } = *self;
        let path = format!("{directory}/{name}");
        match spool.into_small() {
            Ok(content) => Ok(Box::new(SmallObject {
                folder,
                path,
                content,
            })),
            Err(spool) => {
                // This thread may block: it is one that encodes.
                let uploaded = Handle::current().block_on(upload(folder, path, spool))?;
                Ok(Box::new(uploaded))
            }
        }
    }
}

async fn upload(folder: ObjectFolder, path: String, mut spool: Spool) -> Result<UploadedObject> {
    let begun = folder.store.put_multipart(&folder.at(&path)?).await;
    let parts = begun.map_err(|error| folder.failed("write", &path, error))?;
    // From here on an error aborts the upload, by dropping this.
    let mut uploaded = UploadedObject {
        folder,
        path,
        parts: Some(parts),
        runtime: Handle::current(),
    };
    let spooled = |error| {
        Error::unavailable("cannot use the system's folder for temporary files")
            .help("free space there, or set TMPDIR to a larger one")
            .because(error)
    };
    spool.rewind().map_err(spooled)?;
    let mut on_their_way = FuturesUnordered::new();
    loop {
        let part = spool.part().map_err(spooled)?;
        let Some(parts) = uploaded.parts.as_mut().filter(|_| !part.is_empty()) else {
            break;
        };
        on_their_way.push(parts.put_part(part.into()));
        if on_their_way.len() >= PARTS_AT_ONCE
            && let Some(Err(error)) = on_their_way.next().await
        {
            return Err(uploaded.failed(error));
        }
    }
    while let Some(done) = on_their_way.next().await {
        done.map_err(|error| uploaded.failed(error))?;
    }
    Ok(uploaded)
}

/// A file that one request makes appear.
struct SmallObject {
    folder: ObjectFolder,
    path: String,
    content: Bytes,
}

#[async_trait]
impl Sealed for SmallObject {
    async fn publish(self: Box<Self>) -> Result<()> {
        self.folder.put(&self.path, self.content.clone()).await
    }
}

/// A file whose parts are all there, or about to be thrown away.
struct UploadedObject {
    folder: ObjectFolder,
    path: String,
    parts: Option<Box<dyn MultipartUpload>>,
    runtime: Handle,
}

impl UploadedObject {
    fn failed(&self, error: object_store::Error) -> Error {
        self.folder.failed("write", &self.path, error)
    }
}

#[async_trait]
impl Sealed for UploadedObject {
    async fn publish(mut self: Box<Self>) -> Result<()> {
        let Some(mut parts) = self.parts.take() else {
            return Ok(());
        };
        match parts.complete().await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.parts = Some(parts);
                Err(self.failed(error))
            }
        }
    }
}

impl Drop for UploadedObject {
    fn drop(&mut self) {
        if let Some(mut parts) = self.parts.take() {
            // When it fails, the bucket's lifecycle rules do it.
            self.runtime.spawn(async move { parts.abort().await.ok() });
        }
    }
}

/// Listings have no error of their own for what other requests do; then the answer's text tells.
fn is_missing(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
        || error.to_string().contains("404 Not Found")
}

fn is_denied(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    let text = error.to_string();
    matches!(
        error,
        E::PermissionDenied { .. } | E::Unauthenticated { .. }
    ) || text.contains("403 Forbidden")
        || text.contains("401 Unauthorized")
}

fn unavailable(what: String, error: object_store::Error) -> Error {
    let help = match &error {
        error if is_denied(error) => {
            "check the credentials and that they may list, read, write and delete there; loading then goes on by itself"
        }
        error if is_missing(error) => {
            "does the bucket exist? create it; loading then goes on by itself"
        }
        _ => "it is tried again by itself; the cause says what to look at",
    };
    let cause: String = error.to_string().chars().take(CAUSE_CHARS_MAX).collect();
    Error::unavailable(what).help(help).because(cause)
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_object_store_conforms() {
        let store = Arc::new(InMemory::new());
        let folder = ObjectFolder::new(store, Path::from("deep/lake"), "memory:///deep/lake/");
        super::super::conformance::conforms(&folder).await;
    }

    #[tokio::test]
    async fn the_newest_of_many_is_found_with_few_requests() {
        let folder = ObjectFolder::new(Arc::new(InMemory::new()), Path::default(), "memory:///");
        let mut number = 0;
        for at in 0..2_000u64 {
            number += 1 + at * at * 1_000_003 % 1_000_000;
            folder
                .put(&format!("_commits/{number:020}.json"), Bytes::new())
                .await
                .unwrap();
        }
        let newest = folder.newest("_commits", ".json").await.unwrap();
        assert_eq!(newest, Some(format!("{number:020}.json")));
    }
}
