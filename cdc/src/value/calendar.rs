//! Dates, times of day and timestamps, between Postgres's text or binary form and Arrow's counts.
//!
//! Arrow counts from 1970, Postgres from 2000; both use the proleptic Gregorian calendar, in which
//! the year before 1 is 1 BC. Every finite date fits into 32 bits of days. Timestamps fit into 64
//! bits of microseconds up to 294247-01-10; the last thirty years of Postgres's range do not.

use std::io::Write as _;

use super::misfit::{Fit, Misfit, wrong};
use super::number::fixed;
use super::scan::Scan;

const DAYS_TO_2000: i64 = 10_957;
const US_PER_SECOND: i64 = 1_000_000;
/// Microseconds of a day.
pub(crate) const US_PER_DAY: i64 = 86_400 * US_PER_SECOND;
const US_TO_2000: i64 = DAYS_TO_2000 * US_PER_DAY;

const NOT_DATE: &str = "is not an ISO date";
const NOT_TIME: &str = "is not a time of day";
const NOT_TIMESTAMP: &str = "is not an ISO timestamp";

/// Days since 1970 from a date of the proleptic Gregorian calendar (year 0 is 1 BC).
/// After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year (0 is 1 BC), month and day of a count of days since 1970.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Days since 1970 from a date's text.
pub(crate) fn date(text: &[u8]) -> Fit<i32> {
    let (text, bc) = split_era(text)?;
    let mut scan = Scan::new(text);
    let days = scan_date(&mut scan, bc, NOT_DATE)?;
    match scan.rest() {
        [] => i32::try_from(days).or(Err(Misfit::Beyond)),
        _ => wrong(NOT_DATE),
    }
}

/// Days since 1970 from a date's binary form.
pub(crate) fn date_binary(bytes: &[u8]) -> Fit<i32> {
    match i32::from_be_bytes(fixed(bytes)?) {
        i32::MIN | i32::MAX => Err(Misfit::Beyond), // -infinity, infinity
        days => days.checked_add(DAYS_TO_2000 as i32).ok_or(Misfit::Beyond),
    }
}

/// Microseconds of the day from a time's text. 24:00:00 is `Beyond`.
pub(crate) fn time(text: &[u8]) -> Fit<i64> {
    let mut scan = Scan::new(text);
    let time = scan_time(&mut scan, NOT_TIME)?;
    match scan.rest() {
        [] => within_a_day(time),
        _ => wrong(NOT_TIME),
    }
}

/// Microseconds of the day from a time's binary form.
pub(crate) fn time_binary(bytes: &[u8]) -> Fit<i64> {
    within_a_day(i64::from_be_bytes(fixed(bytes)?))
}

fn within_a_day(time: i64) -> Fit<i64> {
    match time {
        0..US_PER_DAY => Ok(time),
        US_PER_DAY => Err(Misfit::Beyond),
        _ => wrong(NOT_TIME),
    }
}

/// Microseconds since 1970 from a timestamp's text, with or without an offset from UTC.
pub(crate) fn timestamp(text: &[u8]) -> Fit<i64> {
    let (text, bc) = split_era(text)?;
    let mut scan = Scan::new(text);
    let days = scan_date(&mut scan, bc, NOT_TIMESTAMP)?;
    scan.expect(b' ', NOT_TIMESTAMP)?;
    let time = scan_time(&mut scan, NOT_TIMESTAMP)?;
    let offset = scan_offset(&mut scan)?;
    match (scan.rest(), days.checked_mul(US_PER_DAY)) {
        ([], Some(us)) => us.checked_add(time - offset).ok_or(Misfit::Beyond),
        ([], None) => Err(Misfit::Beyond),
        _ => wrong(NOT_TIMESTAMP),
    }
}

/// Microseconds since 1970 from a timestamp's binary form.
pub(crate) fn timestamp_binary(bytes: &[u8]) -> Fit<i64> {
    match i64::from_be_bytes(fixed(bytes)?) {
        i64::MIN | i64::MAX => Err(Misfit::Beyond), // -infinity, infinity
        us => us.checked_add(US_TO_2000).ok_or(Misfit::Beyond),
    }
}

/// Takes the infinities and ` BC` off a date or timestamp.
fn split_era(text: &[u8]) -> Fit<(&[u8], bool)> {
    match text {
        b"infinity" | b"-infinity" => Err(Misfit::Beyond),
        [text @ .., b' ', b'B', b'C'] => Ok((text, true)),
        text => Ok((text, false)),
    }
}

fn scan_date(scan: &mut Scan<'_>, bc: bool, what: &'static str) -> Fit<i64> {
    let (year, year_len) = scan.digits();
    scan.expect(b'-', what)?;
    let month = scan.two_digits(what)?;
    scan.expect(b'-', what)?;
    let day = scan.two_digits(what)?;
    if year_len < 4 || year == 0 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return wrong(what);
    }
    Ok(days_from_civil(
        if bc { 1 - year } else { year },
        month,
        day,
    ))
}

