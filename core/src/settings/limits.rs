//! `limits`: what clients may do to a server.

use std::time::Duration;

use super::section::Section;

/// Bounds of one HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// `connections` at a time; one more is answered 503 and closed. Each holds about 16 KiB. Default: 10,000.
    pub connections_max: usize,
    /// `headers`: bytes of a request's line and headers together; more is 431. At least 1 KiB. Default: 32 KiB.
    pub header_bytes_max: usize,
    /// `body`: bytes of a body as it arrives, and after decompression; more is 413. Default: 8 MiB, at most 32 MiB.
    pub body_bytes_max: usize,
    /// `bodies`: bytes of all bodies in hand together; what has no room is 503. Default: 64 MiB.
    pub held_bytes_max: usize,
    /// `header_timeout`: for a request's line and headers to arrive, for a TLS handshake, and between two requests of a connection. Default: 15 s.
    pub header_timeout: Duration,
    /// `request_timeout`: for a request to arrive and be answered; then it is 408 or 503. Default: 30 s.
    pub request_timeout: Duration,
    /// `write_timeout`: for a client to take something of the reply; then the connection is closed. Default: 30 s.
    pub write_timeout: Duration,
    /// `stop_timeout`: for requests in hand when the server stops; then they are cut off. Default: 30 s.
    pub stop_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits {
            connections_max: 10_000,
            header_bytes_max: 32 << 10,
            body_bytes_max: 8 << 20,
            held_bytes_max: 64 << 20,
            header_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(30),
        }
    }
}

/// Bytes of the largest body that can be allowed: with what the store adds, an event holds 40 MiB.
const BODY_BYTES_MAX: u64 = 32 << 20;

impl HttpLimits {
    pub(super) fn read(mut section: Section) -> Self {
        let default = HttpLimits::default();
        let connections = section.take_u64("connections").within(1, 1_000_000);
        let connections = connections.or(default.connections_max as u64);
        let headers = size(
            &mut section,
            "headers",
            1 << 10,
            1 << 20,
            default.header_bytes_max,
        );
        let body = size(
            &mut section,
            "body",
            1,
            BODY_BYTES_MAX,
            default.body_bytes_max,
        );
        let bodies = size(
            &mut section,
            "bodies",
            1 << 20,
            1 << 40,
            default.held_bytes_max,
        );
        let limits = HttpLimits {
            connections_max: usize::try_from(connections).unwrap_or(usize::MAX),
            header_bytes_max: headers,
            body_bytes_max: body,
            held_bytes_max: bodies.max(body),
            header_timeout: time(&mut section, "header_timeout", default.header_timeout),
            request_timeout: time(&mut section, "request_timeout", default.request_timeout),
            write_timeout: time(&mut section, "write_timeout", default.write_timeout),
            stop_timeout: time(&mut section, "stop_timeout", default.stop_timeout),
        };
        section.finish();
        limits
    }
}

fn size(section: &mut Section, key: &str, least: u64, most: u64, default: usize) -> usize {
    let range = least..=most;
    let fix = format!("from {least} bytes to {}", super::write_size(most));
    let size = section.take_size(key);
    let size = size.checked(|bytes| range.contains(bytes), "out of range", &fix);
    size.optional()
        .and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or(default)
}

fn time(section: &mut Section, key: &str, default: Duration) -> Duration {
    let time = section.take_duration(key);
    let time = time.checked(|time| !time.is_zero(), "no time at all", "at least 1ms");
    time.or(default)
}
