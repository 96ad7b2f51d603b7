//! Commit records: what each load published, and the load it continues.
//!
//! A load first writes the record as [`PENDING`], then publishes its files, then writes the record
//! under its own name and removes the pending one. So a pending record whose own is missing names
//! exactly the files that an interrupted load may have published, and they are removed before the
//! load is run again. Files are removed for no other reason.

use std::collections::BTreeSet;

use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::StoreId;
use blacksmith_core::position::{Position, Span};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::folder::{DRAFT_SUFFIX, Folder};
use super::name;

/// 300,000 files of one load are about this long.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// What one load published. The JSON of a commit record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The files.
    pub files: Vec<RecordedFile>,
    /// Rows in all of them.
    pub rows: u64,
    /// The first position of the load.
    pub first_position: u64,
    /// The last position of the load.
    pub last_position: u64,
    /// The last transaction of the source that is complete up to here; null before the first.
    pub commit_lsn: Option<u64>,
    /// When it was committed.
    pub committed_at: Option<String>,
    /// The store whose positions these are: 8 hex digits.
    pub store: String,
}

/// One file of a [`Record`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecordedFile {
    /// Below the folder.
    pub path: String,
    /// The trigger whose rows it holds.
    pub table: String,
    /// How many.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Position of its first row.
    pub first_position: u64,
    /// Position of its last row.
    pub last_position: u64,
}

impl Record {
    /// The positions of the load.
    pub(super) fn span(&self) -> Span {
        Span::new(Position(self.first_position), Position(self.last_position))
    }

    fn is_of(&self, store: StoreId) -> bool {
        self.store == store.to_string()
    }

    fn to_json(&self) -> Result<Bytes> {
        let json = serde_json::to_vec_pretty(self);
        let json = json.map_err(|error| Error::refused("a commit record").because(error))?;
        Ok(json.into())
    }
}

/// What an earlier process, or an interrupted load, left behind and was cleared away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cleared {
    /// Files that were visible but in no commit record.
    pub files: usize,
    /// Drafts.
    pub drafts: usize,
}

/// Reads the record of the load that ended with `last`.
pub(super) async fn read(folder: &dyn Folder, last: Position) -> Result<Option<Record>> {
    parse(folder, &name::record(last)).await
}

/// Reads the newest record.
pub(super) async fn newest(folder: &dyn Folder) -> Result<Option<Record>> {
    match folder.newest(name::COMMITS, name::RECORD_SUFFIX).await? {
        Some(found) => parse(folder, &format!("{}/{found}", name::COMMITS)).await,
        None => Ok(None),
    }
}

/// Reads the record of what was about to be published.
pub(super) async fn pending(folder: &dyn Folder) -> Result<Option<Record>> {
    parse(folder, name::PENDING).await
}

async fn parse(folder: &dyn Folder, path: &str) -> Result<Option<Record>> {
    let Some(json) = folder.read(path, RECORD_BYTES_MAX).await? else {
        return Ok(None);
    };
    let parsed = serde_json::from_slice(&json);
    parsed.map(Some).map_err(|error| {
        Error::damaged(format!(
            "the commit record {path} in {} cannot be read",
            folder.place()
        ))
        .help("restore it from a copy, or choose an empty folder and a new store")
        .because(error)
    })
}

/// Says what is about to be published.
pub(super) async fn announce(folder: &dyn Folder, record: &Record) -> Result<()> {
    folder.put(name::PENDING, record.to_json()?).await
}

/// Says what was published. From here on the load is done.
pub(super) async fn confirm(folder: &dyn Folder, record: &Record) -> Result<()> {
    let path = name::record(Position(record.last_position));
    folder.put(&path, record.to_json()?).await
}

/// Forgets what was announced, once it is confirmed or taken back.
pub(super) async fn forget_pending(folder: &dyn Folder) -> Result<()> {
    folder.remove(name::PENDING).await
}

/// Takes back what an interrupted load announced and did not confirm, and returns the newest record.
///
/// # Errors
/// Refused when either is not of `store`, or past its `head`.
pub(super) async fn recover(
    folder: &dyn Folder,
    store: StoreId,
    head: Position,
    cleared: &mut Cleared,
) -> Result<Option<Record>> {
    let newest = newest(folder).await?;
    belongs(folder, newest.as_ref(), store, head)?;
    let Some(pending) = pending(folder).await? else {
        return Ok(newest);
    };
    belongs(folder, Some(&pending), store, head)?;
    if newest
        .as_ref()
        .is_none_or(|newest| newest.span() != pending.span())
    {
        let committed_upto = newest.as_ref().map_or(0, |newest| newest.last_position);
        for file in &pending.files {
            if is_ours_after(&file.path, committed_upto) {
                folder.remove(&file.path).await?;
                cleared.files += 1;
            }
        }
    } else {
        // The record is there; whether its name is durable nobody knows.
        folder.settle(&[name::COMMITS]).await?;
    }
    forget_pending(folder).await?;
    Ok(newest)
}

