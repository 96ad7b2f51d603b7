//! Reading the last segment at opening: up to where it holds, and what to make of the rest.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::disk::{Access, Disk, DiskFile};
use crate::log::frame::{
    HEADER_BYTES, Header, KIND_CONTINUED, KIND_HEARTBEAT, KIND_LOST, KIND_OPENED, KIND_SNAPSHOT,
    KIND_SNAPSHOT_PIECE,
};
use crate::log::segment::SEGMENT_HEADER_BYTES;
use crate::log::snapshot::{Fold, StageTable};
use crate::log::survey::Surveyed;
use crate::log::walk::{Found, Walk, Window, damaged, unreadable};
use crate::log::{catalog::Segment, frame::Frame};
use crate::position::{Position, Span};

/// Bytes looked at in one go when searching for frames behind one that does not hold.
const SEARCH_BYTES: usize = 1 << 20;
const UNIT: usize = 8;

/// The last segment, as far as it holds.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) file: Arc<dyn DiskFile>,
    /// Where the next frame goes.
    pub(super) end: u64,
    /// Up to where a later frame says it was durable.
    pub(super) vouched: u64,
    /// Bytes behind `end` that were being written when the writer stopped.
    pub(super) torn_bytes: u64,
    pub(super) next: Position,
    pub(super) chain: u32,
    pub(super) epoch: u32,
    pub(super) frames: u64,
    pub(super) stages: StageTable,
    /// The pieces of the snapshot so far; none when it is complete.
    snapshot: Option<Vec<u8>>,
}

/// Walks the last segment, folding its frames.
///
/// # Errors
/// Damaged when acknowledged data does not hold.
pub(super) fn scan(
    disk: &dyn Disk,
    at: &Surveyed,
    segment: &mut Segment,
    fold: &mut dyn Fold,
    access: Access,
) -> Result<Scanned> {
    let file = disk.open(&at.path, access);
    let file = file.map_err(|error| unreadable(&at.path, error))?;
    let mut walk = Walk {
        path: at.path.clone(),
        store: at.header.store,
        segment: at.header.id,
        offset: SEGMENT_HEADER_BYTES as u64,
        limit: at.file_bytes,
        chain: Some(at.header.chain),
        next: Some(at.header.first),
        epoch: at.header.epoch,
        window: Window::new(Arc::clone(&file)),
    };
    let mut scanned = Scanned {
        file,
        end: walk.offset,
        vouched: walk.offset,
        torn_bytes: 0,
        next: at.header.first,
        chain: at.header.chain,
        epoch: at.header.epoch,
        frames: 0,
        stages: StageTable::default(),
        snapshot: Some(Vec::new()),
    };
    let flaw = loop {
        let header = match walk.header()? {
            Found::Frame(header) => header,
            Found::End => break None,
            Found::Bad(why) => break Some(why),
        };
        let Some(body) = walk.body(&header)? else {
            break Some("the checksum of a frame does not match");
        };
        scanned.take(&header, body, fold).map_err(|error| {
            error.at(format!("{} at byte {}", at.path.display(), header.offset))
        })?;
        walk.pass(&header);
        segment.note(header.first, header.offset);
        scanned.end = walk.offset;
        scanned.next = header.next();
        scanned.chain = header.crc;
        scanned.epoch = header.epoch;
    };
    if let Some(why) = flaw {
        let rest = Rest::search(&mut walk)?;
        scanned.torn_bytes = rest.judge(&walk, why, &scanned, at.header.recycled)?;
    } else if scanned.snapshot.is_some() {
        let lost = Span::new(scanned.next, scanned.next.previous());
        return Err(damaged(
            &at.path,
            scanned.end,
            "the segment ends before its snapshot does",
            lost,
        ));
    }
    segment.frames = Some(scanned.frames);
    Ok(scanned)
}

impl Scanned {
    fn take(&mut self, header: &Header, body: bytes::Bytes, fold: &mut dyn Fold) -> Result<()> {
        self.vouched = self.vouched.max(header.durable_before);
        match header.kind {
            KIND_SNAPSHOT_PIECE => {
                let pieces = self.snapshot.as_mut().ok_or_else(misplaced)?;
                pieces.extend_from_slice(&body);
                Ok(())
            }
            KIND_SNAPSHOT => {
                let mut whole = self.snapshot.take().ok_or_else(misplaced)?;
                whole.extend_from_slice(&body);
                self.stages = StageTable::restore(&whole, fold)?;
                // A segment has its name only when it is durable up to here.
                self.vouched = header.end();
                Ok(())
            }
            KIND_OPENED | KIND_HEARTBEAT | KIND_LOST => Ok(()),
            KIND_CONTINUED => Err(Error::damaged("the segment after this one is missing")
                .help("put the file back; the positions from here on are in it")),
            _ if header.is_internal() => Err(Error::refused(format!(
                "a frame of kind {}, which this program does not know",
                header.kind
            ))
            .help("use the program version that wrote it, or a later one")),
            _ => self.fold(header, body, fold),
        }
    }

