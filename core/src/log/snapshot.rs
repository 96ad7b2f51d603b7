//! What the first frame of each segment holds: everything folded from the frames before it. A large
//! state takes several frames, one after the other; their bodies are one.
//!
//! The log's own part comes first: the next stage id (u64), the number of committed staged files
//! (u64), for each its id, the segment with its commit, and its bytes (3 x u64). The rest belongs to
//! the caller's [`Fold`].

use std::collections::BTreeMap;
use std::fmt::{self, Debug};

use bytes::{BufMut, Bytes};

use crate::error::{Error, Result};
use crate::log::frame::{Fields, FrameRef, StageRef};
use crate::position::Position;

/// State folded from frames in order. Its snapshot opens every segment, so that opening reads only
/// the last segment and old ones can be dropped at any time.
pub trait Fold: Debug + Send + 'static {
    /// Takes in one frame. Called for each frame in order, when appended and again when recovered;
    /// it must depend on nothing but the frames.
    ///
    /// # Errors
    /// Leaves the state as it was; the frame is then not appended.
    fn apply(&mut self, frame: &FrameRef<'_>) -> Result<()>;

    /// The whole state in bytes.
    fn encode(&self) -> Vec<u8>;

    /// The state of this moment, to be written by another thread. Called under the append lock once per
    /// segment: a large state shares what it can instead of encoding itself here.
    fn freeze(&self) -> Frozen {
        let bytes = self.encode();
        Frozen::new(bytes.len(), move || bytes)
    }

    /// The frames from here on go into the segment after `segment`. May be called more than once for one
    /// segment. The snapshot is taken after it, so it is not called again at recovery.
    fn seal(&mut self, _segment: u64) {}

    /// Frames before the one with position `oldest` are gone, and what concerns only them may be
    /// forgotten. Called when segments were dropped, and at opening.
    fn forget_before(&mut self, _oldest: Position) {}

    /// Becomes the state that [`Fold::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not such a state.
    fn restore(&mut self, snapshot: &[u8]) -> Result<()>;
}

/// A state as it was when it was frozen.
pub struct Frozen {
    bytes: usize,
    encode: Box<dyn FnOnce() -> Vec<u8> + Send>,
}

impl Frozen {
    /// What `encode` gives when it is called; that is `bytes` long, about.
    pub fn new(bytes: usize, encode: impl FnOnce() -> Vec<u8> + Send + 'static) -> Frozen {
        Frozen {
            bytes,
            encode: Box::new(encode),
        }
    }
}

impl Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frozen")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// What a snapshot is made from.
#[derive(Debug)]
pub(super) struct Snapshot {
    stages: StageTable,
    state: Frozen,
}

impl Snapshot {
    pub(super) fn new(stages: &StageTable, fold: &dyn Fold) -> Snapshot {
        Snapshot {
            stages: stages.clone(),
            state: fold.freeze(),
        }
    }

    /// How many bytes [`Snapshot::encode`] gives, about.
    pub(super) fn bytes(&self) -> usize {
        16 + self.stages.staged.len() * 24 + self.state.bytes
    }

    /// The body of the snapshot: the table of stages, then the caller's state.
    pub(super) fn encode(self) -> Bytes {
        let mut bytes = Vec::new();
        bytes.put_u64_le(self.stages.next_stage);
        bytes.put_u64_le(self.stages.staged.len() as u64);
        for (id, staged) in &self.stages.staged {
            bytes.put_u64_le(*id);
            bytes.put_u64_le(staged.segment);
            bytes.put_u64_le(staged.bytes);
        }
        bytes.extend_from_slice(&(self.state.encode)());
        bytes.into()
    }
}

/// No state.
impl Fold for () {
    fn apply(&mut self, _: &FrameRef<'_>) -> Result<()> {
        Ok(())
    }

    fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// A committed staged file that still belongs to a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Staged {
    pub(super) segment: u64,
    pub(super) bytes: u64,
}

/// The committed staged files, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StageTable {
    pub(super) next_stage: u64,
    pub(super) staged: BTreeMap<u64, Staged>,
}

impl StageTable {
    /// Takes in a commit.
    pub(super) fn commit(&mut self, segment: u64, stage: &StageRef) {
        let bytes = stage.bytes;
        self.staged.insert(stage.id, Staged { segment, bytes });
        self.next_stage = self.next_stage.max(stage.id.saturating_add(1));
    }

    /// The table in the body of a snapshot; the rest restores `fold`.
    ///
    /// # Errors
    /// Damaged when the body is not such a state.
    pub(super) fn restore(body: &[u8], fold: &mut dyn Fold) -> Result<StageTable> {
        let mut fields = Fields(body);
        let table = StageTable::take(&mut fields)
            .ok_or_else(|| Error::damaged("the table of staged files is cut short"))?;
        fold.restore(fields.0)?;
        Ok(table)
    }

    fn take(fields: &mut Fields<'_>) -> Option<StageTable> {
        let mut table = StageTable {
            next_stage: fields.u64()?,
            staged: BTreeMap::new(),
        };
        for _ in 0..fields.u64()? {
            let id = fields.u64()?;
            let segment = fields.u64()?;
            let bytes = fields.u64()?;
            table.staged.insert(id, Staged { segment, bytes });
        }
        Some(table)
    }
}
