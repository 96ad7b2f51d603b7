//! What came out of a load, as log lines and as numbers.

use std::time::Duration;

use super::counters::LaneCounters;
use super::settle::{Close, Settled};
use crate::job::{Status, Transition};
use crate::spans::Spans;

/// Lines of one load that are logged one by one; the others are counted.
const TOLD_MAX: usize = 10;

/// Adds what came out of a load to the lane's counts. `jobs` says where jobs were, when that is known.
pub(super) fn count(
    counters: &LaneCounters,
    settled: &Settled,
    jobs: Option<&Spans>,
    close: &Close,
    took: Duration,
) {
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    counters.loads.add(1);
    counters.load_us.add(took_us);
    counters.foreign_reports.add(settled.foreign.len() as u64);
    counters
        .contradicting_reports
        .add(settled.contradicting.len() as u64);
    let (mut succeeded, mut others) = (0, 0);
    for transition in &settled.transitions {
        let span = transition.span;
        let count = jobs.map_or(span.len(), |jobs| jobs.within(span).positions());
        match transition.status {
            Status::Succeeded => succeeded += count,
            _ => others += count,
        }
        let counter = match transition.status {
            Status::Succeeded => &counters.succeeded,
            Status::Failed => &counters.failed,
            Status::Discarded => &counters.discarded,
            Status::Unknown => &counters.unknown,
            _ => continue,
        };
        counter.add(count);
    }
    let outcome = match (close, succeeded, others) {
        (Close::TimedOut(_), ..) => &counters.timeouts,
        (Close::Cancelled, ..) => &counters.loads_cancelled,
        (_, _, 0) => &counters.loads_succeeded,
        (_, 0, _) => &counters.loads_failed,
        (..) => &counters.loads_partly,
    };
    outcome.add(1);
}

/// Says what came out of a load.
pub(super) fn tell(lane: &str, settled: &Settled, events: u64, took: Duration) {
    for span in settled.foreign.iter().take(TOLD_MAX) {
        tracing::error!(lane, %span, reports = settled.foreign.len(), "the action reported jobs that are not in its batch; ignored");
    }
    for span in settled.contradicting.iter().take(TOLD_MAX) {
        tracing::error!(lane, %span, reports = settled.contradicting.len(), "the action reported jobs again, otherwise than before; ignored");
    }
    let took_ms = took.as_millis() as u64;
    for transition in settled.transitions.iter().take(TOLD_MAX) {
        tell_one(lane, transition, events, took_ms);
    }
    let untold = settled.transitions.len().saturating_sub(TOLD_MAX);
    if untold > 0 {
        tracing::warn!(
            lane,
            spans = untold,
            "and the rest in as many pieces; see the transitions"
        );
    }
}

fn tell_one(lane: &str, transition: &Transition, events: u64, took_ms: u64) {
    let error = transition.error.as_deref().unwrap_or_default();
    let (span, attempt) = (transition.span, transition.attempt);
    match transition.status {
        Status::Succeeded => {
            tracing::info!(lane, %span, attempt, events, took_ms, "loaded");
        }
        Status::Failed => {
            tracing::warn!(lane, %span, attempt, error, "load failed; it will be tried again");
        }
        Status::Discarded => {
            tracing::error!(lane, %span, attempt, error, "jobs discarded");
        }
        Status::Awaiting => {
            tracing::warn!(lane, %span, attempt, "the load was cancelled; these jobs wait for the next");
        }
        _ => {
            tracing::warn!(lane, %span, attempt, error, "jobs of unknown outcome are held for an operator");
        }
    }
}
