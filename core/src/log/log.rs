//! The handle: what callers append through.

use std::fmt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::log::LogOptions;
use crate::log::accepted::{PIECE_BYTES_MAX, Piece};
use crate::log::catalog::{SegmentInfo, Shared};
use crate::log::disk::{Disk, Lock};
use crate::log::durable::{Durable, Fence, Receipt, lock};
use crate::log::frame::{Frame, checksum};
use crate::log::hopper::{AppendError, Work};
use crate::log::listener::Listener;
use crate::log::reader::Reader;
use crate::log::recovery::{self, Recovered, Recovery};
use crate::log::retention::{self, Retention};
use crate::log::sequencer::{Draft, Sequencer};
use crate::log::snapshot::Fold;
use crate::log::stage::{Stage, StagedReader};
use crate::log::writer::Writer;
use crate::position::Position;

/// An opened log and what was found in it.
#[derive(Debug)]
pub struct Opened<F: Fold> {
    /// The log.
    pub log: Log<F>,
    /// What was found.
    pub recovery: Recovery,
}

/// The log; cheap to clone. The writer stops when the last clone is dropped or one is closed.
pub struct Log<F: Fold>(Arc<Inner<F>>);

impl<F: Fold> Clone for Log<F> {
    fn clone(&self) -> Self {
        Log(Arc::clone(&self.0))
    }
}

struct Inner<F: Fold> {
    sequencer: Mutex<Sequencer<F>>,
    shared: Arc<Shared>,
    options: LogOptions,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Given back last, when the writer is gone.
    _lock: Lock,
}

impl<F: Fold> Log<F> {
    /// Opens the log in `dir`, or makes one; `fold` starts empty and is brought up to date.
    ///
    /// # Errors
    /// Refused when another process has it open, or when permissions are missing; damaged when
    /// acknowledged data does not hold; unavailable when the disk fails.
    pub fn open(
        dir: impl AsRef<Path>,
        options: LogOptions,
        disk: Arc<dyn Disk>,
        fold: F,
    ) -> Result<Opened<F>> {
        Log::open_heard(dir.as_ref(), options, disk, fold, None)
    }

