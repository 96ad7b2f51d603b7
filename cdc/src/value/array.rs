//! Arrays: their elements found in text and binary, and their text written.
//!
//! An Arrow list holds one dimension that begins at 1, which is nearly every array there is. Others
//! are `Beyond`: they arrive as text.

use std::io::Write as _;

use super::misfit::{Fit, Misfit, wrong};

const NOT_ARRAY: &str = "is not an array";

/// Calls `each` with every element of a one-dimensional array's text; `None` is NULL.
pub(crate) fn read_text(
    text: &[u8],
    delimiter: u8,
    scratch: &mut Vec<u8>,
    mut each: impl FnMut(Option<&[u8]>) -> Fit<()>,
) -> Fit<()> {
    let mut rest = match text {
        [b'[', ..] => return Err(Misfit::Beyond), // [2:3]={...}
        [b'{', b'}'] => return Ok(()),
        [b'{', rest @ .., b'}'] => rest,
        _ => return wrong(NOT_ARRAY),
    };
    loop {
        rest = match rest {
            [b'{', ..] => return Err(Misfit::Beyond), // a second dimension
            [b'"', quoted @ ..] => {
                scratch.clear();
                let rest = read_quoted(quoted, scratch)?;
                each(Some(scratch))?;
                rest
            }
            plain => {
                let end = memchr::memchr(delimiter, plain).unwrap_or(plain.len());
                let (element, rest) = plain.split_at(end);
                each((element != b"NULL").then_some(element))?;
                rest
            }
        };
        match rest {
            [] => return Ok(()),
            [first, tail @ ..] if *first == delimiter => rest = tail,
            _ => return wrong(NOT_ARRAY),
        }
    }
}

/// Reads up to the closing quote and gives what follows it.
fn read_quoted<'a>(mut text: &'a [u8], out: &mut Vec<u8>) -> Fit<&'a [u8]> {
    while let Some(at) = memchr::memchr2(b'"', b'\\', text) {
        out.extend_from_slice(&text[..at]);
        match &text[at..] {
            [b'"', rest @ ..] => return Ok(rest),
            [_, escaped, rest @ ..] => {
                out.push(*escaped);
                text = rest;
            }
            _ => break,
        }
    }
    wrong(NOT_ARRAY)
}

/// Calls `each` with every element of pgvector's text `[1,2,3]`.
pub(crate) fn read_vector(text: &[u8], mut each: impl FnMut(&[u8]) -> Fit<()>) -> Fit<()> {
    match text {
        [b'[', b']'] => Ok(()),
        [b'[', elements @ .., b']'] => elements.split(|byte| *byte == b',').try_for_each(&mut each),
        _ => wrong("is not a vector"),
    }
}

/// The binary form: dimensions, each with its length and lower bound, then counted elements.
struct Wire<'a> {
    /// Length and lower bound of each dimension.
    dimensions: Vec<(i32, i32)>,
    elements: &'a [u8],
}

impl<'a> Wire<'a> {
    fn read(bytes: &'a [u8]) -> Fit<Self> {
        let mut rest = bytes;
        let count = take_i32(&mut rest)?;
        let (_has_nulls, _element_oid) = (take_i32(&mut rest)?, take_i32(&mut rest)?);
        if !(0..=6).contains(&count) {
            return wrong(NOT_ARRAY);
        }
        let mut dimensions = Vec::with_capacity(6);
        for _ in 0..count {
            let (len, lower) = (take_i32(&mut rest)?, take_i32(&mut rest)?);
            if len < 0 {
                return wrong(NOT_ARRAY);
            }
            dimensions.push((len, lower));
        }
        let wire = Wire {
            dimensions,
            elements: rest,
        };
        match wire.len() {
            // Each element has a length of four bytes, so a count beyond that is a lie.
            Some(len) if len <= rest.len() / 4 => Ok(wire),
            _ => wrong(NOT_ARRAY),
        }
    }

    /// How many elements there are.
    fn len(&self) -> Option<usize> {
        match self.dimensions.as_slice() {
            [] => Some(0),
            some => some.iter().try_fold(1usize, |product, (len, _)| {
                product.checked_mul(usize::try_from(*len).ok()?)
            }),
        }
    }
}

fn take_i32(rest: &mut &[u8]) -> Fit<i32> {
    let Some((head, tail)) = rest.split_first_chunk::<4>() else {
        return wrong(NOT_ARRAY);
    };
    *rest = tail;
    Ok(i32::from_be_bytes(*head))
}

fn take_element<'a>(rest: &mut &'a [u8]) -> Fit<Option<&'a [u8]>> {
    let len = match take_i32(rest)? {
        -1 => return Ok(None),
        len => usize::try_from(len).or_else(|_| wrong(NOT_ARRAY))?,
    };
    let Some((element, tail)) = rest.split_at_checked(len) else {
        return wrong(NOT_ARRAY);
    };
    *rest = tail;
    Ok(Some(element))
}

