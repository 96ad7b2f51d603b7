//! What a Postgres source remembers in the store, durable together with the events it belongs to.
//!
//! | key | value | meaning |
//! |---|---|---|
//! | `intent` | slot name | a slot of this name is about to be created by us |
//! | `slot` | [`SlotState`] | the slot, and the cluster it belongs to |
//! | `resume` | LSN, 8 bytes little-endian | everything committed before it is in the store |
//! | `table/<oid>` | [`TableState`] | how far a published table is |
//! | `range/<oid>/<n>` | `done` | a range of its snapshot is in the store |

use blacksmith_core::door::Door;
use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::StateChange;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Key of the name of a slot that is about to be created.
pub const INTENT: &str = "intent";
const SLOT: &str = "slot";
const RESUME: &str = "resume";
const TABLE: &str = "table/";
const RANGE: &str = "range/";

/// The replication slot that this source reads, and where it lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotState {
    /// `system_identifier` of the cluster.
    pub system_id: String,
    /// Timeline at the last connection.
    pub timeline: u32,
    /// Name of the slot.
    pub slot: String,
    /// Name of the database.
    pub database: String,
    /// Where the slot became consistent: the stream begins there.
    pub created_lsn: u64,
}

/// How far one published table is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// Its schema.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub phase: Phase,
    /// The row of `pg_publication_rel` that publishes it, when there is one: another row means it
    /// was taken out and put back, and changes between are missing.
    #[serde(default)]
    pub publication_row: Option<u32>,
}

/// Where a table stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "is")]
pub enum Phase {
    /// Its snapshot has not begun; changes committed meanwhile will be in it.
    Pending,
    /// Its snapshot is being copied.
    Copying(Copying),
    /// Its snapshot is complete; changes committed at or after `from_lsn` are kept.
    Live {
        /// Where its snapshot was taken; 0 without one.
        from_lsn: u64,
    },
    /// It is not published any more. Its last changes may still be on their way.
    Gone {
        /// As before it left.
        from_lsn: u64,
    },
}

impl Phase {
    /// The LSN from which on changes of the table are kept; none while its snapshot is to come,
    /// which will hold them.
    #[must_use]
    pub fn kept_from(&self) -> Option<u64> {
        match self {
            Phase::Pending => None,
            Phase::Copying(copying) => Some(copying.from_lsn),
            Phase::Live { from_lsn } | Phase::Gone { from_lsn } => Some(*from_lsn),
        }
    }

    /// Whether the table has left the publication.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Phase::Gone { .. })
    }
}

/// A snapshot under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copying {
    /// Where the first snapshot of this table became consistent: changes committed at or after it
    /// are kept.
    pub from_lsn: u64,
    /// What that snapshot sees (`pg_current_snapshot()`): `xmin:xmax:running,running`.
    pub snapshot: String,
    /// The ranges it was divided into.
    pub ranges: Vec<Range>,
}

/// Pages `from..upto` of one relation (of a partition, when the table is partitioned).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Oid of the relation that holds the pages.
    pub relation: u32,
    /// Its `relfilenode`: another one means that the pages were written anew.
    pub filenode: u32,
    /// First page.
    pub from: u32,
    /// First page behind it; none for the last range, which has no end.
    pub upto: Option<u32>,
}

/// The stream resumes at `lsn`.
#[must_use]
pub fn resume_at(lsn: u64) -> StateChange {
    StateChange {
        key: RESUME.to_owned(),
        value: Bytes::copy_from_slice(&lsn.to_le_bytes()),
    }
}

/// Where the stream resumes, if it ever began.
#[must_use]
pub fn resume(door: &Door) -> Option<u64> {
    let value = door.recall(RESUME)?;
    Some(u64::from_le_bytes(*value.first_chunk()?))
}

/// The slot, if there is one.
///
/// # Errors
/// `Damaged` when the store holds something else.
pub fn slot(door: &Door) -> Result<Option<SlotState>> {
    door.recall(SLOT)
        .map(|value| read(SLOT, &value))
        .transpose()
}

/// Remembers the slot.
#[must_use]
pub fn set_slot(slot: &SlotState) -> StateChange {
    write(SLOT.to_owned(), slot)
}

/// Every table that was ever published, by oid.
///
/// # Errors
/// `Damaged` when the store holds something else.
pub fn tables(door: &Door) -> Result<Vec<(u32, TableState)>> {
    let entries = door.recall_all(TABLE);
    entries
        .iter()
        .map(|(key, value)| Ok((number(key)?, read(key, value)?)))
        .collect()
}

/// Remembers how far a table is.
#[must_use]
pub fn set_table(oid: u32, table: &TableState) -> StateChange {
    write(format!("{TABLE}{oid}"), table)
}

/// Remembers that range number `range` of table `oid` is in the store.
#[must_use]
pub fn range_done(oid: u32, range: usize) -> StateChange {
    StateChange {
        key: range_key(oid, range),
        value: Bytes::from_static(b"done"),
    }
}

/// Forgets the ranges of a table whose snapshot is complete or begins anew.
#[must_use]
pub fn forget_ranges(oid: u32, ranges: usize) -> Vec<StateChange> {
    let forget = |range| StateChange {
        key: range_key(oid, range),
        value: Bytes::new(),
    };
    (0..ranges).map(forget).collect()
}

/// The ranges of table `oid` that are in the store.
///
/// # Errors
/// `Damaged` when the store holds something else.
pub fn ranges_done(door: &Door, oid: u32) -> Result<Vec<usize>> {
    let entries = door.recall_all(&format!("{RANGE}{oid}/"));
    entries
        .iter()
        .map(|(key, _)| Ok(number(key)? as usize))
        .collect()
}

fn range_key(oid: u32, range: usize) -> String {
    format!("{RANGE}{oid}/{range}")
}

fn number(key: &str) -> Result<u32> {
    let digits = key.rsplit('/').next().unwrap_or_default();
    digits.parse().map_err(|_| broken(key))
}

fn read<T: for<'a> Deserialize<'a>>(key: &str, value: &[u8]) -> Result<T> {
    serde_json::from_slice(value).map_err(|error| broken(key).because(error))
}

fn write<T: Serialize>(key: String, value: &T) -> StateChange {
    // Plain structs of numbers and strings: they always have a JSON form.
    let value = serde_json::to_vec(value).unwrap_or_default();
    StateChange {
        key,
        value: Bytes::from(value),
    }
}

fn broken(key: &str) -> Error {
    Error::damaged(format!(
        "what the store remembers under \"{key}\" cannot be read"
    ))
    .help("it was written by another version; use that one")
}
