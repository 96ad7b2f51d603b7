//! Reading durable frames in order.
//!
//! A reader walks the segments' files with large reads and remembers where it is, so going on costs
//! nothing. It holds at most 512 KiB besides the frames it gave out; those share its buffer when
//! they fill a good part of it and are copied when they do not.

use std::io::ErrorKind;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::log::catalog::{Lease, Segment, Shared};
use crate::log::disk::Access;
use crate::log::durable::lock;
use crate::log::frame::{Frame, Header};
use crate::log::segment::{Name, SEGMENT_HEADER_BYTES};
use crate::log::walk::{Found, Walk, Window, unreadable};
use crate::position::{Position, Span};

/// A frame smaller than this is copied out of the read buffer, lest it keep all of it in memory.
const COPY_BYTES_MAX: usize = 16 << 10;

/// Reads durable frames in order, never one that is not durable.
///
/// Given out are all frames whose last position is not before `from`, and frames without positions
/// whose `first` is not before it: those that were appended after the event before `from`.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    from: Position,
    kinds: Option<Kinds>,
    at: Option<Place>,
    /// Whether it ends with the segment it is in.
    stays: bool,
}

/// The segment being read.
#[derive(Debug)]
struct Place {
    walk: Walk,
    lease: Lease,
    /// Up to where the segment's index was fed.
    noted: u64,
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, Default)]
struct Kinds([u128; 2]);

impl Kinds {
    fn add(&mut self, kind: u8) {
        if let Some(half) = self.0.get_mut(usize::from(kind >> 7)) {
            *half |= 1 << (kind & 127);
        }
    }

    fn has(&self, kind: u8) -> bool {
        let half = self.0.get(usize::from(kind >> 7));
        half.is_some_and(|half| half & (1 << (kind & 127)) != 0)
    }
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, from: Position) -> Reader {
        Reader {
            shared,
            from,
            kinds: None,
            at: None,
            stays: false,
        }
    }

    /// Reads one segment only.
    pub(super) fn of_segment(shared: Arc<Shared>, id: u64) -> Result<Reader> {
        let place = {
            let mut catalog = lock(&shared.catalog);
            let segment = catalog
                .get_mut(id)
                .ok_or_else(|| Error::invalid(format!("segment {id} was dropped by retention")))?;
            Place::open(&shared, segment)?
        };
        Ok(Reader {
            at: Some(place),
            stays: true,
            ..Reader::new(shared, Position::ZERO)
        })
    }

    /// Gives out frames of these kinds only; the bodies of others are not read.
    #[must_use]
    pub fn want(mut self, kinds: &[u8]) -> Reader {
        let mut wanted = Kinds::default();
        for kind in kinds {
            wanted.add(*kind);
        }
        self.kinds = Some(wanted);
        self
    }

    /// The next durable frame; `None` when there is none yet: ask again when the watermark moved.
    ///
    /// # Errors
    /// Damaged when a frame does not hold; invalid when retention dropped what comes next; unavailable
    /// when the disk cannot be read, after which it may be asked again.
    #[expect(
        clippy::should_implement_trait,
        reason = "an error is not an item, and `None` is not the end"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            let wanted = self.wanted();
            let Some(place) = self.place()? else {
                return Ok(None);
            };
            let header = match place.walk.header()? {
                Found::Frame(header) => header,
                Found::Bad(why) => return Err(place.damaged(why, None)),
                // `place` gave a walk that is not at its end.
                Found::End => continue,
            };
            if !wanted(&header) {
                place.walk.skip(&header);
                self.note(&header);
                continue;
            }
            let Some(body) = place.walk.body(&header)? else {
                return Err(place.damaged("the checksum of a frame does not match", Some(&header)));
            };
            let body = match body.len() < COPY_BYTES_MAX {
                true => Bytes::copy_from_slice(&body),
                false => body,
            };
            let frame = Frame::assemble(&header, body)
                .ok_or_else(|| place.damaged("a commit that names no file", Some(&header)))?;
            place.walk.pass(&header);
            self.note(&header);
            return Ok(Some(frame));
        }
    }

    fn wanted(&self) -> impl Fn(&Header) -> bool + use<> {
        let (from, kinds) = (self.from, self.kinds);
        move |header| {
            let reaches = match header.count {
                0 => header.first >= from,
                _ => header.span().last >= from,
            };
            // Of the log's own frames only those that are asked for.
            let is_wanted = kinds.map_or(!header.is_internal(), |kinds| kinds.has(header.kind));
            reaches && is_wanted
        }
    }

    /// Where the next frame is, if there is a durable one.
    fn place(&mut self) -> Result<Option<&mut Place>> {
        if self.at.is_none() {
            self.at = Some(self.enter()?);
        }
        while let Some(place) = &mut self.at {
            if place.walk.offset < place.walk.limit || place.extend(&self.shared) {
                break;
            }
            if place.lease.get().is_none() || self.stays {
                return Ok(None);
            }
            let next = place.follow(&self.shared)?;
            self.at = Some(next);
        }
        Ok(self.at.as_mut())
    }

    /// The place to start from.
    fn enter(&self) -> Result<Place> {
        let catalog = lock(&self.shared.catalog);
        let oldest = catalog.segments.front().map(|front| front.header.first);
        if let Some(oldest) = oldest.filter(|oldest| self.from.max(Position::FIRST) < *oldest) {
            let lost = Span::new(self.from.max(Position::FIRST), oldest.previous());
            return Err(dropped(lost));
        }
        let Some(segment) = catalog.holding(self.from) else {
            return Err(Error::stopped("the log has no segments"));
        };
        let mut place = Place::open(&self.shared, segment)?;
        if let Some(offset) = segment.seek(self.from) {
            place.walk.offset = offset;
            place.walk.chain = None;
            place.walk.next = None;
        }
        Ok(place)
    }

    /// Feeds the index of a segment that was not written by this process.
    fn note(&mut self, header: &Header) {
        let Some(place) = &mut self.at else {
            return;
        };
        if header.offset >= place.noted {
            place.noted = header.offset + Segment::INDEX_STEP_BYTES;
            if let Some(segment) = lock(&self.shared.catalog).get_mut(place.walk.segment) {
                segment.note(header.first, header.offset);
            }
        }
    }
}

