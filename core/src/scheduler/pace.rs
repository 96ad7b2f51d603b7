//! The pace of a lane with a rate limit: a bucket that fills as time goes by. Pure: time is handed in.

use std::time::Duration;

use crate::destination::Rate;

/// A load may begin as soon as the bucket holds one job, and takes all its jobs out of it, into debt if need be.
/// So over time the rate is kept exactly, and at once there go at most a burst that had gathered and one load.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Rate,
    jobs: f64,
    at: Duration,
}

impl Pace {
    /// A full bucket at `now`, on a clock that never goes back.
    pub(super) fn new(rate: Rate, now: Duration) -> Pace {
        Pace {
            rate,
            jobs: rate.burst() as f64,
            at: now,
        }
    }

    /// How long to wait before the next load; zero when it may begin.
    pub(super) fn pause(&mut self, now: Duration) -> Duration {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let full = self.rate.burst() as f64;
        self.jobs = (self.jobs + passed * self.rate.per_second()).min(full);
        // A hair less than one will do: time is counted in steps, and a wait may end just short.
        if self.jobs >= 1.0 - 1e-6 {
            return Duration::ZERO;
        }
        let missing = (1.0 - self.jobs) / self.rate.per_second();
        Duration::from_secs_f64(missing).max(Duration::from_micros(1))
    }

    /// A load of so many jobs begins.
    pub(super) fn take(&mut self, jobs: u64) {
        self.jobs -= jobs as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_time_the_rate_is_kept_whatever_the_loads() {
        let mut pace = Pace::new("100/s".parse().unwrap(), Duration::ZERO);
        let (mut now, mut jobs) = (Duration::ZERO, 0);
        for load in (1..=10).cycle().take(1_000) {
            now += pace.pause(now);
            assert!(pace.pause(now).is_zero());
            pace.take(load);
            jobs += load;
        }
        let expected = jobs as f64 / 100.0;
        assert!(
            (now.as_secs_f64() - expected).abs() < 0.3,
            "{now:?} for {jobs}"
        );
    }

    #[test]
    fn what_was_not_used_gathers_no_further_than_a_burst() {
        let mut pace = Pace::new("100/s".parse().unwrap(), Duration::ZERO);
        let later = Duration::from_secs(3_600);
        assert!(pace.pause(later).is_zero());
        pace.take(10);
        assert!(pace.pause(later) > Duration::from_millis(9));
    }
}
