//! Which pieces are guarded, and how much worse each may become.

use std::fmt;

/// What is allowed to one piece.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Policy {
    /// Its name, as [`crate::micro::Piece::name`].
    pub(super) piece: &'static str,
    /// Per cent more instructions than before that are a regression.
    pub(super) worse_percent: f64,
}

const fn policy(piece: &'static str, worse_percent: f64) -> Policy {
    Policy {
        piece,
        worse_percent,
    }
}

/// Everything that is guarded.
pub(super) const ALL: &[Policy] = &[
    policy("decode mixed, stream binary", 5.0),
    policy("decode mixed, stream text", 5.0),
    policy("decode mixed, copy binary", 5.0),
    policy("decode lineitem, stream binary", 5.0),
    policy("decode wide text, stream binary", 5.0),
    policy("decode jsonb, stream binary", 5.0),
    policy("framing of the stream", 5.0),
    policy("framing of a backlog", 5.0),
    policy("encode mixed, zstd 1", 10.0),
    policy("encode lineitem, zstd 1", 10.0),
    policy("encode wide text, zstd 1", 10.0),
    policy("encode jsonb, zstd 1", 10.0),
    policy("transitions of whole batches", 10.0),
    policy("transitions of scattered failures", 10.0),
    policy("replay of frames of 256 B", 10.0),
    policy("spans added in no order", 10.0),
    policy("spans without others", 10.0),
    policy("ids written and read", 10.0),
];

/// How a piece stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Within its policy.
    Holds,
    /// So much better that the baseline guards little any more.
    Better,
    /// A regression.
    Worse,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Holds => "holds",
            Verdict::Better => "better: take it as the new baseline",
            Verdict::Worse => "WORSE",
        })
    }
}

impl Policy {
    /// Compares instructions by item.
    pub(super) fn judge(&self, before: f64, now: f64) -> Verdict {
        let allowed = self.worse_percent / 100.0;
        if now > before * (1.0 + allowed) {
            Verdict::Worse
        } else if now < before * (1.0 - allowed) {
            Verdict::Better
        } else {
            Verdict::Holds
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_tells_worse_from_better_from_the_same() {
        let five = policy("x", 5.0);
        assert_eq!(five.judge(100.0, 104.9), Verdict::Holds);
        assert_eq!(five.judge(100.0, 105.1), Verdict::Worse);
        assert_eq!(five.judge(100.0, 95.1), Verdict::Holds);
        assert_eq!(five.judge(100.0, 94.9), Verdict::Better);
    }
}
