//! `interval` and `timetz`: their binary forms written as Postgres prints them.

use std::io::Write as _;

use super::calendar::{US_PER_DAY, write_fraction, write_time};
use super::misfit::{Fit, wrong};
use super::number::fixed;

/// Writes an interval (microseconds, days, months) in the style `postgres`.
///
/// The greatest and the least possible interval are the infinities, as from version 17 on.
pub(crate) fn write_interval(bytes: &[u8], out: &mut Vec<u8>) -> Fit<()> {
    let all: [u8; 16] = fixed(bytes)?;
    let us = i64::from_be_bytes(fixed(&all[..8])?);
    let days = i32::from_be_bytes(fixed(&all[8..12])?);
    let months = i32::from_be_bytes(fixed(&all[12..])?);
    match (us, days, months) {
        (i64::MIN, i32::MIN, i32::MIN) => out.extend_from_slice(b"-infinity"),
        (i64::MAX, i32::MAX, i32::MAX) => out.extend_from_slice(b"infinity"),
        _ => write_parts(us, days, months, out),
    }
    Ok(())
}

fn write_parts(us: i64, days: i32, months: i32, out: &mut Vec<u8>) {
    let start = out.len();
    // A field after a negative one shows its plus, so that the sign is not carried over in reading.
    let mut after_negative = false;
    for (count, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if count == 0 {
            continue;
        }
        let gap = if out.len() > start { " " } else { "" };
        let plus = if after_negative && count > 0 { "+" } else { "" };
        let plural = if count == 1 { "" } else { "s" };
        write!(out, "{gap}{plus}{count} {unit}{plural}").expect("a Vec takes all bytes");
        after_negative = count < 0;
    }
    if us != 0 || out.len() == start {
        if out.len() > start {
            out.push(b' ');
        }
        match (us < 0, after_negative) {
            (true, _) => out.push(b'-'),
            (false, true) => out.push(b'+'),
            (false, false) => {}
        }
        write_hours(us.unsigned_abs(), out);
    }
}

/// As a time of day, but with as many hours as there are.
fn write_hours(us: u64, out: &mut Vec<u8>) {
    let seconds = us / 1_000_000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(out, "{hours:02}:{minutes:02}:{seconds:02}").expect("a Vec takes all bytes");
    write_fraction((us % 1_000_000) as i64, out);
}

/// Writes a time with its zone (microseconds of the day, seconds west of UTC).
pub(crate) fn write_timetz(bytes: &[u8], out: &mut Vec<u8>) -> Fit<()> {
    let all: [u8; 12] = fixed(bytes)?;
    let us = i64::from_be_bytes(fixed(&all[..8])?);
    let west = i32::from_be_bytes(fixed(&all[8..])?);
    if !(0..=US_PER_DAY).contains(&us) {
        return wrong("is not a time of day");
    }
    write_time(us, out);
    let seconds = west.unsigned_abs();
    out.push(if west <= 0 { b'+' } else { b'-' });
    write!(out, "{:02}", seconds / 3600).expect("a Vec takes all bytes");
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    if minutes != 0 || seconds != 0 {
        write!(out, ":{minutes:02}").expect("a Vec takes all bytes");
    }
    if seconds != 0 {
        write!(out, ":{seconds:02}").expect("a Vec takes all bytes");
    }
    Ok(())
}
