//! Reading the Parquet lake as a stranger would: by its commit records, files and metadata.
//!
//! This is the oracle's half: it shares no code with the writers, and knows only what the README
//! promises about the layout. [`Lake::violations`] checks the promises that hold for every lake at
//! rest; [`fold`] makes rows of tables out of change logs; [`compare`] holds them against Postgres.

mod canon;
pub mod compare;
pub mod digest;
mod document;
pub mod fold;
mod log;
mod render;
#[cfg(test)]
mod render_tests;
mod verify;
#[cfg(test)]
pub(crate) mod handmade;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;

pub use self::document::Document;
pub use self::log::{ChangeLog, Op, RowRef, each_batch};

/// A folder that the Parquet destination writes.
#[derive(Debug)]
pub struct Lake {
    root: PathBuf,
    commits: Vec<Commit>,
    /// See [`Lake::copied_until`].
    copied_until: u64,
}

/// One record of `_commits/`.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Commit {
    /// The files this load published.
    pub files: Vec<Published>,
    /// Rows in all of them.
    pub rows: u64,
    /// First position of the load.
    pub first_position: u64,
    /// Last position of the load.
    pub last_position: u64,
    /// The last transaction that is complete up to here; none before the first.
    #[serde(default, deserialize_with = "lsn")]
    pub commit_lsn: Option<u64>,
}

/// One file of a commit record.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Published {
    /// Path below the lake's root.
    pub path: PathBuf,
    /// `schema.table`, as Postgres spells the names, without quotes; a dot in the schema's is `%2E`.
    pub table: String,
    /// Rows in the file.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Position of its first row.
    pub first_position: u64,
    /// Position of its last row.
    pub last_position: u64,
}

impl Lake {
    /// The same lake, known to hold copies under a snapshot of this LSN. A table that was empty in it has no row that
    /// would say so, and until then changes may find nothing to change: what they changed was gone before it was read.
    #[must_use]
    pub fn copied_until(self, lsn: u64) -> Lake {
        Lake {
            copied_until: lsn,
            ..self
        }
    }

    /// Reads the commit records of `root`, in position order. A folder that does not exist yet is
    /// an empty lake.
    ///
    /// # Errors
    /// When a record cannot be read as one.
    pub fn open(root: &Path) -> Result<Lake, String> {
        let mut commits = Vec::new();
        for path in listed(&root.join("_commits"))? {
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let text = fs::read(&path).map_err(|error| at(&path, error))?;
                commits.push(serde_json::from_slice::<Commit>(&text).map_err(|e| at(&path, e))?);
            }
        }
        commits.sort_by_key(|commit| commit.last_position);
        Ok(Lake {
            root: root.to_path_buf(),
            commits,
            copied_until: 0,
        })
    }

    /// The commit records, in position order.
    #[must_use]
    pub fn commits(&self) -> &[Commit] {
        &self.commits
    }

    /// The lake as it was after its first `commits` records.
    #[must_use]
    pub fn first(&self, commits: usize) -> Lake {
        Lake {
            root: self.root.clone(),
            commits: self.commits.iter().take(commits).cloned().collect(),
            copied_until: self.copied_until,
        }
    }

    /// Rows of all commit records together.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.commits.iter().map(|commit| commit.rows).sum()
    }

    /// The tables that have files.
    #[must_use]
    pub fn tables(&self) -> BTreeSet<String> {
        self.published().map(|file| file.table.clone()).collect()
    }

    /// Every published file, in position order of its commit.
    pub fn published(&self) -> impl Iterator<Item = &Published> {
        self.commits.iter().flat_map(|commit| &commit.files)
    }

    /// The change log of one table.
    ///
    /// # Errors
    /// When a file cannot be read or lacks what every file must have.
    pub fn change_log(&self, table: &str) -> Result<ChangeLog, String> {
        let files = self.published().filter(|file| file.table == table);
        ChangeLog::read(
            table,
            self.copied_until,
            files.map(|file| self.root.join(&file.path)),
        )
    }

    /// Shows every batch of one table's published files, one at a time: for logs too large to hold.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn each_batch(&self, table: &str, see: &mut dyn FnMut(&RecordBatch)) -> Result<(), String> {
        for file in self.published().filter(|file| file.table == table) {
            let path = self.root.join(&file.path);
            log::each_batch(&path, see).map_err(|error| at(&path, error))?;
        }
        Ok(())
    }

    /// Everything in this lake that breaks a promise; empty when all is well. The lake must be at
    /// rest: a file whose commit record is still to come counts as an orphan.
    ///
    /// # Errors
    /// When a file cannot be read at all.
    pub fn violations(&self) -> Result<Vec<String>, String> {
        verify::violations(self)
    }

    /// Every Parquet file below the root that is not hidden, relative to the root.
    fn files_on_disk(&self) -> Result<Vec<PathBuf>, String> {
        let mut found = Vec::new();
        for folder in listed(&self.root)? {
            if !folder.is_dir() || folder.ends_with("_commits") {
                continue;
            }
            for file in listed(&folder)? {
                let relative = file.strip_prefix(&self.root).unwrap_or(&file);
                found.push(relative.to_path_buf());
            }
        }
        Ok(found)
    }
}

/// The entries of `folder`, sorted; none when it does not exist.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(folder, error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<_> = paths
        .collect::<Result<_, _>>()
        .map_err(|error| at(folder, error))?;
    paths.sort();
    Ok(paths)
}

fn at(path: &Path, error: impl std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

/// An LSN as a number or as Postgres writes it, `16/B374D848`.
fn lsn<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    use serde::Deserialize;
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Lsn {
        Number(u64),
        Text(String),
    }
    let parsed = match Option::<Lsn>::deserialize(from)? {
        None => return Ok(None),
        Some(Lsn::Number(number)) => Some(number),
        Some(Lsn::Text(text)) => parse_lsn(&text),
    };
    parsed
        .map(Some)
        .ok_or_else(|| serde::de::Error::custom("commit_lsn is not an LSN"))
}

/// The number of an LSN that Postgres wrote.
#[must_use]
pub fn parse_lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let high = u64::from_str_radix(high, 16).ok()?;
    Some(high << 32 | u64::from_str_radix(low, 16).ok()?)
}
