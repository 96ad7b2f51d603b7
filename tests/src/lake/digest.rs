//! Count and checksum of rows, independent of their order.

use std::fmt;

use crate::db::Row;

/// How many rows there are and a checksum of their contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// Number of rows.
    pub rows: u64,
    /// Sum of the rows' hashes, wrapping: the order of rows does not matter, each of them does.
    pub checksum: u64,
}

impl Digest {
    /// The digest of `rows`.
    #[must_use]
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Digest {
        let mut digest = Digest::default();
        for row in rows {
            digest.rows += 1;
            digest.checksum = digest.checksum.wrapping_add(hash(row));
        }
        digest
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows {:016x}", self.rows, self.checksum)
    }
}

/// FNV-1a over the values, each with its length, NULL apart from empty; then one more mix, because
/// sums of plain FNV hashes are too regular.
fn hash(row: &Row) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            state = (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for value in row {
        match value {
            None => eat(&[0]),
            Some(text) => {
                eat(&[1]);
                eat(&text.len().to_le_bytes());
                eat(text.as_bytes());
            }
        }
    }
    state ^= state >> 32;
    state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state ^ state >> 29
}
