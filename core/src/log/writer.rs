//! The writer: the one thread that touches the disk, in the order things were accepted.
//!
//! One write is in flight while the next fills: the writer takes everything that waits, writes it at
//! once, syncs once, moves the watermark, and looks again. A lone appender is served at once, a
//! crowd makes its own batches, and no timer is needed.
//!
//! The first error of the disk ends it: after a failed sync nobody knows what is on disk, and asking
//! again may be answered with a false yes. Nothing is acknowledged any more; opening the log again
//! finds out what is there. Only a call that finds no room is made again: `reserve.rs` says how.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::failpoint;
use crate::log::accepted::Accepted;
use crate::log::active::{Active, Birth, Content, failed};
use crate::log::catalog::{Segment, Shared};
use crate::log::disk::{Access, DiskFile, write_all};
use crate::log::durable::{Fence, lock};
use crate::log::frame::{KIND_CONTINUED, KIND_HEARTBEAT};
use crate::log::hopper::{Roll, StageWork, Taken, Work};
use crate::log::listener::{Listener, Written};
use crate::log::reserve::{Room, insist};
use crate::log::retention;
use crate::log::segment::{Name, SegmentHeader, stage_dir};
use crate::log::{LogOptions, SyncMode};
use crate::position::Position;

/// After this long without work the last commit is vouched for by a heartbeat frame.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// A batch is written when it has this many bytes, so that those who wait for room can go on while
/// the rest is written.
const BATCH_BYTES_MAX: u64 = 8 << 20;
/// How long the writer waits on a full disk before it looks again.
const ROOM_WAIT: Duration = Duration::from_millis(250);
/// A staged file is synced whenever this much of it is not, so that its commit has little left to do.
const STAGE_UNSYNCED_BYTES_MAX: u64 = 16 << 20;

/// A staged file that is not committed.
#[derive(Debug)]
struct StageFile {
    path: std::path::PathBuf,
    file: Arc<dyn DiskFile>,
    /// Bytes that go to `offset` with the next write.
    waiting: Vec<Bytes>,
    offset: u64,
    waiting_bytes: u64,
    unsynced_bytes: u64,
}

