//! The text that Postgres would print for a binary value.

use super::array;
use super::bytea::{write_hex, write_uuid};
use super::calendar;
use super::interval;
use super::mapping::{Form, Plan};
use super::misfit::{Fit, wrong};
use super::number::{fixed, one_nan, write_float};
use super::numeric;

/// Writes the text of a column's binary value.
pub(crate) fn write(plan: Plan, binary: &[u8], out: &mut Vec<u8>) -> Fit<()> {
    match plan {
        Plan::One(form) => write_scalar(form, binary, out),
        Plan::List { element, delimiter } => {
            array::write_binary(binary, delimiter, out, |bytes, out| {
                write_scalar(element, bytes, out)
            })
        }
        Plan::Vector => wrong("was sent in binary, which is not understood for its type"),
    }
}

/// Writes the text of a scalar's binary value.
pub(crate) fn write_scalar(form: Form, binary: &[u8], out: &mut Vec<u8>) -> Fit<()> {
    match form {
        Form::Bool => out.push(if fixed::<1>(binary)? == [0] {
            b'f'
        } else {
            b't'
        }),
        Form::Int2 => write_integer(i16::from_be_bytes(fixed(binary)?), out),
        Form::Int4 => write_integer(i32::from_be_bytes(fixed(binary)?), out),
        Form::Int8 => write_integer(i64::from_be_bytes(fixed(binary)?), out),
        Form::Oid => write_integer(u32::from_be_bytes(fixed(binary)?), out),
        Form::Float4 => write_float(one_nan(f32::from_be_bytes(fixed(binary)?)), out),
        Form::Float8 => write_float(one_nan(f64::from_be_bytes(fixed(binary)?)), out),
        Form::Decimal128 { .. } | Form::Decimal256 { .. } | Form::Numeric => {
            numeric::write_text(binary, out)?;
        }
        Form::Bytea => {
            out.extend_from_slice(b"\\x");
            write_hex(binary, out);
        }
        Form::Uuid => write_uuid(&fixed(binary)?, out),
        Form::Date => calendar::write_date_binary(binary, out)?,
        Form::Time => write_time(binary, out)?,
        Form::Timestamp => calendar::write_timestamp_binary(binary, "", out)?,
        Form::TimestampTz => calendar::write_timestamp_binary(binary, "+00", out)?,
        Form::Text => out.extend_from_slice(binary),
        Form::Char => write_char(binary, out),
        Form::Jsonb => match binary {
            [1, json @ ..] => out.extend_from_slice(json),
            _ => return wrong("is a jsonb of an unknown version"),
        },
        Form::TimeTz => interval::write_timetz(binary, out)?,
        Form::Interval => interval::write_interval(binary, out)?,
        Form::Opaque => return wrong("was sent in binary, which is not understood for its type"),
    }
    Ok(())
}

fn write_integer(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    use std::io::Write as _;
    write!(out, "{value}").expect("a Vec takes all bytes");
}

fn write_time(binary: &[u8], out: &mut Vec<u8>) -> Fit<()> {
    let us = i64::from_be_bytes(fixed(binary)?);
    if !(0..=calendar::US_PER_DAY).contains(&us) {
        return wrong("is not a time of day");
    }
    calendar::write_time(us, out);
    Ok(())
}

/// Writes a `"char"`, from text or binary: one byte, which above ASCII is written in octal as
/// Postgres does from version 16 on, and which is nothing when it is zero.
pub(crate) fn write_char(bytes: &[u8], out: &mut Vec<u8>) {
    match bytes {
        [0] => {}
        [byte @ 0x80..=0xff] => {
            let octal = |shift: u8| b'0' + (byte >> shift & 7);
            out.extend_from_slice(&[b'\\', octal(6), octal(3), octal(0)]);
        }
        bytes => out.extend_from_slice(bytes),
    }
}
