//! What can be set for a folder of files.

use std::path::PathBuf;
use std::time::Duration;

use blacksmith_core::settings::Section;

use crate::line::Content;

/// How files are written. [`FileOptions::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// The destination's name in the configuration.
    pub name: String,
    /// The folder.
    pub path: PathBuf,
    /// What is written of a job. Default: everything.
    pub content: Content,
    /// How files are compressed. Default: not at all.
    pub compression: Compression,
    /// When a file ends.
    pub rotate: Rotate,
}

/// How files are compressed: each load is a frame of its own, and a file of several frames reads as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Gzip, level 6.
    Gzip,
    /// Zstandard, level 3.
    Zstd,
}

/// When a file ends: with the load that reaches the size, or at its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotate {
    /// Bytes, compressed. Default: 256 MiB.
    pub bytes_max: u64,
    /// Time since it was begun. Default: 1 hour.
    pub age_max: Duration,
}

impl Default for Rotate {
    fn default() -> Rotate {
        Rotate {
            bytes_max: 256 << 20,
            age_max: Duration::from_secs(3_600),
        }
    }
}

impl Compression {
    /// What the names of such files end in.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Compression::None => ".ndjson",
            Compression::Gzip => ".ndjson.gz",
            Compression::Zstd => ".ndjson.zst",
        }
    }
}

impl FileOptions {
    /// The defaults, for the destination called `name` that writes into the folder `path`.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> FileOptions {
        FileOptions {
            name: name.into(),
            path: path.into(),
            content: Content::default(),
            compression: Compression::default(),
            rotate: Rotate::default(),
        }
    }

    /// Reads the destination `name` from its section. What is wrong goes into the section's problems;
    /// none then, when not even the path is known.
    #[must_use]
    pub fn read(name: &str, mut section: Section) -> Option<FileOptions> {
        let path = section.take_str("path").required();
        let mut options = FileOptions::new(name, path.clone().unwrap_or_default());
        options.content = Content::read(&mut section);
        let words = [
            ("none", Compression::None),
            ("gzip", Compression::Gzip),
            ("zstd", Compression::Zstd),
        ];
        options.compression = section
            .take_enum("compression", &words)
            .or(Compression::None);
        options.rotate = Rotate::read(section.take_section("rotate"));
        if path.as_deref() == Some("") {
            section.report("path", "the path is empty", "name a folder");
        }
        section.finish();
        path.map(|_| options)
    }
}

impl Rotate {
    fn read(mut section: Section) -> Rotate {
        let defaults = Rotate::default();
        let bytes_max = section
            .take_size("max_bytes")
            .checked(|bytes| *bytes > 0, "too small", "at least 1")
            .or(defaults.bytes_max);
        let age_max = section.take_duration("max_age").or(defaults.age_max);
        section.finish();
        Rotate { bytes_max, age_max }
    }
}

#[cfg(test)]
mod tests {
    use blacksmith_core::settings::Environment;

    use super::*;

    #[test]
    fn every_key_is_read_and_every_mistake_is_reported() {
        let read = |text: &str| {
            let (section, problems) =
                Section::parse("b.toml", text, &Environment::default()).unwrap();
            (FileOptions::read("out", section), problems)
        };
        let (options, problems) = read(
            "path = 'out'
             content = 'data'
             compression = 'zstd'
             rotate = { max_bytes = '1KiB', max_age = '5m' }",
        );
        problems.check().unwrap();
        let options = options.unwrap();
        assert_eq!(
            (options.content, options.compression),
            (Content::Data, Compression::Zstd)
        );
        let age_max = Duration::from_secs(300);
        assert_eq!(
            options.rotate,
            Rotate {
                bytes_max: 1024,
                age_max
            }
        );
        let (options, problems) = read("compression = 'lzma'\nrotate = { max_age = 'soon' }");
        assert!(options.is_none());
        let report = problems.into_error().unwrap().to_string();
        for key in ["path", "compression", "rotate.max_age"] {
            assert!(report.contains(key), "{key} in {report}");
        }
    }
}
