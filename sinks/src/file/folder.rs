//! The folder on the disk: what a crash left is mended, files are begun, written and ended.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use blacksmith_core::clock::Timestamp;
use blacksmith_core::destination::Toolkit;
use blacksmith_core::error::{Error, Result};
use blacksmith_core::position::{Position, Span};

use super::ledger::{LEDGER, Ledger, Open, Standing, sync_folder, unavailable};
use super::options::{Compression, Rotate};

/// Between a file's first position and its suffix, while it is open.
const OPEN: &str = "-open";

/// A folder that loads are written to.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    compression: Compression,
    rotate: Rotate,
    /// What was in it when we last looked.
    known: Option<Ledger>,
}

impl Folder {
    pub(super) fn new(root: PathBuf, compression: Compression, rotate: Rotate) -> Folder {
        Folder {
            root: std::path::absolute(&root).unwrap_or(root),
            compression,
            rotate,
            known: None,
        }
    }

    /// Looks at what is there, and mends what a crash left.
    ///
    /// # Errors
    /// Refused when the folder is another store's, unavailable when it cannot be reached or what was there is not.
    pub(super) fn open(&mut self, toolkit: &Toolkit) -> Result<&mut Ledger> {
        let ledger = match Ledger::read(&self.root)? {
            Some(ledger) => ledger,
            None => self.begin(toolkit)?,
        };
        let place = self.root.display();
        if ledger.store != toolkit.store.to_string() {
            let what = format!("{place} was written from another store ({})", ledger.store);
            return Err(Error::refused(what).help("choose an empty folder, or restore that store"));
        }
        if ledger.upto() > toolkit.head {
            let (upto, head) = (ledger.upto(), toolkit.head);
            let what =
                format!("{place} holds jobs up to position {upto}, the store only up to {head}");
            return Err(Error::refused(what)
                .help("restore the newer copy of the store, or choose an empty folder"));
        }
        let mended = self.mend(ledger)?;
        Ok(self.known.insert(mended))
    }

    /// The ledger of a folder that has none: a new one, unless there should be one.
    fn begin(&self, toolkit: &Toolkit) -> Result<Ledger> {
        let place = self.root.display();
        if self.known.is_some() {
            return Err(Error::unavailable(format!("{LEDGER} is no longer in {place}")).help(
                "was the folder unmounted, emptied or replaced? bring it back; loading then goes on by itself",
            ));
        }
        let created = fs::create_dir_all(&self.root);
        created.map_err(|error| unavailable("create", &self.root, error))?;
        if let Some(name) = self.names()?.into_iter().find(|name| is_ours(name)) {
            let what = format!("{place} holds files ({name}) but no {LEDGER}");
            return Err(Error::refused(what).help("restore it, or choose an empty folder"));
        }
        let ledger = Ledger::of(toolkit.store);
        ledger.write(&self.root)?;
        Ok(ledger)
    }

    fn names(&self) -> Result<Vec<String>> {
        let wrong = |error| unavailable("list", &self.root, error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(wrong)? {
            // A name that is not UTF-8 is not ours.
            names.extend(entry.map_err(wrong)?.file_name().into_string());
        }
        Ok(names)
    }

    /// Cuts off what an interrupted load left, and finishes ending a file.
    fn mend(&self, mut ledger: Ledger) -> Result<Ledger> {
        let Some(open) = &ledger.open else {
            for name in self.names()?.iter().filter(|name| is_open(name)) {
                let path = self.root.join(name);
                fs::remove_file(&path).map_err(|error| unavailable("remove", &path, error))?;
            }
            return Ok(ledger);
        };
        let path = self.root.join(&open.name);
        match fs::metadata(&path) {
            Ok(found) if found.len() >= open.bytes => {
                if found.len() > open.bytes {
                    tracing::info!(file = %path.display(), bytes = found.len() - open.bytes, "cut off what an interrupted load left");
                    cut(&path, open.bytes).map_err(|error| unavailable("cut", &path, error))?;
                }
                Ok(ledger)
            }
            Ok(found) => Err(Error::damaged(format!(
                "{} has {} bytes, and {} were written",
                path.display(),
                found.len(),
                open.bytes
            ))
            .help("restore it from a copy, or choose an empty folder")),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.was_ended(open) => {
                ledger.open = None;
                ledger.write(&self.root)?;
                Ok(ledger)
            }
            Err(error) => Err(unavailable("find", &path, error)),
        }
    }

    /// Whether the file was ended, and only the news of it was lost.
    fn was_ended(&self, open: &Open) -> bool {
        let ended = fs::metadata(self.root.join(ended_name(open)));
        ended.is_ok_and(|found| found.len() == open.bytes)
    }

    /// When the open file is old enough; none when there is no such file, as far as is known.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let open = self.known.as_ref()?.open.as_ref()?;
        Some(Timestamp(open.begun_us).after(self.rotate.age_max))
    }

    /// Ends the open file when it is old enough. For when nobody loads.
    ///
    /// # Errors
    /// Unavailable when the folder cannot be written; what it holds is looked at again by the next load.
    pub(super) fn end_if_old(&mut self, now: Timestamp) -> Result<()> {
        if self.due().is_none_or(|due| now < due) {
            return Ok(());
        }
        let mut ledger = self.known.clone().unwrap_or_default();
        self.end_if_due(&mut ledger, now)?;
        self.known = Some(ledger);
        Ok(())
    }

