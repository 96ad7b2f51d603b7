//! The server's messages before and after streaming: a tag, a length, a body.
//!
//! ```text
//! tag u8 | length u32, big endian, counting itself and the body | body
//! ```
//! [`header`] is the only place that reads a length, and it checks it against the limit of the phase before
//! anyone waits for that many bytes.

use blacksmith_core::error::{Error, Result};

/// Tag and length.
pub(super) const HEADER_BYTES: usize = 5;

/// The header of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) tag: u8,
    /// Header and body.
    pub(super) total_bytes: usize,
}

/// Reads the header at the front of `bytes`; `None` when not all of it is there.
pub(super) fn header(bytes: &[u8], limit_bytes: usize) -> Result<Option<Header>> {
    let Some((&[tag, a, b, c, d], _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length < 4 {
        return Err(garbled("a message is shorter than its own length"));
    }
    if length - 4 > limit_bytes {
        return Err(garbled(&format!(
            "a message announces {length} bytes where {limit_bytes} are the limit"
        )));
    }
    Ok(Some(Header {
        tag,
        total_bytes: length + 1,
    }))
}

/// The peer does not speak the protocol; a fresh connection may do better.
pub(super) fn garbled(what: &str) -> Error {
    Error::unavailable(format!("the server's answer makes no sense: {what}")).help(
        "check that host and port are those of a Postgres server; the connection is made anew",
    )
}

/// Walks the fields of one body; every step checks that the bytes are there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let (front, rest) = self
            .0
            .split_at_checked(bytes)
            .ok_or_else(|| garbled("a message ends inside a field"))?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self
            .take(N)?
            .try_into()
            .expect("take gives the length asked for"))
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    /// A text that ends with a zero byte.
    pub(super) fn text(&mut self) -> Result<String> {
        let end = memchr::memchr(0, self.0).ok_or_else(|| garbled("a text has no end"))?;
        let text = self.take(end)?;
        self.take(1)?;
        Ok(lossy(text))
    }
}

/// Server texts are UTF-8, except from databases without an encoding (`SQL_ASCII`).
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One row of a simple query: texts, or nothing for NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(Vec<Option<String>>);

impl Row {
    /// The value of column `index`, from 0; none when it is NULL or there is no such column.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&str> {
        self.0.get(index)?.as_deref()
    }

    /// Columns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no columns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the body of a `DataRow` message.
    pub(super) fn read(body: &[u8]) -> Result<Row> {
        let mut fields = Fields(body);
        let columns = fields.i16()?;
        let mut values = Vec::new();
        for _ in 0..columns {
            values.push(match fields.i32()? {
                -1 => None,
                bytes => {
                    let bytes = usize::try_from(bytes)
                        .map_err(|_| garbled("a column has a negative length"))?;
                    Some(lossy(fields.take(bytes)?))
                }
            });
        }
        Ok(Row(values))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_outside_its_limits_is_refused_before_anything_is_allocated() {
        assert_eq!(header(b"d\0\0\0", 10).unwrap(), None);
        let read = header(b"d\0\0\0\x0e", 10).unwrap();
        assert_eq!(
            read,
            Some(Header {
                tag: b'd',
                total_bytes: 15
            })
        );
        assert!(header(b"d\0\0\0\x0f", 10).is_err());
        assert!(header(b"d\0\0\0\x03", 10).is_err());
        assert!(header(b"HTTP/1.1 400 Bad Request", 1 << 20).is_err());
    }

    #[test]
    fn a_row_is_read_with_its_nulls() {
        let row = Row::read(b"\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0").unwrap();
        assert_eq!(
            (row.len(), row.get(0), row.get(1), row.get(2)),
            (3, Some("ab"), None, Some(""))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_row_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(row) = Row::read(&bytes) {
                prop_assert!(row.len() <= bytes.len());
            }
        }
    }
}
