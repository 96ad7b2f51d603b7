//! `numeric`: read into decimals of a fixed scale, and its binary form written as text.
//!
//! Binary form: four 16-bit numbers (digit count, weight, sign, display scale), then that many
//! digits of base 10,000. The first digit stands for 10,000^weight.

use arrow_buffer::i256;

use super::misfit::{Fit, Misfit, wrong};

const NOT_NUMERIC: &str = "is not a numeric";
const NEGATIVE: u16 = 0x4000;
/// Digits of base 10,000 that 64 bits hold.
const SHORT_DIGITS_MAX: usize = 4;
/// The powers of ten that 64 bits hold.
const POWERS: [u64; 20] = {
    let mut powers = [1; 20];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// An integer wide enough for a decimal of some precision.
pub(crate) trait Decimal: Copy + PartialOrd {
    /// Zero.
    const ZERO: Self;
    /// `self * factor + digits`, both below 10^18.
    fn shift_in(self, factor: u64, digits: u64) -> Option<Self>;
    /// `a * b`, of which one is below 10^16.
    fn of_product(a: u64, b: u64) -> Option<Self>;
    /// Changes the sign.
    fn negate(self) -> Self;
    /// `10^exponent`
    fn power_of_ten(exponent: u32) -> Option<Self>;
}

impl Decimal for i128 {
    const ZERO: Self = 0;
    #[inline]
    fn shift_in(self, factor: u64, digits: u64) -> Option<Self> {
        self.checked_mul(i128::from(factor))?
            .checked_add(i128::from(digits))
    }
    #[inline]
    fn of_product(a: u64, b: u64) -> Option<Self> {
        Some(i128::from(a) * i128::from(b))
    }
    fn negate(self) -> Self {
        -self
    }
    fn power_of_ten(exponent: u32) -> Option<Self> {
        10i128.checked_pow(exponent)
    }
}

impl Decimal for i256 {
    const ZERO: Self = i256::ZERO;
    fn shift_in(self, factor: u64, digits: u64) -> Option<Self> {
        self.checked_mul(i256::from_i128(i128::from(factor)))?
            .checked_add(i256::from_i128(i128::from(digits)))
    }
    fn of_product(a: u64, b: u64) -> Option<Self> {
        Some(i256::from_i128(i128::from(a) * i128::from(b)))
    }
    fn negate(self) -> Self {
        self.wrapping_neg()
    }
    fn power_of_ten(exponent: u32) -> Option<Self> {
        i256::from_i128(10).checked_pow(exponent)
    }
}

/// Where a decimal column's values end: computed once per column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds<D> {
    scale: u32,
    limit: D,
}

impl<D: Decimal> Bounds<D> {
    /// For a decimal of this precision and scale; `None` when `D` is too narrow.
    pub(crate) fn new(precision: u32, scale: u32) -> Option<Self> {
        D::power_of_ten(precision).map(|limit| Bounds { scale, limit })
    }

    fn check(&self, value: Option<D>, negative: bool) -> Fit<D> {
        match value {
            Some(value) if value < self.limit => Ok(if negative { value.negate() } else { value }),
            _ => Err(Misfit::Beyond),
        }
    }

