//! Where files are put: a folder on a disk, or a prefix of an object store.
//!
//! # Contract
//! A [`Folder`] holds directories of one level, each of which holds files. Paths are
//! `directory/name`, made by [`super::name`] alone, so that no part is empty, `.` or `..`.
//!
//! A file goes through three steps, and nobody sees it before the last:
//! 1. [`Folder::draft`] gives a writer, used from a thread that may block;
//! 2. [`Draft::seal`] makes what was written durable, as far as the product can without showing it;
//! 3. [`Sealed::publish`] makes the file appear, complete, under its name, in place of one that was
//!    there. [`Folder::settle`] then makes the appearance itself survive a power cut.
//!
//! A draft or a sealed file that is dropped goes away, as far as it can; what a crash left is listed
//! by [`Folder::names`] (its name ends in `.tmp`) or was never visible.
//!
//! Every failure to reach or to write is [`Unavailable`](blacksmith_core::error::Kind::Unavailable):
//! the same call may succeed later.

#[cfg(test)]
pub(super) mod conformance;
mod local;
#[cfg(test)]
pub(super) mod memory;
#[cfg(any(test, feature = "object-store"))]
pub(super) mod object;
#[cfg(feature = "object-store")]
mod remote;
#[cfg(any(test, feature = "object-store"))]
mod spool;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use blacksmith_core::error::{Error, Result};
use blacksmith_core::finding::Finding;
use blacksmith_core::secret::Secret;
use bytes::Bytes;

pub(super) use local::LocalFolder;

/// What the name of a draft on a disk ends in.
pub(super) const DRAFT_SUFFIX: &str = ".tmp";

/// A place for files. See the module for the contract.
#[async_trait]
pub(super) trait Folder: fmt::Debug + Send + Sync + 'static {
    /// How people name it, without credentials.
    fn place(&self) -> String;

    /// Creates the folder itself, unless it is there. No other call does: a folder that vanished
    /// (an unmounted disk) must not be taken for a new one.
    async fn create(&self) -> Result<()>;

    /// Begins a file in `directory`. `tag` tells apart drafts of one directory. Blocks.
    fn draft(&self, directory: &str, tag: &str) -> Result<Box<dyn Draft>>;

    /// Makes the publications in `directories` durable.
    async fn settle(&self, directories: &[&str]) -> Result<()>;

    /// Puts a small file, durably, in place of one that is there.
    async fn put(&self, path: &str, content: Bytes) -> Result<()>;

    /// Reads a small file; none when it is not there. Longer ones than `bytes_max` are refused.
    async fn read(&self, path: &str, bytes_max: usize) -> Result<Option<Bytes>>;

    /// Removes a file; one that is not there is fine.
    async fn remove(&self, path: &str) -> Result<()>;

    /// The directories, in no order.
    async fn directories(&self) -> Result<Vec<String>>;

    /// The files of `directory` whose names sort after `after`, and its left-over drafts, in no order.
    async fn names(&self, directory: &str, after: &str) -> Result<Vec<String>>;

    /// The last of the names `<20 digits><suffix>` in `directory`.
    async fn newest(&self, directory: &str, suffix: &str) -> Result<Option<String>>;

    /// Whether it can be written, found out without leaving anything behind.
    async fn check(&self) -> Vec<Finding>;
}

/// A file being written, that nobody sees.
pub(super) trait Draft: io::Write + Send {
    /// Ends the file and gives it its name. Blocks.
    fn seal(self: Box<Self>, name: &str) -> Result<Box<dyn Sealed>>;
}

/// A complete file that nobody sees yet.
#[async_trait]
pub(super) trait Sealed: Send {
    /// Makes it appear.
    async fn publish(self: Box<Self>) -> Result<()>;
}

/// The folder that `path` names: a path of this machine, or a URL.
///
/// # Errors
/// When it is neither, or `storage` has a setting that its object store does not know.
pub(super) fn open(path: &str, storage: &BTreeMap<String, Secret>) -> Result<Arc<dyn Folder>> {
    match path.split_once("://") {
        None | Some(("file", _)) if !storage.is_empty() => {
            Err(Error::config("`storage` is for object stores")
                .help("remove it, or give the URL of one as path"))
        }
        None if path.is_empty() => Err(Error::config("the path is empty")
            .help(format!("write a path, file://{}", remote_schemes()))),
        None => Ok(Arc::new(LocalFolder::new(path))),
        Some(("file", path)) => Ok(Arc::new(LocalFolder::new(path))),
        Some((scheme, _)) => open_remote(path, scheme, storage),
    }
}

#[cfg(feature = "object-store")]
fn open_remote(
    url: &str,
    _scheme: &str,
    storage: &BTreeMap<String, Secret>,
) -> Result<Arc<dyn Folder>> {
    Ok(Arc::new(remote::open(url, storage)?))
}

#[cfg(not(feature = "object-store"))]
fn open_remote(
    _url: &str,
    scheme: &str,
    _storage: &BTreeMap<String, Secret>,
) -> Result<Arc<dyn Folder>> {
    Err(
        Error::config(format!("this build cannot reach {scheme}:// folders"))
            .help("use a path, or build with --features s3, gcs or azure-blob"),
    )
}

/// The schemes beside `file://` that this build knows, each after a comma.
fn remote_schemes() -> String {
    let known = [
        ("s3://", cfg!(feature = "s3")),
        ("gs://", cfg!(feature = "gcs")),
        ("az://", cfg!(feature = "azure-blob")),
    ];
    known
        .iter()
        .filter(|(_, known)| *known)
        .map(|(scheme, _)| format!(", {scheme}"))
        .collect()
}

/// The number in a name `<20 digits><suffix>`.
pub(super) fn numbered(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let all_digits = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}
