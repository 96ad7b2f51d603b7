//! A TCP or unix socket that never blocks by itself, and the one place that waits.
//!
//! Waiting is `poll` over the socket and the connection's [`Waker`], outside any async reactor: a reactor
//! wakes for every segment, and how often the client wakes decides how fast the walsender runs. With a low
//! mark set, TCP reports the socket readable only when that many bytes wait (or the peer is gone), so one
//! wake-up takes a whole lump. Unix sockets ignore the mark when polled; [`Socket::wait`] then takes a nap
//! instead.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::sockopt;

use super::low_mark::set_low_mark;
use super::options::{Host, Keepalive};
use super::waker::Waker;

/// How long bytes gather on a unix socket. It holds some 200 small messages, so that a longer nap would keep a
/// fast sender waiting; measured, 4 ms held it to 60,000 rows a second.
const UNIX_NAP: Duration = Duration::from_micros(250);

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    waker: Waker,
    low_mark_bytes: usize,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The socket can be read or written, or is broken; the next call on it tells.
    Ready,
    /// The waker was used.
    Woken,
    /// Time is up.
    TimedOut,
}

impl Socket {
    /// Connects to `host`, trying each of its addresses until `deadline`.
    pub(super) fn connect(
        host: &Host,
        keepalive: &Keepalive,
        deadline: Instant,
        waker: Waker,
    ) -> io::Result<Self> {
        let stream = match host {
            Host::Tcp(name, port) => {
                let stream = connect_tcp(name, *port, deadline)?;
                stream.set_nodelay(true)?;
                probe_when_silent(&stream, keepalive)?;
                stream.set_nonblocking(true)?;
                Stream::Tcp(stream)
            }
            Host::Unix(folder, port) => {
                let stream = UnixStream::connect(Host::socket_file(folder, *port))?;
                stream.set_nonblocking(true)?;
                Stream::Unix(stream)
            }
        };
        Ok(Socket {
            stream,
            waker,
            low_mark_bytes: 1,
        })
    }

    pub(super) fn is_unix(&self) -> bool {
        matches!(self.stream, Stream::Unix(_))
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Reads what is there; `None` when nothing is, `Some(0)` when the peer has closed.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        unless_blocked(|| match &mut self.stream {
            Stream::Tcp(stream) => stream.read(into),
            Stream::Unix(stream) => stream.read(into),
        })
    }

    /// Writes what fits; `None` when nothing does.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        unless_blocked(|| match &mut self.stream {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        })
    }

    /// Sleeps until at least `low_mark_bytes` can be read, or something can be written if `writing`, or the
    /// waker is used, or it is `until`.
    pub(super) fn wait(
        &mut self,
        low_mark_bytes: usize,
        writing: bool,
        mut until: Instant,
    ) -> io::Result<Wait> {
        let mut flags = PollFlags::IN;
        if writing {
            flags |= PollFlags::OUT;
        }
        if low_mark_bytes > 1 && self.is_unix() {
            flags -= PollFlags::IN;
            until = until.min(Instant::now() + UNIX_NAP);
        } else {
            self.mark(low_mark_bytes)?;
        }
        loop {
            if self.waker.take() {
                return Ok(Wait::Woken);
            }
            let left = until.saturating_duration_since(Instant::now());
            let mut watched = [
                PollFd::from_borrowed_fd(self.fd(), flags),
                PollFd::from_borrowed_fd(self.waker.as_fd(), PollFlags::IN),
            ];
            match rustix::event::poll(&mut watched, Some(&timespec(left))) {
                Ok(0) => return Ok(Wait::TimedOut),
                Ok(_) if !watched[0].revents().is_empty() => return Ok(Wait::Ready),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn mark(&mut self, bytes: usize) -> io::Result<()> {
        if self.low_mark_bytes != bytes {
            set_low_mark(self.fd(), bytes)?;
            self.low_mark_bytes = bytes;
        }
        Ok(())
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

fn connect_tcp(name: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for address in (name, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn probe_when_silent(stream: &TcpStream, keepalive: &Keepalive) -> io::Result<()> {
    if !keepalive.idle.is_zero() {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, keepalive.idle)?;
        sockopt::set_tcp_keepintvl(stream, keepalive.interval.max(Duration::from_secs(1)))?;
        sockopt::set_tcp_keepcnt(stream, keepalive.count.clamp(1, 127))?;
    }
    #[cfg(target_os = "linux")]
    if !keepalive.user_timeout.is_zero() {
        let ms = u32::try_from(keepalive.user_timeout.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(stream, ms)?;
    }
    Ok(())
}

fn unless_blocked(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match call() {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
