//! Saving what holds of a log that is damaged: the only thing that changes acknowledged data, and only when
//! somebody asks for it.
//!
//! A stretch of a segment that does not hold is replaced, in its place, by a frame that says so
//! ([`KIND_LOST`](crate::log::frame::KIND_LOST)) and takes the positions that were in it: everything else stays where it is, with the position that it
//! has. What is replaced is copied to `salvaged/` first, byte by byte. A segment that is missing is made anew with
//! nothing but such frames; a committed transaction whose file does not hold is lost as a whole, and its file is kept in
//! `salvaged/` too. At the end a new segment is begun, with the state folded from all frames that hold, so that opening
//! needs nothing of what was damaged.
//!
//! Stopped at any point it can be begun again: what was replaced holds by then.

mod headers;
mod patch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::SystemClock;
use crate::error::{Error, Result};
use crate::log::active::Birth;
use crate::log::disk::{Access, Disk, SystemDisk};
use crate::log::frame::{
    Frame, HEADER_BYTES, Header, KIND_CONTINUED, KIND_HEARTBEAT, KIND_LOST, KIND_OPENED,
    KIND_SNAPSHOT, KIND_SNAPSHOT_PIECE,
};
use crate::log::mend::unavailable;
use crate::log::recovery::prepare;
use crate::log::reserve::NoRoom;
use crate::log::scan::Rest;
use crate::log::segment::{Name, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::log::snapshot::{Fold, Snapshot, StageTable};
use crate::log::survey::{Surveyed, survey};
use crate::log::verify::{Damage, check_staged};
use crate::log::walk::{Found, Walk, Window, unreadable};
use crate::log::{LogOptions, SyncMode};
use crate::position::{Position, Span};
use crate::spans::Spans;
use patch::{Mark, Patcher};

/// What salvaging found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvage {
    /// What did not hold, in order; empty when nothing was changed. The spans are the positions that are lost.
    pub damages: Vec<Damage>,
    /// All positions in the place of which the log says that they are lost, in order: by this salvage, and by earlier
    /// ones, which may have been stopped before they could tell.
    pub given_up: Vec<Span>,
    /// Frames of callers that were kept.
    pub frames: u64,
    /// Positions in them.
    pub positions: u64,
    /// Where the bytes are that were replaced.
    pub saved_to: Option<PathBuf>,
}

impl Salvage {
    /// The positions that this salvage found lost, in order. Where a log began whose oldest segment has lost its
    /// beginning nobody knows: then these begin at the first of all positions.
    pub fn lost(&self) -> impl Iterator<Item = Span> {
        let spans = self.damages.iter().map(|damage| damage.span);
        spans.filter(|span| !span.is_empty())
    }

    /// The positions that earlier salvages gave up, in order.
    pub fn lost_before(&self) -> impl Iterator<Item = Span> {
        let lost: Spans = self.lost().collect();
        let given_up = self.given_up.iter().copied();
        given_up.filter(move |span| !lost.intersects(*span))
    }
}

/// Saves what holds of the log in `dir`, which nobody may have open; `fold` starts empty. A log that is sound is
/// left as it is.
///
/// # Errors
/// Refused when another process owns the log; invalid when there is none; damaged when nothing in it says whose it
/// is; unavailable when the disk fails, after which it may be begun again.
pub fn salvage<F: Fold>(dir: impl AsRef<Path>, fold: F) -> Result<Salvage> {
    salvage_on(dir.as_ref(), SystemDisk::shared(), fold)
}

pub(crate) fn salvage_on<F: Fold>(dir: &Path, disk: Arc<dyn Disk>, fold: F) -> Result<Salvage> {
    let found = survey(disk.as_ref(), dir)?;
    if found.segments.is_empty() {
        return Err(Error::invalid("there is no log in this folder").at(dir.display()));
    }
    let _lock = prepare(dir, disk.as_ref())?;
    let mut patcher = Patcher::new(dir, Arc::clone(&disk));
    let mut segments = headers::whole_row(&mut patcher, &found.segments)?;
    let mut saving = Saving {
        disk,
        patcher,
        fold,
        stages: StageTable::default(),
        stages_kept: BTreeSet::new(),
        is_whole: false,
        result: Salvage::default(),
    };
    let mut end = None;
    for index in 0..segments.len() {
        let (done, rest) = segments.split_at_mut(index + 1);
        if let Some(at) = done.last() {
            end = Some(saving.segment(at, rest.first_mut())?);
        }
    }
    match end {
        // Without damage the state lacks something only behind a salvage that was interrupted.
        Some(end) if !saving.patcher.damages.is_empty() || !saving.is_whole => {
            saving.begin_anew(&end)
        }
        _ => Ok(saving.result),
    }
}