/// Calls `each` with every element of a one-dimensional array's binary form.
pub(crate) fn read_binary(bytes: &[u8], mut each: impl FnMut(Option<&[u8]>) -> Fit<()>) -> Fit<()> {
    let wire = Wire::read(bytes)?;
    let len = match wire.dimensions.as_slice() {
        // However many dimensions nothing has, its text is {}.
        _ if wire.len() == Some(0) => 0,
        [(len, 1)] => *len,
        _ => return Err(Misfit::Beyond),
    };
    let mut rest = wire.elements;
    for _ in 0..len {
        each(take_element(&mut rest)?)?;
    }
    ends(rest)
}

/// Refuses bytes behind the last element.
fn ends(rest: &[u8]) -> Fit<()> {
    match rest {
        [] => Ok(()),
        _ => wrong(NOT_ARRAY),
    }
}

/// Writes an array's binary form as Postgres prints it; `write` gives an element's text.
pub(crate) fn write_binary(
    bytes: &[u8],
    delimiter: u8,
    out: &mut Vec<u8>,
    mut write: impl FnMut(&[u8], &mut Vec<u8>) -> Fit<()>,
) -> Fit<()> {
    let wire = Wire::read(bytes)?;
    let mut rest = wire.elements;
    if wire.len() == Some(0) {
        out.extend_from_slice(b"{}");
        return ends(rest);
    }
    write_bounds(&wire.dimensions, out);
    let lengths: Vec<i32> = wire.dimensions.iter().map(|(len, _)| *len).collect();
    let mut element = Vec::new();
    write_dimension(&lengths, delimiter, out, &mut |out| {
        match take_element(&mut rest)? {
            None => out.extend_from_slice(b"NULL"),
            Some(bytes) => {
                element.clear();
                write(bytes, &mut element)?;
                write_element(&element, delimiter, out);
            }
        }
        Ok(())
    })?;
    ends(rest)
}

/// `[2:3][0:1]=`, when any dimension does not begin at 1.
fn write_bounds(dimensions: &[(i32, i32)], out: &mut Vec<u8>) {
    if dimensions.iter().all(|(_, lower)| *lower == 1) {
        return;
    }
    for (len, lower) in dimensions {
        let upper = i64::from(*lower) + i64::from(*len) - 1;
        write!(out, "[{lower}:{upper}]").expect("a Vec takes all bytes");
    }
    out.push(b'=');
}

fn write_dimension(
    lengths: &[i32],
    delimiter: u8,
    out: &mut Vec<u8>,
    next: &mut dyn FnMut(&mut Vec<u8>) -> Fit<()>,
) -> Fit<()> {
    let Some((len, inner)) = lengths.split_first() else {
        return next(out);
    };
    out.push(b'{');
    for at in 0..*len {
        if at > 0 {
            out.push(delimiter);
        }
        write_dimension(inner, delimiter, out, next)?;
    }
    out.push(b'}');
    Ok(())
}

/// Writes one element, in quotes where Postgres puts them.
pub(crate) fn write_element(element: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    let special = |byte: &u8| {
        matches!(byte, b'"' | b'\\' | b'{' | b'}' | b' ' | b'\t'..=b'\r') || *byte == delimiter
    };
    let quoted =
        element.is_empty() || element.eq_ignore_ascii_case(b"NULL") || element.iter().any(special);
    if !quoted {
        return out.extend_from_slice(element);
    }
    out.push(b'"');
    for byte in element {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The binary form with these dimensions (length, lower bound) and elements of one byte.
    fn array(dimensions: &[(i32, i32)], elements: &[u8]) -> Vec<u8> {
        let head = [dimensions.len() as i32, 0, 18];
        let bounds = dimensions.iter().flat_map(|(len, lower)| [*len, *lower]);
        let numbers = head.into_iter().chain(bounds).flat_map(i32::to_be_bytes);
        let elements = elements.iter().flat_map(|byte| [0, 0, 0, 1, *byte]);
        numbers.chain(elements).collect()
    }

    fn text(bytes: &[u8]) -> Fit<String> {
        let mut out = Vec::new();
        write_binary(bytes, b',', &mut out, |element, out| {
            out.extend_from_slice(element);
            Ok(())
        })?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn an_array_of_nothing_is_empty_however_many_dimensions_it_has() {
        for dimensions in [&[][..], &[(0, 1)], &[(0, 1), (2, 1)], &[(3, 5), (0, 0)]] {
            let bytes = array(dimensions, b"");
            assert!(read_binary(&bytes, |_| wrong("there is no element")).is_ok());
            assert_eq!(text(&bytes).ok().as_deref(), Some("{}"));
        }
    }

    #[test]
    fn bytes_behind_the_last_element_are_refused() {
        for dimensions in [
            &[][..],
            &[(0, 1), (2, 1)],
            &[(1, 1)],
            &[(1, 2)],
            &[(1, 1), (1, 1)],
        ] {
            let len = dimensions.iter().map(|(len, _)| *len).reduce(|a, b| a * b);
            let elements = &b"x"[..len.unwrap_or(0) as usize];
            let mut bytes = array(dimensions, elements);
            assert!(text(&bytes).is_ok(), "{dimensions:?}");
            bytes.extend_from_slice(&[0; 4]);
            assert!(text(&bytes).is_err(), "{dimensions:?}");
            assert!(read_binary(&bytes, |_| Ok(())).is_err(), "{dimensions:?}");
        }
    }
}