/// The writer's state.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    active: Active,
    /// The next position, as far as written.
    next: Position,
    segment_bytes: u64,
    snapshot_frame_bytes: usize,
    stages: BTreeMap<u64, StageFile>,
    /// Frames of callers in the batch, and the room they take in the hopper.
    batch_frames: u64,
    batch_room_bytes: usize,
    batch_starts: Vec<(Position, u64)>,
    pub(super) listener: Option<Box<dyn Listener>>,
    /// What of the batch the listener will be handed.
    batch_written: Vec<Written>,
    /// Whether the last commit has nothing after it that vouches for it.
    unvouched: bool,
    /// Finds room on a full disk.
    room: Arc<dyn Room>,
    /// After an error the disk is not touched any more.
    failed: bool,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        active: Active,
        next: Position,
        options: &LogOptions,
    ) -> Writer {
        let room: Arc<dyn Room> = Arc::clone(&shared.reserve) as _;
        Writer {
            shared,
            active,
            next,
            segment_bytes: options.segment_bytes,
            snapshot_frame_bytes: options.snapshot_frame_bytes,
            stages: BTreeMap::new(),
            batch_frames: 0,
            batch_room_bytes: 0,
            batch_starts: Vec::new(),
            listener: None,
            batch_written: Vec::new(),
            unvouched: false,
            room,
            failed: false,
        }
    }

    /// Works until the log is closed or the disk fails.
    pub(super) fn run(mut self) {
        let guard = Guard(Arc::clone(&self.shared));
        self.room = Arc::new(Waiting(Arc::clone(&self.shared)));
        while self.turn(true) {}
        drop(guard);
    }

    /// Takes what waits and does it; false when there is nothing more to come. Waits for work only
    /// when `patient`.
    pub(super) fn turn(&mut self, patient: bool) -> bool {
        if self.failed {
            return false;
        }
        let patience = match patient {
            true if self.unvouched => Some(HEARTBEAT),
            true => self.shared.reserve.patience(),
            false => Some(Duration::ZERO),
        };
        let done = match self.shared.hopper.take(patience) {
            Taken::Work(work) => self.step(work).map(|()| true),
            Taken::Idle => self.vouch().map(|()| true),
            Taken::Closed => self.vouch().map(|()| false),
        };
        let done = done.and_then(|more| self.restore().map(|()| more));
        done.unwrap_or_else(|fence| {
            tracing::error!(error = %fence.what, help = %fence.help, "the log stopped");
            self.failed = true;
            stop(&self.shared, fence);
            false
        })
    }

    /// Does pieces of work in order; frames gather until the end or until something needs them
    /// written.
    fn step(&mut self, work: Vec<Work>) -> Result<(), Fence> {
        for piece in work {
            match piece {
                Work::Frame(frame) => self.frame(frame)?,
                Work::Roll(roll) => self.roll(roll)?,
                Work::Stage(id, work) => self.stage(id, work)?,
                Work::Retire(retire) => {
                    // That they are settled may stand in frames that only gather yet.
                    self.commit()?;
                    retention::carry_out(&self.shared, &retire)?;
                }
            }
        }
        let waiting: Vec<u64> = self.stages.keys().copied().collect();
        for id in waiting {
            self.write_stage(id)?;
        }
        self.commit()?;
        self.shared.durable.notify();
        Ok(())
    }

    fn frame(&mut self, frame: Accepted) -> Result<(), Fence> {
        let frame = frame.closed();
        if let Some(staged) = &frame.staged {
            self.sync_stage(staged.id)?;
            failpoint!(StageSynced?);
        }
        let content = Content {
            kind: frame.kind,
            first: frame.first,
            count: frame.count,
            staged: frame.staged.is_some(),
            body_bytes: frame.body_bytes,
            body_crc: frame.body_crc,
        };
        let offset = self.active.frame(content, &frame.parts);
        self.batch_starts.push((frame.first, offset));
        self.batch_frames += 1;
        self.batch_room_bytes += frame.frame_bytes() as usize;
        self.next = frame.first.plus(u64::from(frame.count));
        self.keep(frame);
        match self.active.batch.bytes() < BATCH_BYTES_MAX {
            true => Ok(()),
            false => self.commit(),
        }
    }

    /// Keeps a frame with positions for the listener. What was staged is in no one's memory.
    fn keep(&mut self, frame: Accepted) {
        let heard = self.listener.as_ref().is_some_and(|own| own.listens());
        if heard && frame.count > 0 && frame.staged.is_none() {
            self.batch_written.push(Written {
                kind: frame.kind,
                first: frame.first,
                count: frame.count,
                parts: frame.parts,
            });
        }
    }

    /// Makes the gathered frames durable and says so.
    fn commit(&mut self) -> Result<(), Fence> {
        if self.batch_frames == 0 {
            return Ok(());
        }
        failpoint!(LogTaken?);
        self.active.flush(self.room.as_ref())?;
        failpoint!(LogSynced?);
        {
            let mut catalog = lock(&self.shared.catalog);
            if let Some(segment) = catalog.get_mut(self.active.id) {
                for (first, offset) in self.batch_starts.drain(..) {
                    segment.note(first, offset);
                }
                segment.file_bytes = self.active.file_bytes;
                segment.frames = segment.frames.map(|frames| frames + self.batch_frames);
            }
        }
        if let Some(listener) = &mut self.listener
            && !self.batch_written.is_empty()
        {
            listener.durable(std::mem::take(&mut self.batch_written));
        }
        self.advance();
        self.shared.hopper.release(self.batch_room_bytes);
        self.batch_room_bytes = 0;
        self.unvouched = true;
        Ok(())
    }

    fn advance(&mut self) {
        let mut end = self.shared.durable.end();
        end.segment = self.active.id;
        end.offset = self.active.durable;
        end.mark.upto = self.next.previous();
        end.mark.frames += std::mem::take(&mut self.batch_frames);
        self.shared.durable.advance(end);
    }

    /// After a shortage, sets the reserve aside again as soon as there is room for it.
    fn restore(&self) -> Result<(), Fence> {
        let reserve = &self.shared.reserve;
        let restored = reserve.restore();
        if restored.map_err(|error| failed("set aside", reserve.path(), &error))? {
            tracing::info!("there is room on the disk of the store again; sources go on");
            self.shared.durable.notify();
        }
        Ok(())
    }

    /// Leaves a frame that says what is durable, so that damage to the last commit is not mistaken
    /// for a write that was cut off.
    fn vouch(&mut self) -> Result<(), Fence> {
        if !std::mem::take(&mut self.unvouched) {
            return Ok(());
        }
        let mark = Content::mark(KIND_HEARTBEAT, self.next);
        self.active.frame(mark, &[]);
        self.active.flush(self.room.as_ref())?;
        self.advance();
        Ok(())
    }

    /// Begins the next segment. The one before is complete and durable first: that the next exists
    /// proves it.
    fn roll(&mut self, roll: Roll) -> Result<(), Fence> {
        self.commit()?;
        let spare = lock(&self.shared.catalog).spares.pop();
        let header = SegmentHeader {
            store: self.shared.store,
            id: roll.id,
            epoch: self.active.epoch,
            recycled: spare.is_some(),
            first: roll.first,
            created_at: roll.created_at,
            previous_end: self.active.durable,
            chain: self.active.chain,
        };
        let birth = Birth {
            disk: self.shared.disk.as_ref(),
            room: self.room.as_ref(),
            dir: &self.shared.dir,
            header,
            snapshot: roll.snapshot,
            snapshot_frame_bytes: self.snapshot_frame_bytes,
            spare,
            planned_bytes: self.segment_bytes,
            sync: self.active.sync,
        };
        let mut before = std::mem::replace(&mut self.active, birth.create()?);
        failpoint!(SegmentBegun?);
        // Without this a segment whose successor was lost would look like the last one. It needs no
        // sync: it is written after the successor is durable, so it is never there without cause.
        before.frame(Content::mark(KIND_CONTINUED, roll.first), &[]);
        before.write(self.room.as_ref())?;
        let mut segment = Segment::new(header, self.active.file_bytes);
        segment.frames = Some(0);
        let mut catalog = lock(&self.shared.catalog);
        if let Some(sealed) = catalog.segments.back() {
            sealed.seal(header.previous_end);
        }
        catalog.segments.push_back(segment);
        drop(catalog);
        self.unvouched = false;
        self.advance();
        Ok(())
    }

    fn stage(&mut self, id: u64, work: StageWork) -> Result<(), Fence> {
        match work {
            StageWork::Write { offset, parts } => self.gather(id, offset, parts),
            StageWork::Truncate(bytes) => self.cut_stage(id, bytes),
            StageWork::Abort => self.abort_stage(id),
        }
    }

    fn gather(&mut self, id: u64, offset: u64, parts: Vec<Bytes>) -> Result<(), Fence> {
        let stage = self.open_stage(id)?;
        if stage.waiting.is_empty() {
            stage.offset = offset;
        }
        stage.waiting_bytes += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        stage.waiting.extend(parts);
        Ok(())
    }

    fn open_stage(&mut self, id: u64) -> Result<&mut StageFile, Fence> {
        use std::collections::btree_map::Entry;
        let entry = match self.stages.entry(id) {
            Entry::Occupied(entry) => return Ok(entry.into_mut()),
            Entry::Vacant(entry) => entry,
        };
        let path = Name::Stage(id).path(&self.shared.dir);
        let disk = self.shared.disk.as_ref();
        let file = insist(self.room.as_ref(), || disk.open(&path, Access::Create));
        let file = file.map_err(|error| failed("create", &path, &error))?;
        Ok(entry.insert(StageFile {
            path,
            file,
            waiting: Vec::new(),
            offset: 0,
            waiting_bytes: 0,
            unsynced_bytes: 0,
        }))
    }

    fn write_stage(&mut self, id: u64) -> Result<(), Fence> {
        let Some(stage) = self.stages.get_mut(&id) else {
            return Ok(());
        };
        if stage.waiting.is_empty() {
            return Ok(());
        }
        let parts: Vec<&[u8]> = stage.waiting.iter().map(Bytes::as_ref).collect();
        insist(self.room.as_ref(), || {
            write_all(stage.file.as_ref(), &parts, stage.offset)
        })
        .map_err(|error| failed("write", &stage.path, &error))?;
        stage.waiting.clear();
        let written = std::mem::take(&mut stage.waiting_bytes);
        stage.unsynced_bytes += written;
        if stage.unsynced_bytes >= STAGE_UNSYNCED_BYTES_MAX {
            stage.unsynced_bytes = 0;
            sync_unless(self.active.sync, stage)?;
        }
        self.shared.hopper.release(written as usize);
        Ok(())
    }

    fn cut_stage(&mut self, id: u64, bytes: u64) -> Result<(), Fence> {
        self.write_stage(id)?;
        let stage = self.open_stage(id)?;
        let cut = stage.file.truncate(bytes);
        cut.map_err(|error| failed("truncate", &stage.path, &error))
    }

    fn abort_stage(&mut self, id: u64) -> Result<(), Fence> {
        let Some(stage) = self.stages.remove(&id) else {
            return Ok(());
        };
        self.shared.hopper.release(stage.waiting_bytes as usize);
        // Not synced: should the name come back after a crash, opening removes it.
        let removed = self.shared.disk.remove(&stage.path);
        removed.map_err(|error| failed("remove", &stage.path, &error))
    }

    /// Makes a staged file durable, name and all, before its commit frame is written.
    fn sync_stage(&mut self, id: u64) -> Result<(), Fence> {
        self.open_stage(id)?;
        self.write_stage(id)?;
        if let Some(stage) = self.stages.remove(&id) {
            sync_unless(self.active.sync, &stage)?;
        }
        let dir = stage_dir(&self.shared.dir);
        let synced = self.shared.disk.sync_dir(&dir);
        synced.map_err(|error| failed("sync", &dir, &error))
    }
}

fn sync_unless(sync: SyncMode, stage: &StageFile) -> Result<(), Fence> {
    match sync {
        SyncMode::Never => Ok(()),
        SyncMode::Always => stage
            .file
            .sync()
            .map_err(|error| failed("sync", &stage.path, &error)),
    }
}

/// Stops the log for good: nothing is accepted or acknowledged any more.
pub(super) fn stop(shared: &Shared, fence: Fence) {
    let fence = Arc::new(fence);
    shared.hopper.close(Arc::clone(&fence), true);
    shared.durable.fence(&fence);
    shared.durable.notify();
}

/// Room for a writer that has its own thread: the reserve first, and then whatever anybody frees, until the log
/// is closed. Segments are not dropped meanwhile: that they are settled may be in what is not written yet.
#[derive(Debug)]
struct Waiting(Arc<Shared>);

impl Room for Waiting {
    fn make(&self) -> bool {
        self.0.reserve.make() || !self.0.hopper.is_closed_within(ROOM_WAIT)
    }
}

/// Stops the log should its writer panic, so that nobody waits for ever.
struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let fence = Fence {
                what: "the log's writer panicked".to_owned(),
                help: "start again, and report this with the log output".to_owned(),
            };
            stop(&self.0, fence);
        }
    }
}
