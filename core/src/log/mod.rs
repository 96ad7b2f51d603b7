//! The event log: an append-only row of checksummed frames in segment files, made durable in groups.
//!
//! The log knows nothing of sources and actions. It keeps **frames** (a kind, a body, and how many
//! positions it takes), gives **positions** in order and without gaps, folds every frame into a small
//! **state** of the caller's ([`Fold`]), and holds **staged files** for transactions that are not
//! committed yet. What it promises: a frame whose [`Receipt`] is durable is there after any crash,
//! whole and in its place; a frame that was never durable is there whole or not at all; and data
//! that is damaged is reported, never passed over.
//!
//! # The way of a frame
//!
//! [`Log::append`] takes a short lock, gives the frame its positions, folds it, and hands it to the
//! writer's queue; it never waits for the disk. The writer (`writer.rs`), one thread, takes everything
//! that waits, writes it at once, syncs once (`fdatasync`), and moves the watermark ([`Durable`]).
//! Readers ([`Reader`]) follow the watermark and never see more.
//!
//! # On disk
//!
//! ```text
//! <dir>/LOCK                          held (flock) by the one process that writes; names it
//! <dir>/00000000000000000007.seg      segments: 4 KiB of header (segment.rs), then frames (frame.rs)
//! <dir>/RESERVE                       zeros, for the day that the disk is full (reserve.rs)
//! <dir>/00000000000000000003.spare    a dropped segment, to be written over
//! <dir>/staged/00000000000000000002.stage   chunks of one transaction (stage.rs)
//! ```
//! A segment's first frame (or frames, when it is large) is a snapshot (`snapshot.rs`): the state folded from all frames before it. So opening
//! reads the last segment only, and the oldest can be dropped at any time. A segment is made under
//! another name, header and snapshot are synced, and only then it is renamed, after the segment
//! before it was completed and synced. A file grows by writing zeros ahead in steps of 1 MiB along
//! with small commits, so that most commits change no metadata; dropped segments are used again.
//! There is no other state on disk: no index, no ledger, nothing that could disagree with the frames.
//!
//! # Torn or damaged
//!
//! Every frame says how far the segment was durable when it was written. At opening the frames of the
//! last segment are walked until one does not hold. If a later frame vouches for that place, it
//! had been acknowledged: the log is *damaged* and refuses to open, naming file, byte and positions. If none does, the
//! write was cut off: the *torn* tail is overwritten with zeros, and the recovery says so. An idle writer adds a
//! heartbeat frame after 50 ms and every opening and closing adds one too, so that only damage to the
//! very last commit within 50 ms before a crash could be taken for a torn write. In segments that are
//! followed by another, every byte up to the end that the next one names must hold; behind that end a
//! frame says that there is a next one, so that its loss is noticed too.
//! Frames carry store, segment, offset, epoch (counts openings) and the checksum of the frame before,
//! so a frame from another place or time is never taken for one. What recovery finds unvouched is
//! written again before it is synced: after a failed sync the page cache may show what the disk does
//! not have.
//!
//! # When the disk fails
//!
//! The first error of a write, sync, create, rename or remove stops the log ([`AppendError::Fenced`],
//! [`Kind::Stopped`](crate::error::Kind::Stopped)): nothing more is accepted or acknowledged, nothing is retried. Open it again to go on.
//!
//! A disk without room is the exception (`reserve.rs`): the reserve goes, the same bytes are written to the same
//! place once more, and the log [is short](Log::is_short) of it until there is room again.
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | body of a frame | 64 MiB ([`BODY_BYTES_MAX`]) |
//! | body of a staged chunk | 1 GiB and 64 MiB ([`CHUNK_BYTES_MAX`]) |
//! | positions in one frame | 2^32 - 1 |
//! | kinds | 0 to 239 ([`KIND_MAX`]); the others are the log's own |
//! | segment | 1 MiB to 4 GiB; a larger frame makes its segment larger |
//! | accepted, not yet written | `pending_bytes_max`, or one frame |
//! | writers | one process per folder |
//!
//! It is not: replicated, compacted, or readable in any order but forward.

