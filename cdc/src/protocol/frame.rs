//! The first look at a pgoutput message, taken on the way in: a few bytes, no walk over columns.
//!
//! The number of row events decides how many positions a message gets, so this is the only place
//! that counts them: one per insert, update (also one that changes the key) and delete, and one per
//! relation of a truncate.

use blacksmith_core::error::{Error, Result};

use super::cursor::Cursor;

/// What kind of message it is: its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tag {
    /// `B`: a transaction begins; all of it follows, then its commit.
    Begin,
    /// `C`: the transaction begun last is committed.
    Commit,
    /// `O`: the transaction came from another node.
    Origin,
    /// `R`: describes a table before the first row of it, and after it changed.
    Relation,
    /// `Y`: describes a type that is not built in.
    Type,
    /// `I`
    Insert,
    /// `U`
    Update,
    /// `D`
    Delete,
    /// `T`: one or more tables truncated.
    Truncate,
    /// `M`: from `pg_logical_emit_message`.
    Message,
    /// `S`: a chunk of a transaction in progress begins.
    StreamStart,
    /// `E`: the chunk ends; nothing is committed.
    StreamStop,
    /// `c`: a streamed transaction is committed.
    StreamCommit,
    /// `A`: a streamed transaction, or a subtransaction of it, is rolled back. PostgreSQL 18 can
    /// send one that belongs to nothing we saw, even under protocol 1: it is to be ignored.
    StreamAbort,
    /// `b`: two-phase, a prepared transaction begins.
    BeginPrepare,
    /// `P`: two-phase, the transaction is prepared.
    Prepare,
    /// `K`: two-phase, a prepared transaction is committed.
    CommitPrepared,
    /// `r`: two-phase, a prepared transaction is rolled back.
    RollbackPrepared,
    /// `p`: two-phase, a streamed transaction is prepared.
    StreamPrepare,
}

impl Tag {
    /// The tag written as `byte`; `None` when Postgres up to 18 has no such message.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Tag> {
        Some(match byte {
            b'B' => Tag::Begin,
            b'C' => Tag::Commit,
            b'O' => Tag::Origin,
            b'R' => Tag::Relation,
            b'Y' => Tag::Type,
            b'I' => Tag::Insert,
            b'U' => Tag::Update,
            b'D' => Tag::Delete,
            b'T' => Tag::Truncate,
            b'M' => Tag::Message,
            b'S' => Tag::StreamStart,
            b'E' => Tag::StreamStop,
            b'c' => Tag::StreamCommit,
            b'A' => Tag::StreamAbort,
            b'b' => Tag::BeginPrepare,
            b'P' => Tag::Prepare,
            b'K' => Tag::CommitPrepared,
            b'r' => Tag::RollbackPrepared,
            b'p' => Tag::StreamPrepare,
            _ => return None,
        })
    }

    /// True for the two-phase messages, which are sent only to who asked for them. We do not.
    #[must_use]
    pub fn is_two_phase(self) -> bool {
        matches!(
            self,
            Tag::BeginPrepare
                | Tag::Prepare
                | Tag::CommitPrepared
                | Tag::RollbackPrepared
                | Tag::StreamPrepare
        )
    }

    /// True when the message carries a transaction id behind its tag inside a stream.
    #[must_use]
    pub fn carries_xid_when_streamed(self) -> bool {
        matches!(
            self,
            Tag::Relation
                | Tag::Type
                | Tag::Insert
                | Tag::Update
                | Tag::Delete
                | Tag::Truncate
                | Tag::Message
        )
    }
}

/// What a message is about, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// What kind of message.
    pub tag: Tag,
    /// The (sub)transaction a message inside a stream belongs to; `None` outside.
    pub xid: Option<u32>,
    /// The relation of `R I U D`; `None` for all others (a truncate names several).
    pub relation: Option<u32>,
    /// Row events in it, which is how many positions it takes.
    pub rows: u32,
}

impl Frame {
    /// Looks at the head of `message`; `streamed` says whether it stands between `S` and `E`.
    ///
    /// # Errors
    /// `Invalid` when it is empty, cut short in its head, or its tag is unknown.
    #[inline]
    pub fn peek(message: &[u8], streamed: bool) -> Result<Frame> {
        let mut cursor = Cursor::new(message);
        let tag = read_tag(&mut cursor)?;
        let xid = match streamed && tag.carries_xid_when_streamed() {
            true => Some(cursor.u32()?),
            false => None,
        };
        let (relation, rows) = match tag {
            Tag::Insert | Tag::Update | Tag::Delete => (Some(cursor.u32()?), 1),
            Tag::Relation => (Some(cursor.u32()?), 0),
            Tag::Truncate => (None, cursor.u32()?),
            _ => (None, 0),
        };
        if tag == Tag::Truncate {
            check_truncate_len(&cursor, rows)?;
        }
        Ok(Frame {
            tag,
            xid,
            relation,
            rows,
        })
    }
}

/// A count that its own message cannot hold would take positions for nothing.
fn check_truncate_len(cursor: &Cursor<'_>, relations: u32) -> Result<()> {
    let len = 1 + 4 * u64::from(relations);
    match cursor.rest().len() as u64 == len {
        true => Ok(()),
        false => Err(Error::invalid(
            "a truncate whose length does not fit its tables",
        )),
    }
}

pub(super) fn read_tag(cursor: &mut Cursor<'_>) -> Result<Tag> {
    let byte = cursor.u8()?;
    Tag::from_byte(byte).ok_or_else(|| {
        Error::invalid(format!(
            "a pgoutput message with the unknown tag {byte:#04x}"
        ))
        .help("the server may be newer than this program; PostgreSQL 14 to 18 are known")
    })
}
