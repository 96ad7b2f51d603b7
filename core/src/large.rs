//! Memory for one large thing, which goes back to the system when the thing goes.
//!
//! An allocator keeps what it was given back for a while, in case it is asked for again. For pieces of hundreds of MiB
//! that is as much as all other memory together, so these come from the system itself.

use std::ops::{Deref, DerefMut};

use bytes::{Bytes, BytesMut};
use memmap2::MmapMut;

/// Zeros to be written over. The system gives each page when it is first written.
#[derive(Debug)]
pub struct LargeBuffer(Source);

#[derive(Debug)]
enum Source {
    System(MmapMut),
    /// When the system refuses: it may allow a process only so many mappings.
    Allocator(BytesMut),
}

impl LargeBuffer {
    /// A buffer of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> LargeBuffer {
        LargeBuffer(match MmapMut::map_anon(bytes) {
            Ok(map) => Source::System(map),
            Err(_) => Source::Allocator(BytesMut::zeroed(bytes)),
        })
    }

    /// Its bytes from now on. The memory goes back when the last part of them is dropped.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        match self.0 {
            Source::System(map) => Bytes::from_owner(map),
            Source::Allocator(buffer) => buffer.freeze(),
        }
    }
}

impl Deref for LargeBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Source::System(map) => map,
            Source::Allocator(buffer) => buffer,
        }
    }
}

impl DerefMut for LargeBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Source::System(map) => map,
            Source::Allocator(buffer) => buffer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_has_its_length_and_keeps_what_is_written() {
        for bytes in [0, 1, 4_096, 10_000_001] {
            let mut buffer = LargeBuffer::new(bytes);
            assert!(buffer.len() == bytes && buffer.iter().all(|byte| *byte == 0));
            buffer.fill(7);
            let part = buffer.freeze().slice(bytes / 2..);
            assert!(part.len() == bytes - bytes / 2 && part.iter().all(|byte| *byte == 7));
        }
    }
}