    /// [`Log::open`] with somebody who is handed what becomes durable.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_heard(
        dir: &Path,
        options: LogOptions,
        disk: Arc<dyn Disk>,
        fold: F,
        listener: Option<Box<dyn Listener>>,
    ) -> Result<Opened<F>> {
        options.validate()?;
        let (opened, mut writer) = Log::open_unwritten(dir, options, disk, fold)?;
        writer.listener = listener;
        opened.log.start(writer)?;
        Ok(opened)
    }

    /// Gives the writer its thread.
    pub(super) fn start(&self, writer: Writer) -> Result<()> {
        let thread = thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| Error::unavailable("cannot start a thread").because(error))?;
        *lock(&self.0.thread) = Some(thread);
        Ok(())
    }

    /// The log without a thread: the writer is the caller's to turn.
    pub(super) fn open_unwritten(
        dir: &Path,
        options: LogOptions,
        disk: Arc<dyn Disk>,
        fold: F,
    ) -> Result<(Opened<F>, Writer)> {
        let recovered = recovery::open(dir, &options, disk, fold)?;
        let Recovered {
            shared,
            sequencer,
            active,
            lock,
            recovery,
        } = recovered;
        let writer = Writer::new(Arc::clone(&shared), active, sequencer.next, &options);
        let log = Log(Arc::new(Inner {
            sequencer: Mutex::new(sequencer),
            shared,
            options,
            thread: Mutex::new(None),
            _lock: lock,
        }));
        Ok((Opened { log, recovery }, writer))
    }

    /// Appends a frame that takes `count` positions. Never waits for the disk: wait for the receipt, or
    /// follow [`Log::durable`].
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was appended then.
    pub fn append(&self, kind: u8, count: u32, parts: &[Bytes]) -> Result<Receipt, AppendError> {
        let draft = Draft {
            kind,
            count,
            parts: parts.to_vec(),
        };
        // The long part of the work, so before the lock.
        let crc = checksum(parts.iter().map(Bytes::as_ref));
        self.submit(None, Some(crc), |_, _| Ok(draft))
    }

    /// Appends a small frame that need not be one: where frames come faster than the disk syncs, those that
    /// follow each other and have the same kind and `head` are written as one, with the head once and their
    /// `rest`s in order. To the state each is a frame of its own, so for these it must not matter whether it
    /// takes in several or the one that they became.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was appended then.
    pub fn append_piece(
        &self,
        kind: u8,
        count: u32,
        head: &Bytes,
        rest: &Bytes,
    ) -> Result<Receipt, AppendError> {
        let piece = Piece {
            kind,
            count,
            head,
            rest,
        };
        if head.len() + rest.len() <= PIECE_BYTES_MAX {
            let mut sequencer = self.sequencer()?;
            if sequencer.has_room(piece.frame_bytes()) {
                return self.submit_piece(&mut sequencer, piece);
            }
        }
        self.append(kind, count, &[head.clone(), rest.clone()])
    }

    /// Appends the frame that `build` makes of the state and the next position, in one step with
    /// them: no other frame comes in between.
    ///
    /// # Errors
    /// See [`AppendError`]; what `build` returns as an error comes back as declined.
    pub fn append_with(
        &self,
        build: impl FnOnce(&F, Position) -> Result<Draft>,
    ) -> Result<Receipt, AppendError> {
        self.submit(None, None, build)
    }

    /// Begins a staged file.
    ///
    /// # Errors
    /// Stopped, when the log is closed or fenced.
    pub fn stage(&self) -> Result<Stage> {
        if let Err(AppendError::Fenced(error)) = self.0.shared.hopper.check(0) {
            return Err(error);
        }
        let id = self.0.shared.next_stage.fetch_add(1, Ordering::Relaxed);
        Ok(Stage::new(id, Arc::clone(&self.0.shared)))
    }

    /// Appends the frame that makes a staged file part of the log: it takes `count` positions for all
    /// its chunks. When this fails the stage is as it was.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was appended then.
    pub fn commit(
        &self,
        stage: &mut Stage,
        kind: u8,
        count: u32,
        parts: &[Bytes],
    ) -> Result<Receipt, AppendError> {
        let parts = parts.to_vec();
        self.submit(Some(stage), None, |_, _| Ok(Draft { kind, count, parts }))
    }

    /// [`Log::commit`] with the frame that `build` makes, as in [`Log::append_with`].
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was appended then.
    pub fn commit_with(
        &self,
        stage: &mut Stage,
        build: impl FnOnce(&F, Position) -> Result<Draft>,
    ) -> Result<Receipt, AppendError> {
        self.submit(Some(stage), None, build)
    }

    /// Waits until `bytes` more would be accepted, or for `timeout`; says whether they would. Others may
    /// take the room first.
    ///
    /// # Errors
    /// Stopped, when the log is closed or fenced.
    pub fn wait_for_room(&self, bytes: usize, timeout: Duration) -> Result<bool> {
        self.0.shared.hopper.wait_for_room(bytes, timeout)
    }

    /// Looks at the state, which includes every accepted frame, durable or not.
    pub fn with_fold<R>(&self, look: impl FnOnce(&F) -> R) -> R {
        let sequencer = self.0.sequencer.lock();
        look(&sequencer.unwrap_or_else(PoisonError::into_inner).fold)
    }

    /// As [`Log::with_fold`], with the segment that the next frame goes to.
    pub fn with_fold_and_segment<R>(&self, look: impl FnOnce(&F, u64) -> R) -> R {
        let sequencer = self.0.sequencer.lock();
        let sequencer = sequencer.unwrap_or_else(PoisonError::into_inner);
        look(&sequencer.fold, sequencer.segment)
    }

    /// Whether the disk was full and there is no room for the reserve yet: whoever owns the log should accept
    /// nothing from outside now.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.0.shared.reserve.is_short()
    }

    /// The next position to be given.
    #[must_use]
    pub fn next_position(&self) -> Position {
        lock(&self.0.sequencer).next
    }

    /// How far the log is durable.
    #[must_use]
    pub fn durable(&self) -> Durable {
        self.0.shared.durable.clone()
    }

    /// Reads durable frames in order, from the one that holds `from` on.
    #[must_use]
    pub fn reader(&self, from: Position) -> Reader {
        Reader::new(Arc::clone(&self.0.shared), from)
    }

    /// Reads the durable frames of one segment.
    ///
    /// # Errors
    /// Invalid when retention dropped it; unavailable when it cannot be read.
    pub fn segment_reader(&self, segment: u64) -> Result<Reader> {
        Reader::of_segment(Arc::clone(&self.0.shared), segment)
    }

    /// The chunks that a commit frame made part of the log.
    ///
    /// # Errors
    /// Invalid when the frame is no commit; damaged when its file is not there.
    pub fn staged(&self, commit: &Frame) -> Result<StagedReader> {
        StagedReader::open(&self.0.shared, commit)
    }

    /// The segments, oldest first.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.0.shared.segments()
    }

    /// Drops the oldest segments that `policy` no longer keeps at the time `now`, with their staged
    /// files; returns what was dropped, when it is gone. A segment with a position after `settled` stays,
    /// and so does the one being written.
    ///
    /// # Errors
    /// Stopped, when the log is closed or fenced.
    pub fn retain(
        &self,
        settled: Position,
        policy: &Retention,
        now: Timestamp,
    ) -> Result<Vec<SegmentInfo>> {
        let (dropped, done) = {
            let mut sequencer = self.sequencer().map_err(Error::from)?;
            let stages = &mut sequencer.stages;
            let begun = retention::begin(&self.0.shared, stages, settled, policy, now);
            if let Some(last) = begun.0.last() {
                sequencer.fold.forget_before(last.span.last.next());
            }
            begun
        };
        if !dropped.is_empty() && done.recv().is_err() {
            self.0.shared.hopper.check(0).map_err(Error::from)?;
            return Err(Error::stopped(
                "the log was closed while segments were dropped",
            ));
        }
        Ok(dropped)
    }

    /// Accepts nothing more, makes what was accepted durable, and stops the writer. All clones are
    /// closed with it.
    ///
    /// # Errors
    /// Stopped, when the log was fenced before everything was durable.
    pub fn close(self) -> Result<()> {
        self.0.close()
    }

    fn sequencer(&self) -> Result<MutexGuard<'_, Sequencer<F>>, AppendError> {
        // Only a panic in the caller's fold poisons it; its state cannot be trusted then.
        self.0.sequencer.lock().map_err(|_| {
            let error = Error::stopped("the log's state panicked while it took in a frame");
            AppendError::Fenced(error.help("start again, and report this with the log output"))
        })
    }

    fn submit_piece(
        &self,
        sequencer: &mut Sequencer<F>,
        piece: Piece<'_>,
    ) -> Result<Receipt, AppendError> {
        let hopper = &self.0.shared.hopper;
        hopper.check(piece.frame_bytes() as usize)?;
        sequencer.fold_piece(piece)?;
        let first = sequencer.next;
        let added = hopper.push_piece(piece, first);
        sequencer.count_piece(piece, added);
        failpoint!(LogAccepted);
        let durable = self.0.shared.durable.clone();
        Ok(Receipt::new(first, piece.count, sequencer.frames, durable))
    }

    fn submit(
        &self,
        stage: Option<&mut Stage>,
        body_crc: Option<u32>,
        build: impl FnOnce(&F, Position) -> Result<Draft>,
    ) -> Result<Receipt, AppendError> {
        if stage.as_ref().is_some_and(|stage| stage.is_committed()) {
            let error = Error::invalid("this staged file is already committed");
            return Err(AppendError::Declined(error));
        }
        let mut sequencer = self.sequencer()?;
        self.0.shared.hopper.check(1)?;
        let draft = build(&sequencer.fold, sequencer.next).map_err(AppendError::Declined)?;
        let staged = stage.as_ref().map(|stage| stage.reference());
        let accepted = sequencer.number(draft, staged, body_crc)?;
        let frame_bytes = accepted.frame_bytes();
        self.0.shared.hopper.check(frame_bytes as usize)?;
        let roll = sequencer.roll_for(frame_bytes, &self.0.options);
        sequencer.fold(&accepted)?;
        if let Some((roll, fill_bytes, room_bytes)) = &roll {
            sequencer.segment = roll.id;
            sequencer.fill_bytes = *fill_bytes;
            sequencer.room_bytes = *room_bytes;
            sequencer.staged_bytes = 0;
        }
        sequencer.count(&accepted, frame_bytes);
        if let Some(stage) = stage {
            stage.set_committed();
        }
        let durable = self.0.shared.durable.clone();
        let receipt = Receipt::new(accepted.first, accepted.count, sequencer.frames, durable);
        let work = roll.map(|(roll, ..)| Work::Roll(roll));
        let work = work.into_iter().chain([Work::Frame(accepted)]);
        self.0.shared.hopper.push(work, frame_bytes as usize);
        failpoint!(LogAccepted);
        Ok(receipt)
    }
}

