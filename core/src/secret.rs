//! A string that may be used, and never shown.
//!
//! Passwords and connection strings travel as [`Secret`]: printing one, in a log line, an error or a
//! debug dump, gives `***`. Reading it takes a call to [`Secret::expose`], which is easy to find.

use std::fmt;

/// Text that prints as `***`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for the call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The value of an `Authorization` header with this password: `Basic …`.
    #[must_use]
    pub fn basic(&self, user: &str) -> Secret {
        let pair = format!("{user}:{}", self.0);
        Secret(format!("Basic {}", base64(pair.as_bytes())))
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text)
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// As the header of basic authentication has it.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for index in 0..4 {
            let digit = (bits >> (18 - 6 * index)) & 63;
            let digit = BASE64[digit as usize];
            text.push(if index <= three.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_stars_however_it_is_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "*** *** Some(***)"
        );
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn basic_authentication_is_written_as_the_header_has_it() {
        for (user, password, written) in [
            ("Aladdin", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("a", "", "YTo="),
            ("", "bc", "OmJj"),
        ] {
            let header = Secret::new(password).basic(user);
            assert_eq!(header.expose(), format!("Basic {written}"));
        }
    }
}