    /// Ends the open file when it is large or old enough.
    fn end_if_due(&self, ledger: &mut Ledger, now: Timestamp) -> Result<()> {
        let Some(open) = &ledger.open else {
            return Ok(());
        };
        let is_old = now.since(Timestamp(open.begun_us)) >= self.rotate.age_max;
        let other = !open
            .name
            .ends_with(&format!("{OPEN}{}", self.compression.suffix()));
        if open.bytes < self.rotate.bytes_max && !is_old && !other {
            return Ok(());
        }
        let (path, ended) = (self.root.join(&open.name), self.root.join(ended_name(open)));
        fs::rename(&path, &ended)
            .and_then(|()| sync_folder(&self.root))
            .map_err(|error| unavailable("rename", &path, error))?;
        ledger.open = None;
        ledger.write(&self.root)
    }

    /// Begins to write a load; none when it was written before.
    ///
    /// # Errors
    /// As [`Folder::open`], and refused when the span does not fit what is there.
    pub(super) fn begin_load(&mut self, toolkit: &Toolkit, span: Span) -> Result<Option<Writing>> {
        let mut ledger = self.open(toolkit)?.clone();
        if ledger.standing(span)? == Standing::Written {
            return Ok(None);
        }
        let now = toolkit.clock.now();
        self.end_if_due(&mut ledger, now)?;
        let open = ledger.open.clone().unwrap_or_else(|| Open {
            name: format!("{}{OPEN}{}", span.first.padded(), self.compression.suffix()),
            bytes: 0,
            first: span.first.0,
            last: span.last.0,
            begun_us: now.0,
        });
        self.known = Some(ledger);
        let path = self.root.join(&open.name);
        let file =
            append_to(&path, open.bytes).map_err(|error| unavailable("write", &path, error))?;
        let encoder = Encoder::new(file, self.compression);
        let encoder = encoder.map_err(|error| unavailable("write", &path, error))?;
        Ok(Some(Writing {
            path,
            open,
            span,
            encoder,
            is_empty: true,
        }))
    }

    /// Makes a load count: from here on it is done.
    pub(super) fn finish_load(&mut self, writing: Writing, now: Timestamp) -> Result<()> {
        let Writing {
            path,
            mut open,
            span,
            encoder,
            is_empty,
        } = writing;
        let mut ledger = self.known.clone().unwrap_or_default();
        if !is_empty {
            let bytes = encoder.finish().and_then(|mut file| {
                file.sync_all()?;
                file.stream_position()
            });
            open.bytes = bytes.map_err(|error| unavailable("write", &path, error))?;
            open.first = open.first.min(span.first.0);
            open.last = open.last.max(span.last.0);
            // The name must be durable before the ledger speaks of it.
            sync_folder(&self.root).map_err(|error| unavailable("write", &path, error))?;
            ledger.open = Some(open);
        }
        ledger.add(span);
        ledger.write(&self.root)?;
        self.end_if_due(&mut ledger, now)?;
        self.known = Some(ledger);
        Ok(())
    }
}

/// A load being written.
pub(super) struct Writing {
    path: PathBuf,
    open: Open,
    span: Span,
    encoder: Encoder,
    is_empty: bool,
}

impl Writing {
    /// Writes lines.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<()> {
        self.is_empty &= lines.is_empty();
        let written = self.encoder.write_all(lines);
        written.map_err(|error| unavailable("write", &self.path, error))
    }
}

/// A file, behind its compression.
enum Encoder {
    Plain(io::BufWriter<File>),
    Gzip(flate2::write::GzEncoder<File>),
    Zstd(zstd::stream::write::Encoder<'static, File>),
}

impl Encoder {
    fn new(file: File, compression: Compression) -> io::Result<Encoder> {
        Ok(match compression {
            Compression::None => Encoder::Plain(io::BufWriter::new(file)),
            Compression::Gzip => Encoder::Gzip(flate2::write::GzEncoder::new(
                file,
                flate2::Compression::new(6),
            )),
            Compression::Zstd => Encoder::Zstd(zstd::stream::write::Encoder::new(file, 3)?),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Encoder::Plain(out) => out.write_all(bytes),
            Encoder::Gzip(out) => out.write_all(bytes),
            Encoder::Zstd(out) => out.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<File> {
        match self {
            Encoder::Plain(out) => out.into_inner().map_err(io::IntoInnerError::into_error),
            Encoder::Gzip(out) => out.finish(),
            Encoder::Zstd(out) => out.finish(),
        }
    }
}

/// The file at `path` from byte `bytes` on, whatever was behind.
fn append_to(path: &Path, bytes: u64) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    file.set_len(bytes)?;
    file.seek(SeekFrom::Start(bytes))?;
    Ok(file)
}

fn cut(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(bytes)?;
    file.sync_all()
}

/// The name of a file once it is ended.
fn ended_name(open: &Open) -> String {
    let suffix = open.name.split_once(OPEN).map_or("", |(_, suffix)| suffix);
    let (first, last) = (Position(open.first), Position(open.last));
    format!("{}-{}{suffix}", first.padded(), last.padded())
}

fn is_ours(name: &str) -> bool {
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    digits == 20 && name.contains(".ndjson")
}

fn is_open(name: &str) -> bool {
    is_ours(name) && name.get(20..).is_some_and(|rest| rest.starts_with(OPEN))
}
