//! Bytes on their way to an object store: in memory while few, then in a file without a name.
//!
//! An object's name must be known when its upload begins, and ours holds the position of the last
//! row. So a file is encoded into a spool first; it is also what an upload is read from in parts.
//! The file lies in the system's folder for temporary files (`TMPDIR`) and goes away with us.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// Bytes held in memory at most; also the size of a part of an upload.
pub(super) const PART_BYTES: usize = 8 << 20;

/// Written to its end, then read from its beginning.
#[derive(Default)]
pub(super) struct Spool {
    /// What the file does not hold.
    memory: Vec<u8>,
    file: Option<File>,
}

impl Spool {
    /// All of it, when it never left memory.
    pub(super) fn into_small(self) -> Result<Bytes, Spool> {
        match self.file {
            None => Ok(self.memory.into()),
            Some(_) => Err(self),
        }
    }

    /// Goes back to the beginning, to read.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.spill()?;
        self.file.as_mut().map_or(Ok(()), File::rewind)
    }

    /// The next part; empty at the end.
    pub(super) fn part(&mut self) -> io::Result<Bytes> {
        let mut part = Vec::with_capacity(PART_BYTES);
        if let Some(file) = &mut self.file {
            file.take(PART_BYTES as u64).read_to_end(&mut part)?;
        }
        Ok(part.into())
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(nameless()?),
        };
        file.write_all(&self.memory)?;
        self.memory.clear();
        Ok(())
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.memory.len() + bytes.len() > PART_BYTES {
            self.spill()?;
        }
        match &mut self.file {
            Some(file) if self.memory.is_empty() => file.write(bytes),
            _ => self.memory.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that only we can reach.
fn nameless() -> io::Result<File> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let (process, number) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(format!("blacksmith-{process}-{number}.spool"));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}
