//! Who gives positions: everything that must change together with the order of frames.

use bytes::Bytes;

use crate::error::Error;
use crate::log::LogOptions;
use crate::log::accepted::{Accepted, Added, Piece};
use crate::log::frame::{
    BODY_BYTES_MAX, FrameRef, HEADER_BYTES, KIND_MAX, STAGE_REF_BYTES, StageRef, checksum,
    padded_bytes,
};
use crate::log::hopper::{AppendError, Roll};
use crate::log::segment::SEGMENT_HEADER_BYTES;
use crate::log::snapshot::{Fold, Snapshot, StageTable};
use crate::position::Position;

/// A frame to be appended.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// What it is, up to [`KIND_MAX`].
    pub kind: u8,
    /// How many positions it takes; may be 0.
    pub count: u32,
    /// Its body, in any number of parts.
    pub parts: Vec<Bytes>,
}

/// The state behind the append lock.
#[derive(Debug)]
pub(super) struct Sequencer<F> {
    pub(super) fold: F,
    pub(super) stages: StageTable,
    /// The next position to give.
    pub(super) next: Position,
    /// The segment that the next frame goes to, and how full it is.
    pub(super) segment: u64,
    pub(super) fill_bytes: u64,
    pub(super) room_bytes: u64,
    /// Bytes of the staged files that belong to it. They go with it, so it is full when they are as large as it
    /// may be, however small their commits.
    pub(super) staged_bytes: u64,
    /// Frames accepted since the log was opened.
    pub(super) frames: u64,
}

impl<F: Fold> Sequencer<F> {
    /// Gives a draft its place in the order, without taking it yet.
    pub(super) fn number(
        &self,
        draft: Draft,
        staged: Option<StageRef>,
        body_crc: Option<u32>,
    ) -> Result<Accepted, AppendError> {
        let Draft { kind, count, parts } = draft;
        check_kind(kind)?;
        let mut parts = parts;
        let mut body_bytes: usize = parts.iter().map(Bytes::len).sum();
        if body_bytes > BODY_BYTES_MAX - STAGE_REF_BYTES {
            return Err(AppendError::TooLarge(body_bytes));
        }
        let mut body_crc = body_crc;
        if let Some(staged) = &staged {
            parts.insert(0, staged.encode());
            body_bytes += STAGE_REF_BYTES;
            body_crc = None;
        }
        let body_crc = body_crc.unwrap_or_else(|| checksum(parts.iter().map(Bytes::as_ref)));
        Ok(Accepted {
            kind,
            first: self.next,
            count,
            staged,
            parts,
            body_bytes,
            body_crc,
            growing: None,
        })
    }

    /// Whether a frame fits into this segment.
    pub(super) fn has_room(&self, frame_bytes: u64) -> bool {
        self.staged_bytes < self.room_bytes && self.fill_bytes + frame_bytes <= self.room_bytes
    }

    /// The next segment, when a frame does not fit into this one: with how full it begins and how
    /// much it takes. It has room for several times its snapshot, so that a large state does not
    /// make a segment of every frame.
    pub(super) fn roll_for(
        &mut self,
        frame_bytes: u64,
        options: &LogOptions,
    ) -> Option<(Roll, u64, u64)> {
        if self.has_room(frame_bytes) {
            return None;
        }
        self.fold.seal(self.segment);
        let snapshot = Snapshot::new(&self.stages, &self.fold);
        let snapshot_bytes = padded_bytes(HEADER_BYTES, snapshot.bytes());
        let fill_bytes = SEGMENT_HEADER_BYTES as u64 + snapshot_bytes;
        let room_bytes = options
            .segment_bytes
            .max(fill_bytes + 3 * snapshot_bytes + frame_bytes);
        let roll = Roll {
            id: self.segment + 1,
            first: self.next,
            snapshot,
            created_at: options.clock.now(),
        };
        Some((roll, fill_bytes, room_bytes))
    }

    pub(super) fn fold(&mut self, accepted: &Accepted) -> Result<(), AppendError> {
        let own = usize::from(accepted.staged.is_some());
        let frame = FrameRef {
            kind: accepted.kind,
            first: accepted.first,
            count: accepted.count,
            staged: accepted.staged,
            parts: accepted.parts.get(own..).unwrap_or_default(),
        };
        self.fold.apply(&frame).map_err(AppendError::Declined)
    }

    /// The state takes in a piece by itself, whatever frame it will be written in.
    pub(super) fn fold_piece(&mut self, piece: Piece<'_>) -> Result<(), AppendError> {
        check_kind(piece.kind)?;
        let parts = [piece.head.clone(), piece.rest.clone()];
        let frame = FrameRef {
            kind: piece.kind,
            first: self.next,
            count: piece.count,
            staged: None,
            parts: &parts,
        };
        self.fold.apply(&frame).map_err(AppendError::Declined)
    }

    pub(super) fn count_piece(&mut self, piece: Piece<'_>, added: Added) {
        self.next = self.next.plus(u64::from(piece.count));
        self.fill_bytes += added.bytes;
        self.frames += added.frames;
    }

    pub(super) fn count(&mut self, accepted: &Accepted, frame_bytes: u64) {
        if let Some(staged) = &accepted.staged {
            self.stages.commit(self.segment, staged);
            self.staged_bytes += staged.bytes;
        }
        self.next = accepted.first.plus(u64::from(accepted.count));
        self.fill_bytes += frame_bytes;
        self.frames += 1;
    }
}

fn check_kind(kind: u8) -> Result<(), AppendError> {
    if kind <= KIND_MAX {
        return Ok(());
    }
    let error = Error::invalid(format!("frames of kind {kind} are the log's own"));
    Err(AppendError::Declined(error))
}
