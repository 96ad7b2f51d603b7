//! Filters as people write them: on the command line, and as JSON to the admin API. The same words in both.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Attempts, Filter, Names, Query, Statuses, Times};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::flow::Pattern;
use crate::job::Status;
use crate::position::{Position, Span};
use crate::schedule::duration::parse_duration;

/// What is asked about: `from` and `to` mean the times of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    /// When they were received.
    Events,
    /// When their events were received.
    Jobs,
    /// When they were made.
    Transitions,
}

/// A filter in words. Each list allows several values, `*` in a name stands for any text, and what is empty lets
/// everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Words {
    /// Names of sources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<String>,
    /// Names of sources that are not wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_source: Vec<String>,
    /// Names of triggers; for a table `schema.table`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trigger: Vec<String>,
    /// Names of triggers that are not wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_trigger: Vec<String>,
    /// Versions of the source.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_version: Vec<String>,
    /// Versions of the source that are not wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_source_version: Vec<String>,
    /// Names of destinations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destination: Vec<String>,
    /// Names of destinations that are not wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_destination: Vec<String>,
    /// Names of actions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub action: Vec<String>,
    /// Names of actions that are not wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_action: Vec<String>,
    /// Versions of the destination that jobs are written for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub job_version: Vec<String>,
    /// Versions of the destination that are not wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_job_version: Vec<String>,
    /// Names of states.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<String>,
    /// Names of states that are not wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_status: Vec<String>,
    /// After at least so many attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_attempts: Option<u32>,
    /// After at most so many attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// From this position or time on: `17`, `2025-03-01`, `2025-03-01T12:00:00Z`, or how long ago: `90m`, `2h`, `7d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Up to this position, included, or before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Made at or after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_from: Option<String>,
    /// Made before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_to: Option<String>,
    /// One event alone, by its id or position: no other word counts then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// One job alone, by its id: no other word counts then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

impl Words {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Words::default()
    }

    /// The filter that is meant, at the time `now`. `query` knows what ids name.
    ///
    /// # Errors
    /// `Invalid` with what can be written instead.
    pub fn filter(&self, noun: Noun, query: &Query, now: Timestamp) -> Result<Filter> {
        let mut filter = self.plain(noun, now)?;
        if let Some(event) = &self.event {
            filter.event = Some(query.address(event)?.position);
        }
        if let Some(job) = &self.job {
            let address = query.address(job)?;
            let lane = address.lane.ok_or_else(|| {
                Error::invalid(format!("{job} is the id of an event"))
                    .help("name a job, or say event instead")
            })?;
            filter.job = Some((lane, address.position));
        }
        Ok(filter)
    }

    /// The filter without what only a store can tell.
    fn plain(&self, noun: Noun, now: Timestamp) -> Result<Filter> {
        let bound = |text: &Option<String>| {
            let bound = text.as_deref().map(|text| Bound::parse(text, now));
            bound.transpose()
        };
        let (from, to) = (bound(&self.from)?, bound(&self.to)?);
        let times = Times {
            since: from.and_then(Bound::time),
            before: to.and_then(Bound::time),
        };
        let positions = Span::new(
            from.and_then(Bound::position).unwrap_or(Position::FIRST),
            to.and_then(Bound::position).unwrap_or(Position::MAX),
        );
        let created = Times {
            since: moment_of(self.created_from.as_deref(), now)?,
            before: moment_of(self.created_to.as_deref(), now)?,
        };
        // Of transitions the time is when they were made.
        let (received, created) = match noun {
            Noun::Transitions => (Times::default(), times.and(created)),
            Noun::Events | Noun::Jobs => (times, created),
        };
        Ok(Filter {
            sources: names(&self.source, &self.not_source),
            triggers: names(&self.trigger, &self.not_trigger),
            versions: names(&self.source_version, &self.not_source_version),
            destinations: names(&self.destination, &self.not_destination),
            actions: names(&self.action, &self.not_action),
            job_versions: names(&self.job_version, &self.not_job_version),
            statuses: Statuses {
                only: statuses(&self.status)?,
                not: statuses(&self.not_status)?,
            },
            attempts: Attempts {
                min: self.min_attempts.unwrap_or(0),
                max: self.max_attempts,
            },
            positions: (from.is_some() || to.is_some()).then_some(positions),
            received,
            created,
            ..Filter::default()
        })
    }
}

fn names(only: &[String], not: &[String]) -> Names {
    let patterns = |texts: &[String]| texts.iter().map(Pattern::new).collect();
    Names {
        only: patterns(only),
        not: patterns(not),
    }
}

fn statuses(texts: &[String]) -> Result<Vec<Status>> {
    texts.iter().map(|text| text.parse()).collect()
}

fn moment_of(text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>> {
    let bound = text.map(|text| Bound::parse(text, now)).transpose()?;
    match bound {
        None => Ok(None),
        Some(Bound::Time(time)) => Ok(Some(time)),
        Some(Bound::Position(position)) => Err(Error::invalid(format!(
            "{position} is a position and no time"
        ))
        .help("use from and to for positions")),
    }
}

/// A bound as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Position(Position),
    Time(Timestamp),
}