/// Whether `path` is that of a data file, in a directory of ours, whose rows are past `position`.
fn is_ours_after(path: &str, position: u64) -> bool {
    let Some((directory, name)) = path.split_once('/') else {
        return false;
    };
    // A record is read from outside: what it names is removed only if we could have written it.
    let plain = !directory.starts_with(['.', '_']) && !directory.is_empty();
    plain && name::span_of(name).is_some_and(|span| span.first.0 > position)
}

/// Removes drafts, and visible files past the newest record, which nothing else accounts for.
///
/// # Errors
/// Refused when there are files and no record at all: someone removed the records.
pub(super) async fn sweep(
    folder: &dyn Folder,
    newest: Option<&Record>,
    cleared: &mut Cleared,
) -> Result<()> {
    let committed_upto = Position(newest.map_or(0, |newest| newest.last_position));
    // Sorts after every file that starts at or before that position.
    let after = format!("{}-~", committed_upto.padded());
    let directories: BTreeSet<_> = folder.directories().await?.into_iter().collect();
    for directory in directories {
        for name in folder.names(&directory, &after).await? {
            let path = format!("{directory}/{name}");
            if is_draft(&name) {
                folder.remove(&path).await?;
                cleared.drafts += 1;
            } else if is_ours_after(&path, committed_upto.0) {
                if newest.is_none() {
                    return Err(records_are_gone(folder, &path));
                }
                folder.remove(&path).await?;
                cleared.files += 1;
            }
        }
    }
    Ok(())
}

/// Whether a name is one that a draft of ours has: `.`, 20 digits, more, `.tmp`; or a record's draft.
fn is_draft(name: &str) -> bool {
    let inner = name
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(DRAFT_SUFFIX));
    inner.is_some_and(|inner| {
        let digits = inner.bytes().take_while(u8::is_ascii_digit).count();
        digits == 20 || inner == ".pending"
    })
}

fn records_are_gone(folder: &dyn Folder, example: &str) -> Error {
    let place = folder.place();
    Error::refused(format!(
        "{place} holds data files ({example}) but no commit record"
    ))
    .help(format!(
        "restore {place}/{}, or choose an empty folder",
        name::COMMITS
    ))
}

/// Whether the folder's history is one that this store wrote.
///
/// # Errors
/// Refused when it is another's, or reaches past what this store knows.
fn belongs(
    folder: &dyn Folder,
    newest: Option<&Record>,
    store: StoreId,
    head: Position,
) -> Result<()> {
    let Some(newest) = newest else {
        return Ok(());
    };
    let place = folder.place();
    if !newest.is_of(store) {
        let what = format!(
            "{place} was written from another store ({}, this one is {store})",
            newest.store
        );
        return Err(Error::refused(what).help("choose an empty folder, or restore that store"));
    }
    if newest.last_position > head.0 {
        let what = format!(
            "{place} holds events up to position {}, the store only up to {head}",
            newest.last_position
        );
        return Err(Error::refused(what)
            .help("restore the newer copy of the store, or choose an empty folder"));
    }
    Ok(())
}

/// How the span of a load stands to what is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Past everything that is committed.
    New,
    /// Committed before; only the news of it was lost.
    Committed,
}

/// Finds out how `span` stands to what is committed.
///
/// # Errors
/// Refused when part of it is committed and part is not.
pub(super) async fn standing(
    folder: &dyn Folder,
    newest: Option<&Record>,
    span: Span,
) -> Result<Standing> {
    let Some(newest) = newest.filter(|newest| newest.last_position >= span.first.0) else {
        return Ok(Standing::New);
    };
    let same = match newest.last_position == span.last.0 {
        true => Some(newest.clone()),
        false => read(folder, span.last).await?,
    };
    if same.is_some_and(|record| record.span() == span && record.store == newest.store) {
        return Ok(Standing::Committed);
    }
    let what = format!(
        "positions {span} are to be loaded into {}, which is committed up to {} in other pieces",
        folder.place(),
        newest.last_position
    );
    Err(Error::refused(what).help(
        "the store and the folder do not match: restore the store, or choose an empty folder",
    ))
}