#![deny(clippy::indexing_slicing)]

mod disk;
mod durable;
mod frame;
mod segment;
mod walk;
mod accepted;
mod hopper;
mod batch;
mod reserve;
mod snapshot;
mod catalog;
mod active;
mod listener;
mod writer;
mod stage;
mod reader;
mod sequencer;
mod survey;
mod scan;
mod mend;
mod recovery;
mod retention;
#[expect(clippy::module_inception, reason = "the handle is the log")]
mod log;
mod readonly;
mod verify;
mod salvage;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
#[cfg(test)]
pub(crate) mod sim;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use catalog::SegmentInfo;
pub use disk::{Access, Disk, DiskFile, Lock, SystemDisk, read_full, write_all};
pub use durable::{Durable, Mark, Receipt, Registration};
pub use frame::{BODY_BYTES_MAX, Frame, FrameRef, KIND_LOST, KIND_MAX, StageRef};
pub use hopper::AppendError;
pub use listener::{Listener, Written};
pub use log::{Log, Opened};
pub use reader::Reader;
pub use readonly::{ReadOnlyLog, open_read_only};
pub use recovery::{Recovery, Torn};
pub use retention::Retention;
pub(crate) use salvage::salvage_on;
pub use salvage::{Salvage, salvage};
pub use sequencer::Draft;
pub use snapshot::{Fold, Frozen};
pub use stage::{CHUNK_BYTES_MAX, Chunk, Stage, StageMark, StagedReader};
pub use verify::{Damage, Verification, verify};

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};

/// When writes are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncMode {
    /// Before they are acknowledged.
    #[default]
    Always,
    /// When the system sees fit: a power cut loses what was acknowledged. For tests and measurements.
    Never,
}

/// Settings of a log.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// When a segment has this many bytes the next one is begun. Default 64 MiB, from 1 MiB to 4 GiB.
    pub segment_bytes: u64,
    /// Bytes accepted but not yet written, above which appends are refused as full. Default 32 MiB.
    pub pending_bytes_max: usize,
    /// A snapshot of the state of more bytes than this takes several frames. Default 16 MiB, at most
    /// [`BODY_BYTES_MAX`].
    pub snapshot_frame_bytes: usize,
    /// Bytes of what became durable last that a store keeps in memory for lanes that keep up. Default 32 MiB; 0 keeps
    /// nothing.
    pub recent_bytes_max: usize,
    /// When writes are made durable. Default always.
    pub sync: SyncMode,
    /// How many dropped segments are kept to be written over. Default 1.
    pub spare_segments: usize,
    /// Bytes set aside for the day that the disk is full: what was accepted then, and what lanes say of their
    /// jobs, is written in their place. Default 64 MiB; 0 sets nothing aside.
    pub reserve_bytes: u64,
    /// Tells when segments are made.
    pub clock: Arc<dyn Clock>,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            segment_bytes: 64 << 20,
            pending_bytes_max: 32 << 20,
            snapshot_frame_bytes: 16 << 20,
            recent_bytes_max: 32 << 20,
            sync: SyncMode::Always,
            spare_segments: 1,
            reserve_bytes: 64 << 20,
            clock: SystemClock::shared(),
        }
    }
}

impl LogOptions {
    /// # Errors
    /// Config, naming the setting and its limits.
    fn validate(&self) -> Result<()> {
        if !(1..=BODY_BYTES_MAX).contains(&self.snapshot_frame_bytes) {
            let bytes = self.snapshot_frame_bytes;
            return Err(Error::config(format!("snapshot frames of {bytes} bytes"))
                .help("choose from 1 byte to 64 MiB"));
        }
        let limits = 1 << 20..=4 << 30;
        if limits.contains(&self.segment_bytes) {
            return Ok(());
        }
        let bytes = self.segment_bytes;
        Err(Error::config(format!("segments of {bytes} bytes"))
            .help("choose a segment size from 1 MiB to 4 GiB"))
    }
}