struct Saving<F> {
    disk: Arc<dyn Disk>,
    patcher: Patcher,
    fold: F,
    stages: StageTable,
    /// Those whose commits and files hold.
    stages_kept: BTreeSet<u64>,
    /// Whether the state has everything up to here; if not, the next snapshot brings it.
    is_whole: bool,
    result: Salvage,
}

/// One segment on its way to holding.
struct Course {
    walk: Walk,
    /// Header checksum of the frame before.
    chain: u32,
    snapshot: Opening,
    /// Whether no segment follows.
    is_last: bool,
    /// The first position of the one that follows.
    after: Option<Position>,
}

/// The snapshot that a segment opens with.
enum Opening {
    /// Its pieces so far.
    Pieces(Vec<u8>),
    /// A part of it is lost, so it is none.
    Broken,
    /// It is passed.
    Passed,
}

impl Course {
    fn mark(&self) -> Mark {
        Mark {
            store: self.walk.store,
            segment: self.walk.segment,
            epoch: self.walk.epoch,
            offset: self.walk.offset,
            chain: self.chain,
            next: self.walk.next.unwrap_or_default(),
        }
    }
}

impl<F: Fold> Saving<F> {
    /// Makes one segment hold from its beginning to its end, and says where that is.
    fn segment(
        &mut self,
        at: &Surveyed,
        next: Option<&mut Surveyed>,
    ) -> Result<(SegmentHeader, Mark)> {
        let file = self.disk.open(&at.path, Access::Write);
        let file = file.map_err(|error| unreadable(&at.path, error))?;
        let bytes = file.bytes().map_err(|error| unreadable(&at.path, error))?;
        let mut course = Course {
            walk: Walk {
                path: at.path.clone(),
                store: at.header.store,
                segment: at.header.id,
                offset: SEGMENT_HEADER_BYTES as u64,
                // What the next one says may be more than there ever was.
                limit: match &next {
                    Some(next) => next.header.previous_end.min(bytes - bytes % 8),
                    None => bytes - bytes % 8,
                },
                chain: Some(at.header.chain),
                next: Some(at.header.first),
                epoch: at.header.epoch,
                window: Window::new(file),
            },
            chain: at.header.chain,
            snapshot: Opening::Pieces(Vec::new()),
            is_last: next.is_none(),
            after: next.as_ref().map(|next| next.header.first),
        };
        while let Some(flaw) = self.frames(&mut course)? {
            if !self.replace(&mut course, flaw)? {
                break;
            }
        }
        if course.is_last && !matches!(course.snapshot, Opening::Passed) {
            self.patcher.damages.push(Damage {
                path: at.path.clone(),
                offset: course.walk.offset,
                span: Span::new(course.mark().next, course.mark().next.previous()),
                what: "the segment ends before its snapshot does".to_owned(),
            });
        }
        if let Some(next) = next {
            self.seam(&course, next)?;
        }
        self.fold.seal(at.header.id);
        Ok((at.header, course.mark()))
    }

    /// Has the next segment follow this one, when it does not: something between them is lost.
    fn seam(&mut self, course: &Course, next: &mut Surveyed) -> Result<()> {
        let mark = course.mark();
        let chains = course
            .walk
            .chain
            .is_none_or(|chain| chain == next.header.chain);
        let meets = mark.offset == next.header.previous_end;
        if chains && meets && mark.next == next.header.first {
            return Ok(());
        }
        if mark.next > next.header.first {
            let what = format!(
                "it begins at position {}, before the segment before it ends",
                next.header.first
            );
            return Err(Error::damaged(what).at(next.path.display()).help(
                "one of the two files is from another time: move it away, and run this again",
            ));
        }
        let lost = Span::new(mark.next, next.header.first.previous());
        let end = self.patcher.write_lost(
            &course.walk.path,
            mark,
            mark.offset + HEADER_BYTES as u64,
            lost,
        )?;
        next.header.previous_end = end.offset;
        self.patcher
            .save(&next.path, 0, SEGMENT_HEADER_BYTES as u64)?;
        self.patcher.write(&next.path, &[next.header.encode()], 0)?;
        self.patcher.damages.push(Damage {
            path: next.path.clone(),
            offset: 0,
            span: lost,
            what: "it does not follow the segment before".to_owned(),
        });
        self.give_up(lost);
        self.is_whole = false;
        Ok(())
    }

