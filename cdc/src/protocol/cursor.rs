//! A reader over borrowed bytes that checks each step.

use blacksmith_core::error::{Error, Result};

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (chunk, rest) = self.rest.split_first_chunk::<N>().ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(*chunk)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.chunk::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.chunk().map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.chunk().map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i32(&mut self) -> Result<i32> {
        self.chunk().map(i32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.chunk().map(u64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i64(&mut self) -> Result<i64> {
        self.chunk().map(i64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A length as Postgres writes it (never negative), then that many bytes.
    #[inline]
    pub(crate) fn counted(&mut self) -> Result<&'a [u8]> {
        let len = usize::try_from(self.i32()?).map_err(|_| Error::invalid("negative length"))?;
        self.bytes(len)
    }

    /// A name that ends with a zero byte.
    pub(crate) fn name(&mut self) -> Result<&'a str> {
        let end = memchr::memchr(0, self.rest).ok_or_else(cut_short)?;
        let name = self.bytes(end)?;
        self.u8()?;
        std::str::from_utf8(name)
            .map_err(|error| Error::invalid("a name that is not UTF-8").because(error))
    }

    /// Refuses bytes behind the end of a message.
    pub(crate) fn end(self) -> Result<()> {
        match self.rest {
            [] => Ok(()),
            rest => Err(Error::invalid(format!(
                "{} bytes behind the end of the message",
                rest.len()
            ))),
        }
    }
}

/// What a counted value at the front of `bytes` holds, and what is behind it: as [`Cursor::counted`], where why
/// there is none does not matter.
#[inline]
pub(crate) fn split_counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(i32::from_be_bytes(*len)).ok()?)
}

#[cold]
fn cut_short() -> Error {
    Error::invalid("the message is cut short")
}
