//! A folder on a local (or mounted) disk.
//!
//! A draft is `<directory>/.<tag>.tmp`, synced, then renamed. Directories are synced after the renames
//! in them, and the folder itself after directories were created in it. Anything that looks through
//! a directory in the meantime sees whole files only, and none whose name starts with a dot if it
//! follows the custom of Spark, Hive and DuckDB's globs.
//!
//! A sync takes about as long for one file as for many that ask at the same time. So small files are
//! synced when they are published, many at a time; long ones when they are sealed, while others are
//! still being encoded. A sealed file holds no descriptor, for there may be very many; the kernel
//! reports a failed write to whoever opens and syncs the file next.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use blacksmith_core::error::{Error, Result};
use blacksmith_core::failpoint;
use blacksmith_core::finding::{Finding, Severity};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{DRAFT_SUFFIX, Draft, Folder, Sealed, numbered};

/// Below this much free space `check` warns.
const FREE_BYTES_WORTH_A_WARNING: u64 = 1 << 30;

/// A file of at least this size is synced when it is sealed.
const LONG_BYTES: u64 = 4 << 20;
/// Directories that are synced at a time.
const SYNCED_AT_ONCE: usize = 64;

/// A directory of this machine.
#[derive(Debug, Clone)]
pub(crate) struct LocalFolder {
    root: Arc<Path>,
}

impl LocalFolder {
    /// The folder at `root`, which need not exist yet.
    pub(crate) fn new(root: impl Into<PathBuf>) -> LocalFolder {
        let root = root.into();
        // Every folder has one above it then, also `lake`.
        let root = std::path::absolute(&root).unwrap_or(root);
        LocalFolder { root: root.into() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Creates `directory` below the root, which is not created.
    fn ensure(&self, directory: &str) -> Result<()> {
        let path = self.at(directory);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(unavailable("cannot create", &path, error))
            }
            _ => Ok(()),
        }
    }

    fn write_whole(&self, path: &str, content: &[u8]) -> Result<()> {
        let (directory, name) = split(path);
        let mut draft = LocalDraft::create(self, directory, name)?;
        let written = draft.file.write_all(content);
        written.map_err(|error| unavailable("cannot write", &draft.temporary.path, error))?;
        draft.seal_as(name)?.rename()?;
        sync_directory(&self.at(directory))?;
        sync_directory(&self.root)
    }

    fn read_whole(&self, path: &str, bytes_max: usize) -> Result<Option<Bytes>> {
        let path = self.at(path);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unavailable("cannot open", &path, error)),
        };
        let mut content = Vec::new();
        let limit = (bytes_max as u64).saturating_add(1);
        let read = file.take(limit).read_to_end(&mut content);
        read.map_err(|error| unavailable("cannot read", &path, error))?;
        if content.len() > bytes_max {
            let what = format!("{} is longer than {bytes_max} bytes", path.display());
            return Err(Error::refused(what).help("is it a file of Blacksmith?"));
        }
        Ok(Some(content.into()))
    }

    fn list(&self, directory: &str, wanted: impl Fn(&str, bool) -> bool) -> Result<Vec<String>> {
        let path = self.at(directory);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !directory.is_empty() => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(unavailable("cannot list", &path, error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| unavailable("cannot list", &path, error))?;
            // A name that is not UTF-8 is not ours.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if wanted(&name, is_directory) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn findings(&self) -> Vec<Finding> {
        let place = self.root.display();
        let Some(existing) = self.root.ancestors().find(|path| path.exists()) else {
            return vec![Finding {
                severity: Severity::Problem,
                what: format!("nothing above {place} exists"),
                fix: Some("give a path below an existing folder".into()),
            }];
        };
        let mut findings = vec![match probe(existing) {
            Ok(()) if existing == &*self.root => good(format!("{place} can be written")),
            Ok(()) => good(format!("{place} will be created")),
            Err(error) => Finding {
                severity: Severity::Problem,
                what: format!("{} cannot be written: {error}", existing.display()),
                fix: Some(advice(&error).into()),
            },
        }];
        if let Ok(disk) = rustix::fs::statvfs(existing) {
            let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
            findings.push(match free_bytes < FREE_BYTES_WORTH_A_WARNING {
                false => good(format!("{} MiB are free at {place}", free_bytes >> 20)),
                true => Finding {
                    severity: Severity::Warning,
                    what: format!("only {} MiB are free at {place}", free_bytes >> 20),
                    fix: Some("free space, or choose another disk".into()),
                },
            });
        }
        findings
    }
}

#[async_trait]
impl Folder for LocalFolder {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    async fn create(&self) -> Result<()> {
        let folder = self.clone();
        blocking(move || create_durably(&folder.root)).await
    }

    fn draft(&self, directory: &str, tag: &str) -> Result<Box<dyn Draft>> {
        Ok(Box::new(LocalDraft::create(self, directory, tag)?))
    }

    async fn settle(&self, directories: &[&str]) -> Result<()> {
        let paths = directories.iter().map(|name| self.at(name));
        // Any of the directories may be new.
        let paths: Vec<_> = paths.chain([self.root.to_path_buf()]).collect();
        let syncing = paths
            .into_iter()
            .map(|path| blocking(move || sync_directory(&path)));
        let syncing = stream::iter(syncing).buffer_unordered(SYNCED_AT_ONCE);
        syncing.try_collect().await
    }

    async fn put(&self, path: &str, content: Bytes) -> Result<()> {
        let (folder, path) = (self.clone(), path.to_owned());
        blocking(move || folder.write_whole(&path, &content)).await
    }