    /// Goes on over frames that hold, up to the end or to a flaw.
    fn frames(&mut self, course: &mut Course) -> Result<Option<Flaw>> {
        loop {
            let header = match course.walk.header()? {
                Found::Frame(header) => header,
                Found::End => return Ok(None),
                Found::Bad(why) => return Ok(Some(Flaw::bytes(why))),
            };
            let Some(body) = course.walk.body(&header)? else {
                return Ok(Some(Flaw::bytes("the checksum of a frame does not match")));
            };
            if header.kind == KIND_CONTINUED {
                return Ok(course.is_last.then_some(Flaw::Followed(header)));
            }
            check_known(course, &header)?;
            if let Err(error) = self.take(course, &header, body) {
                return Ok(Some(Flaw::Frame(header, error.report())));
            }
            course.chain = header.crc;
            course.walk.pass(&header);
        }
    }

    /// Takes a frame into the state and the count.
    fn take(&mut self, course: &mut Course, header: &Header, body: Bytes) -> Result<()> {
        match header.kind {
            KIND_SNAPSHOT_PIECE | KIND_SNAPSHOT if matches!(course.snapshot, Opening::Passed) => {
                Err(Error::damaged("a snapshot where there was one already"))
            }
            KIND_SNAPSHOT_PIECE => {
                if let Opening::Pieces(pieces) = &mut course.snapshot {
                    pieces.extend_from_slice(&body);
                }
                Ok(())
            }
            KIND_SNAPSHOT => {
                let opening = std::mem::replace(&mut course.snapshot, Opening::Passed);
                if let Opening::Pieces(mut whole) = opening
                    && !self.is_whole
                {
                    whole.extend_from_slice(&body);
                    self.stages = StageTable::restore(&whole, &mut self.fold)?;
                    self.is_whole = true;
                }
                Ok(())
            }
            // Left by this salvage, or by an earlier one.
            KIND_LOST => {
                self.miss(course);
                self.give_up(header.span());
                Ok(())
            }
            _ if header.is_internal() => Ok(()),
            _ => self.fold(header, body, course.is_last),
        }
    }

    fn fold(&mut self, header: &Header, body: Bytes, is_last: bool) -> Result<()> {
        let frame = Frame::assemble(header, body)
            .ok_or_else(|| Error::damaged("a commit that names no staged file"))?;
        if let Some(staged) = &frame.staged {
            let checked = check_staged(self.patcher.dir(), &self.disk, header.store, &frame);
            checked.map_err(|(error, _)| error)?;
            self.stages.commit(header.segment, staged);
            self.stages_kept.insert(staged.id);
        }
        match self.fold.apply(&frame.by_ref()) {
            // It speaks of something that is lost, and no later snapshot makes up for that.
            Err(error) if is_last => return Err(error),
            // The snapshot of the next segment has what this one did.
            _ => {}
        }
        self.result.frames += 1;
        self.result.positions += u64::from(frame.count);
        Ok(())
    }

    /// Puts frames that say what is lost where something does not hold; false where nothing was ever
    /// acknowledged.
    fn replace(&mut self, course: &mut Course, flaw: Flaw) -> Result<bool> {
        let first = course.walk.next.unwrap_or_default();
        let (end, until, what) = match flaw {
            // How many positions were in the segments that followed nobody knows any more, so as many as one
            // frame can take are never given again.
            Flaw::Followed(header) => {
                let until = header.first.plus(u64::from(u32::MAX));
                (
                    header.end(),
                    until,
                    "the segments after this one are missing".to_owned(),
                )
            }
            Flaw::Frame(header, what) => (header.end(), header.next(), what),
            Flaw::Bytes(what) => {
                let rest = Rest::search(&mut course.walk)?;
                let is_passed = matches!(course.snapshot, Opening::Passed);
                let is_torn = course.is_last && is_passed && !rest.vouches();
                if is_torn {
                    return Ok(false);
                }
                let behind = rest.following().map(|header| (header.offset, header.first));
                let room = course.walk.limit.saturating_sub(course.walk.offset);
                if behind.is_none() && room < HEADER_BYTES as u64 {
                    // No frame was ever here, and none that says so has room.
                    return Ok(false);
                }
                let end = (course.walk.limit, course.after.unwrap_or(first));
                let (end, until) = behind.unwrap_or(end);
                (end, until.max(first), what)
            }
        };
        let lost = Span::new(first, until.previous());
        let mark = course.mark();
        self.patcher.lose(&mut course.walk, mark, end, lost, what)?;
        self.miss(course);
        Ok(true)
    }

