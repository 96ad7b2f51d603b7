//! The headers of all segments, also of those that have lost theirs, and of those that are gone.
//!
//! What a header says stands elsewhere too: the frame behind the end of the segment before has its first position,
//! where that segment ends and what the first frame chains to; the segment's own frames have the rest.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::disk::Access;
use crate::log::frame::{HEADER_BYTES, Header, KIND_CONTINUED};
use crate::log::salvage::patch::{Mark, Patcher};
use crate::log::segment::{Name, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::log::survey::{Surveyed, read_header};
use crate::log::verify::Damage;
use crate::log::walk::{Window, unreadable};
use crate::position::{Position, Span};

/// Segments that are made anew for those that are missing, at most.
const MISSING_MAX: u64 = 10_000;
const SEARCH_BYTES: u64 = 1 << 20;
const UNIT: usize = 8;

/// The first and the last frame header that is whole in a file.
#[derive(Debug, Clone, Copy)]
struct Ends {
    first: Header,
    last: Header,
    file_bytes: u64,
}

/// The segments `ids` and those missing between them, each with a header that holds and fits to its neighbours.
///
/// # Errors
/// Damaged when no file says which store it belongs to, or files of several stores are together.
pub(super) fn whole_row(patcher: &mut Patcher, ids: &[u64]) -> Result<Vec<Surveyed>> {
    let (Some(oldest), Some(newest)) = (ids.first(), ids.last()) else {
        return Ok(Vec::new());
    };
    let missing = (newest - oldest).saturating_sub(ids.len() as u64 - 1);
    if missing > MISSING_MAX {
        return Err(Error::refused(format!("{missing} segments are missing"))
            .at(patcher.dir().display())
            .help("a file that is not of this log may have a segment's name: move it away"));
    }
    let store = store_of(patcher, ids)?;
    let mut row: Vec<Surveyed> = Vec::with_capacity(ids.len());
    for id in ids {
        let known = read_header(patcher.disk().as_ref(), patcher.dir(), *id);
        let at = match known {
            Ok(at) if at.header.store == store => at,
            Ok(at) => {
                return Err(Error::damaged("a segment of another store")
                    .at(at.path.display())
                    .help("keep the files of one store together"));
            }
            Err(_) => rebuilt(patcher, *id, store, row.last())?,
        };
        fill_gap(patcher, &mut row, at)?;
    }
    Ok(row)
}

/// Whose the log is, by the first header or frame that holds.
fn store_of(patcher: &Patcher, ids: &[u64]) -> Result<u64> {
    for id in ids {
        if let Ok(at) = read_header(patcher.disk().as_ref(), patcher.dir(), *id) {
            return Ok(at.header.store);
        }
    }
    for id in ids {
        if let Some(ends) = ends(patcher, *id, None)? {
            return Ok(ends.first.store);
        }
    }
    Err(Error::damaged("nothing in this log holds")
        .at(patcher.dir().display())
        .help("put a copy of the folder back"))
}

/// The header of a segment that has lost it.
fn rebuilt(
    patcher: &mut Patcher,
    id: u64,
    store: u64,
    before: Option<&Surveyed>,
) -> Result<Surveyed> {
    let is_oldest = before.is_none();
    let path = Name::Segment(id).path(patcher.dir());
    let own = ends(patcher, id, Some(store))?;
    let is_next = before.is_some_and(|before| before.header.id + 1 == id);
    let left = match before {
        Some(before) => ends(patcher, before.header.id, Some(store))?,
        None => None,
    };
    let beginning = own.filter(|own| own.first.offset == SEGMENT_HEADER_BYTES as u64);
    let continued = left.map(|left| left.last);
    let continued = continued.filter(|last| is_next && last.kind == KIND_CONTINUED);
    let first = continued
        .or(beginning.map(|own| own.first))
        .map(|header| header.first)
        // Without either it begins where what is left of the one before ends, and its beginning is lost.
        .or(left.filter(|_| is_next).map(|left| left.last.next()))
        .or(own.map(|own| own.first.first))
        .or(left.map(|left| left.last.next()));
    let floor = before.map_or(Position::FIRST, |before| before.header.first);
    let header = SegmentHeader {
        store,
        id,
        epoch: own
            .map(|own| own.first.epoch)
            .or(before.map(|before| before.header.epoch))
            .unwrap_or(1),
        // Bytes of another use may be behind its frames.
        recycled: true,
        first: first.unwrap_or(floor).max(floor),
        created_at: before
            .map(|before| before.header.created_at)
            .unwrap_or_default(),
        previous_end: match (continued, left) {
            (Some(continued), _) => continued.offset,
            // Room for a frame that says what was lost behind it.
            (None, Some(left)) => left.last.end() + HEADER_BYTES as u64,
            (None, None) => 0,
        },
        chain: continued
            .or(beginning.map(|own| own.first))
            .map(|header| header.chain)
            .or(left.map(|left| left.last.crc))
            .unwrap_or(0),
    };
    patcher.save(&path, 0, SEGMENT_HEADER_BYTES as u64)?;
    patcher.write(&path, &[header.encode()], 0)?;
    // Where the oldest segment began cannot be known when its first frame is gone too.
    let lost_from = match is_oldest && beginning.is_none() {
        true => Position::FIRST,
        false => header.first,
    };
    patcher.damages.push(Damage {
        path: path.clone(),
        offset: 0,
        span: Span::new(lost_from, header.first.previous()),
        what: "the header of this segment is damaged".to_owned(),
    });
    let bytes = own.map_or(SEGMENT_HEADER_BYTES as u64, |own| own.file_bytes);
    Ok(Surveyed {
        header,
        path,
        file_bytes: bytes,
    })
}

/// Adds `at` to the row, and before it what is missing, made anew.
fn fill_gap(patcher: &mut Patcher, row: &mut Vec<Surveyed>, mut at: Surveyed) -> Result<()> {
    while let Some(before) = row.last()
        && before.header.id + 1 < at.header.id
    {
        let made = made_anew(patcher, before, at.header.first)?;
        row.push(made.0);
        if made.1.segment + 1 == at.header.id {
            at.header.previous_end = made.1.offset;
            at.header.chain = made.1.chain;
            patcher.save(&at.path, 0, SEGMENT_HEADER_BYTES as u64)?;
            patcher.write(&at.path, &[at.header.encode()], 0)?;
        }
    }
    row.push(at);
    Ok(())
}

/// A segment in the place of one that is missing behind `before`, which says that everything up to `until` is lost.
fn made_anew(
    patcher: &mut Patcher,
    before: &Surveyed,
    until: Position,
) -> Result<(Surveyed, Mark)> {
    let (store, id) = (before.header.store, before.header.id + 1);
    let path = Name::Segment(id).path(patcher.dir());
    let left = ends(patcher, before.header.id, Some(store))?.map(|left| left.last);
    let continued = left.filter(|last| last.kind == KIND_CONTINUED);
    // Without that frame the segment before ends with its last frame, and what was behind is lost with this one.
    let end = left.map_or(SEGMENT_HEADER_BYTES as u64, |last| last.end());
    let header = SegmentHeader {
        store,
        id,
        epoch: left.map_or(before.header.epoch, |last| last.epoch),
        recycled: false,
        first: left.map_or(before.header.first, |last| last.next()),
        created_at: before.header.created_at,
        previous_end: continued.map_or(end, |continued| continued.offset),
        chain: continued.map_or(left.map_or(before.header.chain, |last| last.crc), |own| {
            own.chain
        }),
    };
    let mark = Mark {
        store,
        segment: id,
        epoch: header.epoch,
        offset: SEGMENT_HEADER_BYTES as u64,
        chain: header.chain,
        next: header.first,
    };
    let lost = Span::new(header.first, until.max(header.first).previous());
    let end = mark.offset + HEADER_BYTES as u64;
    patcher.create(&path, &header.encode())?;
    let mark = patcher.write_lost(&path, mark, end, lost)?;
    patcher.damages.push(Damage {
        path: path.clone(),
        offset: 0,
        span: lost,
        what: "this segment is missing".to_owned(),
    });
    let made = Surveyed {
        header,
        path,
        file_bytes: end,
    };
    Ok((made, mark))
}

/// The first and the last frame header of a segment's file that is whole; none when there is none.
fn ends(patcher: &Patcher, id: u64, store: Option<u64>) -> Result<Option<Ends>> {
    let path = Name::Segment(id).path(patcher.dir());
    let file = patcher.disk().open(&path, Access::Read);
    let file = file.map_err(|error| unreadable(&path, error))?;
    let file_bytes = file.bytes().map_err(|error| unreadable(&path, error))?;
    let mut window = Window::new(Arc::clone(&file));
    let mut ends: Option<Ends> = None;
    let mut at = SEGMENT_HEADER_BYTES as u64;
    while at < file_bytes {
        let step = (file_bytes - at).min(SEARCH_BYTES);
        let bytes = window.read(at, step as usize, file_bytes);
        let Some(bytes) = bytes.map_err(|error| unreadable(&path, error))? else {
            break;
        };
        let units = bytes.get(..step as usize).unwrap_or_default().chunks(UNIT);
        for (index, unit) in units.enumerate() {
            if !Header::may_start(unit) {
                continue;
            }
            let offset = at + (index * UNIT) as u64;
            let mut header = [0; HEADER_BYTES];
            let read = crate::log::disk::read_full(file.as_ref(), &mut header, offset);
            read.map_err(|error| unreadable(&path, error))?;
            let header = Header::decode(&header).filter(|header| {
                header.segment == id
                    && header.offset == offset
                    && store.is_none_or(|store| store == header.store)
            });
            if let Some(header) = header {
                let first = ends.map_or(header, |ends| ends.first);
                ends = Some(Ends {
                    first,
                    last: header,
                    file_bytes,
                });
            }
        }
        at += step;
    }
    Ok(ends)
}
