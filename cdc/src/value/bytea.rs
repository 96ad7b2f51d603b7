//! `bytea` and `uuid`: bytes from hexadecimal text, and back.

use super::misfit::{Fit, wrong};

const NOT_BYTEA: &str = "is not a bytea";

/// Appends the bytes of a bytea's text: the hex form, or the older escape form.
pub(crate) fn read(text: &[u8], out: &mut Vec<u8>) -> Fit<()> {
    match text {
        [b'\\', b'x', digits @ ..] => read_hex(digits, out),
        text => read_escaped(text, out),
    }
}

fn read_hex(digits: &[u8], out: &mut Vec<u8>) -> Fit<()> {
    let (pairs, odd) = digits.as_chunks::<2>();
    if !odd.is_empty() {
        return wrong(NOT_BYTEA);
    }
    out.reserve(pairs.len());
    for pair in pairs {
        out.push(byte(*pair).map_or_else(|| wrong(NOT_BYTEA), Ok)?);
    }
    Ok(())
}

/// `\\` is a backslash, `\ooo` a byte in octal, all else stands for itself.
fn read_escaped(mut text: &[u8], out: &mut Vec<u8>) -> Fit<()> {
    while let Some(at) = memchr::memchr(b'\\', text) {
        out.extend_from_slice(&text[..at]);
        text = match &text[at + 1..] {
            [b'\\', rest @ ..] => {
                out.push(b'\\');
                rest
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                out.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                rest
            }
            _ => return wrong(NOT_BYTEA),
        };
    }
    out.extend_from_slice(text);
    Ok(())
}

/// The value of each hexadecimal digit; 0xff for what is none.
const NIBBLES: [u8; 256] = {
    let mut table = [0xff; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = digit as u8;
        table[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

#[inline]
fn byte([high, low]: [u8; 2]) -> Option<u8> {
    let (high, low) = (NIBBLES[usize::from(high)], NIBBLES[usize::from(low)]);
    // Both are below 16, or one is 0xff.
    ((high | low) < 16).then_some((high << 4) | low)
}

/// The sixteen bytes of a uuid's text.
pub(crate) fn uuid(text: &[u8]) -> Fit<[u8; 16]> {
    const GROUPS: [(usize, usize); 5] = [(0, 4), (9, 2), (14, 2), (19, 2), (24, 6)];
    const NOT_UUID: &str = "is not a uuid";
    let dashed = text.len() == 36 && [8, 13, 18, 23].iter().all(|at| text[*at] == b'-');
    if !dashed {
        return wrong(NOT_UUID);
    }
    let mut uuid = [0; 16];
    let mut filled = 0;
    for (start, len) in GROUPS {
        for pair in text[start..start + 2 * len].as_chunks::<2>().0 {
            uuid[filled] = byte(*pair).map_or_else(|| wrong(NOT_UUID), Ok)?;
            filled += 1;
        }
    }
    Ok(uuid)
}

/// Appends bytes as lower-case hexadecimal digits.
pub(crate) fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Appends a uuid's text.
pub(crate) fn write_uuid(uuid: &[u8; 16], out: &mut Vec<u8>) {
    for (at, byte) in uuid.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        write_hex(&[*byte], out);
    }
}