    fn give_up(&mut self, lost: Span) {
        if !lost.is_empty() {
            self.result.given_up.push(lost);
        }
    }

    /// Something is missing here: from the state, and from the snapshot if this is in it.
    fn miss(&mut self, course: &mut Course) {
        self.is_whole = false;
        if let Opening::Pieces(_) = course.snapshot {
            course.snapshot = Opening::Broken;
        }
    }

    /// Lets go of transactions whose commits or files do not hold. What is there of their files is kept beside the
    /// log: opening removes those without a commit.
    fn drop_stages(&mut self) -> Result<()> {
        let kept = &self.stages_kept;
        self.stages.staged.retain(|id, _| kept.contains(id));
        let there = survey(self.disk.as_ref(), self.patcher.dir())?.stages;
        for id in there.iter().filter(|id| !kept.contains(id)) {
            self.patcher
                .save(&Name::Stage(*id).path(self.patcher.dir()), 0, u64::MAX)?;
        }
        Ok(())
    }

    /// Begins the segment after the last, with the state, so that opening needs nothing of what was damaged.
    fn begin_anew(mut self, end: &(SegmentHeader, Mark)) -> Result<Salvage> {
        let (last, mark) = end;
        let dir = self.patcher.dir().to_owned();
        let newest = survey(self.disk.as_ref(), &dir)?.stages.pop().unwrap_or(0);
        self.stages.next_stage = self.stages.next_stage.max(newest + 1);
        self.drop_stages()?;
        let options = LogOptions::default();
        let id = mark.segment.checked_add(1).ok_or_else(|| {
            Error::refused("no segment can follow the last of all numbers")
                .at(Name::Segment(mark.segment).path(&dir).display())
                .help("a file that is not of this log may have a segment's name: move it away")
        })?;
        let header = SegmentHeader {
            store: mark.store,
            id,
            epoch: mark.epoch,
            recycled: false,
            first: mark.next,
            created_at: SystemClock::shared().now().max(last.created_at),
            previous_end: mark.offset,
            chain: mark.chain,
        };
        let birth = Birth {
            disk: self.disk.as_ref(),
            room: &NoRoom,
            dir: &dir,
            header,
            snapshot: Snapshot::new(&self.stages, &self.fold),
            snapshot_frame_bytes: options.snapshot_frame_bytes,
            spare: None,
            planned_bytes: options.segment_bytes,
            sync: SyncMode::Always,
        };
        birth.create().map_err(|fence| unavailable(&fence))?;
        let path = Name::Segment(mark.segment).path(&dir);
        self.patcher.write(
            &path,
            &[mark.frame(KIND_CONTINUED, 0, 0).encode()],
            mark.offset,
        )?;
        self.result.damages = std::mem::take(&mut self.patcher.damages);
        self.result.saved_to = Some(self.patcher.saved_to());
        Ok(self.result)
    }
}

/// What a later version wrote is not for this one to judge.
fn check_known(course: &Course, header: &Header) -> Result<()> {
    let own = [
        KIND_SNAPSHOT_PIECE,
        KIND_SNAPSHOT,
        KIND_OPENED,
        KIND_HEARTBEAT,
        KIND_LOST,
    ];
    match !header.is_internal() || own.contains(&header.kind) {
        true => Ok(()),
        false => Err(Error::refused(format!(
            "a frame of kind {}, which this program does not know",
            header.kind
        ))
        .at(format!(
            "{} at byte {}",
            course.walk.path.display(),
            header.offset
        ))
        .help("use the program version that wrote it, or a later one")),
    }
}

/// What does not hold.
enum Flaw {
    /// From here on, and why.
    Bytes(String),
    /// A frame that itself holds refers to something that does not.
    Frame(Header, String),
    /// The last segment says that another follows it.
    Followed(Header),
}

impl Flaw {
    fn bytes(why: &str) -> Flaw {
        Flaw::Bytes(why.to_owned())
    }
}
