//! One connection: its requests, one after the other.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use axum::http::{Request, Response};
use futures_util::FutureExt;
use hyper::body::{Body as HttpBody, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::body::{Arriving, Peer, discard, too_large};
use super::metrics::Traffic;
use super::stream::Stream;
use super::{Limits, fault, reply};
use crate::fault::Fault;

/// How long, and how often, what nobody wants is read behind a last reply.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
const LINGER_READS_MAX: usize = 256;

/// What all connections of a server share.
pub(super) struct Shared {
    pub(super) router: Router,
    pub(super) limits: Limits,
    pub(super) traffic: Arc<Traffic>,
}

/// Serves one connection until its client or `stop` ends it.
pub(super) async fn serve<Io>(
    io: Io,
    peer: Option<SocketAddr>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = shared.limits.clone();
    let stream = TokioIo::new(Stream::new(io, limits.write_timeout));
    let service = service_fn(move |request| Box::pin(answer(Arc::clone(&shared), peer, request)));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        // Larger heads than allowed get a reply of ours; much larger ones are cut off while they are read.
        .max_buf_size((4 * limits.header_bytes_max).max(16 << 10))
        .pipeline_flush(true);
    let mut connection = builder.serve_connection(stream, service);
    let mut stopping = pin!(stop.cancelled());
    let mut asked = false;
    let outcome = poll_fn(|cx| {
        if !asked && stopping.as_mut().poll(cx).is_ready() {
            asked = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(cx)
    })
    .await;
    let mut stream = connection.into_parts().io.into_inner();
    let Err(error) = outcome else {
        _ = stream.shutdown().await;
        return;
    };
    tracing::debug!(%error, "a connection ended early");
    // hyper answers some of these itself, and ends others without a word.
    if let Some(status) = last_words(&error).filter(|_| stream.read_something) {
        _ = stream.write_all(&reply::raw(status)).await;
    }
    _ = stream.shutdown().await;
    _ = tokio::time::timeout(LINGER_TIMEOUT, linger(&mut stream)).await;
}

/// What a client hears whose request could not be read.
fn last_words(error: &hyper::Error) -> Option<u16> {
    match error {
        _ if error.is_timeout() => Some(408),
        _ if error.is_parse_too_large() => Some(431),
        _ if error.is_parse() => Some(400),
        _ => None,
    }
}

/// Closing with bytes unread would have the system throw away the reply at the client's side.
async fn linger(stream: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = vec![0; 16 << 10];
    for _ in 0..LINGER_READS_MAX {
        if !matches!(stream.read(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

async fn answer(
    shared: Arc<Shared>,
    peer: Option<SocketAddr>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let began = Instant::now();
    let response = match refuse(&shared.limits, &request) {
        Some(refused) => {
            // Who waits to be told to continue has not sent anything.
            let sends = !request.headers().contains_key(EXPECT);
            discard(sends.then(|| request.into_body()));
            fault(&refused)
        }
        None => Box::pin(handle(&shared, peer, request)).await,
    };
    let response = with_body(response);
    shared
        .traffic
        .replied(response.status().as_u16(), began.elapsed());
    Ok(response)
}

/// Judges a request by its head alone.
fn refuse(limits: &Limits, request: &Request<Incoming>) -> Option<Fault> {
    let headers = request.headers();
    let target = request.uri().to_string().len();
    if target > limits.header_bytes_max {
        return Some(Fault::of_status(414));
    }
    let each = headers.iter();
    // Each with ": " and the end of its line.
    let bytes: usize = each
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if target + bytes > limits.header_bytes_max {
        return Some(Fault::of_status(431));
    }
    let expects = headers.get(EXPECT).map(|value| value.as_bytes());
    if expects.is_some_and(|value| !value.eq_ignore_ascii_case(b"100-continue")) {
        return Some(Fault::of_status(417));
    }
    let length = headers
        .get(CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse::<u64>()
        .ok()?;
    (length > limits.body_bytes_max as u64).then(too_large)
}

async fn handle(
    shared: &Shared,
    peer: Option<SocketAddr>,
    request: Request<Incoming>,
) -> Response<Body> {
    let arrived = Arc::new(AtomicBool::new(false));
    let (mut head, incoming) = request.into_parts();
    head.extensions.insert(Peer(peer));
    let body = Arriving::new(incoming, shared.limits.body_bytes_max, &arrived);
    let request = Request::from_parts(head, Body::new(body));
    let answering = AssertUnwindSafe(shared.router.clone().oneshot(request)).catch_unwind();
    match tokio::time::timeout(shared.limits.request_timeout, answering).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(never))) => match never {},
        Ok(Err(_)) => {
            tracing::error!("a handler panicked");
            fault(&Fault::of_status(500))
        }
        Err(_) if arrived.load(Ordering::Relaxed) => fault(&Fault::of_status(503)),
        Err(_) => fault(&Fault::of_status(408)),
    }
}

/// Errors that came without a body get the model's.
fn with_body(response: Response<Body>) -> Response<Body> {
    let status = response.status().as_u16();
    if !(400..600).contains(&status) || response.body().size_hint().exact() != Some(0) {
        return response;
    }
    let mut told = fault(&Fault::of_status(status));
    for (name, value) in response.headers() {
        if name != CONTENT_LENGTH {
            told.headers_mut().insert(name.clone(), value.clone());
        }
    }
    told
}
