//! What is counted, as Prometheus reads it.
//!
//! The text is written by hand: the format is a dozen lines, the counters are plain atomics where things happen, and
//! the usual crates would bring fifteen more. Whoever counts adds a collector, which is asked at each scrape.
//!
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response};

/// What a family of samples is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows while the process runs.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One page of samples being written.
#[derive(Debug, Default)]
pub struct Exposition {
    families: BTreeMap<&'static str, Family>,
}

#[derive(Debug)]
struct Family {
    kind: Kind,
    help: &'static str,
    samples: String,
}

impl Exposition {
    /// Writes one sample of a counter; its name ends in `_total`.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        value: u64,
    ) {
        let family = self.family(name, help, Kind::Counter);
        family.sample(name, "", labels, None, format_args!("{value}"));
    }

    /// Writes one sample of a gauge.
    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        let family = self.family(name, help, Kind::Gauge);
        family.sample(name, "", labels, None, format_args!("{value}"));
    }

    /// Writes a histogram of seconds.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        histogram: &Histogram,
    ) {
        let family = self.family(name, help, Kind::Histogram);
        let mut below = 0;
        for (bound, count) in BOUNDS_SECONDS.iter().zip(&histogram.counts) {
            below += count.load(Ordering::Relaxed);
            let bound = bound.to_string();
            family.sample(
                name,
                "_bucket",
                labels,
                Some(&bound),
                format_args!("{below}"),
            );
        }
        let count = below + histogram.above.load(Ordering::Relaxed);
        family.sample(
            name,
            "_bucket",
            labels,
            Some("+Inf"),
            format_args!("{count}"),
        );
        let sum = Duration::from_micros(histogram.sum_us.load(Ordering::Relaxed)).as_secs_f64();
        family.sample(name, "_sum", labels, None, format_args!("{sum}"));
        family.sample(name, "_count", labels, None, format_args!("{count}"));
    }

    fn family(&mut self, name: &'static str, help: &'static str, kind: Kind) -> &mut Family {
        self.families.entry(name).or_insert_with(|| Family {
            kind,
            help,
            samples: String::new(),
        })
    }

    /// The page as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, family) in &self.families {
            text.push_str(&format!("# HELP {name} {}\n", family.help));
            text.push_str(&format!("# TYPE {name} {}\n", family.kind.name()));
            text.push_str(&family.samples);
        }
        text
    }
}

impl Family {
    fn sample(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(&str, &str)],
        bound: Option<&str>,
        value: fmt::Arguments<'_>,
    ) {
        let out = &mut self.samples;
        out.push_str(name);
        out.push_str(suffix);
        let bound = bound.map(|bound| ("le", bound));
        let mut before = '{';
        for (label, text) in labels.iter().copied().chain(bound) {
            out.push(before);
            out.push_str(&format!("{label}=\"{}\"", escape(text)));
            before = ',';
        }
        if before == ',' {
            out.push('}');
        }
        // Writing to a string does not fail.
        _ = writeln!(out, " {value}");
    }
}

fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\\\");
    text.replace('"', "\\\"").replace('\n', "\\n")
}

/// Upper bounds of what is counted together.
const BOUNDS_SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Durations, counted by length.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [AtomicU64; BOUNDS_SECONDS.len()],
    above: AtomicU64,
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BOUNDS_SECONDS.iter().position(|bound| seconds <= *bound);
        let count = bucket.map_or(&self.above, |bucket| &self.counts[bucket]);
        count.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }
}

type Collector = Box<dyn Fn(&mut Exposition) + Send + Sync>;

/// The collectors of one process.
#[derive(Default)]
pub struct Metrics {
    collectors: Mutex<Vec<Collector>>,
}

impl Metrics {
    /// Adds a collector: it writes its samples at each scrape, and must not wait.
    pub fn add(&self, collector: impl Fn(&mut Exposition) + Send + Sync + 'static) {
        let collectors = self.collectors.lock();
        let mut collectors = collectors.unwrap_or_else(PoisonError::into_inner);
        collectors.push(Box::new(collector));
    }

    /// All samples as they are now.
    #[must_use]
    pub fn text(&self) -> String {
        let mut page = Exposition::default();
        let collectors = self.collectors.lock();
        let collectors = collectors.unwrap_or_else(PoisonError::into_inner);
        collectors.iter().for_each(|collect| collect(&mut page));
        page.text()
    }

    pub(super) fn answer(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.text()));
        let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, text);
        response
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// What one server was asked, and how it answered.
#[derive(Debug)]
pub(super) struct Traffic {
    service: &'static str,
    latency: Histogram,
    /// Replies by the first digit of their status, 1 to 5.
    replies: [AtomicU64; 5],
}

impl Traffic {
    pub(super) fn new(service: &'static str) -> Traffic {
        Traffic {
            service,
            latency: Histogram::default(),
            replies: Default::default(),
        }
    }

    pub(super) fn replied(&self, status: u16, took: Duration) {
        self.latency.observe(took);
        let class = usize::from(status / 100).clamp(1, 5);
        self.replies[class - 1].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn expose(&self, page: &mut Exposition) {
        let service = ("service", self.service);
        page.histogram(
            "blacksmith_http_request_seconds",
            "Time from the end of a request's head to its reply.",
            &[service],
            &self.latency,
        );
        for (index, count) in self.replies.iter().enumerate() {
            let class = format!("{}xx", index + 1);
            page.counter(
                "blacksmith_http_replies_total",
                "Replies by class of status.",
                &[service, ("status", &class)],
                count.load(Ordering::Relaxed),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_groups_samples_by_family_and_escapes_labels() {
        let metrics = Metrics::default();
        for source in ["shop", "a \"b\"\n\\"] {
            metrics.add(move |page| {
                page.counter("events_total", "Events.", &[("source", source)], 2);
                page.gauge("lag_bytes", "Lag.", &[], 0.5);
            });
        }
        let expected = "# HELP events_total Events.\n# TYPE events_total counter\n\
            events_total{source=\"shop\"} 2\nevents_total{source=\"a \\\"b\\\"\\n\\\\\"} 2\n\
            # HELP lag_bytes Lag.\n# TYPE lag_bytes gauge\nlag_bytes 0.5\nlag_bytes 0.5\n";
        assert_eq!(metrics.text(), expected);
    }

    #[test]
    fn a_histogram_counts_what_is_at_most_each_bound() {
        let histogram = Histogram::default();
        for millis in [1, 3, 70_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let mut page = Exposition::default();
        page.histogram("took_seconds", "Took.", &[("to", "x")], &histogram);
        let text = page.text();
        for line in [
            "took_seconds_bucket{to=\"x\",le=\"0.001\"} 1",
            "took_seconds_bucket{to=\"x\",le=\"0.005\"} 2",
            "took_seconds_bucket{to=\"x\",le=\"10\"} 2",
            "took_seconds_bucket{to=\"x\",le=\"+Inf\"} 3",
            "took_seconds_sum{to=\"x\"} 70.004",
            "took_seconds_count{to=\"x\"} 3",
        ] {
            assert!(text.lines().any(|own| own == line), "{line} in {text}");
        }
    }
}
