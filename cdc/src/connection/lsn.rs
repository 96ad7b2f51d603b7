//! A position in the server's write-ahead log, as Postgres counts and prints it.

use std::fmt;
use std::str::FromStr;

use blacksmith_core::error::Error;

/// A byte position in the write-ahead log; printed as Postgres does, `16/B374D848`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// "No position": where the server starts counting, and what it takes as "from the slot's own".
    pub const ZERO: Lsn = Lsn(0);

    /// Bytes from `earlier` to here; zero when `earlier` is not earlier.
    #[must_use]
    pub fn bytes_since(self, earlier: Lsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl FromStr for Lsn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let half = |digits: &str| {
            let fits = (1..=8).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            fits.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
        };
        text.split_once('/')
            .and_then(|(high, low)| Some(Lsn(half(high)? << 32 | half(low)?)))
            .ok_or_else(|| {
                Error::invalid(format!("{text:?} is not a log position like 16/B374D848"))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_position_reads_back_what_it_prints() {
        for value in [0, 1, 0xffff_ffff, 0x1_0000_0000, 0x16_b374_d848, u64::MAX] {
            assert_eq!(Lsn(value).to_string().parse::<Lsn>().unwrap(), Lsn(value));
        }
        assert_eq!(Lsn(0x16_b374_d848).to_string(), "16/B374D848");
    }

    #[test]
    fn what_is_not_a_log_position_is_refused() {
        for text in [
            "",
            "/",
            "1",
            "1/",
            "/1",
            "+1/2",
            "1/2/3",
            "123456789/0",
            "G/0",
            " 1/2",
        ] {
            assert!(text.parse::<Lsn>().is_err(), "{text:?}");
        }
    }
}
