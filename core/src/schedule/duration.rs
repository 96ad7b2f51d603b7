//! Durations as people write them: `10s`, `1h30m`, `1.5h`, `250ms`, `7d`.
//!
//! The grammar is Go's (`ns us µs ms s m h`, decimal fractions, several parts in a row), which is what
//! `@every` takes, with `d` (24 hours) and `w` (7 days) added for retention. No sign: a duration is
//! never negative here. The largest value is about 292 years, so that it fits a timestamp.

use std::time::Duration;

/// Nanoseconds in the largest duration accepted.
const NANOS_MAX: f64 = 9.2e18;

const SHAPE: &str = "a duration is a number and a unit, several of them in a row";

/// Reads `text`.
///
/// # Errors
/// A sentence saying what is wrong, without the text itself.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("a duration is missing".into());
    }
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut nanos = 0.0_f64;
    let mut whole = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| !(c.is_ascii_digit() || c == '.'));
        let (unit, after) = split_where(after, |c| c.is_ascii_digit() || c == '.');
        if number.is_empty() {
            return Err(SHAPE.into());
        }
        let unit_nanos = unit_nanos(unit.trim())?;
        let count: f64 = number.parse().map_err(|_| SHAPE.to_owned())?;
        nanos += count * unit_nanos as f64;
        if nanos > NANOS_MAX {
            return Err("the duration is longer than 292 years".into());
        }
        whole = whole.saturating_add(part(number, count, unit_nanos));
        rest = after.trim_start();
    }
    Ok(whole)
}

/// Writes `duration` so that [`parse_duration`] reads the same: `1h30m`, `10s`, `1ms500us`.
#[must_use]
pub fn write_duration(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut text = String::new();
    for (unit, nanos) in [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ] {
        if rest >= nanos {
            text.push_str(&format!("{}{unit}", rest / nanos));
            rest %= nanos;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// One `number unit` pair: exact for whole numbers, rounded to the nanosecond for fractions.
fn part(number: &str, count: f64, unit_nanos: u64) -> Duration {
    match number.parse::<u64>() {
        Ok(count) => Duration::from_nanos(count.saturating_mul(unit_nanos)),
        Err(_) => Duration::from_secs_f64(count * unit_nanos as f64 / 1e9),
    }
}

fn unit_nanos(unit: &str) -> Result<u64, String> {
    Ok(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        "w" => 604_800_000_000_000,
        "" => return Err("the unit is missing: ms, s, m, h, d or w".into()),
        _ => return Err("the unit is not one of ns, us, ms, s, m, h, d, w".into()),
    })
}

fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_and_days_are_read_exactly() {
        for (text, expected) in [
            ("10s", Duration::from_secs(10)),
            ("1h30m", Duration::from_secs(5_400)),
            ("1.5h", Duration::from_secs(5_400)),
            ("250ms", Duration::from_millis(250)),
            ("1h 30 m", Duration::from_secs(5_400)),
            ("1m0.5s", Duration::from_millis(60_500)),
            ("7d", Duration::from_secs(7 * 86_400)),
            ("2w", Duration::from_secs(14 * 86_400)),
            ("3us", Duration::from_micros(3)),
            ("0", Duration::ZERO),
        ] {
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_written_duration_reads_as_the_same() {
        for (millis, text) in [
            (0, "0s"),
            (90_000, "1m30s"),
            (3_600_000, "1h"),
            (1_250, "1s250ms"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(write_duration(duration), text);
            assert_eq!(parse_duration(text), Ok(duration));
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "missing"),
            ("10", "unit is missing"),
            ("10 parsecs", "not one of"),
            ("s", "number and a unit"),
            ("-5s", "number and a unit"),
            ("1..5s", "number and a unit"),
            ("99999999999h", "292 years"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
