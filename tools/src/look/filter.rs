//! What a list lets through.

use blacksmith_core::clock::{SystemClock, Timestamp};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::flow::Pattern;
use blacksmith_core::job::Status;
use blacksmith_core::position::{Position, Span};
use blacksmith_core::schedule::duration::parse_duration;

use crate::cli::FilterArgs;

/// The filters of one list. An empty one lets everything through.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    pub(super) sources: Vec<Pattern>,
    pub(super) triggers: Vec<Pattern>,
    pub(super) destinations: Vec<Pattern>,
    pub(super) actions: Vec<Pattern>,
    pub(super) statuses: Vec<Status>,
    /// The positions to look at; none when they lie outside the store.
    pub(super) span: Option<Span>,
    pub(super) since: Option<Timestamp>,
    pub(super) before: Option<Timestamp>,
    pub(super) limit: usize,
}

/// A bound as it was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Position(Position),
    Time(Timestamp),
}

impl Filter {
    /// Lets everything through.
    pub(super) fn everything() -> Filter {
        Filter {
            sources: Vec::new(),
            triggers: Vec::new(),
            destinations: Vec::new(),
            actions: Vec::new(),
            statuses: Vec::new(),
            span: None,
            since: None,
            before: None,
            limit: usize::MAX,
        }
    }

    /// The filter that was typed, for a store that holds `oldest` to `head`.
    pub(super) fn of(args: &FilterArgs, oldest: Position, head: Position) -> Result<Filter> {
        let now = SystemClock::shared().now();
        let bound = |text: &Option<String>| {
            text.as_deref()
                .map(|text| Bound::parse(text, now))
                .transpose()
        };
        let (mut first, mut last) = (oldest, head);
        let (mut since, mut before) = (None, None);
        match bound(&args.from)? {
            Some(Bound::Position(position)) => first = first.max(position),
            Some(Bound::Time(time)) => since = Some(time),
            None => {}
        }
        match bound(&args.to)? {
            Some(Bound::Position(position)) => last = last.min(position),
            Some(Bound::Time(time)) => before = Some(time),
            None => {}
        }
        let patterns = |texts: &[String]| texts.iter().map(Pattern::new).collect();
        Ok(Filter {
            sources: patterns(&args.source),
            triggers: patterns(&args.trigger),
            destinations: patterns(&args.destination),
            actions: patterns(&args.action),
            statuses: args
                .status
                .iter()
                .map(|text| text.parse())
                .collect::<Result<_>>()?,
            span: (first <= last && last > Position::ZERO).then_some(Span { first, last }),
            since,
            before,
            limit: args.limit,
        })
    }

    /// Whether events of this trigger may be shown.
    pub(super) fn wants_trigger(&self, source: &str, trigger: &str) -> bool {
        passes(&self.sources, source) && passes(&self.triggers, trigger)
    }

    /// Whether jobs of this action may be shown.
    pub(super) fn wants_action(&self, destination: &str, action: &str) -> bool {
        passes(&self.destinations, destination) && passes(&self.actions, action)
    }

    /// Whether jobs in this state may be shown.
    pub(super) fn wants_status(&self, status: Status) -> bool {
        self.statuses.is_empty() || self.statuses.contains(&status)
    }

    /// Whether the list asks about jobs and not only about events.
    pub(super) fn is_about_jobs(&self) -> bool {
        !(self.destinations.is_empty() && self.actions.is_empty() && self.statuses.is_empty())
    }

    /// Whether this moment may be shown.
    pub(super) fn wants_time(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| at >= since) && self.before.is_none_or(|before| at < before)
    }
}

fn passes(patterns: &[Pattern], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(name))
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

    fn filter(args: &FilterArgs) -> Filter {
        Filter::of(args, Position(10), Position(100)).unwrap()
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
    fn positions_are_held_within_the_store() {
        let between = |from: &str, to: &str| {
            let args = FilterArgs {
                from: Some(from.into()),
                to: Some(to.into()),
                ..FilterArgs::default()
            };
            filter(&args).span.map(|span| (span.first.0, span.last.0))
        };
        assert_eq!(between("1", "50"), Some((10, 50)));
        assert_eq!(between("50", "5000"), Some((50, 100)));
        assert_eq!(between("200", "300"), None);
    }

    #[test]
    fn several_values_allow_each_of_them_and_stars_stand_for_text() {
        let args = FilterArgs {
            trigger: vec!["public.o*".into(), "audit.log".into()],
            status: vec!["failed".into()],
            ..FilterArgs::default()
        };
        let filter = filter(&args);
        assert!(
            filter.wants_trigger("shop", "public.orders")
                && filter.wants_trigger("shop", "audit.log")
        );
        assert!(!filter.wants_trigger("shop", "public.customers"));
        assert!(filter.wants_status(Status::Failed) && !filter.wants_status(Status::Succeeded));
        assert!(filter.is_about_jobs());
    }

    #[test]
    fn an_unknown_status_names_the_known_ones() {
        let args = FilterArgs {
            status: vec!["done".into()],
            ..FilterArgs::default()
        };
        let error = Filter::of(&args, Position(1), Position(1)).unwrap_err();
        assert!(error.report().contains("succeeded"), "{error:?}");
    }
}
