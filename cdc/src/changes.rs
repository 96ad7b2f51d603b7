//! Walking the blocks of the log: framed messages in, row changes out, in the order of their
//! positions.
//!
//! A block's body is a sequence of pieces, each a 32-bit little-endian length and that many bytes.
//! A piece of the stream is one pgoutput message; a piece of a copy is one CopyData payload. Both
//! are as they arrived. [`append`] writes a piece, [`Changes`] and [`CopyChanges`] walk them.
//!
//! Each row event has an ordinal, counted from 0 over the whole body exactly as
//! [`Frame::rows`] counted it on the way in, so that positions can be told from ordinals. A row that
//! cannot be read keeps its ordinal: it comes as an error in its place, and the walk goes on.
//!
//! The commit LSN and time of a row stand in the Begin message before it. A block that begins inside
//! a transaction, or holds chunks of one that was streamed, gets them from whoever knows.

use blacksmith_core::error::{Error, Result};

use crate::protocol::message::{Commit, RelationOids};
use crate::protocol::{CopyFormat, CopyRows, Frame, Message, Relation, Tag, Tuple};
use crate::value::RowChange;

/// What all rows of a transaction share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction {
    /// LSN of its commit record.
    pub commit_lsn: u64,
    /// When it was committed, in microseconds since 1970.
    pub committed_at_us: i64,
}

/// Appends one piece to the body of a block.
///
/// # Errors
/// `Invalid` when it is 4 GiB or more, which no message of Postgres is.
pub fn append(body: &mut Vec<u8>, piece: &[u8]) -> Result<()> {
    let len = u32::try_from(piece.len())
        .map_err(|_| Error::invalid(format!("a message of {} bytes", piece.len())))?;
    body.extend_from_slice(&len.to_le_bytes());
    body.extend_from_slice(piece);
    Ok(())
}

/// The pieces of a body.
#[derive(Debug, Clone)]
pub struct Pieces<'a> {
    rest: &'a [u8],
}

impl<'a> Pieces<'a> {
    /// Begins at the head of `body`.
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        Pieces { rest: body }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Result<&'a [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let piece = self.rest.split_first_chunk::<4>().and_then(|(len, rest)| {
            rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)
        });
        let Some((piece, rest)) = piece else {
            self.rest = &[];
            return Some(Err(Error::damaged(
                "a block whose pieces do not fit its length",
            )));
        };
        self.rest = rest;
        Some(Ok(piece))
    }
}

/// A row event of the stream.
#[derive(Debug)]
pub struct StreamRow<'a> {
    /// Counts the row events of the body, from 0.
    pub ordinal: u64,
    /// The table.
    pub relation: u32,
    /// The (sub)transaction inside a streamed transaction; 0 elsewhere.
    pub group: u32,
    /// What it was committed with.
    pub transaction: Transaction,
    /// The change; an error when its message cannot be read.
    pub change: Result<RowChange<'a>>,
}

/// What a walk meets.
#[derive(Debug)]
pub enum Step<'a> {
    /// A row event.
    Row(StreamRow<'a>),
    /// What rows of a table look like from here on.
    Relation {
        /// The (sub)transaction, as in [`StreamRow::group`].
        group: u32,
        /// The table.
        relation: Relation<'a>,
    },
    /// The transaction is complete.
    Commit(Commit),
}

/// Walks the body of a block of the stream.
#[derive(Debug)]
pub struct Changes<'a> {
    pieces: Pieces<'a>,
    transaction: Option<Transaction>,
    streamed: bool,
    ordinal: u64,
    truncate: Option<(RelationOids<'a>, u32)>,
}

impl<'a> Changes<'a> {
    /// Begins at the head of `body`. `transaction` is the one that rows before any Begin belong to;
    /// `streamed` says whether the first message stands inside a stream.
    #[must_use]
    pub fn new(body: &'a [u8], transaction: Option<Transaction>, streamed: bool) -> Self {
        Changes {
            pieces: Pieces::new(body),
            transaction,
            streamed,
            ordinal: 0,
            truncate: None,
        }
    }

    /// The transaction that the next row belongs to, to be handed to the walk of the next block.
    #[must_use]
    pub fn transaction(&self) -> Option<Transaction> {
        self.transaction
    }

