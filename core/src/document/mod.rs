//! Documents: how extracted events, and the jobs made of them, lie in a block.
//!
//! Blocks of [`FormatId::JSON`](crate::event::FormatId::JSON) hold one entry for each position, in order. An
//! entry is an event, or, under a schema that has `only_jobs`, a further job of an event elsewhere. Events carry
//! the jobs whose payload differs from their own; a job that passes its event through is not written at all: the
//! schema's calls and the routes say that it exists.
//!
//! ```text
//! entry     length u32 | schema u32 | flags u8 | ticket u64 | optional fields in the order of the flags | context | data
//! flags     1 sent at (i64 us)   2 parent (place)   4 jobs (list)   8 rejections (list)
//!           16 belongs (event place, schema u32, received at i64, parent lane u32, parent position u64)
//! job       lane u32 | flags u8 | version? text | context? bytes | data? bytes | sent at? i64
//! rejection lane u32 | text
//! place     u64: a position; with the top bit set, how many positions before this one in the same block
//! ```
//! Integers are little-endian; texts, bytes and lists are preceded by their length as u32. `context` and `data` are JSON
//! as it arrived. Limits: an entry is at most 40 MiB, a list has at most 4,096 items.

mod decoding;
mod entry;
mod rows;
mod wire;

pub use decoding::Documents;
pub(crate) use decoding::Origins;
pub use entry::{Belongs, Entries, Entry, OwnJob, Place, Rejection, Unread, plain_bytes, write};
