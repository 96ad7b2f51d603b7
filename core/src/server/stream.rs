//! A connection's bytes, as the server wants them: never stuck in a client that does not read, and without bare errors.
//!
//! hyper answers a request that it cannot parse by itself, with a status and no body. Those replies are put
//! into the model's shape here, where they pass.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::reply;

/// Bytes of hyper's own replies, at most.
const BARE_BYTES_MAX: usize = 256;

/// One connection.
pub(super) struct Stream<Io> {
    io: Io,
    /// For a client to take something.
    write_timeout: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// A reply in place of a bare one, and how much of it is written.
    instead: Vec<u8>,
    instead_written: usize,
    /// Whether something arrived since the last reply.
    pub(super) read_something: bool,
}

impl<Io> Stream<Io> {
    pub(super) fn new(io: Io, write_timeout: Duration) -> Self {
        Stream {
            io,
            write_timeout,
            stalled: None,
            instead: Vec::new(),
            instead_written: 0,
            read_something: false,
        }
    }
}

impl<Io: AsyncWrite + Unpin> Stream<Io> {
    /// What became of a write: pending for too long is an error.
    fn watched<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let timeout = self.write_timeout;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + timeout)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut)))
    }

    fn write_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.instead_written < self.instead.len() {
            let rest = &self.instead[self.instead_written..];
            let polled = Pin::new(&mut self.io).poll_write(cx, rest);
            match ready!(self.watched(cx, polled))? {
                0 => return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero))),
                written => self.instead_written += written,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The status of a reply without a body that hyper gave by itself.
fn bare(bytes: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(bytes.get(..BARE_BYTES_MAX.min(bytes.len()))?).ok()?;
    let status = text.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let bare = (400..600).contains(&status)
        && bytes.len() <= BARE_BYTES_MAX
        && text.ends_with("\r\n\r\n")
        && text.contains("\r\ncontent-length: 0\r\n");
    bare.then_some(status)
}

impl<Io: AsyncRead + Unpin> AsyncRead for Stream<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.read_something |= buf.filled().len() > before;
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Stream<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.write_instead(cx))?;
        self.read_something = false;
        if let Some(status) = bare(bytes) {
            self.instead = reply::raw(status);
            self.instead_written = 0;
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.watched(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_instead(cx))?;
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        self.watched(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_instead(cx))?;
        let polled = Pin::new(&mut self.io).poll_shutdown(cx);
        self.watched(cx, polled)
    }
}