    fn fold(&mut self, header: &Header, body: bytes::Bytes, fold: &mut dyn Fold) -> Result<()> {
        let frame = Frame::assemble(header, body)
            .ok_or_else(|| Error::damaged("a commit that names no staged file"))?;
        if let Some(staged) = &frame.staged {
            self.stages.commit(header.segment, staged);
        }
        self.frames += 1;
        fold.apply(&frame.by_ref())
    }
}

fn misplaced() -> Error {
    Error::damaged("a snapshot where there was one already")
}

/// What lies behind a frame that does not hold.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// The first frame of this segment behind it.
    first: Option<Header>,
    /// Whether a frame behind it says that it was durable.
    vouched: bool,
    /// Where the last frame of this segment found from there on ends.
    frames_end: u64,
    /// Where the last byte that is not zero ends.
    bytes_end: u64,
}

impl Rest {
    /// Looks at every place where a frame could start.
    pub(super) fn search(walk: &mut Walk) -> Result<Rest> {
        // A file that was cut short ends before its limit.
        let there = walk.window.file().bytes();
        let there = there.map_err(|error| unreadable(&walk.path, error))?;
        let file_bytes = walk.limit.min(there);
        let mut rest = Rest::default();
        let bad = walk.offset;
        let mut window = Window::new(Arc::clone(walk.window.file()));
        let mut at = bad;
        while at < file_bytes {
            let len = usize::try_from(file_bytes - at)
                .map_or(SEARCH_BYTES, |rest| rest.min(SEARCH_BYTES));
            let read = window.read(at, len, file_bytes);
            let Some(bytes) = read.map_err(|error| unreadable(&walk.path, error))? else {
                break;
            };
            for (index, unit) in bytes
                .get(..len)
                .unwrap_or_default()
                .chunks(UNIT)
                .enumerate()
            {
                if unit.iter().all(|byte| *byte == 0) {
                    continue;
                }
                let offset = at + (index * UNIT) as u64;
                rest.bytes_end = offset + unit.len() as u64;
                if Header::may_start(unit) {
                    rest.note(walk, offset, bad)?;
                }
            }
            at += len as u64;
        }
        Ok(rest)
    }

    fn note(&mut self, walk: &mut Walk, offset: u64, bad: u64) -> Result<()> {
        let read = walk.window.read(offset, HEADER_BYTES, walk.limit);
        let Some(bytes) = read.map_err(|error| unreadable(&walk.path, error))? else {
            return Ok(());
        };
        let Some(header) = Header::decode(&bytes) else {
            return Ok(());
        };
        let is_ours =
            header.store == walk.store && header.segment == walk.segment && header.offset == offset;
        if is_ours {
            self.frames_end = self.frames_end.max(header.end());
            self.vouched |= header.durable_before > bad;
            if offset > bad && self.first.is_none() {
                self.first = Some(header);
            }
        }
        Ok(())
    }

    /// How many bytes are a write that was cut off.
    ///
    /// # Errors
    /// Damaged, when it had been acknowledged.
    fn judge(&self, walk: &Walk, why: &str, scanned: &Scanned, recycled: bool) -> Result<u64> {
        if self.vouched || scanned.snapshot.is_some() {
            let next = walk.next.unwrap_or_default();
            let last = match &self.first {
                Some(first) => first.first.previous(),
                None => next.previous(),
            };
            return Err(damaged(&walk.path, walk.offset, why, Span::new(next, last)));
        }
        Ok(self.torn_bytes(walk, recycled))
    }

    /// How many bytes were being written when the writer stopped.
    pub(super) fn torn_bytes(&self, walk: &Walk, recycled: bool) -> u64 {
        // In a file that was used before only frames of this segment can be told from older bytes;
        // what is left behind them can never be taken for a frame.
        let end = match recycled {
            true => self.frames_end.min(walk.limit),
            false => self.bytes_end,
        };
        end.saturating_sub(walk.offset)
    }

    /// Whether a frame behind the place says that it was durable.
    pub(super) fn vouches(&self) -> bool {
        self.vouched
    }

    /// The first frame of this segment behind the place.
    pub(super) fn following(&self) -> Option<&Header> {
        self.first.as_ref()
    }
}
