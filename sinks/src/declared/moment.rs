//! Days and times as ISO 8601 and RFC 3339 write them, read without losing anything of them.

use jiff::civil::Date;

const DAY_US: i64 = 86_400_000_000;
/// Digits behind the second that microseconds have.
const FRACTION_DIGITS: usize = 6;

/// Days since 1970 of `2026-11-21`; years 0000 to 9999.
pub(super) fn date(text: &str) -> Option<i32> {
    let parts: [&str; 3] = text.split('-').collect::<Vec<_>>().try_into().ok()?;
    let [year, month, day] = parts;
    let date = Date::new(
        i16::try_from(number(year, 4)?).ok()?,
        i8::try_from(number(month, 2)?).ok()?,
        i8::try_from(number(day, 2)?).ok()?,
    );
    Some(
        Date::constant(1970, 1, 1)
            .until(date.ok()?)
            .ok()?
            .get_days(),
    )
}

/// Microseconds since 1970 of `2026-11-21T08:00:00.123456`, or with a space between: a time without a zone.
pub(super) fn local(text: &str) -> Option<i64> {
    let (day, time) = text.split_once(['T', 't', ' '])?;
    Some(i64::from(date(day)?) * DAY_US + time_of_day(time)?)
}

/// Microseconds since 1970 of `2026-11-21T08:00:00Z` or `…+01:00`: a moment.
pub(super) fn moment(text: &str) -> Option<i64> {
    if let Some(utc) = text.strip_suffix(['Z', 'z']) {
        return local(utc);
    }
    // The day has minus signs of its own.
    let from = text.find(['T', 't', ' '])?;
    let at = from + text.get(from..)?.find(['+', '-'])?;
    let (own, offset) = text.split_at_checked(at)?;
    let behind_us = local(own)?;
    let (hours, minutes) = match (offset.get(1..)?, offset.len()) {
        (hours, 3) => (number(hours, 2)?, 0),
        (both, 5) => (number(both.get(..2)?, 2)?, number(both.get(2..)?, 2)?),
        (both, 6) => {
            let (hours, minutes) = both.split_once(':')?;
            (number(hours, 2)?, number(minutes, 2)?)
        }
        _ => return None,
    };
    let offset_us =
        (hours <= 23 && minutes <= 59).then_some((hours * 60 + minutes) * 60_000_000)?;
    Some(match offset.starts_with('-') {
        true => behind_us + offset_us,
        false => behind_us - offset_us,
    })
}

/// Microseconds since midnight. A leap second is none of them.
fn time_of_day(text: &str) -> Option<i64> {
    let (time, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = time.split(':');
    let hour = number(parts.next()?, 2)?;
    let minute = number(parts.next()?, 2)?;
    let second = parts.next();
    // Behind a minute there is no fraction.
    let second = match second {
        None if text.contains('.') => return None,
        None => 0,
        Some(second) => number(second, 2)?,
    };
    let is_one = parts.next().is_none() && hour <= 23 && minute <= 59 && second <= 59;
    is_one.then_some(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros(fraction)?)
}

/// Digits behind the second, if no more than microseconds are said.
fn micros(fraction: &str) -> Option<i64> {
    let digits = fraction.trim_end_matches('0');
    let are_digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits || digits.len() > FRACTION_DIGITS {
        return None;
    }
    format!("{digits:0<FRACTION_DIGITS$}").parse().ok()
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    let is_one = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_one.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_over_the_whole_range() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("1969-12-31", Some(-1)),
            ("2024-02-29", Some(19_782)),
            ("0000-01-01", Some(-719_528)),
            ("9999-12-31", Some(2_932_896)),
            ("2023-02-29", None),
            ("2024-13-01", None),
            ("2024-1-1", None),
            ("10000-01-01", None),
            ("-0001-01-01", None),
            ("2024-01-01T00:00:00Z", None),
            ("", None),
            ("２０２４-01-01", None),
        ] {
            assert_eq!(date(text), expected, "{text}");
        }
    }

    #[test]
    fn times_keep_every_microsecond_and_their_zone() {
        let noon = 1_777_636_800_000_000;
        for (text, without, with) in [
            ("2026-05-01T12:00:00", Some(noon), None),
            ("2026-05-01 12:00", Some(noon), None),
            ("2026-05-01T12:00:00.1", Some(noon + 100_000), None),
            ("2026-05-01T12:00:00.123456000", Some(noon + 123_456), None),
            ("2026-05-01T12:00:00Z", None, Some(noon)),
            ("2026-05-01t12:00:00.000001z", None, Some(noon + 1)),
            ("2026-05-01T14:00:00+02:00", None, Some(noon)),
            ("2026-05-01 06:30:00-0530", None, Some(noon)),
            ("2026-05-01T13:00+01", None, Some(noon)),
            // What would have to be cut, guessed or moved is none.
            ("2026-05-01T12:00:00.1234567", None, None),
            ("2026-05-01T12:00:00.1234567Z", None, None),
            ("2026-05-01T12:00:60Z", None, None),
            ("2026-05-01T24:00:00Z", None, None),
            ("2026-05-01T12:00:00+24:00", None, None),
            ("2026-05-01T12:00:00[Europe/Paris]", None, None),
            ("2026-05-01T12:00.5", None, None),
            ("2026-05-01", None, None),
            ("2026-05-01T12", None, None),
            ("2026-05-01T12:00:00.Z", None, None),
            ("2026-05-01T12:00:00+é1:00", None, None),
            ("", None, None),
        ] {
            assert_eq!((local(text), moment(text)), (without, with), "{text}");
        }
    }
}