impl<F: Fold> Inner<F> {
    fn close(&self) -> Result<()> {
        let closed = Arc::new(Fence {
            what: "the log is closed".to_owned(),
            help: "open it again".to_owned(),
        });
        self.shared.hopper.close(Arc::clone(&closed), false);
        let thread = lock(&self.thread).take();
        // A callback that owns the last handle drops it on the writer's own thread, which ends by itself.
        let thread = thread.filter(|thread| thread.thread().id() != thread::current().id());
        if let Some(thread) = thread {
            // A panic of the writer has put up its fence.
            _ = thread.join();
        }
        self.shared.durable.fence(&closed);
        self.shared.durable.notify();
        let frames = self.sequencer.lock().map(|sequencer| sequencer.frames);
        let frames = frames.unwrap_or_else(|poisoned| poisoned.into_inner().frames);
        match self.shared.durable.frames() >= frames {
            true => Ok(()),
            false => self
                .shared
                .durable
                .wait_frames(frames.saturating_sub(1), Duration::ZERO)
                .map(|_| ()),
        }
    }
}

impl<F: Fold> Drop for Inner<F> {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(error = %error.report(), "the log was closed with frames not durable");
        }
    }
}

impl<F: Fold> fmt::Debug for Log<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.0.shared.dir)
            .field("durable", &self.0.shared.durable.mark())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl<F: Fold> Log<F> {
    /// How many frames were accepted since it was opened.
    pub(super) fn frames(&self) -> u64 {
        lock(&self.0.sequencer).frames
    }

    /// [`Log::retain`] that does not wait for the writer.
    pub(super) fn begin_retain(&self, settled: Position, policy: &Retention) {
        if let Ok(mut sequencer) = self.sequencer() {
            let stages = &mut sequencer.stages;
            retention::begin(&self.0.shared, stages, settled, policy, Timestamp(0));
        }
    }
}
