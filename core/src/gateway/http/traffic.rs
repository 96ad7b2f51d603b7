//! What came through one trigger.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::server::{Exposition, Histogram};

/// Counters of one trigger.
#[derive(Debug)]
pub(super) struct Traffic {
    source: Arc<str>,
    trigger: Arc<str>,
    /// Sub-events included.
    pub(super) events: AtomicU64,
    /// Of bodies, decompressed.
    pub(super) bytes: AtomicU64,
    /// Jobs that were not made because marshalling them failed.
    pub(super) rejections: AtomicU64,
    pub(super) extraction_errors: AtomicU64,
    /// Requests whose event was there already.
    pub(super) repeats: AtomicU64,
    /// Requests that there was no room for.
    pub(super) refused: AtomicU64,
    /// From the end of a request's head to its reply.
    pub(super) latency: Histogram,
}

impl Traffic {
    pub(super) fn new(source: &Arc<str>, trigger: &Arc<str>) -> Traffic {
        Traffic {
            source: Arc::clone(source),
            trigger: Arc::clone(trigger),
            events: AtomicU64::default(),
            bytes: AtomicU64::default(),
            rejections: AtomicU64::default(),
            extraction_errors: AtomicU64::default(),
            repeats: AtomicU64::default(),
            refused: AtomicU64::default(),
            latency: Histogram::default(),
        }
    }

    pub(super) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn expose(&self, page: &mut Exposition) {
        let labels = [("source", &*self.source), ("trigger", &*self.trigger)];
        let counters = [
            (
                "blacksmith_events_taken_total",
                "Events taken into the store, sub-events included.",
                &self.events,
            ),
            (
                "blacksmith_bytes_taken_total",
                "Bytes of request bodies, decompressed.",
                &self.bytes,
            ),
            (
                "blacksmith_rejections_total",
                "Jobs not made because marshalling failed.",
                &self.rejections,
            ),
            (
                "blacksmith_extraction_errors_total",
                "Requests that no event could be extracted from.",
                &self.extraction_errors,
            ),
            (
                "blacksmith_repeats_total",
                "Requests whose idempotency key was known.",
                &self.repeats,
            ),
            (
                "blacksmith_full_total",
                "Requests answered 503 because the store had no room.",
                &self.refused,
            ),
        ];
        for (name, help, counter) in counters {
            page.counter(name, help, &labels, counter.load(Ordering::Relaxed));
        }
        page.histogram(
            "blacksmith_trigger_seconds",
            "Time from the end of a request's head to its reply.",
            &labels,
            &self.latency,
        );
    }
}
