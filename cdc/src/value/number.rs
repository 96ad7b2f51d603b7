//! Integers and floats: read from text, and floats written as Postgres writes them.

use std::io::Write as _;

use super::misfit::{Fit, wrong};

const NOT_INTEGER: &str = "is not an integer of its type";

/// Reads a decimal integer by hand; the type's range is the caller's `T`.
#[inline]
pub(crate) fn integer<T: TryFrom<i128>>(text: &[u8]) -> Fit<T> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 19 {
        return wrong(NOT_INTEGER); // 19 digits are below 2^64, so the sum below cannot overflow
    }
    let mut sum = 0u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return wrong(NOT_INTEGER);
        }
        sum = sum * 10 + u64::from(digit);
    }
    let value = if negative {
        -i128::from(sum)
    } else {
        i128::from(sum)
    };
    T::try_from(value).or_else(|_| wrong(NOT_INTEGER))
}

/// The bytes of a binary value of fixed size.
#[inline]
pub(crate) fn fixed<const N: usize>(bytes: &[u8]) -> Fit<[u8; N]> {
    <[u8; N]>::try_from(bytes).or_else(|_| wrong("has the wrong length for its type"))
}

/// A float of either width.
pub(crate) trait Float: Copy + PartialEq + std::str::FromStr + std::fmt::LowerExp {
    /// Bits of the mantissa, the hidden one included.
    const MANTISSA_BITS: u32;
    /// From this decimal exponent on Postgres writes an exponent.
    const EXPONENT_MAX: i32;
    /// Decimal digits that always give the value back.
    const DIGITS_MAX: usize;
    /// The one NaN we keep: Postgres compares all NaNs as equal and prints them alike.
    const NAN: Self;
    /// NaN?
    fn is_nan(self) -> bool;
    /// Neither NaN nor infinite?
    fn is_finite(self) -> bool;
    /// Sign bit set?
    fn is_sign_negative(self) -> bool;
    /// Without sign.
    fn abs(self) -> Self;
}

macro_rules! float {
    ($type:ty, $mantissa:literal, $exponent:literal, $digits:literal) => {
        impl Float for $type {
            const MANTISSA_BITS: u32 = $mantissa;
            const EXPONENT_MAX: i32 = $exponent;
            const DIGITS_MAX: usize = $digits;
            const NAN: Self = <$type>::NAN;
            fn is_nan(self) -> bool {
                self.is_nan()
            }
            fn is_finite(self) -> bool {
                self.is_finite()
            }
            fn is_sign_negative(self) -> bool {
                self.is_sign_negative()
            }
            fn abs(self) -> Self {
                self.abs()
            }
        }
    };
}
float!(f64, 53, 15, 17);
float!(f32, 24, 6, 9);

/// Reads a float as Postgres prints it, the infinities and NaN included.
#[inline]
pub(crate) fn float<F: Float>(text: &[u8]) -> Fit<F> {
    let parsed = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse::<F>().ok());
    match parsed {
        Some(value) => Ok(one_nan(value)),
        None => wrong("is not a float"),
    }
}

/// Any NaN becomes the one that its text also gives.
#[inline]
pub(crate) fn one_nan<F: Float>(value: F) -> F {
    if value.is_nan() { F::NAN } else { value }
}

/// Writes a float as Postgres does from version 12 on with `extra_float_digits` at 1 or more: the
/// shortest digits that give it back, with an exponent below 1e-4 and from 1e15 (float4: 1e6) on.
pub(crate) fn write_float<F: Float>(value: F, out: &mut Vec<u8>) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if !value.is_finite() {
        return out.extend_from_slice(b"Infinity");
    }
    let (digits, exponent) = shortest(value.abs());
    match (-4..F::EXPONENT_MAX).contains(&exponent) {
        true => write_fixed(digits.as_bytes(), exponent, out),
        false => write_exponent(digits.as_bytes(), exponent, out),
    }
}

/// Digits without a point, and the power of ten of the first one: the shortest that give the value
/// back, and of those the nearest to it.
///
/// Rust finds how many digits that takes, but breaks two rules of Postgres's: of two that are
/// equally near Postgres takes the even one, and it never takes a decimal exactly between two
/// floats, because it does not trust its reader to round that to even.
fn shortest<F: Float>(value: F) -> (String, i32) {
    let found = split_exponent(&format!("{value:e}"));
    let len = found.0.len();
    if let Some(nearest) = rounded(value, len) {
        return nearest;
    }
    if !is_halfway::<F>(&found.0, found.1) {
        return found;
    }
    (len + 1..=F::DIGITS_MAX)
        .find_map(|len| rounded(value, len))
        .unwrap_or(found)
}

/// The value rounded to `len` digits, ties to even, if that gives it back for every reader.
fn rounded<F: Float>(value: F, len: usize) -> Option<(String, i32)> {
    let precision = len - 1;
    let text = format!("{value:.precision$e}");
    let (digits, exponent) = split_exponent(&text);
    let same = text.parse::<F>().is_ok_and(|back| back == value);
    (same && !is_halfway::<F>(&digits, exponent)).then_some((digits, exponent))
}

/// Splits `d.ddde-x`; trailing zeros of the digits are dropped.
fn split_exponent(text: &str) -> (String, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let kept = digits.trim_end_matches('0');
    let digits = if kept.is_empty() { "0" } else { kept };
    (digits.to_string(), exponent.parse().unwrap_or(0))
}

/// True when the decimal lies exactly in the middle of two neighbours: its odd part has one bit
/// more than a mantissa. Powers of five grow too fast for that outside the exponents tried here.
fn is_halfway<F: Float>(digits: &str, exponent: i32) -> bool {
    let power = exponent - (digits.len() as i32 - 1);
    let Ok(integer) = digits.parse::<u128>() else {
        return false;
    };
    let fives = 5u128.checked_pow(power.unsigned_abs());
    let odd_source = match (fives, power >= 0) {
        (Some(fives), true) => integer.checked_mul(fives),
        (Some(fives), false) if integer % fives == 0 => Some(integer / fives),
        _ => None,
    };
    odd_source.is_some_and(|value| {
        value != 0
            && 128 - (value >> value.trailing_zeros()).leading_zeros() == F::MANTISSA_BITS + 1
    })
}

fn write_fixed(digits: &[u8], exponent: i32, out: &mut Vec<u8>) {
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        return out.extend_from_slice(digits);
    }
    let whole = exponent as usize + 1;
    match digits.len() > whole {
        true => {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
        false => {
            out.extend_from_slice(digits);
            out.resize(out.len() + whole - digits.len(), b'0');
        }
    }
}

fn write_exponent(digits: &[u8], exponent: i32, out: &mut Vec<u8>) {
    let (first, rest) = digits.split_at(1);
    out.extend_from_slice(first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    write!(out, "e{sign}{:02}", exponent.unsigned_abs()).expect("a Vec takes all bytes");
}
