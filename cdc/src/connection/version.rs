//! The server's version: what we ask for depends on it.

use std::fmt;

/// A Postgres version, such as 15.20.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerVersion {
    /// 14 to 18 today.
    pub major: u16,
    /// The minor release; 0 for a development or beta version.
    pub minor: u16,
}

impl ServerVersion {
    /// The oldest version that is served.
    pub const OLDEST: u16 = 14;

    /// Reads what the server reports: `15.20 (Debian 15.20-1)`, `18beta1`, `17devel`.
    #[must_use]
    pub fn parse(text: &str) -> Option<ServerVersion> {
        let (major, rest) = number(text.trim())?;
        let minor = rest
            .strip_prefix('.')
            .and_then(number)
            .map_or(0, |(minor, _)| minor);
        Some(ServerVersion { major, minor })
    }

    /// Whether it is `major` or later.
    #[must_use]
    pub fn at_least(self, major: u16) -> bool {
        self.major >= major
    }
}

/// The number at the front of `text`, and the rest.
fn number(text: &str) -> Option<(u16, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_write_them() {
        let parse = |text| ServerVersion::parse(text).map(|v| (v.major, v.minor));
        assert_eq!(parse("15.20 (Debian 15.20-1.pgdg120+1)"), Some((15, 20)));
        assert_eq!(parse("18beta1"), Some((18, 0)));
        assert_eq!(parse("9.6.24"), Some((9, 6)));
        assert_eq!(parse("17devel"), Some((17, 0)));
        assert_eq!(parse("next"), None);
    }
}
