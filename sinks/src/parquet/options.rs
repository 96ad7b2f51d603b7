//! What can be set for a Parquet destination.
//!
//! ```toml
//! [destinations.lake]
//! driver = "parquet"
//! path = "lake"                  # a folder, or file://… s3://… gs://… az://…
//! compression = "zstd"           # zstd | snappy | lz4 | none
//! compression_level = 1          # of zstd, 1 to 22
//! row_group = { max_rows = 1_000_000, max_bytes = "64MiB" }
//! file = { max_bytes = "512MiB" }
//! encode_threads = 2             # one per core
//! event_ids = false              # whether rows of tables carry the id of their event
//! columns."web/signup" = { plan = "text" }     # declared columns of events that are no rows of tables: see [`crate::declared`]
//! storage = { region = "eu-west-1", endpoint = "…", access_key_id = "…", secret_access_key = "…" }
//! ```

use std::collections::BTreeMap;

use blacksmith_core::secret::Secret;
use blacksmith_core::settings::Section;

use super::folder;
use crate::declared::Declared;

/// How a Parquet destination is set up. [`ParquetOptions::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct ParquetOptions {
    /// The destination's name in the configuration.
    pub name: String,
    /// A folder, or the URL of one: `lake`, `file:///lake`, `s3://bucket/lake`, `gs://…`, `az://…`.
    pub path: String,
    /// How pages are compressed. Default: zstd, level 1.
    pub compression: Compression,
    /// When a row group ends.
    pub row_group: RowGroupLimits,
    /// A file ends with the row group that brings it to this size. Default: 512 MiB.
    pub file_bytes_max: u64,
    /// How many threads may encode at a time. Default: one per core.
    pub encode_threads: usize,
    /// Whether rows of tables carry the id of their event, in a column `_event_id`. Default: false.
    pub event_ids: bool,
    /// Declared columns of events that are no rows of tables. Default: none.
    pub columns: Declared,
    /// Settings of the object store (credentials, region, endpoint), by its own names. Those of the
    /// environment (`AWS_…`, `GOOGLE_…`, `AZURE_…`) count too, and less.
    pub storage: BTreeMap<String, Secret>,
}

/// When a row group ends: with the record batch that reaches either limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowGroupLimits {
    /// Rows. Default: 1,000,000.
    pub rows_max: usize,
    /// Bytes in memory, before encoding. Default: 64 MiB.
    pub bytes_max: usize,
}

/// How the pages of a file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard at a level from 1 (fast) to 22 (small).
    Zstd(u8),
    /// Snappy.
    Snappy,
    /// LZ4, raw blocks.
    Lz4,
    /// Not at all.
    None,
}

impl ParquetOptions {
    /// The defaults, for the destination called `name` that writes to `path`.
    pub fn new(name: impl Into<String>, path: impl Into<String>) -> ParquetOptions {
        ParquetOptions {
            name: name.into(),
            path: path.into(),
            compression: Compression::Zstd(1),
            row_group: RowGroupLimits::default(),
            file_bytes_max: 512 << 20,
            encode_threads: std::thread::available_parallelism().map_or(1, usize::from),
            event_ids: false,
            columns: Declared::default(),
            storage: BTreeMap::new(),
        }
    }
}

impl ParquetOptions {
    /// Reads the destination `name` from its section. What is wrong goes into the section's problems;
    /// none then, when not even the path is known.
    #[must_use]
    pub fn read(name: &str, mut section: Section) -> Option<ParquetOptions> {
        let path = section.take_str("path").required();
        let mut options = ParquetOptions::new(name, path.as_deref().unwrap_or("."));
        options.compression = read_compression(&mut section);
        options.row_group = RowGroupLimits::read(section.take_section("row_group"));
        options.file_bytes_max = read_file_bytes(section.take_section("file"), &options);
        let threads = section.take_u64("encode_threads").within(1, 1024);
        if let Some(threads) = threads.optional() {
            options.encode_threads = usize::try_from(threads).unwrap_or(options.encode_threads);
        }
        options.event_ids = section.take_bool("event_ids").or(false);
        options.columns = Declared::read(&mut section);
        let mut storage = section.take_section("storage");
        for key in storage.keys() {
            if let Some(value) = storage.take_secret(&key).optional() {
                options.storage.insert(key, value);
            }
        }
        storage.finish();
        if path.is_some()
            && let Err(error) = folder::open(&options.path, &options.storage)
        {
            section.report(
                "path",
                error.to_string(),
                error.advised().unwrap_or_default(),
            );
        }
        section.finish();
        path.map(|_| options)
    }
}

