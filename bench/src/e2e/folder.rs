//! The folder of one run, below `target/bench`: one run at a time, and what a killed one left goes with the next.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::Result;

/// Where everything of this run lies; gone with this value.
#[derive(Debug)]
pub struct Folder {
    home: PathBuf,
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// An empty folder.
    ///
    /// # Errors
    /// When another run has it, or the target folder is not writable.
    pub fn take() -> Result<Folder> {
        let home = blacksmith_tests::target_dir().join("bench");
        fs::create_dir_all(&home).map_err(|error| at(&home, &error))?;
        let lock = File::create(home.join("lock")).map_err(|error| at(&home, &error))?;
        if lock.try_lock().is_err() {
            return Err("another run of the benchmarks has target/bench; wait for its end".into());
        }
        let path = home.join("run");
        remove(&path)?;
        fs::create_dir_all(&path).map_err(|error| at(&path, &error))?;
        Ok(Folder {
            home,
            path,
            _lock: lock,
        })
    }

    /// A folder beside it, which stays for the next run.
    #[must_use]
    pub fn kept(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(why) = remove(&self.path) {
            eprintln!("{why}");
        }
    }
}

/// Removes a folder with everything in it, if it is there.
///
/// # Errors
/// What the file system says.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(path, &error)),
        _ => Ok(()),
    }
}

/// Has a folder be there and empty.
///
/// # Errors
/// What the file system says.
pub fn empty(path: PathBuf) -> Result<PathBuf> {
    remove(&path)?;
    fs::create_dir_all(&path).map_err(|error| at(&path, &error))?;
    Ok(path)
}

/// All files below a folder, those of the folders in it too; none when it is not there.
#[must_use]
pub fn files(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let files = entries.flat_map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files(&entry.path()),
        _ => vec![entry.path()],
    });
    files.collect()
}

/// Copies a folder of files and folders.
///
/// # Errors
/// What the file system says.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(|error| at(to, &error))?;
    for entry in fs::read_dir(from).map_err(|error| at(from, &error))? {
        let entry = entry.map_err(|error| at(from, &error))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(|error| at(&source, &error))?;
        if kind.is_dir() {
            copy(&source, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target).map_err(|error| at(&source, &error))?;
        }
    }
    Ok(())
}

/// Bytes of all files below a folder; 0 when it is not there.
#[must_use]
pub fn bytes(path: &Path) -> u64 {
    let sizes = files(path).into_iter().map(fs::metadata);
    sizes.flatten().map(|data| data.len()).sum()
}

/// An error of a file, in words.
#[must_use]
pub fn at(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
