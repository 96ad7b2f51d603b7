//! What has been written: the one small file that says which loads are in the folder, and how long the open file is.
//!
//! A load is done when the ledger names it. What the open file holds beyond the length in the ledger is the torn end of a load
//! that did not finish, and is cut off.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::StoreId;
use blacksmith_core::position::{Position, Span};
use serde::{Deserialize, Serialize};

/// The ledger's name in the folder.
pub(super) const LEDGER: &str = "_ledger.json";
const DRAFT: &str = "_ledger.json.tmp";
/// Loads that are known one by one; of older ones only that they are past.
const LOADS_MAX: usize = 1_000;

/// What the folder holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// The store whose positions these are: 8 hex digits.
    pub(super) store: String,
    /// Everything up to here was loaded, or given up, long ago.
    floor: u64,
    /// The newest loads, first and last position, oldest first.
    loads: Vec<(u64, u64)>,
    /// The file that loads are being written to.
    pub(super) open: Option<Open>,
}

/// A file that takes more loads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Open {
    /// Its name while it is open.
    pub(super) name: String,
    /// How much of it counts.
    pub(super) bytes: u64,
    /// The first position of its first load.
    pub(super) first: u64,
    /// The last position of its last load.
    pub(super) last: u64,
    /// When it was begun, in microseconds since 1970.
    pub(super) begun_us: i64,
}

/// How a span stands to what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    New,
    Written,
}

impl Ledger {
    /// The ledger of an empty folder.
    pub(super) fn of(store: StoreId) -> Ledger {
        Ledger {
            store: store.to_string(),
            ..Ledger::default()
        }
    }

    /// Reads the ledger of `folder`; none when there is none.
    ///
    /// # Errors
    /// Unavailable when it cannot be read, damaged when it makes no sense.
    pub(super) fn read(folder: &Path) -> Result<Option<Ledger>> {
        let path = folder.join(LEDGER);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unavailable("read", &path, error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Error::damaged(format!("{} cannot be read", path.display()))
                .help("restore it from a copy, or choose an empty folder")
                .because(error)
        })
    }

    /// Puts it in place of the one that is there, durably.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let (path, draft) = (folder.join(LEDGER), folder.join(DRAFT));
        let text = serde_json::to_vec(self);
        let text = text.map_err(|error| Error::refused("writing the ledger").because(error))?;
        let written = File::create(&draft).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written
            .and_then(|()| fs::rename(&draft, &path))
            .and_then(|()| sync_folder(folder))
            .map_err(|error| unavailable("write", &path, error))
    }

    /// The last position of the newest load.
    pub(super) fn upto(&self) -> Position {
        let newest = self.loads.iter().map(|(_, last)| *last).max();
        Position(newest.unwrap_or(self.floor))
    }

    /// Finds out how `span` stands to what is written.
    ///
    /// # Errors
    /// Refused when part of it is written and part is not, or when nobody knows any more.
    pub(super) fn standing(&self, span: Span) -> Result<Standing> {
        if self.loads.contains(&(span.first.0, span.last.0)) {
            return Ok(Standing::Written);
        }
        let overlaps = |(first, last): &(u64, u64)| *first <= span.last.0 && span.first.0 <= *last;
        if span.first.0 <= self.floor || self.loads.iter().any(overlaps) {
            return Err(Error::refused(format!(
                "positions {span} are to be written, and some of them were before, in other pieces"
            ))
            .help("the store and the folder do not match: restore the store, or choose an empty folder"));
        }
        Ok(Standing::New)
    }

    /// Adds the load of `span`.
    pub(super) fn add(&mut self, span: Span) {
        self.loads.push((span.first.0, span.last.0));
        if self.loads.len() > LOADS_MAX {
            let (_, last) = self.loads.remove(0);
            self.floor = self.floor.max(last);
        }
    }
}

/// Makes what was created and renamed in `folder` survive a power cut.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

pub(super) fn unavailable(what: &str, path: &Path, error: io::Error) -> Error {
    Error::unavailable(format!("cannot {what} {}", path.display()))
        .help("free space, or bring the folder back; loading then goes on by itself")
        .because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u64, last: u64) -> Span {
        Span::new(Position(first), Position(last))
    }

    #[test]
    fn a_load_is_known_by_its_very_span() {
        let mut ledger = Ledger::default();
        ledger.add(span(1, 10));
        ledger.add(span(15, 20));
        assert_eq!(ledger.standing(span(1, 10)).unwrap(), Standing::Written);
        assert_eq!(ledger.standing(span(11, 14)).unwrap(), Standing::New);
        assert_eq!(ledger.standing(span(21, 30)).unwrap(), Standing::New);
        for other in [span(1, 5), span(10, 11), span(1, 30)] {
            assert!(ledger.standing(other).is_err(), "{other}");
        }
        assert_eq!(ledger.upto(), Position(20));
    }

    #[test]
    fn a_ledger_stays_small_and_does_not_guess_about_what_it_forgot() {
        let mut ledger = Ledger::default();
        for at in 1..=LOADS_MAX as u64 + 1 {
            ledger.add(span(at, at));
        }
        assert_eq!(ledger.loads.len(), LOADS_MAX);
        assert!(ledger.standing(span(1, 1)).is_err());
        assert_eq!(ledger.standing(span(2, 2)).unwrap(), Standing::Written);
    }

    #[test]
    fn a_ledger_survives_its_file_and_a_broken_one_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Ledger::read(folder.path()).unwrap(), None);
        let mut ledger = Ledger::default();
        ledger.add(span(1, 2));
        ledger.write(folder.path()).unwrap();
        assert_eq!(Ledger::read(folder.path()).unwrap(), Some(ledger));
        fs::write(folder.path().join(LEDGER), "{").unwrap();
        assert!(Ledger::read(folder.path()).is_err());
    }
}