    /// Reads Postgres's text. NaN, infinities and what needs more digits are `Beyond`.
    pub(crate) fn read_text(&self, text: &[u8]) -> Fit<D> {
        let (negative, text) = match text {
            [b'-', text @ ..] => (true, text),
            text => (false, text),
        };
        if matches!(text, b"NaN" | b"Infinity") {
            return Err(Misfit::Beyond);
        }
        let point = memchr::memchr(b'.', text);
        let (whole, fraction) = match point {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, &[][..]),
        };
        if whole.is_empty() || (point.is_some() && fraction.is_empty()) {
            return wrong(NOT_NUMERIC);
        }
        let kept = fraction.len().min(self.scale as usize);
        let (fraction, surplus) = fraction.split_at(kept);
        let mut sum = Some(D::ZERO);
        shift_in_digits(&mut sum, whole)?;
        shift_in_digits(&mut sum, fraction)?;
        shift_zeros(&mut sum, self.scale - kept as u32);
        match all_zeros(surplus)? {
            true => self.check(sum, negative),
            false => Err(Misfit::Beyond),
        }
    }

    /// Reads the binary form.
    pub(crate) fn read_binary(&self, bytes: &[u8]) -> Fit<D> {
        let wire = Wire::read(bytes)?;
        if wire.special().is_some() {
            return Err(Misfit::Beyond);
        }
        let sum = match self.read_short(&wire) {
            Some(sum) => sum?,
            None => self.read_long(&wire)?,
        };
        self.check(sum, wire.sign == NEGATIVE)
    }

    /// Reads what is told by one number of 64 bits and a power of ten, as nearly all values are; nothing when this one is not.
    #[inline]
    fn read_short(&self, wire: &Wire<'_>) -> Option<Fit<Option<D>>> {
        if wire.count > SHORT_DIGITS_MAX {
            return None;
        }
        let mut digits = 0u64;
        for digit in wire.digits() {
            match digit {
                Ok(digit) => digits = digits * 10_000 + u64::from(digit),
                Err(misfit) => return Some(Err(misfit)),
            }
        }
        // The power of ten of the last digit, counted from our scale.
        let last = i64::from(wire.weight) - wire.count as i64 + 1;
        let power = 4 * last + i64::from(self.scale);
        let factor = POWERS.get(usize::try_from(power.unsigned_abs()).ok()?)?;
        Some(match power {
            0.. => Ok(D::of_product(digits, *factor)),
            _ if digits.is_multiple_of(*factor) => Ok(D::of_product(digits / factor, 1)),
            _ => Err(Misfit::Beyond),
        })
    }

    /// Reads digit by digit.
    fn read_long(&self, wire: &Wire<'_>) -> Fit<Option<D>> {
        // The power of ten of the digit at hand, counted from our scale.
        let mut power = 4 * i64::from(wire.weight) + i64::from(self.scale);
        let mut sum = Some(D::ZERO);
        for digit in wire.digits() {
            let digit = u64::from(digit?);
            sum = match power {
                0.. => sum.and_then(|sum| sum.shift_in(10_000, digit)),
                -3..=-1 => {
                    let cut = 10u64.pow(-power as u32);
                    if digit % cut != 0 {
                        return Err(Misfit::Beyond);
                    }
                    sum.and_then(|sum| sum.shift_in(10_000 / cut, digit / cut))
                }
                _ if digit != 0 => return Err(Misfit::Beyond),
                _ => sum,
            };
            power -= 4;
        }
        // After the last digit, `power + 4` places are left to fill with zeros.
        if sum != Some(D::ZERO) && power + 4 > 0 {
            match u32::try_from(power + 4) {
                Ok(zeros) if zeros <= 100 => shift_zeros(&mut sum, zeros),
                _ => sum = None,
            }
        }
        Ok(sum)
    }
}

/// Appends decimal digits, eighteen at a time.
fn shift_in_digits<D: Decimal>(sum: &mut Option<D>, digits: &[u8]) -> Fit<()> {
    for chunk in digits.chunks(18) {
        let mut part = 0u64;
        for byte in chunk {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return wrong(NOT_NUMERIC);
            }
            part = part * 10 + u64::from(digit);
        }
        *sum = sum.and_then(|sum| sum.shift_in(10u64.pow(chunk.len() as u32), part));
    }
    Ok(())
}

fn shift_zeros<D: Decimal>(sum: &mut Option<D>, mut zeros: u32) {
    while zeros > 0 && sum.is_some() {
        let some = zeros.min(18);
        *sum = sum.and_then(|sum| sum.shift_in(10u64.pow(some), 0));
        zeros -= some;
    }
}

fn all_zeros(digits: &[u8]) -> Fit<bool> {
    match digits.iter().all(u8::is_ascii_digit) {
        true => Ok(digits.iter().all(|digit| *digit == b'0')),
        false => wrong(NOT_NUMERIC),
    }
}

/// The binary form, its digits not read yet.
struct Wire<'a> {
    count: usize,
    weight: i16,
    sign: u16,
    scale: u16,
    digits: &'a [u8],
}

impl<'a> Wire<'a> {
    fn read(bytes: &'a [u8]) -> Fit<Self> {
        let [c0, c1, w0, w1, s0, s1, d0, d1, digits @ ..] = bytes else {
            return wrong(NOT_NUMERIC);
        };
        let count = usize::from(u16::from_be_bytes([*c0, *c1]));
        let sign = u16::from_be_bytes([*s0, *s1]);
        let known = matches!(sign, 0 | NEGATIVE | 0xC000 | 0xD000 | 0xF000);
        if !known || digits.len() != count * 2 {
            return wrong(NOT_NUMERIC);
        }
        let wire = Wire {
            count,
            weight: i16::from_be_bytes([*w0, *w1]),
            sign,
            scale: u16::from_be_bytes([*d0, *d1]) & 0x3fff,
            digits,
        };
        match wire.hides_digits() {
            true => wrong(NOT_NUMERIC),
            false => Ok(wire),
        }
    }

    /// Whether there are digits behind those that its display scale shows, which Postgres never has: its text would drop them.
    fn hides_digits(&self) -> bool {
        // How many decimal places of the last group are not shown; of the group before it four less.
        let last = i32::from(self.weight) - self.count as i32 + 1;
        let mut hidden = -4 * last - i32::from(self.scale);
        for pair in self.digits.rchunks_exact(2) {
            if hidden <= 0 {
                return false;
            }
            let cut = POWERS[hidden.min(4) as usize];
            if u64::from(u16::from_be_bytes([pair[0], pair[1]])) % cut != 0 {
                return true;
            }
            hidden -= 4;
        }
        false
    }

