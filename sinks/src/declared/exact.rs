//! Numbers as they are written: compared and shifted without rounding.

/// Digits of the largest number that a decimal holds.
const DIGITS_MAX: usize = 38;

/// `digits × 10^exponent`, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exact {
    negative: bool,
    /// Without zeros before and behind; none for zero.
    digits: Vec<u8>,
    exponent: i64,
}

impl Exact {
    /// Reads a number as JSON writes one; none when `text` is anything else, or its exponent beyond all reason.
    pub(super) fn parse(text: &str) -> Option<Exact> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, shift(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let are_digits = whole
            .bytes()
            .chain(fraction.bytes())
            .all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) || !are_digits {
            return None;
        }
        let behind = i64::try_from(fraction.len()).ok()?;
        let digits = [whole.as_bytes(), fraction.as_bytes()].concat();
        Exact::of(negative, digits, exponent.checked_sub(behind)?)
    }

    /// Without zeros that say nothing.
    fn of(negative: bool, mut digits: Vec<u8>, exponent: i64) -> Option<Exact> {
        let before = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..before);
        let length = digits.len();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let behind = i64::try_from(length - digits.len()).ok()?;
        let exponent = match digits.is_empty() {
            true => 0,
            false => exponent.checked_add(behind)?,
        };
        Some(Exact {
            negative,
            digits,
            exponent,
        })
    }

    /// The number times `10^scale`; none unless that is a whole number of at most `digits_max` digits, itself at most 38.
    pub(super) fn scaled(&self, scale: u8, digits_max: u8) -> Option<i128> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let zeros = usize::try_from(self.exponent.checked_add(i64::from(scale))?).ok()?;
        let length = self.digits.len().checked_add(zeros)?;
        if length > usize::from(digits_max).min(DIGITS_MAX) {
            return None;
        }
        let digits = self
            .digits
            .iter()
            .copied()
            .chain(std::iter::repeat_n(b'0', zeros));
        let number = digits.fold(0, |number, digit| number * 10 + i128::from(digit - b'0'));
        Some(if self.negative { -number } else { number })
    }

    /// The floating-point number that `text` says, if it says one: its shortest form, the one with 17 digits, or all of its digits before the
    /// point are the number that was written. So what was a double comes back, and what never was one is not rounded.
    pub(super) fn double(text: &str) -> Option<f64> {
        let written = Exact::parse(text)?;
        let double: f64 = text.parse().ok()?;
        let is_it = |form: String| Exact::parse(&form).as_ref() == Some(&written);
        let comes_back = is_it(format!("{double:e}"))
            || is_it(format!("{double:.16e}"))
            || written.exponent >= 0 && is_it(format!("{double:.0}"));
        comes_back.then_some(double)
    }
}

/// An exponent: digits, and a sign if there is one.
fn shift(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaled(text: &str, scale: u8) -> Option<i128> {
        Exact::parse(text).unwrap().scaled(scale, 38)
    }

    #[test]
    fn a_number_is_shifted_without_losing_a_digit() {
        for (text, scale, expected) in [
            ("0", 0, Some(0)),
            ("-0", 2, Some(0)),
            ("0e999999999999", 2, Some(0)),
            ("12.30", 2, Some(1_230)),
            ("12.30", 1, Some(123)),
            ("12.30", 0, None),
            ("-1.5e3", 0, Some(-1_500)),
            ("1e2", 0, Some(100)),
            ("100e-2", 0, Some(1)),
            ("0.001", 2, None),
            ("1e400", 0, None),
            ("1e-400", 38, None),
            (
                "99999999999999999999999999999999999999",
                0,
                Some(10_i128.pow(38) - 1),
            ),
            ("100000000000000000000000000000000000000", 0, None),
        ] {
            assert_eq!(scaled(text, scale), expected, "{text} with {scale}");
        }
        let enormous = "9".repeat(1_000_000);
        assert_eq!(scaled(&enormous, 0), None);
    }

    #[test]
    fn what_json_does_not_write_is_no_number() {
        for text in [
            "",
            "-",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x10",
            "NaN",
            "1 ",
            "1_000",
            "1e1.5",
            "--1",
            "1e99999999999999999999",
        ] {
            assert_eq!(Exact::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_double_is_one_that_comes_back() {
        for text in [
            "0",
            "0.1",
            "1e308",
            "5e-324",
            "-2.5E-3",
            "9007199254740992",
            "-9223372036854775808",
            "0.10000000000000001",
            "1.7976931348623157e308",
        ] {
            assert_eq!(Exact::double(text), text.parse().ok(), "{text}");
        }
        assert!(Exact::double("-0.0").is_some_and(f64::is_sign_negative));
        for text in [
            "1e400",
            "1e-400",
            "9007199254740993",
            "0.1000000000000000055511151231257827",
        ] {
            assert_eq!(Exact::double(text), None, "{text}");
        }
    }
}
