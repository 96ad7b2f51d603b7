//! One row as it was sent: a sequence of values, each with its own format.

use blacksmith_core::error::{Error, Result};

use super::copy::{BinaryRow, TextRow};
use super::cursor::{Cursor, split_counted};

/// One column of one row, not decoded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// SQL NULL; in an old tuple of a key, also "this column is not in the identity".
    Null,
    /// Stored out of line and not changed, so the server did not send it. Never a NULL.
    Unchanged,
    /// The output of the type's text function.
    Text(&'a [u8]),
    /// Text of a COPY row that still has its backslash escapes: see [`super::copy::unescape`].
    Escaped(&'a [u8]),
    /// The output of the type's binary send function.
    Binary(&'a [u8]),
}

impl Value<'_> {
    /// Bytes that were sent for it.
    #[inline]
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        match self {
            Value::Null | Value::Unchanged => 0,
            Value::Text(bytes) | Value::Escaped(bytes) | Value::Binary(bytes) => bytes.len(),
        }
    }
}

/// A row, whichever way it came. Cheap to copy; the values are found when walked.
#[derive(Debug, Clone, Copy)]
pub enum Tuple<'a> {
    /// TupleData of a pgoutput message.
    Logical(TupleData<'a>),
    /// A row of `COPY ... (FORMAT text)`.
    CopyText(TextRow<'a>),
    /// A row of `COPY ... (FORMAT binary)`.
    CopyBinary(BinaryRow<'a>),
}

impl<'a> Tuple<'a> {
    /// How many columns the row has.
    #[must_use]
    pub fn columns(&self) -> usize {
        match self {
            Tuple::Logical(tuple) => usize::from(tuple.columns),
            Tuple::CopyText(row) => row.columns(),
            Tuple::CopyBinary(row) => row.columns(),
        }
    }

    /// Bytes that were sent for its values.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.values().map(|value| value.len_bytes()).sum()
    }

    /// The values in column order.
    #[must_use]
    pub fn values(&self) -> Values<'a> {
        match self {
            Tuple::Logical(tuple) => Values::Logical(tuple.values()),
            Tuple::CopyText(row) => Values::CopyText(row.values()),
            Tuple::CopyBinary(row) => Values::CopyBinary(row.values()),
        }
    }
}

/// The values of a [`Tuple`], in column order.
#[derive(Debug, Clone)]
pub enum Values<'a> {
    /// Of a pgoutput message.
    Logical(LogicalValues<'a>),
    /// Of a COPY text row.
    CopyText(super::copy::TextValues<'a>),
    /// Of a COPY binary row.
    CopyBinary(super::copy::BinaryValues<'a>),
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        match self {
            Values::Logical(values) => values.next(),
            Values::CopyText(values) => values.next(),
            Values::CopyBinary(values) => values.next(),
        }
    }
}

/// TupleData: a column count, then per column one byte of format and, for `t` and `b`, a counted value.
#[derive(Debug, Clone, Copy)]
pub struct TupleData<'a> {
    columns: u16,
    body: &'a [u8],
}

impl<'a> TupleData<'a> {
    /// Reads the tuple at the cursor, checking every length, and leaves the cursor behind it.
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self> {
        let columns = cursor.u16()?;
        let body = cursor.rest();
        let mut rest = body;
        for _ in 0..columns {
            let Some((_, behind)) = split_value(rest) else {
                return Err(no_value(rest));
            };
            rest = behind;
        }
        *cursor = Cursor::new(rest);
        let (body, _) = body.split_at(body.len() - rest.len());
        Ok(TupleData { columns, body })
    }

    pub(crate) fn values(&self) -> LogicalValues<'a> {
        LogicalValues(self.body)
    }
}

/// The values of a [`TupleData`].
#[derive(Debug, Clone)]
pub struct LogicalValues<'a>(&'a [u8]);

impl<'a> Iterator for LogicalValues<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        // All of them were checked when the tuple was read: this one is missing only at the end.
        let (value, rest) = split_value(self.0)?;
        self.0 = rest;
        Some(value)
    }
}

/// The value at the front of `bytes`, and what is behind it. Every row goes through here twice for each of its
/// columns, so there is nothing to be said about what is no value; [`no_value`] says it.
#[inline]
fn split_value(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (format, rest) = bytes.split_first()?;
    match format {
        b't' => split_counted(rest).map(|(value, rest)| (Value::Text(value), rest)),
        b'b' => split_counted(rest).map(|(value, rest)| (Value::Binary(value), rest)),
        b'n' => Some((Value::Null, rest)),
        b'u' => Some((Value::Unchanged, rest)),
        _ => None,
    }
}

/// Why there is no value at the front of `bytes`.
#[cold]
fn no_value(bytes: &[u8]) -> Error {
    let mut cursor = Cursor::new(bytes);
    let read = cursor.u8().and_then(|format| match format {
        b't' | b'b' => cursor.counted().map(drop),
        other => Err(Error::invalid(format!(
            "a value has the unknown format {other:#04x}"
        ))),
    });
    read.err()
        .unwrap_or_else(|| Error::invalid("a value that cannot be read"))
}
