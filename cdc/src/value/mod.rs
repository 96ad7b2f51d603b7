//! Postgres values into Arrow, exactly: the same from a COPY and from the stream, from text and
//! from binary.
//!
//! A [`TableSchema`] says what a table looked like for a stretch of the log. [`mapping`] decides
//! once per schema what each column becomes; a [`TableBuilder`] then takes [`RowChange`]s and gives
//! record batches of the table's change log: our columns first (`_op _lsn _seq ...`), then the
//! table's own. `docs/types.md` is the mapping for readers.
//!
//! Three rules hold everywhere:
//! - Nothing is rounded, clamped or made NULL. A value that its Arrow type cannot hold (a NaN in a
//!   decimal, an infinite date, an array of two dimensions) leaves its typed column null and
//!   arrives in `_as_text` as Postgres's own text.
//! - Unchanged is not NULL. A value the server did not send is listed in `_unchanged`, unless the
//!   old row carries it.
//! - A value that cannot be read (not UTF-8, not a number) is an error of its row, which leaves the
//!   builder as if the row had never come. Errors name table and column, never the value.
//!
//! Text that we write in the place of binary values is what Postgres prints with `DateStyle ISO`,
//! `IntervalStyle postgres`, `TimeZone UTC` and `extra_float_digits 1`, which connections pin.

pub mod schema;
pub mod mapping;
mod misfit;
mod odd;
mod scan;
mod number;
mod numeric;
mod calendar;
mod interval;
mod bytea;
mod array;
mod text;
mod buffer;
mod scalar;
mod column;
mod system;
mod sheet;
mod row;
pub mod table;
pub mod render;

#[cfg(test)]
mod tests;

pub use mapping::binary_ok;
pub use schema::{Column, Identity, TableSchema, TypeKind};
pub use sheet::Sheet;
pub use table::{Refused, RowChange, RowMeta, TableBuilder, Taken};