fn scan_time(scan: &mut Scan<'_>, what: &'static str) -> Fit<i64> {
    let hour = scan.two_digits(what)?;
    scan.expect(b':', what)?;
    let minute = scan.two_digits(what)?;
    scan.expect(b':', what)?;
    let second = scan.two_digits(what)?;
    let mut us = ((hour * 60 + minute) * 60 + second) * US_PER_SECOND;
    if hour > 24 || minute > 59 || second > 59 {
        return wrong(what);
    }
    if scan.take(b'.') {
        let (fraction, len) = scan.digits();
        if !(1..=6).contains(&len) {
            return wrong(what);
        }
        us += fraction * 10i64.pow(6 - len as u32);
    }
    Ok(us)
}

/// `+HH[:MM[:SS]]` east of UTC, in microseconds; nothing is zero.
fn scan_offset(scan: &mut Scan<'_>) -> Fit<i64> {
    let sign = match (scan.take(b'+'), scan.take(b'-')) {
        (true, _) => 1,
        (_, true) => -1,
        _ => return Ok(0),
    };
    let mut seconds = scan.two_digits(NOT_TIMESTAMP)? * 3600;
    if scan.take(b':') {
        seconds += scan.two_digits(NOT_TIMESTAMP)? * 60;
        if scan.take(b':') {
            seconds += scan.two_digits(NOT_TIMESTAMP)?;
        }
    }
    Ok(sign * seconds * US_PER_SECOND)
}

/// Writes a date's binary form as text.
pub(crate) fn write_date_binary(bytes: &[u8], out: &mut Vec<u8>) -> Fit<()> {
    match i32::from_be_bytes(fixed(bytes)?) {
        i32::MIN => out.extend_from_slice(b"-infinity"),
        i32::MAX => out.extend_from_slice(b"infinity"),
        days => write_date(i64::from(days) + DAYS_TO_2000, out),
    }
    Ok(())
}

/// Writes a timestamp's binary form as text; `zone` is what follows the time (`+00` or nothing).
pub(crate) fn write_timestamp_binary(bytes: &[u8], zone: &str, out: &mut Vec<u8>) -> Fit<()> {
    match i64::from_be_bytes(fixed(bytes)?) {
        i64::MIN => out.extend_from_slice(b"-infinity"),
        i64::MAX => out.extend_from_slice(b"infinity"),
        us => {
            let days = us.div_euclid(US_PER_DAY) + DAYS_TO_2000;
            write_moment(days, us.rem_euclid(US_PER_DAY), zone, out);
        }
    }
    Ok(())
}

/// Writes a count of days since 1970 as a date.
pub(crate) fn write_date(days: i64, out: &mut Vec<u8>) {
    let bc = write_day(days, out);
    out.extend_from_slice(bc.as_bytes());
}

/// Writes a count of microseconds since 1970 as a timestamp.
pub(crate) fn write_timestamp(us: i64, zone: &str, out: &mut Vec<u8>) {
    write_moment(
        us.div_euclid(US_PER_DAY),
        us.rem_euclid(US_PER_DAY),
        zone,
        out,
    );
}

fn write_moment(days: i64, us_of_day: i64, zone: &str, out: &mut Vec<u8>) {
    let bc = write_day(days, out);
    out.push(b' ');
    write_time(us_of_day, out);
    out.extend_from_slice(zone.as_bytes());
    out.extend_from_slice(bc.as_bytes());
}

/// Writes the day and gives what has to stand at the very end.
fn write_day(days: i64, out: &mut Vec<u8>) -> &'static str {
    let (year, month, day) = civil_from_days(days);
    let (shown, bc) = if year > 0 {
        (year, "")
    } else {
        (1 - year, " BC")
    };
    write!(out, "{shown:04}-{month:02}-{day:02}").expect("a Vec takes all bytes");
    bc
}

/// Writes microseconds of a day (up to 24:00:00) as a time.
pub(crate) fn write_time(us: i64, out: &mut Vec<u8>) {
    let seconds = us / US_PER_SECOND;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(out, "{hour:02}:{minute:02}:{second:02}").expect("a Vec takes all bytes");
    write_fraction(us % US_PER_SECOND, out);
}

/// Writes microseconds below a second as `.ffffff` without trailing zeros, or as nothing.
pub(crate) fn write_fraction(us: i64, out: &mut Vec<u8>) {
    if us == 0 {
        return;
    }
    write!(out, ".{us:06}").expect("a Vec takes all bytes");
    while out.last() == Some(&b'0') {
        out.pop();
    }
}
