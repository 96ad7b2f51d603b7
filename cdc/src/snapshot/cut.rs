//! Which transactions a snapshot sees.

use std::fmt;
use std::str::FromStr;

use blacksmith_core::error::{Error, Result};

/// What a snapshot sees, in Postgres's words: `xmin:xmax:running,running`.
///
/// A snapshot that a slot exports may say an `xmax` below its `xmin`: the one counts transactions
/// that ended well, the other all that ended. It means what it says of `xmin`, since that is looked
/// at first; but the server does not take its own words back in `::pg_snapshot`. So here `xmax` is
/// never less than `xmin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// Every transaction before it has ended.
    xmin: u64,
    /// No transaction from here on is seen.
    xmax: u64,
    /// Those between that are not seen either, as Postgres lists them.
    running: String,
}

impl Cut {
    /// The oldest transaction that may not be seen.
    pub(super) fn first_unseen(&self) -> u64 {
        self.xmin
    }

    /// The first transaction that had not begun.
    pub(super) fn next(&self) -> u64 {
        self.xmax
    }
}

impl FromStr for Cut {
    type Err = Error;

    fn from_str(text: &str) -> Result<Cut> {
        let mut parts = text.splitn(3, ':');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (xmin, xmax) = (number(), number());
        let (Some(xmin), Some(xmax), Some(running)) = (xmin, xmax, parts.next()) else {
            return Err(Error::damaged(format!("{text:?} describes no snapshot")));
        };
        Ok(Cut {
            xmin,
            xmax: xmax.max(xmin),
            running: running.to_owned(),
        })
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.xmin, self.xmax, self.running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_reads_and_writes_as_postgres_has_it() {
        let cut: Cut = "50:60:55,57".parse().unwrap();
        assert_eq!((cut.first_unseen(), cut.next()), (50, 60));
        assert_eq!(cut.to_string(), "50:60:55,57");
    }

    #[test]
    fn an_exported_snapshot_that_ends_before_it_begins_is_one_without_running_transactions() {
        let cut: Cut = "3382:3380:".parse().unwrap();
        assert_eq!(cut.to_string(), "3382:3382:");
    }

    #[test]
    fn what_is_no_snapshot_is_refused() {
        for text in ["", "1", "1:2", "a:2:", "1:b:", ":: "] {
            assert!(text.parse::<Cut>().is_err(), "{text}");
        }
    }
}
