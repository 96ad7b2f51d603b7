//! The work of one blocking thread: rows of one table into its files.

use std::sync::Arc;

use blacksmith_core::destination::Rows;
use blacksmith_core::error::Result;
use blacksmith_core::event::SchemaId;

use super::encoding::Encodings;
use super::file::{FinishedFile, Layout, OpenFile};
use super::folder::Folder;
use super::options::Compression;
use crate::declared::Declared;

/// What every task of a load needs.
#[derive(Debug)]
pub(super) struct Bench {
    /// Where files go.
    pub(super) folder: Arc<dyn Folder>,
    /// How columns are encoded.
    pub(super) encodings: Encodings,
    /// How pages are compressed.
    pub(super) compression: Compression,
    /// Columns that documents have besides their own.
    pub(super) declared: Declared,
    /// When a file is full.
    pub(super) file_bytes_max: u64,
}

/// Rows of one table that are to be written now.
pub(super) struct Task {
    /// The table's schema version.
    pub(super) schema: SchemaId,
    /// How its files look.
    pub(super) layout: Arc<Layout>,
    /// The file that takes them; none to begin one.
    pub(super) file: Option<OpenFile>,
    /// One row group. May be empty, to only finish the file.
    pub(super) rows: Vec<Rows>,
    /// What `rows` count for in memory.
    pub(super) held_bytes: usize,
    /// Finish the file afterwards.
    pub(super) finish: bool,
    /// Threads that may help.
    pub(super) helpers: usize,
    /// Which attempt of the load.
    pub(super) attempt: u32,
}

/// What came of a [`Task`].
pub(super) struct Done {
    /// The table's schema version.
    pub(super) schema: SchemaId,
    /// The file that takes the next rows.
    pub(super) file: Option<OpenFile>,
    /// Files that are complete.
    pub(super) finished: Vec<FinishedFile>,
    /// What no longer counts in memory.
    pub(super) freed_bytes: usize,
    /// Threads that are free again.
    pub(super) freed_threads: usize,
}

impl Bench {
    /// Does it. Blocks.
    pub(super) fn run(&self, task: Task) -> Result<Done> {
        let Task {
            schema,
            layout,
            mut file,
            rows,
            held_bytes,
            finish,
            helpers,
            attempt,
        } = task;
        let rows = layout.complete(rows)?;
        let mut finished = Vec::new();
        if let Some(first) = rows.first().map(|rows| rows.span) {
            // Both rows of a key change have one position, and belong into one file.
            let full = |file: &mut OpenFile| {
                file.bytes() >= self.file_bytes_max && file.span().last < first.first
            };
            if let Some(full) = file.take_if(full) {
                finished.push(full.finish()?);
            }
            let mut open = match file.take() {
                Some(file) => file,
                None => {
                    let folder = &*self.folder;
                    OpenFile::create(folder, &layout, self.compression, first, attempt)?
                }
            };
            open.write_group(rows, &self.encodings, helpers)?;
            file = Some(open);
        }
        if let Some(file) = file.take_if(|_| finish) {
            finished.push(file.finish()?);
        }
        Ok(Done {
            schema,
            file,
            finished,
            freed_bytes: held_bytes,
            freed_threads: 1 + helpers,
        })
    }
}
