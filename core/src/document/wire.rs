//! The little that entries are built of: integers, and bytes behind their length.

use bytes::Bytes;

use crate::error::{Error, Result};

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // Entries are bounded far below 4 GiB.
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Takes pieces off the front of shared bytes, without copying them. Integers are read where they lie: sharing
/// bytes costs an atomic instruction each time, which a few of them are not worth.
#[derive(Debug)]
pub(super) struct Pieces {
    whole: Bytes,
    /// Up to where it is taken.
    at: usize,
}

impl Pieces {
    pub(super) fn new(bytes: Bytes) -> Pieces {
        Pieces {
            whole: bytes,
            at: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.whole.len()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<Bytes> {
        if length > self.whole.len() - self.at {
            return Err(too_short());
        }
        let start = self.at;
        self.at += length;
        Ok(self.whole.slice(start..self.at))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let rest = &self.whole[self.at..];
        let array = rest.first_chunk().ok_or_else(too_short)?;
        self.at += N;
        Ok(*array)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    pub(super) fn text(&mut self) -> Result<String> {
        let bytes = self.bytes()?;
        let text = std::str::from_utf8(&bytes);
        text.map(str::to_owned)
            .map_err(|_| Error::damaged("an entry of a block holds a broken text"))
    }
}

fn too_short() -> Error {
    Error::damaged("an entry of a block ends too early")
}