fn read_compression(section: &mut Section) -> Compression {
    let words = [
        ("zstd", Compression::Zstd(1)),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("none", Compression::None),
    ];
    let compression = section
        .take_enum("compression", &words)
        .or(Compression::Zstd(1));
    let level = section
        .take_u64("compression_level")
        .within(1, 22)
        .optional();
    match (
        compression,
        level.and_then(|level| u8::try_from(level).ok()),
    ) {
        (Compression::Zstd(_), Some(level)) => Compression::Zstd(level),
        (other, Some(_)) => {
            section.report("compression_level", "only zstd has levels", "remove it");
            other
        }
        (compression, None) => compression,
    }
}

fn read_file_bytes(mut section: Section, defaults: &ParquetOptions) -> u64 {
    let bytes = section
        .take_size("max_bytes")
        .checked(|bytes| *bytes >= 1 << 20, "too small", "at least 1MiB")
        .or(defaults.file_bytes_max);
    section.finish();
    bytes
}

impl RowGroupLimits {
    fn read(mut section: Section) -> RowGroupLimits {
        let defaults = RowGroupLimits::default();
        let rows = section
            .take_u64("max_rows")
            .within(1, u64::from(u32::MAX))
            .optional();
        let bytes = section
            .take_size("max_bytes")
            .checked(|bytes| *bytes >= 1 << 20, "too small", "at least 1MiB")
            .optional();
        section.finish();
        let number = |set: Option<u64>, default: usize| {
            set.and_then(|set| usize::try_from(set).ok())
                .unwrap_or(default)
        };
        RowGroupLimits {
            rows_max: number(rows, defaults.rows_max),
            bytes_max: number(bytes, defaults.bytes_max),
        }
    }
}

impl Default for RowGroupLimits {
    fn default() -> RowGroupLimits {
        RowGroupLimits {
            rows_max: 1_000_000,
            bytes_max: 64 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use blacksmith_core::settings::{Environment, Problems};

    use super::*;

    fn read(text: &str) -> (Option<ParquetOptions>, Problems) {
        let (section, problems) = Section::parse("b.toml", text, &Environment::default()).unwrap();
        (ParquetOptions::read("lake", section), problems)
    }

    #[test]
    fn only_a_path_has_to_be_given() {
        let (options, problems) = read("path = 'lake'");
        problems.check().unwrap();
        let options = options.unwrap();
        assert_eq!(
            (options.name.as_str(), options.path.as_str()),
            ("lake", "lake")
        );
        assert_eq!(options.compression, Compression::Zstd(1));
        assert_eq!(
            options.row_group,
            RowGroupLimits {
                rows_max: 1_000_000,
                bytes_max: 64 << 20
            }
        );
        assert_eq!(options.file_bytes_max, 512 << 20);
        assert!(options.encode_threads >= 1 && options.storage.is_empty());
    }

    #[test]
    fn every_key_is_read() {
        let (options, problems) = read(
            "path = 'lake'
             compression = 'zstd'
             compression_level = 7
             row_group = { max_rows = 10, max_bytes = '2MiB' }
             file = { max_bytes = '3MiB' }
             encode_threads = 5
             event_ids = true
             columns.'web/signup' = { plan = 'text' }",
        );
        problems.check().unwrap();
        let options = options.unwrap();
        assert_eq!(options.compression, Compression::Zstd(7));
        assert_eq!(
            options.row_group,
            RowGroupLimits {
                rows_max: 10,
                bytes_max: 2 << 20
            }
        );
        assert_eq!(
            (options.file_bytes_max, options.encode_threads),
            (3 << 20, 5)
        );
        assert!(options.event_ids);
        assert!(options.columns.find("web.signup").is_some());
    }

    #[test]
    fn every_mistake_is_reported_at_once_and_no_secret_with_it() {
        let (_, problems) = read(
            "path = 'ftp://u:hunter2@host/x'
             compresion = 'zstd'
             compression_level = 99
             row_group = { max_row = 10 }
             file = { max_bytes = '3 apples' }
             storage = { secret_access_key = 'hunter2' }",
        );
        let report = problems.into_error().unwrap().to_string();
        for expected in [
            "compression",
            "compression_level",
            "row_group.max_row",
            "file.max_bytes",
            "path",
        ] {
            assert!(report.contains(expected), "{expected} in {report}");
        }
        assert!(!report.contains("hunter2"), "{report}");
        let (options, problems) = read("compression = 'lz4'");
        assert!(options.is_none());
        assert!(problems.into_error().unwrap().to_string().contains("path"));
    }
}