    async fn read(&self, path: &str, bytes_max: usize) -> Result<Option<Bytes>> {
        let (folder, path) = (self.clone(), path.to_owned());
        blocking(move || folder.read_whole(&path, bytes_max)).await
    }

    async fn remove(&self, path: &str) -> Result<()> {
        let path = self.at(path);
        blocking(move || match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(unavailable("cannot remove", &path, error))
            }
            _ => Ok(()),
        })
        .await
    }

    async fn directories(&self) -> Result<Vec<String>> {
        let folder = self.clone();
        blocking(move || folder.list("", |_, is_directory| is_directory)).await
    }

    async fn names(&self, directory: &str, after: &str) -> Result<Vec<String>> {
        let (folder, directory, after) = (self.clone(), directory.to_owned(), after.to_owned());
        blocking(move || {
            folder.list(&directory, |name, is_directory| {
                !is_directory && (name > after.as_str() || name.ends_with(DRAFT_SUFFIX))
            })
        })
        .await
    }

    async fn newest(&self, directory: &str, suffix: &str) -> Result<Option<String>> {
        let names = self.names(directory, "").await?;
        let numbered = names
            .into_iter()
            .filter(|name| numbered(name, suffix).is_some());
        Ok(numbered.max())
    }

    async fn check(&self) -> Vec<Finding> {
        let folder = self.clone();
        let found = blocking(move || Ok(folder.findings())).await;
        found.unwrap_or_default()
    }
}

/// A file with a dot before its name, removed when dropped before its rename.
struct LocalDraft {
    file: File,
    temporary: Temporary,
}

impl LocalDraft {
    fn create(folder: &LocalFolder, directory: &str, tag: &str) -> Result<LocalDraft> {
        folder.ensure(directory)?;
        let path = folder.at(directory).join(format!(".{tag}{DRAFT_SUFFIX}"));
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path);
        let file = opened.map_err(|error| unavailable("cannot create", &path, error))?;
        Ok(LocalDraft {
            file,
            temporary: Temporary { path, armed: true },
        })
    }

    fn seal_as(self, name: &str) -> Result<LocalSealed> {
        let length = self.file.metadata().map(|metadata| metadata.len());
        let long = length.is_ok_and(|bytes| bytes >= LONG_BYTES);
        if long {
            let synced = self.file.sync_all();
            synced.map_err(|error| unavailable("cannot sync", &self.temporary.path, error))?;
        }
        Ok(LocalSealed {
            target: self.temporary.path.with_file_name(name),
            temporary: self.temporary,
            synced: long,
        })
    }
}

impl Write for LocalDraft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Draft for LocalDraft {
    fn seal(self: Box<Self>, name: &str) -> Result<Box<dyn Sealed>> {
        Ok(Box::new(self.seal_as(name)?))
    }
}

struct LocalSealed {
    temporary: Temporary,
    target: PathBuf,
    synced: bool,
}

impl LocalSealed {
    fn rename(mut self) -> Result<()> {
        let path = &self.temporary.path;
        if !self.synced {
            let synced = File::open(path).and_then(|file| file.sync_all());
            synced.map_err(|error| unavailable("cannot sync", path, error))?;
        }
        let renamed = fs::rename(path, &self.target);
        renamed.map_err(|error| unavailable("cannot publish", &self.target, error))?;
        self.temporary.armed = false;
        failpoint!(FileRenamed?);
        Ok(())
    }
}

#[async_trait]
impl Sealed for LocalSealed {
    async fn publish(self: Box<Self>) -> Result<()> {
        blocking(move || self.rename()).await
    }
}

struct Temporary {
    path: PathBuf,
    armed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.armed {
            // When it cannot be removed now, the sweep at the next start does it.
            fs::remove_file(&self.path).ok();
        }
    }
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::stopped("file work was cut short").because(error)),
    }
}

/// Creates `path` and what is missing above it, each made durable in its parent.
fn create_durably(path: &Path) -> Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|path| !path.exists()).collect();
    for directory in missing
        .into_iter()
        .rev()
        .filter(|path| !path.as_os_str().is_empty())
    {
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(unavailable("cannot create", directory, error));
            }
            _ => sync_directory(parent_of(directory))?,
        }
    }
    match path.is_dir() {
        true => Ok(()),
        false => Err(
            Error::refused(format!("{} is not a folder", path.display()))
                .help("give the path of a folder, or remove that file"),
        ),
    }
}

fn parent_of(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn sync_directory(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|error| unavailable("cannot sync", path, error))
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Writes and removes a file in `directory`.
fn probe(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(
        ".blacksmith-check-{}{DRAFT_SUFFIX}",
        std::process::id()
    ));
    fs::write(&path, b"checked")?;
    fs::remove_file(&path)
}

fn good(what: String) -> Finding {
    Finding {
        severity: Severity::Good,
        what,
        fix: None,
    }
}

fn unavailable(what: &str, path: &Path, error: io::Error) -> Error {
    Error::unavailable(format!("{what} {}", path.display()))
        .help(advice(&error))
        .because(error)
}

/// What to do about a failure of the file system.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space there; loading then goes on by itself"
        }
        io::ErrorKind::PermissionDenied => {
            "let the user that runs Blacksmith write there; loading then goes on by itself"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "make the file system writable again; loading then goes on by itself"
        }
        io::ErrorKind::NotFound => {
            "was the folder removed or unmounted? bring it back; loading then goes on by itself"
        }
        _ => "it is tried again by itself; the cause says what to look at",
    }
}
