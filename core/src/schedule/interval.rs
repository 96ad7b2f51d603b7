//! When something happens again and again: `@every 1h30m`, `@daily`, `0 9 * * MON-FRI`, with `TZ=`.
//!
//! # Grammar
//!
//! ```text
//! interval = [ ("TZ=" | "CRON_TZ=") zone " " ] ( "@every " duration | name | cron )
//! name     = @hourly | @daily | @midnight | @weekly (Sunday, 00:00) | @monthly | @yearly | @annually
//! cron     = [second] minute hour day-of-month month day-of-week        five or six fields
//! ```
//! Without `TZ=` the zone is UTC. `@every` counts from the moment it is asked about and knows no zone.
//! A pattern that can never match (30 February) is refused when it is read, not discovered later.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;

use super::duration::{parse_duration, write_duration};
use crate::clock::Timestamp;
use crate::error::{Error, Result};

/// A leap year's beginning: where we look for the first match of a pattern when we check it.
const CHECKED_FROM: Timestamp = Timestamp(1_704_067_200_000_000);
/// The shortest `@every`.
const EVERY_MIN: Duration = Duration::from_millis(1);

/// A recurring moment.
#[derive(Clone)]
pub struct Interval {
    text: String,
    rule: Rule,
}

#[derive(Clone)]
enum Rule {
    Every(Duration),
    Cron(Box<Cron>, TimeZone),
}

impl Interval {
    /// `@every period`.
    #[must_use]
    pub fn every(period: Duration) -> Self {
        let period = period.max(EVERY_MIN);
        Interval {
            text: format!("@every {}", write_duration(period)),
            rule: Rule::Every(period),
        }
    }

    /// Reads an interval.
    ///
    /// # Errors
    /// [`crate::error::Kind::Config`], saying which part is wrong and what is accepted.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let (zone, pattern) = split_zone(text)?;
        let rule = match pattern.strip_prefix("@every") {
            Some(period) => Rule::Every(every(period)?),
            None => Rule::Cron(Box::new(cron(expand(pattern)?)?), zone),
        };
        let interval = Interval {
            text: text.to_owned(),
            rule,
        };
        match interval.search(CHECKED_FROM) {
            Some(_) => Ok(interval),
            None => Err(Error::config("the pattern never matches a date")
                .help("check day and month: no month has that day")),
        }
    }

    /// The first moment strictly later than `time`; the end of time when there is none.
    #[must_use]
    pub fn next_after(&self, time: Timestamp) -> Timestamp {
        self.search(time).unwrap_or(Timestamp(i64::MAX))
    }

    /// The last moment of a pattern of the calendar that is not later than `time`; none for `@every`, which counts from no moment.
    #[must_use]
    pub fn last_upto(&self, time: Timestamp) -> Option<Timestamp> {
        let Rule::Cron(cron, zone) = &self.rule else {
            return None;
        };
        let end = jiff::Timestamp::from_microsecond(time.0).ok()?;
        let last = cron.find_previous_occurrence(&end.to_zoned(zone.clone()), true);
        Some(Timestamp(last.ok()?.timestamp().as_microsecond()))
    }

    /// The period of an `@every`; none for a pattern of the calendar.
    #[must_use]
    pub fn period(&self) -> Option<Duration> {
        match self.rule {
            Rule::Every(period) => Some(period),
            Rule::Cron(..) => None,
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn search(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Every(period) => Some(time.after(*period)),
            Rule::Cron(cron, zone) => {
                let start = jiff::Timestamp::from_microsecond(time.0).ok()?;
                let next = cron
                    .find_next_occurrence(&start.to_zoned(zone.clone()), false)
                    .ok()?;
                Some(Timestamp(next.timestamp().as_microsecond()))
            }
        }
    }
}

fn split_zone(text: &str) -> Result<(TimeZone, &str)> {
    let Some(rest) = text
        .strip_prefix("TZ=")
        .or_else(|| text.strip_prefix("CRON_TZ="))
    else {
        return Ok((TimeZone::UTC, text));
    };
    let (name, pattern) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let zone = TimeZone::get(name).map_err(|error| {
        Error::config(format!("unknown time zone {name:?}"))
            .help("use a name of the time zone database, such as Europe/Paris or UTC")
            .because(error)
    })?;
    Ok((zone, pattern.trim()))
}

fn every(period: &str) -> Result<Duration> {
    let help = "write it as @every 10s, @every 1h30m";
    if !period.is_empty() && !period.starts_with(char::is_whitespace) {
        return Err(Error::config("a space is missing after @every").help(help));
    }
    match parse_duration(period) {
        Ok(period) if period < EVERY_MIN => {
            Err(Error::config("@every needs at least 1ms").help(help))
        }
        Ok(period) => Ok(period),
        Err(reason) => Err(Error::config(format!("@every: {reason}")).help(help)),
    }
}