impl Bound {
    fn time(self) -> Option<Timestamp> {
        match self {
            Bound::Time(time) => Some(time),
            Bound::Position(_) => None,
        }
    }

    fn position(self) -> Option<Position> {
        match self {
            Bound::Position(position) => Some(position),
            Bound::Time(_) => None,
        }
    }

    fn parse(text: &str, now: Timestamp) -> Result<Bound> {
        if let Ok(position) = text.parse() {
            return Ok(Bound::Position(Position(position)));
        }
        if let Some(time) = moment(text) {
            return Ok(Bound::Time(time));
        }
        match parse_duration(text) {
            Ok(ago) => Ok(Bound::Time(earlier(now, ago))),
            Err(_) => Err(Error::invalid(format!("{text:?} is neither a position nor a time")).help(
                "write a position, 2025-03-01, 2025-03-01T12:00:00Z, or how long ago: 90m, 2h, 7d",
            )),
        }
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(Timestamp(time.as_microsecond()));
    }
    let civil = text.parse::<jiff::civil::DateTime>().ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp(zoned.timestamp().as_microsecond()))
}

fn earlier(now: Timestamp, ago: Duration) -> Timestamp {
    let micros = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_sub(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    fn jobs(words: &Words) -> Filter {
        words.plain(Noun::Jobs, NOW).unwrap()
    }

    #[test]
    fn a_bound_is_a_position_a_moment_or_how_long_ago() {
        for (text, expected) in [
            ("17", Bound::Position(Position(17))),
            ("2023-11-14", Bound::Time(Timestamp(1_699_920_000_000_000))),
            ("2023-11-14T22:13:20Z", Bound::Time(NOW)),
            ("2023-11-14 22:13:20", Bound::Time(NOW)),
            ("2h", Bound::Time(Timestamp(NOW.0 - 7_200_000_000))),
        ] {
            assert_eq!(Bound::parse(text, NOW).unwrap(), expected, "{text}");
        }
        let error = Bound::parse("yesterday", NOW).unwrap_err();
        assert!(error.report().contains("how long ago"), "{error:?}");
    }

    #[test]
    fn bounds_are_positions_or_times_of_what_is_asked_about() {
        let between = |from: &str, to: &str| Words {
            from: Some(from.into()),
            to: Some(to.into()),
            ..Words::default()
        };
        let both = jobs(&between("50", "2h"));
        let expected = Span::new(Position(50), Position::MAX);
        assert_eq!(both.positions, Some(expected));
        let before = Some(Timestamp(NOW.0 - 7_200_000_000));
        assert_eq!((both.received.since, both.received.before), (None, before));
        let made = between("2h", "50").plain(Noun::Transitions, NOW).unwrap();
        assert_eq!(
            (made.created.since, made.received),
            (before, Times::default())
        );
        assert_eq!(jobs(&Words::default()).positions, None);
    }

    /// STO-05
    #[test]
    fn several_values_allow_each_of_them_and_stars_stand_for_text() {
        let words = Words {
            trigger: vec!["public.o*".into(), "audit.log".into()],
            not_trigger: vec!["*old".into()],
            status: vec!["failed".into()],
            not_status: vec!["unknown".into()],
            ..Words::default()
        };
        let filter = jobs(&words);
        assert!(filter.triggers.allow("public.orders") && filter.triggers.allow("audit.log"));
        assert!(!filter.triggers.allow("public.customers"));
        assert!(!filter.triggers.allow("public.orders_old"));
        assert!(filter.statuses.allow(Status::Failed));
        assert!(!filter.statuses.allow(Status::Succeeded));
    }

    #[test]
    fn what_is_written_wrongly_is_said_with_what_is_right() {
        let words = Words {
            status: vec!["done".into()],
            ..Words::default()
        };
        let error = words.plain(Noun::Jobs, NOW).unwrap_err();
        assert!(error.report().contains("succeeded"), "{error:?}");
        let words = Words {
            created_from: Some("17".into()),
            ..Words::default()
        };
        let error = words.plain(Noun::Jobs, NOW).unwrap_err();
        assert!(error.report().contains("from and to"), "{error:?}");
    }

    #[test]
    fn words_are_json_with_nothing_for_what_is_not_said() {
        let words: Words =
            serde_json::from_str(r#"{"status":["failed"],"min_attempts":2}"#).unwrap();
        assert_eq!((words.status.len(), words.min_attempts), (1, Some(2)));
        let written = serde_json::to_string(&words).unwrap();
        assert_eq!(written, r#"{"status":["failed"],"min_attempts":2}"#);
        assert!(Words::default().is_empty() && !words.is_empty());
        let error = serde_json::from_str::<Words>(r#"{"stats":[]}"#).unwrap_err();
        assert!(
            error.to_string().contains("unknown field `stats`"),
            "{error}"
        );
    }
}
