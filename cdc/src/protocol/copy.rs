//! Rows of `COPY ... TO STDOUT`, text and binary, as the same [`Value`]s the stream gives.
//!
//! A payload here is the content of one CopyData message. Postgres sends one row per message, in
//! binary with the file header before the first row and the trailer behind the last one. Nothing
//! relies on that: any number of whole rows in a payload is read, with or without a header.
//!
//! Text rows: fields separated by a tab, ended by a newline, NULL written `\N`, and special bytes
//! written with a backslash (`\b \f \n \r \t \v \\ \ooo \xhh`). A field without a backslash is
//! borrowed as it is; one with is given as [`Value::Escaped`] for [`unescape`].
//! Binary rows: a 16-bit column count, then a 32-bit length (-1 is NULL) and the bytes of each.

use blacksmith_core::error::{Error, Result};

use super::cursor::Cursor;
use super::tuple::{Tuple, Value};

/// How the rows of a COPY are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CopyFormat {
    /// `FORMAT text`
    Text,
    /// `FORMAT binary`
    Binary,
}

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// The rows of one CopyData payload.
#[derive(Debug, Clone)]
pub struct CopyRows<'a> {
    format: CopyFormat,
    cursor: Cursor<'a>,
}

impl<'a> CopyRows<'a> {
    /// Begins at the head of `payload`.
    ///
    /// # Errors
    /// `Invalid` for a binary header that is cut short or asks for something unknown.
    pub fn new(format: CopyFormat, payload: &'a [u8]) -> Result<Self> {
        let mut cursor = Cursor::new(payload);
        if format == CopyFormat::Binary && payload.starts_with(SIGNATURE) {
            read_header(&mut cursor)?;
        }
        Ok(CopyRows { format, cursor })
    }

    /// How many rows are in `payload`: the positions it takes.
    ///
    /// # Errors
    /// As the rows themselves.
    pub fn count(format: CopyFormat, payload: &'a [u8]) -> Result<u32> {
        let mut rows = 0u32;
        for row in CopyRows::new(format, payload)? {
            row?;
            rows = rows.saturating_add(1);
        }
        Ok(rows)
    }

    fn next_text(&mut self) -> Option<Result<Tuple<'a>>> {
        let rest = self.cursor.rest();
        if rest.is_empty() {
            return None;
        }
        // A newline inside a value is written \n, so the first newline ends the row.
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let (line, tail) = rest.split_at(end);
        self.cursor = Cursor::new(tail.get(1..).unwrap_or_default());
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line == b"\\." {
            return None; // the end mark of a COPY file
        }
        Some(Ok(Tuple::CopyText(TextRow { line })))
    }

    fn next_binary(&mut self) -> Option<Result<Tuple<'a>>> {
        if self.cursor.rest().is_empty() || self.cursor.rest() == [0xff, 0xff] {
            return None;
        }
        let row = BinaryRow::read(&mut self.cursor).map(Tuple::CopyBinary);
        if row.is_err() {
            self.cursor = Cursor::new(&[]); // the start of the next row is not known
        }
        Some(row)
    }
}

impl<'a> Iterator for CopyRows<'a> {
    type Item = Result<Tuple<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.format {
            CopyFormat::Text => self.next_text(),
            CopyFormat::Binary => self.next_binary(),
        }
    }
}

fn read_header(cursor: &mut Cursor<'_>) -> Result<()> {
    cursor.bytes(SIGNATURE.len())?;
    let flags = cursor.u32()?;
    // The upper half are flags that change the format; none is in use (bit 16 was "has oids").
    if flags >> 16 != 0 {
        return Err(Error::invalid(format!(
            "a COPY header with unknown flags {flags:#x}"
        )));
    }
    cursor.counted()?;
    Ok(())
}

/// One row of COPY text.
#[derive(Debug, Clone, Copy)]
pub struct TextRow<'a> {
    line: &'a [u8],
}

impl<'a> TextRow<'a> {
    pub(super) fn columns(&self) -> usize {
        self.values().count()
    }

    pub(crate) fn values(&self) -> TextValues<'a> {
        TextValues {
            rest: Some(self.line),
        }
    }
}

