//! The HTTP server of both services: one way to listen, to bound what clients may do, and to stop.
//!
//! The gateway's routes, the scheduler's admin side and a library user's own handlers are all a [`Router`]; [`house`] adds what every service
//! answers (`/_health`, `/_health/ready`, `/metrics`), and [`Server`] listens for it:
//!
//! - HTTP/1.1 on a TCP address or a Unix socket, with TLS from files.
//! - [`Limits`] on connections, headers, bodies and time. Clients that send nothing, or byte by byte, or never read, are cut off.
//! - Whatever is answered with 4xx or 5xx has the model's error object ([`crate::fault`]) as its body, also what never reached a handler, and
//!   a panicking handler is a 500.
//! - [`Running::stop`] takes no new connection and lets requests in hand come to their end.

mod reply;
mod tls;
mod stream;
mod body;
mod connection;
mod listener;
mod health;
mod metrics;
#[cfg(test)]
pub(crate) mod client;
#[cfg(test)]
mod tests;

/// Routes and their handlers: axum's. Middleware is any tower layer.
pub use axum::Router;

pub use crate::settings::{Address, HttpLimits as Limits, TlsFiles};
pub use body::{Budget, Gathered, Peer};
pub use health::{Health, Reason};
pub use listener::{Running, Server};
pub use metrics::{Exposition, Histogram, Kind as MetricKind, Metrics};
pub use reply::{data, fault, json, success};

use axum::routing::get;
use std::sync::Arc;

/// `router` with what every service answers besides: `GET /_health`, `/_health/ready` and `/metrics`.
pub fn house(router: Router, health: &Arc<Health>, metrics: &Arc<Metrics>) -> Router {
    let (ready, metrics) = (Arc::clone(health), Arc::clone(metrics));
    router
        .route("/_health", get(async || success("Successful")))
        .route("/_health/ready", get(async move || ready.answer()))
        .route("/metrics", get(async move || metrics.answer()))
}