impl Place {
    fn open(shared: &Shared, segment: &Segment) -> Result<Place> {
        let header = &segment.header;
        let path = Name::Segment(header.id).path(&shared.dir);
        let file = shared.disk.open(&path, Access::Read);
        let file = file.map_err(|error| match error.kind() {
            ErrorKind::NotFound => dropped(Span::starting(header.first, 1)),
            _ => unreadable(&path, error),
        })?;
        Ok(Place {
            walk: Walk {
                path,
                store: header.store,
                segment: header.id,
                offset: SEGMENT_HEADER_BYTES as u64,
                limit: 0,
                chain: Some(header.chain),
                next: Some(header.first),
                epoch: header.epoch,
                window: Window::new(file),
            },
            lease: Arc::clone(&segment.lease),
            noted: 0,
        })
    }

    /// Looks how far the segment is durable by now; whether that is further than the place.
    fn extend(&mut self, shared: &Shared) -> bool {
        let end = shared.durable.end();
        // Asked after the watermark: when that is in a later segment, this one has its end.
        let sealed = self.lease.get().copied();
        let own = (end.segment == self.walk.segment).then_some(end.offset);
        self.walk.limit = sealed.or(own).unwrap_or(self.walk.limit);
        self.walk.offset < self.walk.limit
    }

    /// The segment after this one, which is read to its end.
    fn follow(&self, shared: &Shared) -> Result<Place> {
        let mut catalog = lock(&shared.catalog);
        let next = self.walk.next.unwrap_or_default();
        let Some(segment) = catalog.get_mut(self.walk.segment + 1) else {
            return Err(dropped(Span::starting(next, 1)));
        };
        let place = Place::open(shared, segment)?;
        let follows = self
            .walk
            .next
            .is_none_or(|next| Some(next) == place.walk.next)
            && self
                .walk
                .chain
                .is_none_or(|chain| Some(chain) == place.walk.chain);
        match follows {
            true => Ok(place),
            false => Err(place.damaged("it does not follow the segment before", None)),
        }
    }

    fn damaged(&self, why: &str, header: Option<&Header>) -> Error {
        let first = self.walk.next.unwrap_or_default();
        let lost = match header {
            Some(header) => header.span(),
            None => Span::new(first, first),
        };
        self.walk.damaged(why, lost)
    }
}

fn dropped(lost: Span) -> Error {
    let first = lost.first;
    Error::invalid(format!("position {first} was dropped by retention"))
        .help("read from the oldest position that is kept")
}
