//! Checking a whole log from end to end: every header, frame and chunk.
//!
//! Opening trusts complete segments and reading checks what it reads; this reads everything, goes on
//! behind damage, and lists all of it. It changes nothing and needs no lock.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::catalog::{Catalog, Shared};
use crate::log::disk::{Access, Disk, SystemDisk};
use crate::log::durable::Durable;
use crate::log::frame::{Frame, Header, KIND_CONTINUED, KIND_LOST};
use crate::log::recovery::Torn;
use crate::log::scan::Rest;
use crate::log::segment::{Name, SEGMENT_HEADER_BYTES};
use crate::log::stage::StagedReader;
use crate::log::survey::{Surveyed, check_pair, read_header, survey};
use crate::log::walk::{Found, Walk, Window, unreadable};
use crate::position::{Position, Span};

/// Data that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// The positions it concerns; empty when only the log's own records are.
    pub span: Span,
    /// What is wrong.
    pub what: String,
}

/// What was checked and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Segments.
    pub segments: u64,
    /// Frames of callers that hold.
    pub frames: u64,
    /// Positions in frames that hold.
    pub positions: u64,
    /// Bytes of segments in use.
    pub bytes: u64,
    /// Committed staged files that hold.
    pub staged_files: u64,
    /// Their bytes.
    pub staged_bytes: u64,
    /// All damage, in order.
    pub damages: Vec<Damage>,
    /// Positions that were lost to damage and given up when the log was salvaged, in order.
    pub lost: Vec<Span>,
    /// A write in flight, or one that was cut off; no damage.
    pub torn: Option<Torn>,
}

impl Verification {
    /// Whether everything acknowledged is there.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damages.is_empty()
    }
}

/// Checks the log in `dir`; damage is in the result.
///
/// # Errors
/// Invalid when there is no log; unavailable when the disk cannot be read.
pub fn verify(dir: impl AsRef<Path>) -> Result<Verification> {
    verify_on(dir.as_ref(), SystemDisk::shared())
}

pub(super) fn verify_on(dir: &Path, disk: Arc<dyn Disk>) -> Result<Verification> {
    let found = survey(disk.as_ref(), dir)?;
    if found.segments.is_empty() {
        return Err(Error::invalid("there is no log in this folder").at(dir.display()));
    }
    let mut check = Check {
        dir,
        disk,
        result: Verification::default(),
    };
    let segments = check.headers(&found.segments);
    for (index, at) in segments.iter().enumerate() {
        check.segment(at, segments.get(index + 1))?;
    }
    Ok(check.result)
}

struct Check<'a> {
    dir: &'a Path,
    disk: Arc<dyn Disk>,
    result: Verification,
}

