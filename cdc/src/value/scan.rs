//! A scanner over short texts of digits and marks (dates, times) that never looks past the end.

use super::misfit::{Fit, wrong};

/// What is left of a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Scan { rest: text }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes `byte` if it is next.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes `byte` or calls the text `what`.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Fit<()> {
        match self.take(byte) {
            true => Ok(()),
            false => wrong(what),
        }
    }

    /// Takes up to nine digits and gives their value and count.
    #[inline]
    pub(crate) fn digits(&mut self) -> (i64, usize) {
        let mut value = 0i64;
        let mut len = 0;
        for byte in self.rest.iter().take(9) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value * 10 + i64::from(digit);
            len += 1;
        }
        self.rest = &self.rest[len..];
        (value, len)
    }

    /// Takes exactly two digits.
    #[inline]
    pub(crate) fn two_digits(&mut self, what: &'static str) -> Fit<i64> {
        match self.rest {
            [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] => {
                self.rest = rest;
                Ok(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
            }
            _ => wrong(what),
        }
    }
}