/// The pattern behind a name; a pattern itself as it is.
fn expand(pattern: &str) -> Result<&str> {
    Ok(match pattern {
        "" => return Err(unreadable("it is empty")),
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        name if name.starts_with('@') => {
            return Err(unreadable("there is no such @name"));
        }
        pattern => pattern,
    })
}

fn cron(pattern: &str) -> Result<Cron> {
    let fields = pattern.split_whitespace().count();
    if !(5..=6).contains(&fields) {
        return Err(unreadable(&format!(
            "a cron pattern has 5 or 6 fields, this one has {fields}"
        )));
    }
    CronParser::builder()
        .seconds(Seconds::Optional)
        .year(Year::Disallowed)
        .build()
        .parse(pattern)
        .map_err(|error| unreadable("a field is not valid").because(error))
}

fn unreadable(reason: &str) -> Error {
    Error::config(format!("not an interval: {reason}")).help(
        "use @every 10m, @hourly, @daily, @weekly, @monthly, @yearly, \
         or cron: minute hour day month weekday, with an optional TZ=Zone before it",
    )
}

impl FromStr for Interval {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Interval::parse(text)
    }
}

impl PartialEq for Interval {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Interval {}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interval({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().unwrap();
        Timestamp(time.as_microsecond())
    }

    fn next(interval: &str, from: &str) -> String {
        let interval = Interval::parse(interval).unwrap();
        let next = interval.next_after(at(from));
        jiff::Timestamp::from_microsecond(next.0)
            .unwrap()
            .to_string()
    }

    #[test]
    fn every_counts_from_the_moment_it_is_asked() {
        let next = next("@every 1h30m", "2025-03-01T10:00:07Z");
        assert_eq!(next, "2025-03-01T11:30:07Z");
    }

    #[test]
    fn names_mean_their_first_moment_in_utc() {
        let from = "2025-03-05T10:20:30Z"; // a Wednesday
        for (name, expected) in [
            ("@hourly", "2025-03-05T11:00:00Z"),
            ("@daily", "2025-03-06T00:00:00Z"),
            ("@weekly", "2025-03-09T00:00:00Z"),
            ("@monthly", "2025-04-01T00:00:00Z"),
            ("@yearly", "2026-01-01T00:00:00Z"),
        ] {
            assert_eq!(next(name, from), expected, "{name}");
        }
    }

    #[test]
    fn cron_takes_five_or_six_fields_and_is_strictly_later() {
        let from = "2025-03-05T10:20:00Z";
        assert_eq!(next("20 * * * *", from), "2025-03-05T11:20:00Z");
        assert_eq!(next("*/15 * * * * *", from), "2025-03-05T10:20:15Z");
        assert_eq!(next("0 9 * * MON", from), "2025-03-10T09:00:00Z");
    }

    #[test]
    fn the_last_moment_of_a_pattern_may_be_the_one_that_is_asked_about() {
        let last = |interval: &str, from: &str| {
            let interval = Interval::parse(interval).unwrap();
            interval.last_upto(at(from)).map(|at| at.to_string())
        };
        let nine = Some("2025-03-05T09:00:00.000000Z".to_owned());
        assert_eq!(last("0 9 * * *", "2025-03-05T09:00:00Z"), nine);
        assert_eq!(last("0 9 * * *", "2025-03-06T08:59:59.999Z"), nine);
        assert_eq!(last("@every 1h", "2025-03-06T08:59:59Z"), None);
    }

    #[test]
    fn a_zone_moves_the_moment_and_follows_its_summer_time() {
        let daily = "TZ=Europe/Paris 0 9 * * *";
        assert_eq!(next(daily, "2025-01-10T12:00:00Z"), "2025-01-11T08:00:00Z");
        assert_eq!(next(daily, "2025-07-10T12:00:00Z"), "2025-07-11T07:00:00Z");
    }

    #[test]
    fn what_is_not_an_interval_is_refused_with_a_reason_and_a_remedy() {
        for (text, reason) in [
            ("", "empty"),
            ("@every", "missing"),
            ("@every5s", "space"),
            ("@every 0s", "at least"),
            ("@every soon", "@every"),
            ("@fortnightly", "no such @name"),
            ("* * *", "5 or 6 fields, this one has 3"),
            ("99 * * * *", "field is not valid"),
            ("0 0 30 2 *", "never matches"),
            ("TZ=Mars/Olympus 0 0 * * *", "unknown time zone"),
        ] {
            let error = Interval::parse(text).unwrap_err();
            assert!(error.to_string().contains(reason), "{text:?}: {error}");
            assert!(error.advised().is_some(), "{text:?} has no remedy");
        }
    }
}
