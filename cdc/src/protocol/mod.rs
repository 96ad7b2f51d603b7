//! The bytes Postgres sends, read in place: pgoutput messages (protocol 1 to 4) and COPY rows.
//!
//! There are two levels, because the way in and the way out ask different questions.
//! [`frame`] looks at the first few bytes of a message: its tag, the relation, how many row events
//! it stands for. That is all a message costs before it is in the log. [`message`] reads the whole
//! message and borrows from it: a row is a [`Tuple`], walked as a sequence of [`Value`]s, and
//! nothing is copied or decoded. What a value means is the business of [`crate::value`].
//!
//! COPY rows ([`copy`]) end in the same [`Value`]s, so a row has one shape whichever way it came.
//!
//! Limits: a row has at most 65,535 columns here (Postgres: 1,600); a value is at most 2 GiB - 1.
//! Every length is checked against the bytes at hand before it is used, and nothing is allocated
//! from a length. Bytes that are no message are an error of kind `Invalid`, never a panic.
//!
//! Format: see "Logical Replication Message Formats" and "COPY" in the manual of PostgreSQL. All
//! integers are big-endian. Between Stream Start (`S`) and Stream Stop (`E`) the messages
//! `R Y I U D T M` carry the transaction id of their (sub)transaction right behind the tag; the
//! bytes do not say so themselves, therefore every reader here asks for `streamed`.

#![deny(clippy::indexing_slicing)]

mod cursor;
pub mod tuple;
pub mod frame;
pub mod message;
pub mod copy;

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    reason = "a test that indexes wrongly fails, as it should"
)]
mod tests;

pub use copy::{CopyFormat, CopyRows};
pub use frame::{Frame, Tag};
pub use message::{Message, OldTuple, Relation, RelationColumn};
pub use tuple::{Tuple, Value, Values};
