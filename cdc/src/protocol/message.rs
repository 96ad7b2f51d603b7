//! A pgoutput message read whole, borrowed from its bytes.

use blacksmith_core::error::{Error, Result};

use super::cursor::Cursor;
use super::frame::{Tag, read_tag};
use super::tuple::{Tuple, TupleData};

/// Microseconds from 1970-01-01 to 2000-01-01, where Postgres begins to count time.
pub const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// A message of the logical replication stream. Times are microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy)]
pub enum Message<'a> {
    /// A transaction begins.
    Begin(Begin),
    /// The transaction begun last is committed.
    Commit(Commit),
    /// Where the transaction came from.
    Origin {
        /// Commit LSN at the origin.
        lsn: u64,
        /// Name of the origin.
        name: &'a str,
    },
    /// A table described.
    Relation(Relation<'a>),
    /// A type that is not built in.
    Type {
        /// Its oid.
        oid: u32,
        /// Its schema; empty means `pg_catalog`.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// A new row.
    Insert {
        /// The table.
        relation: u32,
        /// The row.
        new: Tuple<'a>,
    },
    /// A changed row.
    Update {
        /// The table.
        relation: u32,
        /// What was sent of the row before.
        old: Option<OldTuple<'a>>,
        /// The row after.
        new: Tuple<'a>,
    },
    /// A removed row.
    Delete {
        /// The table.
        relation: u32,
        /// What was sent of the row.
        old: OldTuple<'a>,
    },
    /// Tables emptied.
    Truncate(Truncate<'a>),
    /// From `pg_logical_emit_message`.
    Message {
        /// False: written at once, whatever became of its transaction.
        transactional: bool,
        /// Where it was written.
        lsn: u64,
        /// Who it is for.
        prefix: &'a str,
        /// Any bytes.
        content: &'a [u8],
    },
    /// A chunk of a transaction in progress begins.
    StreamStart {
        /// The top transaction.
        xid: u32,
        /// True for its first chunk.
        first: bool,
    },
    /// The chunk ends.
    StreamStop,
    /// A streamed transaction is committed.
    StreamCommit {
        /// The top transaction.
        xid: u32,
        /// Where and when.
        commit: Commit,
    },
    /// A streamed transaction (`xid == subxid`) or a subtransaction of it is rolled back.
    StreamAbort {
        /// The top transaction.
        xid: u32,
        /// What is rolled back.
        subxid: u32,
        /// Where and when, under protocol 4 with parallel streaming.
        aborted: Option<(u64, i64)>,
    },
}

/// Head of a transaction that is sent after it committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// LSN of the commit record that will follow.
    pub commit_lsn: u64,
    /// When it was committed.
    pub committed_at_us: i64,
    /// Its transaction id.
    pub xid: u32,
}

/// A commit record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// LSN of the commit record.
    pub commit_lsn: u64,
    /// LSN behind the transaction: where to resume.
    pub end_lsn: u64,
    /// When it was committed.
    pub committed_at_us: i64,
}

/// The row before an update or delete, as far as the replica identity lets it be known.
#[derive(Debug, Clone, Copy)]
pub enum OldTuple<'a> {
    /// `K`: only the columns of the identity; the others are NULL and mean nothing.
    Key(Tuple<'a>),
    /// `O`: the whole row (REPLICA IDENTITY FULL).
    Full(Tuple<'a>),
}

/// Which tables were truncated, and how.
#[derive(Debug, Clone, Copy)]
pub struct Truncate<'a> {
    /// TRUNCATE ... CASCADE
    pub cascade: bool,
    /// TRUNCATE ... RESTART IDENTITY
    pub restart_identity: bool,
    oids: &'a [u8],
}

impl<'a> Truncate<'a> {
    /// The tables, in the order that the frame counts them.
    #[must_use]
    pub fn relations(&self) -> RelationOids<'a> {
        RelationOids(Cursor::new(self.oids))
    }
}

/// The tables of a [`Truncate`].
#[derive(Debug, Clone)]
pub struct RelationOids<'a>(Cursor<'a>);

impl Iterator for RelationOids<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.0.u32().ok()
    }
}

/// A table as the stream describes it.
#[derive(Debug, Clone, Copy)]
pub struct Relation<'a> {
    /// Its oid.
    pub oid: u32,
    /// Its schema; the empty name of the wire is given as `pg_catalog`.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Replica identity as in `pg_class.relreplident`: `d n f i`.
    pub identity: u8,
    columns: u16,
    body: &'a [u8],
}

/// A published column of a [`Relation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    /// True when it belongs to the replica identity (under FULL: always).
    pub key: bool,
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub type_oid: u32,
    /// Its type modifier, -1 for none.
    pub typmod: i32,
}

impl<'a> Relation<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self> {
        let oid = cursor.u32()?;
        let namespace = match cursor.name()? {
            "" => "pg_catalog",
            namespace => namespace,
        };
        let name = cursor.name()?;
        let identity = cursor.u8()?;
        let columns = cursor.u16()?;
        let body = cursor.rest();
        for _ in 0..columns {
            read_column(cursor)?;
        }
        Ok(Relation {
            oid,
            namespace,
            name,
            identity,
            columns,
            body,
        })
    }

    /// The published columns in the order of the rows' values.
    pub fn columns(&self) -> impl Iterator<Item = RelationColumn<'a>> + 'a {
        let mut cursor = Cursor::new(self.body);
        let columns = usize::from(self.columns);
        std::iter::from_fn(move || read_column(&mut cursor).ok()).take(columns)
    }
}

fn read_column<'a>(cursor: &mut Cursor<'a>) -> Result<RelationColumn<'a>> {
    let key = cursor.u8()? & 1 == 1;
    let name = cursor.name()?;
    let type_oid = cursor.u32()?;
    let typmod = cursor.i32()?;
    Ok(RelationColumn {
        key,
        name,
        type_oid,
        typmod,
    })
}

