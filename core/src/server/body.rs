//! Bodies of requests: received whole, within bounds, whatever the client says of them.

use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use bytes::Bytes;
use flate2::write::GzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use crate::fault::Fault;

/// How long, and for how many bytes, a body that is too large is read and thrown away, so that its sender gets to see the reply.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);
const DISCARD_BYTES_MAX: usize = 256 << 20;

/// The address of the other side, among a request's extensions; none on a Unix socket.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub Option<SocketAddr>);

/// Bytes that all bodies in hand may take together.
#[derive(Debug)]
pub struct Budget {
    bytes_max: usize,
    held_bytes: AtomicUsize,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Arc<Budget> {
        Arc::new(Budget {
            bytes_max,
            held_bytes: AtomicUsize::new(0),
        })
    }

    /// How many are taken.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }
}

/// A part of a budget, given back when dropped.
#[derive(Debug)]
struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    /// Takes more; says whether there was as much.
    fn grow(&mut self, bytes: usize) -> bool {
        let (held, max) = (&self.budget.held_bytes, self.budget.bytes_max);
        let grown = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            held.checked_add(bytes).filter(|held| *held <= max)
        });
        self.bytes += if grown.is_ok() { bytes } else { 0 };
        grown.is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let bytes = self.bytes;
        self.budget.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A whole body. Its bytes count as held until it is dropped.
#[derive(Debug)]
pub struct Gathered {
    /// The body, decompressed.
    pub bytes: Bytes,
    _share: Share,
}

impl Gathered {
    /// Receives the body of a request with these headers: identity or gzip, at most `bytes_max` before and after.
    ///
    /// # Errors
    /// 413 when it is larger, 415 when it is compressed in another way, 400 when it is cut off or is not what it says, 503 when there
    /// is no room for it now.
    pub async fn receive(
        headers: &HeaderMap,
        mut body: Body,
        bytes_max: usize,
        budget: &Arc<Budget>,
    ) -> Result<Gathered, Fault> {
        let mut gathering = Gathering {
            unpacking: Unpacking::of(headers)?,
            bytes_max,
            share: Share {
                budget: Arc::clone(budget),
                bytes: 0,
            },
        };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(&error))?;
            if let Ok(piece) = frame.into_data() {
                gathering.push(&piece)?;
            }
        }
        gathering.finish()
    }
}

/// A body of which some has arrived.
struct Gathering {
    unpacking: Unpacking,
    bytes_max: usize,
    share: Share,
}

enum Unpacking {
    Identity(Vec<u8>),
    Gzip(Box<GzDecoder<Vec<u8>>>),
}

/// Bytes that go through the decompressor at once: what they unpack to is at most about 1,000 times as much, so this
/// bounds by how much the limit is exceeded before it is noticed.
const UNPACKED_AT_ONCE: usize = 1 << 10;

impl Unpacking {
    fn of(headers: &HeaderMap) -> Result<Unpacking, Fault> {
        let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
        let encoding = encodings.next().map(|value| value.as_bytes());
        let known =
            |name: &str| encoding.is_some_and(|own| own.eq_ignore_ascii_case(name.as_bytes()));
        match encoding {
            _ if encodings.next().is_some() => Err(unknown_encoding()),
            None => Ok(Unpacking::Identity(Vec::new())),
            Some(_) if known("identity") => Ok(Unpacking::Identity(Vec::new())),
            Some(_) if known("gzip") || known("x-gzip") => {
                Ok(Unpacking::Gzip(Box::new(GzDecoder::new(Vec::new()))))
            }
            Some(_) => Err(unknown_encoding()),
        }
    }

    fn unpacked(&self) -> usize {
        match self {
            Unpacking::Identity(bytes) => bytes.len(),
            Unpacking::Gzip(decoder) => decoder.get_ref().len(),
        }
    }
}

impl Gathering {
    fn push(&mut self, piece: &[u8]) -> Result<(), Fault> {
        for part in piece.chunks(UNPACKED_AT_ONCE) {
            let before = self.unpacking.unpacked();
            match &mut self.unpacking {
                Unpacking::Identity(bytes) => bytes.extend_from_slice(part),
                Unpacking::Gzip(decoder) => decoder.write_all(part).map_err(|_| not_gzip())?,
            }
            self.account(before)?;
        }
        Ok(())
    }

    fn account(&mut self, before: usize) -> Result<(), Fault> {
        let now = self.unpacking.unpacked();
        if now > self.bytes_max {
            return Err(too_large());
        }
        match self.share.grow(now - before) {
            true => Ok(()),
            false => Err(Fault::of_status(503)),
        }
    }

    fn finish(mut self) -> Result<Gathered, Fault> {
        let before = self.unpacking.unpacked();
        if let Unpacking::Gzip(decoder) = &mut self.unpacking {
            decoder.try_finish().map_err(|_| not_gzip())?;
        }
        self.account(before)?;
        let bytes = match self.unpacking {
            Unpacking::Identity(bytes) => bytes,
            Unpacking::Gzip(decoder) => decoder.finish().map_err(|_| not_gzip())?,
        };
        Ok(Gathered {
            bytes: Bytes::from(bytes),
            _share: self.share,
        })
    }
}

fn unknown_encoding() -> Fault {
    Fault::new(415, "the content encoding is none of gzip, identity")
}

fn not_gzip() -> Fault {
    Fault::new(400, "the body is not gzip, or is cut off")
}

pub(super) fn too_large() -> Fault {
    Fault::of_status(413)
}

fn broken(error: &axum::Error) -> Fault {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<TooLarge>() {
            return too_large();
        }
        cause = error.source();
    }
    Fault::new(400, "the body was cut off or is broken")
}

/// A body went beyond what it may have.
#[derive(Debug, thiserror::Error)]
#[error("the body is too large")]
struct TooLarge;

/// A body as it comes from the connection: ends with an error when it is too large, and notes when all of it is there.
pub(super) struct Arriving {
    incoming: Option<Incoming>,
    left: usize,
    arrived: Arc<AtomicBool>,
}

impl Arriving {
    pub(super) fn new(incoming: Incoming, bytes_max: usize, arrived: &Arc<AtomicBool>) -> Arriving {
        arrived.store(incoming.is_end_stream(), Ordering::Relaxed);
        Arriving {
            incoming: Some(incoming),
            left: bytes_max,
            arrived: Arc::clone(arrived),
        }
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let Some(frame) = ready!(Pin::new(incoming).poll_frame(cx)) else {
            self.arrived.store(true, Ordering::Relaxed);
            return Poll::Ready(None);
        };
        let frame = frame.map_err(axum::Error::new)?;
        let length = frame.data_ref().map_or(0, Bytes::len);
        match self.left.checked_sub(length) {
            Some(left) => self.left = left,
            None => {
                discard(self.incoming.take());
                return Poll::Ready(Some(Err(axum::Error::new(TooLarge))));
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let incoming = self.incoming.as_ref();
        incoming.map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

/// Reads on for a while what nobody wants, so that the client can finish sending and see what it is told.
pub(super) fn discard(body: Option<Incoming>) {
    let Some(mut body) = body else { return };
    tokio::spawn(tokio::time::timeout(DISCARD_TIMEOUT, async move {
        let mut left = DISCARD_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(less) = left.checked_sub(length) else {
                return;
            };
            left = less;
        }
    }));
}