impl Check<'_> {
    /// The segments whose headers hold.
    fn headers(&mut self, ids: &[u64]) -> Vec<Surveyed> {
        let mut segments: Vec<Surveyed> = Vec::new();
        let mut reported = BTreeSet::new();
        for id in ids {
            let last = segments.last();
            let first = last.map_or(Position::FIRST, |before| before.header.first);
            let at = match read_header(self.disk.as_ref(), self.dir, *id) {
                Ok(at) => at,
                Err(error) => {
                    self.report(&error, *id, Span::new(first, Position::MAX));
                    reported.insert(*id);
                    continue;
                }
            };
            let held = last.map_or(Ok(()), |before| check_pair(self.dir, before, &at));
            let between = last.map_or(*id, |before| before.header.id + 1)..*id;
            // A gap left by damaged headers is reported already.
            let is_known = !between.is_empty() && between.clone().all(|id| reported.contains(&id));
            if let Err(error) = held
                && !is_known
            {
                self.report(&error, *id, Span::new(first, at.header.first.previous()));
            }
            segments.push(at);
        }
        segments
    }

    fn report(&mut self, error: &Error, id: u64, span: Span) {
        self.result.damages.push(Damage {
            path: Name::Segment(id).path(self.dir),
            offset: 0,
            span,
            what: error.report(),
        });
    }

    fn segment(&mut self, at: &Surveyed, next: Option<&Surveyed>) -> Result<()> {
        let file = self.disk.open(&at.path, Access::Read);
        let file = file.map_err(|error| unreadable(&at.path, error))?;
        let next = next.filter(|next| next.header.id == at.header.id + 1);
        let mut walk = Walk {
            path: at.path.clone(),
            store: at.header.store,
            segment: at.header.id,
            offset: SEGMENT_HEADER_BYTES as u64,
            limit: next.map_or(at.file_bytes, |next| next.header.previous_end),
            chain: Some(at.header.chain),
            next: Some(at.header.first),
            epoch: at.header.epoch,
            window: Window::new(file),
        };
        self.result.segments += 1;
        while let Some(why) = self.frames(&mut walk)? {
            let rest = Rest::search(&mut walk)?;
            // Whatever follows a complete segment says that it was complete.
            let lost = match next {
                Some(_) => true,
                None => rest.vouches() || walk.offset == SEGMENT_HEADER_BYTES as u64,
            };
            if !lost {
                let bytes = rest.torn_bytes(&walk, at.header.recycled);
                self.result.torn = (bytes > 0).then(|| Torn {
                    path: at.path.clone(),
                    segment: at.header.id,
                    offset: walk.offset,
                    bytes,
                });
                break;
            }
            let after = next.map(|next| next.header.first);
            if !self.go_on_behind(&mut walk, &rest, why, after) {
                break;
            }
        }
        if let Some(next) = next {
            self.seam(&walk, next);
        }
        // The next segment may say anything of where this one ends.
        self.result.bytes += walk.offset.min(at.file_bytes);
        Ok(())
    }

    /// Whether `next` begins where the frames of the segment before it end: two files that each hold by themselves may be of
    /// different times. Behind damage nothing is known, and it is reported already.
    fn seam(&mut self, walk: &Walk, next: &Surveyed) {
        let follows = walk.chain.is_none_or(|chain| chain == next.header.chain)
            && walk.next.is_none_or(|first| first == next.header.first);
        if !follows {
            let lost = Span::new(next.header.first, Position::MAX);
            self.result.damages.push(Damage {
                path: next.path.clone(),
                offset: 0,
                span: lost,
                what: "it does not follow the segment before; one of the two is from another time"
                    .to_owned(),
            });
        }
    }

    /// Walks up to the end or to something that does not hold, and says why it does not.
    fn frames(&mut self, walk: &mut Walk) -> Result<Option<&'static str>> {
        loop {
            let header = match walk.header()? {
                Found::Frame(header) => header,
                Found::End => return Ok(None),
                Found::Bad(why) => return Ok(Some(why)),
            };
            let Some(body) = walk.body(&header)? else {
                return Ok(Some("the checksum of a frame does not match"));
            };
            if header.kind == KIND_CONTINUED {
                // Only met in a segment that no other follows.
                let what = "the segment after this one is missing";
                self.damage(walk, Span::new(header.first, Position::MAX), what);
            }
            if header.kind == KIND_LOST && header.count > 0 {
                self.result.lost.push(header.span());
            }
            if !header.is_internal() {
                self.frame(walk, &header, body);
            }
            walk.pass(&header);
        }
    }

    fn frame(&mut self, walk: &Walk, header: &Header, body: bytes::Bytes) {
        self.result.frames += 1;
        self.result.positions += u64::from(header.count);
        let Some(frame) = Frame::assemble(header, body) else {
            return self.damage(walk, header.span(), "a commit that names no file");
        };
        if let Some(staged) = &frame.staged {
            match check_staged(self.dir, &self.disk, header.store, &frame) {
                Ok(()) => {
                    self.result.staged_files += 1;
                    self.result.staged_bytes += staged.bytes;
                }
                Err((error, offset)) => self.result.damages.push(Damage {
                    path: Name::Stage(staged.id).path(self.dir),
                    offset,
                    span: frame.span(),
                    what: error.report(),
                }),
            }
        }
    }

    /// Notes the damage and puts the walk behind it; false when nothing in this segment follows.
    fn go_on_behind(
        &mut self,
        walk: &mut Walk,
        rest: &Rest,
        why: &str,
        after: Option<Position>,
    ) -> bool {
        let first = walk.next.unwrap_or_default();
        let following = rest.following();
        let next = following.map(|header| header.first).or(after);
        let last = next.unwrap_or(first).previous();
        self.damage(walk, Span::new(first, last), why);
        let Some(header) = following else {
            walk.offset = walk.limit;
            walk.chain = None;
            walk.next = None;
            return false;
        };
        walk.offset = header.offset;
        walk.chain = None;
        // Known again: if this frame's body does not hold either, it is this one that is lost.
        walk.next = Some(header.first);
        true
    }

    fn damage(&mut self, walk: &Walk, span: Span, what: &str) {
        self.result.damages.push(Damage {
            path: walk.path.clone(),
            offset: walk.offset,
            span,
            what: what.to_owned(),
        });
    }
}

/// Reads the whole staged file that `commit` made part of the log of `store`.
///
/// # Errors
/// What does not hold, and where in the file.
pub(super) fn check_staged(
    dir: &Path,
    disk: &Arc<dyn Disk>,
    store: u64,
    commit: &Frame,
) -> Result<(), (Error, u64)> {
    let (catalog, durable) = (Catalog::default(), Durable::default());
    let shared = Shared::read_only(Arc::clone(disk), dir, store, catalog, durable);
    let mut reader = StagedReader::open(&shared, commit).map_err(|error| (error, 0))?;
    loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(error) => return Err((error, reader.offset())),
        }
    }
}