    /// The text of a value that is no number of digits.
    fn special(&self) -> Option<&'static str> {
        match self.sign {
            0xC000 => Some("NaN"),
            0xD000 => Some("Infinity"),
            0xF000 => Some("-Infinity"),
            _ => None,
        }
    }

    fn digits(&self) -> impl Iterator<Item = Fit<u16>> + 'a {
        self.digits
            .chunks_exact(2)
            .map(|pair| match u16::from_be_bytes([pair[0], pair[1]]) {
                digit @ 0..=9999 => Ok(digit),
                _ => wrong(NOT_NUMERIC),
            })
    }
}

/// Writes the binary form as Postgres prints it: all whole digits, and as many behind the point as
/// its display scale says.
pub(crate) fn write_text(bytes: &[u8], out: &mut Vec<u8>) -> Fit<()> {
    let wire = Wire::read(bytes)?;
    if let Some(special) = wire.special() {
        out.extend_from_slice(special.as_bytes());
        return Ok(());
    }
    if wire.sign == NEGATIVE {
        out.push(b'-');
    }
    let digits: Vec<u16> = wire.digits().collect::<Fit<_>>()?;
    let digit = |group: i32| -> u16 {
        let at = i32::from(wire.weight) - group;
        usize::try_from(at)
            .ok()
            .and_then(|at| digits.get(at))
            .copied()
            .unwrap_or(0)
    };
    let start = out.len();
    for group in (0..=i32::from(wire.weight)).rev() {
        push_group(digit(group), out);
    }
    let zeros = out[start..]
        .iter()
        .take_while(|digit| **digit == b'0')
        .count();
    out.drain(start..start + zeros);
    if out.len() == start {
        out.push(b'0');
    }
    if wire.scale > 0 {
        out.push(b'.');
        let end = out.len() + usize::from(wire.scale);
        let mut group = -1;
        while out.len() < end {
            push_group(digit(group), out);
            group -= 1;
        }
        out.truncate(end);
    }
    Ok(())
}

fn push_group(group: u16, out: &mut Vec<u8>) {
    for power in [1000, 100, 10, 1] {
        out.push(b'0' + (group / power % 10) as u8);
    }
}

/// Writes an unscaled decimal, given as its digits with an optional sign, with its point.
pub(crate) fn write_scaled(unscaled: &str, scale: usize, out: &mut Vec<u8>) {
    let digits = unscaled.strip_prefix('-').unwrap_or(unscaled);
    if digits.len() < unscaled.len() {
        out.push(b'-');
    }
    let whole = digits.len().saturating_sub(scale);
    match whole {
        0 => out.push(b'0'),
        _ => out.extend_from_slice(&digits.as_bytes()[..whole]),
    }
    if scale > 0 {
        out.push(b'.');
        out.resize(out.len() + scale.saturating_sub(digits.len()), b'0');
        out.extend_from_slice(&digits.as_bytes()[whole..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The binary form of these groups of four digits, the first of which stands for 10,000^weight.
    fn wire(weight: i16, scale: u16, groups: &[u16]) -> Vec<u8> {
        let head = [groups.len() as u16, weight.cast_unsigned(), 0, scale];
        let numbers = head.iter().chain(groups);
        numbers.flat_map(|number| number.to_be_bytes()).collect()
    }

    fn read(bytes: &[u8]) -> Fit<i128> {
        Bounds::<i128>::new(38, 4).map_or_else(|| wrong("no bounds"), |own| own.read_binary(bytes))
    }

    fn text(bytes: &[u8]) -> Fit<String> {
        let mut out = Vec::new();
        write_text(bytes, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn digits_that_the_display_scale_hides_are_refused() {
        // 1.23, shown with two places, with one, and with none.
        for (scale, shown) in [(2, Some("1.23")), (1, None), (0, None)] {
            let bytes = wire(0, scale, &[1, 2300]);
            assert_eq!(text(&bytes).ok().as_deref(), shown);
            assert_eq!(read(&bytes).is_ok(), shown.is_some());
        }
        // A place that is not in the last group.
        assert!(text(&wire(0, 0, &[1, 2300, 0])).is_err());
        assert!(text(&wire(-1, 8, &[12, 3400])).is_ok());
        assert!(text(&wire(-191, 38, &[100])).is_err());
    }

    #[test]
    fn zero_is_zero_however_far_from_the_point_it_is_written() {
        for weight in [0, 40, i16::MAX] {
            let bytes = wire(weight, 0, &[0]);
            assert!(read(&bytes).is_ok_and(|value| value == 0), "{weight}");
            assert_eq!(text(&bytes).ok().as_deref(), Some("0"));
        }
    }
}
