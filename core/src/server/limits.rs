//! What clients may do to a server.

use std::time::Duration;

/// Bounds of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; one more is answered 503 and closed. Each holds about 16 KiB. Default: 10,000.
    pub connections_max: usize,
    /// Bytes of a request's line and headers together; more is 431. At least 1 KiB. Default: 32 KiB.
    pub header_bytes_max: usize,
    /// Bytes of a body as it arrives, and after decompression; more is 413. Default: 8 MiB.
    pub body_bytes_max: usize,
    /// Bytes of all bodies in hand together; what has no room is 503. Default: 64 MiB.
    pub held_bytes_max: usize,
    /// For a request's line and headers to arrive, for a TLS handshake, and between two requests of a connection. Default: 15 s.
    pub header_timeout: Duration,
    /// For a request to arrive and be answered; then it is 408 or 503. Default: 30 s.
    pub request_timeout: Duration,
    /// For a client to take something of the reply; then the connection is closed. Default: 30 s.
    pub write_timeout: Duration,
    /// For requests in hand when the server stops; then they are cut off. Default: 30 s.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
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
