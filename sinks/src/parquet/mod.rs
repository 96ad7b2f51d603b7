//! The Parquet destination: one folder, the change log of each table, a record of each load.
//!
//! ```text
//! lake/public.orders/00000000000000000001-00000000000000200000.parquet
//! lake/public.orders/00000000000000200001-00000000000000200417.parquet
//! lake/_commits/00000000000000200000.json
//! lake/_commits/00000000000000200417.json
//! ```
//!
//! # What is promised
//! - A file appears whole, by an atomic rename (on an object store: by completing an upload), and is
//!   durable before the record that names it. Every file is in exactly one commit record.
//! - A load is done when its record is there. The same span loaded again succeeds at once then;
//!   before, it removes what an interrupted attempt published and starts over. So events arrive
//!   exactly once, as long as the folder and the store stay together; when they do not match, nothing
//!   is written and the error says why.
//! - What cannot be reached or written is tried again, in order, for as long as it takes.
//! - Memory is bounded by the toolkit's figure, whatever the number of tables; see [`load`].
//!
//! # How
//! [`append`] is the action. It asks [`chain`] where the folder stands, lets [`load`] gather rows into
//! row groups, which threads [`encode`] column by column ([`columns`], [`encoding`], [`steps`], [`large`] for values of many MiB) into data files
//! ([`file`]), and publishes them with a record ([`commit`]). [`name`] makes every path, and
//! [`folder`] is the seam to disks and object stores.

mod append;
mod chain;
mod columns;
mod commit;
mod encode;
mod encoding;
mod file;
mod folder;
mod large;
mod load;
#[cfg(feature = "measured")]
#[doc(hidden)]
pub mod measured;
mod name;
mod options;
mod steps;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use blacksmith_core::destination::{Action, Destination};
use blacksmith_core::error::Result;
use blacksmith_core::finding::{Finding, Severity};

pub use options::{Compression, ParquetOptions, RowGroupLimits};

use append::Append;
use encode::Bench;
use encoding::Encodings;
use folder::Folder;

/// Loads into Parquet files. Its action is `append`.
#[derive(Debug)]
pub struct Parquet {
    name: String,
    folder: Arc<dyn Folder>,
    append: Arc<Append>,
}

impl Parquet {
    /// The destination that `options` describe. Nothing is touched before its `init`.
    ///
    /// # Errors
    /// When the path or its settings make no sense.
    pub fn new(options: &ParquetOptions) -> Result<Parquet> {
        let folder = folder::open(&options.path, &options.storage)?;
        Ok(Parquet::in_folder(options, folder))
    }

    fn in_folder(options: &ParquetOptions, folder: Arc<dyn Folder>) -> Parquet {
        let bench = Bench {
            folder: Arc::clone(&folder),
            encodings: Encodings::new(options.compression),
            compression: options.compression,
            declared: options.columns.clone(),
            file_bytes_max: options.file_bytes_max,
        };
        let append = Append::new(
            bench,
            options.encode_threads,
            options.row_group,
            options.event_ids,
        );
        Parquet {
            name: options.name.clone(),
            folder,
            append: Arc::new(append),
        }
    }
}

#[async_trait]
impl Destination for Parquet {
    fn name(&self) -> &str {
        &self.name
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![Arc::clone(&self.append) as Arc<dyn Action>]
    }

    async fn check(&self) -> Vec<Finding> {
        let mut findings = self.folder.check().await;
        match commit::newest(&*self.folder).await {
            Ok(Some(newest)) => findings.push(Finding {
                severity: Severity::Good,
                what: format!(
                    "{} holds events up to position {} of store {}",
                    self.folder.place(),
                    newest.last_position,
                    newest.store
                ),
                fix: None,
            }),
            Ok(None) => {}
            Err(error) => findings.push(Finding {
                severity: Severity::Problem,
                what: error.to_string(),
                fix: error.advised().map(str::to_owned),
            }),
        }
        if let Ok(Some(pending)) = commit::pending(&*self.folder).await {
            findings.push(Finding {
                severity: Severity::Warning,
                what: format!("a load of positions {} was interrupted", pending.span()),
                fix: Some("nothing: its files are removed when Blacksmith starts".into()),
            });
        }
        findings
    }
}
