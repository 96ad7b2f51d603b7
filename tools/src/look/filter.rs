//! What was typed, as a question.

use blacksmith_core::clock::{SystemClock, Timestamp};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::flow::Pattern;
use blacksmith_core::job::Status;
use blacksmith_core::position::{Position, Span};
use blacksmith_core::query::{Attempts, Filter, Names, Statuses, Times};
use blacksmith_core::schedule::duration::parse_duration;

use super::{Look, Noun};
use crate::cli::FilterArgs;

/// A bound as it was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Position(Position),
    Time(Timestamp),
}

impl Look {
    /// The filter that was typed.
    pub(super) fn filter(&self, noun: Noun, args: &FilterArgs) -> Result<Filter> {
        let mut filter = filter(noun, args, SystemClock::shared().now())?;
        if let Some(event) = &args.event {
            filter.event = Some(self.query.address(event)?.position);
        }
        if let Some(job) = &args.job {
            let address = self.query.address(job)?;
            let lane = address.lane.ok_or_else(|| {
                Error::invalid(format!("{job} is the id of an event"))
                    .help("name a job, or use --event")
            })?;
            filter.job = Some((lane, address.position));
        }
        Ok(filter)
    }
}

fn filter(noun: Noun, args: &FilterArgs, now: Timestamp) -> Result<Filter> {
    let bound = |text: &Option<String>| {
        let bound = text.as_deref().map(|text| Bound::parse(text, now));
        bound.transpose()
    };
    let (from, to) = (bound(&args.from)?, bound(&args.to)?);
    let times = Times {
        since: from.and_then(Bound::time),
        before: to.and_then(Bound::time),
    };
    let positions = Span::new(
        from.and_then(Bound::position).unwrap_or(Position::FIRST),
        to.and_then(Bound::position).unwrap_or(Position::MAX),
    );
    let created = Times {
        since: moment_of(args.created_from.as_deref(), now)?,
        before: moment_of(args.created_to.as_deref(), now)?,
    };
    // Of transitions the time is when they were made.
    let (received, created) = match noun {
        Noun::Transitions => (Times::default(), times.and(created)),
        Noun::Events | Noun::Jobs => (times, created),
    };
    Ok(Filter {
        sources: names(&args.source, &args.not_source),
        triggers: names(&args.trigger, &args.not_trigger),
        versions: names(&args.source_version, &args.not_source_version),
        destinations: names(&args.destination, &args.not_destination),
        actions: names(&args.action, &args.not_action),
        job_versions: names(&args.job_version, &args.not_job_version),
        statuses: Statuses {
            only: statuses(&args.status)?,
            not: statuses(&args.not_status)?,
        },
        attempts: Attempts {
            min: args.min_attempts.unwrap_or(0),
            max: args.max_attempts,
        },
        positions: (from.is_some() || to.is_some()).then_some(positions),
        received,
        created,
        ..Filter::default()
    })
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
        .help("use --from and --to for positions")),
    }
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
}

impl Bound {
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

fn earlier(now: Timestamp, ago: std::time::Duration) -> Timestamp {
    let micros = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_sub(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    fn jobs(args: &FilterArgs) -> Filter {
        filter(Noun::Jobs, args, NOW).unwrap()
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
    fn bounds_are_positions_or_times_of_what_is_listed() {
        let args = |from: &str, to: &str| FilterArgs {
            from: Some(from.into()),
            to: Some(to.into()),
            ..FilterArgs::default()
        };
        let between = jobs(&args("50", "2h"));
        let expected = Span::new(Position(50), Position::MAX);
        assert_eq!(between.positions, Some(expected));
        let before = Some(Timestamp(NOW.0 - 7_200_000_000));
        assert_eq!(
            (between.received.since, between.received.before),
            (None, before)
        );
        let made = filter(Noun::Transitions, &args("2h", "50"), NOW).unwrap();
        assert_eq!(
            (made.created.since, made.received),
            (before, Times::default())
        );
        assert_eq!(jobs(&FilterArgs::default()).positions, None);
    }

    #[test]
    fn several_values_allow_each_of_them_and_stars_stand_for_text() {
        let args = FilterArgs {
            trigger: vec!["public.o*".into(), "audit.log".into()],
            not_trigger: vec!["*old".into()],
            status: vec!["failed".into()],
            not_status: vec!["unknown".into()],
            ..FilterArgs::default()
        };
        let filter = jobs(&args);
        assert!(filter.triggers.allow("public.orders") && filter.triggers.allow("audit.log"));
        assert!(!filter.triggers.allow("public.customers"));
        assert!(!filter.triggers.allow("public.orders_old"));
        assert!(filter.statuses.allow(Status::Failed));
        assert!(!filter.statuses.allow(Status::Succeeded));
    }

    #[test]
    fn what_is_typed_wrongly_is_said_with_what_is_right() {
        let args = FilterArgs {
            status: vec!["done".into()],
            ..FilterArgs::default()
        };
        let error = filter(Noun::Jobs, &args, NOW).unwrap_err();
        assert!(error.report().contains("succeeded"), "{error:?}");
        let args = FilterArgs {
            created_from: Some("17".into()),
            ..FilterArgs::default()
        };
        let error = filter(Noun::Jobs, &args, NOW).unwrap_err();
        assert!(error.report().contains("--from"), "{error:?}");
    }
}
