//! Rows of tables as JSON, and as jobs.
//!
//! Changes of a database reach an action as Arrow record batches or, when it takes jobs, one JSON object for each row. This
//! module writes the objects; nothing else in the house does. No value is changed on the way:
//!
//! | Arrow | JSON |
//! |---|---|
//! | whole numbers | numbers up to 2^53, which every reader of JSON reads exactly; text beyond |
//! | decimals | text with all their digits |
//! | floats | the shortest number that reads as the same float; `"NaN"`, `"Infinity"` and `"-Infinity"` as text |
//! | bytes | text `\x…` in hex |
//! | uuids, dates, times, timestamps | their usual text, with a `Z` when the type has a time zone |
//! | lists, structs | arrays, objects |
//! | null | `null` |
//!
//! [`number`] reads a whole number or decimal from either form.

mod cell;
mod change;
mod jobs;
pub mod number;
mod object;

use arrow_array::RecordBatch;

use crate::json::Json;
use crate::source::{Asked, Decoding, Format, Takes};

use jobs::RowJobs;

/// Row `index` of `rows` as one JSON object, columns of ours included.
///
/// # Panics
/// When there is no such row.
#[must_use]
pub fn object(rows: &RecordBatch, index: usize) -> Json {
    let mut out = Vec::new();
    object::Columns::all(rows).write(index, &mut out);
    Json::trusted(out.into())
}

/// Starts decoding one batch as it was asked for: where the format knows rows only and jobs are asked
/// for, its rows become jobs.
#[must_use]
pub fn decoding(format: &dyn Format, asked: Asked) -> Box<dyn Decoding> {
    match asked.takes {
        Takes::Jobs if format.only_rows() => RowJobs::decoding(format, asked),
        _ => format.decoding(asked),
    }
}
