//! What is in the log's folder, before any frame is read: names, segment headers, and whether the
//! segments follow each other.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::log::disk::{Access, Disk, read_full};
use crate::log::segment::{Name, SEGMENT_HEADER_BYTES, SegmentHeader, stage_dir};
use crate::log::walk::{damaged, unreadable};
use crate::position::{Position, Span};

/// A segment file and its header.
#[derive(Debug, Clone)]
pub(super) struct Surveyed {
    pub(super) header: SegmentHeader,
    pub(super) path: PathBuf,
    pub(super) file_bytes: u64,
}

/// The files of a log.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Ids of segments, oldest first.
    pub(super) segments: Vec<u64>,
    pub(super) spares: Vec<u64>,
    /// Segments that were being made.
    pub(super) unfinished: Vec<u64>,
    /// Ids of staged files, in order.
    pub(super) stages: Vec<u64>,
}

/// Lists the files of the log in `dir`.
///
/// # Errors
/// When the folder cannot be listed.
pub(super) fn survey(disk: &dyn Disk, dir: &Path) -> Result<Survey> {
    let mut survey = Survey::default();
    let stage_dir = stage_dir(dir);
    for folder in [dir, &stage_dir] {
        let names = match disk.list(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            names => names.map_err(|error| unreadable(folder, error))?,
        };
        for name in names {
            match Name::parse(&name) {
                Some(Name::Segment(id)) => survey.segments.push(id),
                Some(Name::Spare(id)) => survey.spares.push(id),
                Some(Name::New(id)) => survey.unfinished.push(id),
                Some(Name::Stage(id)) => survey.stages.push(id),
                None => {}
            }
        }
    }
    survey.segments.sort_unstable();
    survey.stages.sort_unstable();
    Ok(survey)
}

/// Reads the header of one segment.
///
/// # Errors
/// Damaged, refused for a version unknown, or unreadable.
pub(super) fn read_header(disk: &dyn Disk, dir: &Path, id: u64) -> Result<Surveyed> {
    let path = Name::Segment(id).path(dir);
    let file = disk.open(&path, Access::Read);
    let file = file.map_err(|error| unreadable(&path, error))?;
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let read = read_full(file.as_ref(), &mut bytes, 0);
    let filled = read.map_err(|error| unreadable(&path, error))?;
    let header = SegmentHeader::decode(bytes.get(..filled).unwrap_or_default(), &path)?;
    if header.id != id {
        let what = format!("this file holds segment {}", header.id);
        return Err(Error::damaged(what)
            .at(path.display())
            .help("give it its own name back, or put the right file here"));
    }
    let file_bytes = file.bytes().map_err(|error| unreadable(&path, error))?;
    Ok(Surveyed {
        header,
        path,
        file_bytes,
    })
}

/// Why `after` cannot be the segment that follows `before`, if so: what acknowledged positions are
/// concerned.
pub(super) fn check_pair(dir: &Path, before: &Surveyed, after: &Surveyed) -> Result<()> {
    let (left, right) = (&before.header, &after.header);
    let between = Span::new(left.first, right.first.previous());
    if right.store != left.store {
        return Err(Error::damaged("a segment of another store")
            .at(after.path.display())
            .help("keep the files of one store together"));
    }
    if right.id != left.id + 1 {
        let missing = Name::Segment(left.id + 1).path(dir);
        let why = format!("segments {} to {} are missing", left.id + 1, right.id - 1);
        return Err(damaged(&missing, 0, &why, between));
    }
    if right.first < left.first || right.epoch < left.epoch {
        let lost = Span::new(Position::FIRST, right.first.previous());
        return Err(damaged(
            &after.path,
            0,
            "older than the segment before it",
            lost,
        ));
    }
    if before.file_bytes < right.previous_end {
        return Err(damaged(
            &before.path,
            before.file_bytes,
            "the file is cut short",
            between,
        ));
    }
    Ok(())
}
