//! How much of an action may go on at a time, how long, and how fast.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Ordering;
use crate::error::Error;
use crate::schedule::duration::parse_duration;

/// Loads of one action at a time, at most: each has a thread for itself.
pub const CONCURRENCY_MAX: u32 = 64;
/// How long a load of an unordered action may take when nothing is said.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);

/// What becomes of a job that an action has not reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnknown {
    /// It is held, visibly, until an operator decides.
    #[default]
    Hold,
    /// It is tried again as if it had failed.
    Retry,
}

/// Limits of an action's loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadLimits {
    /// Loads at a time, from 1 to [`CONCURRENCY_MAX`]. An ordered action always has one. Default: 1.
    pub max_concurrency: usize,
    /// How long one load may take; then it is dropped, and what it has not reported fails. Default: 10
    /// minutes; none for an ordered action, whose loads may be as large as its batches.
    pub timeout: Option<Duration>,
    /// Jobs in a stretch of time. Default: none, as fast as it goes.
    pub rate_limit: Option<Rate>,
    /// What becomes of jobs that the action does not report. Default: held.
    pub on_unknown: OnUnknown,
}

/// One layer of settings for [`LoadLimits`]; absent fields come from the layer below.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartialLoadLimits {
    /// See [`LoadLimits::max_concurrency`].
    pub max_concurrency: Option<u32>,
    /// See [`LoadLimits::timeout`]; zero means none.
    pub timeout: Option<Duration>,
    /// See [`LoadLimits::rate_limit`].
    pub rate_limit: Option<Rate>,
    /// See [`LoadLimits::on_unknown`].
    pub on_unknown: Option<OnUnknown>,
}

impl PartialLoadLimits {
    /// This layer over `below`: its own fields where set, the other's where not.
    #[must_use]
    pub fn over(&self, below: &PartialLoadLimits) -> PartialLoadLimits {
        PartialLoadLimits {
            max_concurrency: self.max_concurrency.or(below.max_concurrency),
            timeout: self.timeout.or(below.timeout),
            rate_limit: self.rate_limit.or(below.rate_limit),
            on_unknown: self.on_unknown.or(below.on_unknown),
        }
    }

    /// This layer over the defaults for an action of this `ordering`.
    #[must_use]
    pub fn settle(&self, ordering: Ordering) -> LoadLimits {
        let (most, timeout) = match ordering {
            Ordering::Ordered => (1, Duration::ZERO),
            Ordering::Unordered => (CONCURRENCY_MAX, TIMEOUT_DEFAULT),
        };
        let timeout = self.timeout.unwrap_or(timeout);
        LoadLimits {
            max_concurrency: self.max_concurrency.unwrap_or(1).clamp(1, most) as usize,
            timeout: (!timeout.is_zero()).then_some(timeout),
            rate_limit: self.rate_limit,
            on_unknown: self.on_unknown.unwrap_or_default(),
        }
    }
}

/// Jobs in a stretch of time, written `100/s`, `5000/m`, `20/h` or `1/10s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    jobs: u64,
    per: Duration,
}

impl Rate {
    /// How many jobs may go at once: those of a tenth of a second, at least one.
    #[must_use]
    pub fn burst(&self) -> u64 {
        ((self.per_second() / 10.0) as u64).max(1)
    }

    /// Jobs per second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.jobs as f64 / self.per.as_secs_f64()
    }
}

impl FromStr for Rate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Rate, Error> {
        let wrong = || {
            Error::invalid(format!("\"{text}\" is not a rate"))
                .help("write a number of jobs and a time, such as 100/s, 5000/m or 1/10s")
        };
        let (jobs, per) = text.split_once('/').ok_or_else(wrong)?;
        let jobs = jobs.trim().replace('_', "").parse().map_err(|_| wrong())?;
        let per = per.trim();
        let bare = per.starts_with(|c: char| c.is_ascii_alphabetic());
        let per = if bare {
            format!("1{per}")
        } else {
            per.to_owned()
        };
        let per = parse_duration(&per).map_err(|_| wrong())?;
        if jobs == 0 || per.is_zero() {
            return Err(wrong());
        }
        Ok(Rate { jobs, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:?}", self.jobs, self.per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn a_rate_is_a_number_of_jobs_in_a_time() {
        for (text, per_second, burst) in [
            ("100/s", 100.0, 10),
            ("6_000/m", 100.0, 10),
            ("1/10s", 0.1, 1),
            ("36000/h", 10.0, 1),
        ] {
            assert!(
                (rate(text).per_second() - per_second).abs() < 1e-9,
                "{text}"
            );
            assert_eq!(rate(text).burst(), burst, "{text}");
        }
        for text in ["", "100", "0/s", "1/0s", "x/s", "1/x", "-1/s"] {
            let error = text.parse::<Rate>().unwrap_err();
            assert!(error.report().contains("100/s"), "{text}");
        }
    }

    #[test]
    fn limits_are_settled_field_by_field_and_an_ordered_action_has_one_load() {
        let below = PartialLoadLimits {
            max_concurrency: Some(1_000),
            rate_limit: Some(rate("5/s")),
            ..PartialLoadLimits::default()
        };
        let own = PartialLoadLimits {
            rate_limit: Some(rate("7/s")),
            ..PartialLoadLimits::default()
        };
        let unordered = own.over(&below).settle(Ordering::Unordered);
        assert_eq!(unordered.max_concurrency, 64);
        assert_eq!(unordered.timeout, Some(TIMEOUT_DEFAULT));
        assert_eq!(unordered.rate_limit, Some(rate("7/s")));
        let ordered = own.over(&below).settle(Ordering::Ordered);
        assert_eq!((ordered.max_concurrency, ordered.timeout), (1, None));
    }

    #[test]
    fn a_timeout_of_zero_means_none() {
        let none = PartialLoadLimits {
            timeout: Some(Duration::ZERO),
            ..PartialLoadLimits::default()
        };
        assert_eq!(none.settle(Ordering::Unordered).timeout, None);
    }
}
