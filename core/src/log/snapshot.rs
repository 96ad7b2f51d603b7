//! What the first frame of each segment holds: everything folded from the frames before it.
//!
//! The log's own part comes first: the next stage id (u64), the number of committed staged files
//! (u64), for each its id, the segment with its commit, and its bytes (3 x u64). The rest belongs to
//! the caller's [`Fold`].

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::{BufMut, Bytes};

use crate::error::{Error, Result};
use crate::log::frame::{Fields, FrameRef, StageRef};

/// State folded from frames in order. Its snapshot opens every segment, so that opening reads only
/// the last segment and old ones can be dropped at any time.
pub trait Fold: Debug + Send + 'static {
    /// Takes in one frame. Called for each frame in order, when appended and again when recovered;
    /// it must depend on nothing but the frames.
    ///
    /// # Errors
    /// Leaves the state as it was; the frame is then not appended.
    fn apply(&mut self, frame: &FrameRef<'_>) -> Result<()>;

    /// The whole state in bytes. Called under the append lock once per segment: keep it small.
    fn encode(&self) -> Vec<u8>;

    /// Becomes the state that [`Fold::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not such a state.
    fn restore(&mut self, snapshot: &[u8]) -> Result<()>;
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
        self.next_stage = self.next_stage.max(stage.id + 1);
    }

    /// The body of a snapshot frame: this table, then the caller's state.
    pub(super) fn encode(&self, fold: &dyn Fold) -> Bytes {
        let mut bytes = Vec::new();
        bytes.put_u64_le(self.next_stage);
        bytes.put_u64_le(self.staged.len() as u64);
        for (id, staged) in &self.staged {
            bytes.put_u64_le(*id);
            bytes.put_u64_le(staged.segment);
            bytes.put_u64_le(staged.bytes);
        }
        bytes.extend_from_slice(&fold.encode());
        bytes.into()
    }

    /// The table in the body of a snapshot frame; the rest restores `fold`.
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