    fn step(&mut self, piece: &'a [u8]) -> Result<Option<Step<'a>>> {
        let frame = Frame::peek(piece, self.streamed).map_err(not_a_message)?;
        let group = frame.xid.unwrap_or(0);
        match frame.tag {
            Tag::Insert | Tag::Update | Tag::Delete => {
                let relation = frame.relation.unwrap_or(0);
                let change = self.read(piece).and_then(row_change);
                self.row(relation, group, change).map(Some)
            }
            Tag::Truncate => {
                if let Message::Truncate(truncate) = self.read(piece).map_err(not_a_message)? {
                    self.truncate = Some((truncate.relations(), group));
                }
                self.next_truncated().transpose()
            }
            Tag::Relation | Tag::Begin | Tag::Commit => {
                let message = self.read(piece).map_err(not_a_message)?;
                Ok(self.note(message, group))
            }
            Tag::StreamStart => {
                self.streamed = true;
                Ok(None)
            }
            Tag::StreamStop => {
                self.streamed = false;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn read(&self, piece: &'a [u8]) -> Result<Message<'a>> {
        Message::parse(piece, self.streamed).map(|(_, message)| message)
    }

    /// Takes notice of what is no row.
    fn note(&mut self, message: Message<'a>, group: u32) -> Option<Step<'a>> {
        match message {
            Message::Begin(begin) => {
                self.transaction = Some(Transaction {
                    commit_lsn: begin.commit_lsn,
                    committed_at_us: begin.committed_at_us,
                });
                None
            }
            Message::Commit(commit) => {
                self.transaction = None;
                Some(Step::Commit(commit))
            }
            Message::Relation(relation) => Some(Step::Relation { group, relation }),
            _ => None,
        }
    }

    fn row(
        &mut self,
        relation: u32,
        group: u32,
        change: Result<RowChange<'a>>,
    ) -> Result<Step<'a>> {
        let transaction = self
            .transaction
            .ok_or_else(|| Error::damaged("a block with rows of no transaction"))?;
        let ordinal = self.ordinal;
        self.ordinal += 1;
        Ok(Step::Row(StreamRow {
            ordinal,
            relation,
            group,
            transaction,
            change,
        }))
    }

    /// The next table of the truncate at hand.
    fn next_truncated(&mut self) -> Option<Result<Step<'a>>> {
        let (relations, group) = self.truncate.as_mut()?;
        let group = *group;
        match relations.next() {
            Some(relation) => Some(self.row(relation, group, Ok(RowChange::Truncate))),
            None => {
                self.truncate = None;
                None
            }
        }
    }

    fn advance(&mut self) -> Result<Option<Step<'a>>> {
        if let Some(step) = self.next_truncated() {
            return step.map(Some);
        }
        while let Some(piece) = self.pieces.next() {
            if let Some(step) = self.step(piece?)? {
                return Ok(Some(step));
            }
        }
        Ok(None)
    }
}

impl<'a> Iterator for Changes<'a> {
    /// An error is of kind `Damaged`: the block makes no sense from there on, and the walk ends.
    type Item = Result<Step<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let step = self.advance();
        if step.is_err() {
            self.pieces = Pieces::new(&[]);
            self.truncate = None;
        }
        step.transpose()
    }
}

/// Messages were peeked before they were appended, so one that is none was damaged since.
fn not_a_message(error: Error) -> Error {
    Error::damaged("a block holds a message that cannot be read").because(error)
}

fn row_change(message: Message<'_>) -> Result<RowChange<'_>> {
    match message {
        Message::Insert { new, .. } => Ok(RowChange::Insert { new }),
        Message::Update { old, new, .. } => Ok(RowChange::Update { old, new }),
        Message::Delete { old, .. } => Ok(RowChange::Delete { old }),
        _ => Err(Error::invalid("a message that is no row")),
    }
}

/// Walks the body of a block of copied rows.
#[derive(Debug)]
pub struct CopyChanges<'a> {
    format: CopyFormat,
    pieces: Pieces<'a>,
    rows: Option<CopyRows<'a>>,
    ordinal: u64,
}

impl<'a> CopyChanges<'a> {
    /// Begins at the head of `body`.
    #[must_use]
    pub fn new(body: &'a [u8], format: CopyFormat) -> Self {
        CopyChanges {
            format,
            pieces: Pieces::new(body),
            rows: None,
            ordinal: 0,
        }
    }

    fn advance(&mut self) -> Result<Option<Tuple<'a>>> {
        loop {
            if let Some(row) = self.rows.as_mut().and_then(Iterator::next) {
                return row.map(Some).map_err(not_a_row);
            }
            let Some(piece) = self.pieces.next() else {
                return Ok(None);
            };
            self.rows = Some(CopyRows::new(self.format, piece?).map_err(not_a_row)?);
        }
    }
}

impl<'a> Iterator for CopyChanges<'a> {
    /// The ordinal and the row. An error is of kind `Damaged`, and the walk ends.
    type Item = Result<(u64, RowChange<'a>)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(row) => row.map(|row| {
                let ordinal = self.ordinal;
                self.ordinal += 1;
                Ok((ordinal, RowChange::Read { row }))
            }),
            Err(error) => {
                self.pieces = Pieces::new(&[]);
                self.rows = None;
                Some(Err(error))
            }
        }
    }
}

/// Payloads were counted before they were appended, so one that cannot be split was damaged since.
fn not_a_row(error: Error) -> Error {
    Error::damaged("a block holds copied rows that cannot be read").because(error)
}

#[cfg(test)]
mod tests;