/// The fields of a [`TextRow`]. A table without columns gives one empty field.
#[derive(Debug, Clone)]
pub struct TextValues<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for TextValues<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        let line = self.rest.take()?;
        let mut from = 0;
        let mut escaped = false;
        let end = loop {
            let ahead = line.get(from..).unwrap_or_default();
            match memchr::memchr2(b'\t', b'\\', ahead) {
                None => break line.len(),
                Some(at) if ahead.get(at) == Some(&b'\t') => break from + at,
                Some(at) => {
                    escaped = true;
                    from += at + 2; // what follows a backslash never ends the field
                }
            }
        };
        let (field, tail) = line.split_at(end.min(line.len()));
        self.rest = tail.get(1..);
        Some(match (escaped, field) {
            (true, b"\\N") => Value::Null,
            (true, field) => Value::Escaped(field),
            (false, field) => Value::Text(field),
        })
    }
}

/// Writes `field` without its escapes at the end of `out`, which grows by at most its length.
///
/// Total: a lone backslash at the end stands for itself, an unknown escape for its second byte.
pub fn unescape(field: &[u8], out: &mut Vec<u8>) {
    let mut rest = field;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = unescape_one(tail, out);
    }
    out.extend_from_slice(rest);
}

/// `tail` begins with a backslash; gives what follows the escape.
fn unescape_one<'a>(tail: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let (byte, len) = match tail {
        [_, b'b', ..] => (0x08, 2),
        [_, b'f', ..] => (0x0c, 2),
        [_, b'n', ..] => (b'\n', 2),
        [_, b'r', ..] => (b'\r', 2),
        [_, b't', ..] => (b'\t', 2),
        [_, b'v', ..] => (0x0b, 2),
        [_, b'x', digits @ ..] => match number(digits, 16, 2) {
            (byte, len @ 1..) => (byte, 2 + len),
            _ => (b'x', 2),
        },
        [_, digits @ ..] => match (number(digits, 8, 3), digits.first()) {
            ((byte, len @ 1..), _) => (byte, 1 + len),
            (_, Some(other)) => (*other, 2),
            (_, None) => (b'\\', 1),
        },
        [] => return tail,
    };
    out.push(byte);
    tail.get(len..).unwrap_or_default()
}

/// Up to `len_max` digits of `radix`: the value (low eight bits, as Postgres reads it) and how many.
fn number(digits: &[u8], radix: u32, len_max: usize) -> (u8, usize) {
    let mut value = 0u32;
    let mut len = 0;
    for byte in digits.iter().take(len_max) {
        let Some(digit) = char::from(*byte).to_digit(radix) else {
            break;
        };
        value = value * radix + digit;
        len += 1;
    }
    ((value & 0xff) as u8, len)
}

/// One row of COPY binary.
#[derive(Debug, Clone, Copy)]
pub struct BinaryRow<'a> {
    columns: u16,
    body: &'a [u8],
}

impl<'a> BinaryRow<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self> {
        let columns = cursor.u16()?;
        if columns == u16::MAX {
            return Err(Error::invalid("rows behind the trailer of a binary COPY"));
        }
        let body = cursor.rest();
        for _ in 0..columns {
            read_binary(cursor)?;
        }
        Ok(BinaryRow { columns, body })
    }

    pub(super) fn columns(&self) -> usize {
        usize::from(self.columns)
    }

    pub(crate) fn values(&self) -> BinaryValues<'a> {
        BinaryValues {
            left: self.columns,
            cursor: Cursor::new(self.body),
        }
    }
}

/// The values of a [`BinaryRow`].
#[derive(Debug, Clone)]
pub struct BinaryValues<'a> {
    left: u16,
    cursor: Cursor<'a>,
}

impl<'a> Iterator for BinaryValues<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        read_binary(&mut self.cursor).ok()
    }
}

#[inline]
fn read_binary<'a>(cursor: &mut Cursor<'a>) -> Result<Value<'a>> {
    match cursor.i32()? {
        -1 => Ok(Value::Null),
        len => {
            let len = usize::try_from(len).map_err(|_| Error::invalid("negative length"))?;
            cursor.bytes(len).map(Value::Binary)
        }
    }
}