impl<'a> Message<'a> {
    /// Reads `message`; `streamed` says whether it stands between Stream Start and Stream Stop.
    ///
    /// Gives the message and, when streamed, the (sub)transaction it belongs to.
    ///
    /// # Errors
    /// `Invalid` for an unknown tag, a two-phase message, lengths that do not fit, a name that is
    /// not UTF-8, or bytes left over.
    pub fn parse(message: &'a [u8], streamed: bool) -> Result<(Option<u32>, Message<'a>)> {
        let mut cursor = Cursor::new(message);
        let tag = read_tag(&mut cursor)?;
        let xid = match streamed && tag.carries_xid_when_streamed() {
            true => Some(cursor.u32()?),
            false => None,
        };
        let parsed = read_body(tag, &mut cursor).map_err(|error| error.at(format!("{tag:?}")))?;
        cursor.end().map_err(|error| error.at(format!("{tag:?}")))?;
        Ok((xid, parsed))
    }
}

fn read_body<'a>(tag: Tag, cursor: &mut Cursor<'a>) -> Result<Message<'a>> {
    Ok(match tag {
        Tag::Begin => Message::Begin(Begin {
            commit_lsn: cursor.u64()?,
            committed_at_us: read_time(cursor)?,
            xid: cursor.u32()?,
        }),
        Tag::Commit => Message::Commit(read_commit(cursor)?),
        Tag::Origin => Message::Origin {
            lsn: cursor.u64()?,
            name: cursor.name()?,
        },
        Tag::Relation => Message::Relation(Relation::read(cursor)?),
        Tag::Type => Message::Type {
            oid: cursor.u32()?,
            namespace: cursor.name()?,
            name: cursor.name()?,
        },
        Tag::Insert => Message::Insert {
            relation: cursor.u32()?,
            new: read_new(cursor)?,
        },
        Tag::Update => read_update(cursor)?,
        Tag::Delete => read_delete(cursor)?,
        Tag::Truncate => Message::Truncate(read_truncate(cursor)?),
        Tag::Message => Message::Message {
            transactional: cursor.u8()? & 1 == 1,
            lsn: cursor.u64()?,
            prefix: cursor.name()?,
            content: cursor.counted()?,
        },
        Tag::StreamStart => Message::StreamStart {
            xid: cursor.u32()?,
            first: cursor.u8()? == 1,
        },
        Tag::StreamStop => Message::StreamStop,
        Tag::StreamCommit => Message::StreamCommit {
            xid: cursor.u32()?,
            commit: read_commit(cursor)?,
        },
        Tag::StreamAbort => read_abort(cursor)?,
        two_phase => return Err(no_two_phase(two_phase)),
    })
}

fn no_two_phase(tag: Tag) -> Error {
    debug_assert!(tag.is_two_phase(), "every other tag has its arm");
    Error::invalid("a message of a two-phase slot; prepared transactions are taken at commit")
        .help("drop the slot and let it be created anew, without TWO_PHASE")
}

fn read_time(cursor: &mut Cursor<'_>) -> Result<i64> {
    cursor
        .i64()
        .map(|time| time.saturating_add(POSTGRES_EPOCH_US))
}

fn read_commit(cursor: &mut Cursor<'_>) -> Result<Commit> {
    let _flags = cursor.u8()?; // none are defined
    Ok(Commit {
        commit_lsn: cursor.u64()?,
        end_lsn: cursor.u64()?,
        committed_at_us: read_time(cursor)?,
    })
}

fn read_new<'a>(cursor: &mut Cursor<'a>) -> Result<Tuple<'a>> {
    match cursor.u8()? {
        b'N' => TupleData::read(cursor).map(Tuple::Logical),
        other => Err(Error::invalid(format!(
            "{other:#04x} where a new tuple (N) belongs"
        ))),
    }
}

fn read_update<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>> {
    let relation = cursor.u32()?;
    let old = match cursor.rest().first() {
        Some(b'K' | b'O') => Some(read_old(cursor)?),
        _ => None,
    };
    Ok(Message::Update {
        relation,
        old,
        new: read_new(cursor)?,
    })
}

fn read_delete<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>> {
    Ok(Message::Delete {
        relation: cursor.u32()?,
        old: read_old(cursor)?,
    })
}

fn read_old<'a>(cursor: &mut Cursor<'a>) -> Result<OldTuple<'a>> {
    match cursor.u8()? {
        b'K' => TupleData::read(cursor).map(|tuple| OldTuple::Key(Tuple::Logical(tuple))),
        b'O' => TupleData::read(cursor).map(|tuple| OldTuple::Full(Tuple::Logical(tuple))),
        other => Err(Error::invalid(format!(
            "{other:#04x} where an old tuple (K, O) belongs"
        ))),
    }
}

fn read_truncate<'a>(cursor: &mut Cursor<'a>) -> Result<Truncate<'a>> {
    let relations = cursor.u32()?;
    let flags = cursor.u8()?;
    let len = (relations as usize)
        .checked_mul(4)
        .ok_or_else(|| Error::invalid("more tables than bytes"))?;
    Ok(Truncate {
        cascade: flags & 1 != 0,
        restart_identity: flags & 2 != 0,
        oids: cursor.bytes(len)?,
    })
}

fn read_abort<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>> {
    let xid = cursor.u32()?;
    let subxid = cursor.u32()?;
    let aborted = match cursor.rest().is_empty() {
        true => None,
        false => Some((cursor.u64()?, read_time(cursor)?)),
    };
    Ok(Message::StreamAbort {
        xid,
        subxid,
        aborted,
    })
}
