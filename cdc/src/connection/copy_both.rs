//! A running replication stream: lumps of messages in, status messages out.
//!
//! One thread owns it and calls [`CopyBoth::receive`] in a loop. Nothing here waits beyond a deadline, whatever
//! the server does: sending is queued and written as the socket takes it, and a wait ends early when the
//! [`Waker`] is used. Errors are final; make a new connection after one.
//!
//! Memory: one buffer, about 1 MiB, which grows only with the bytes of a larger message that have really
//! arrived, up to [`MESSAGE_BYTES_MAX`], and shrinks again.

use std::time::{Duration, Instant};

use blacksmith_core::clock::Timestamp;
use blacksmith_core::error::{Error, Result};
use bytes::Bytes;

use super::channel::Pulled;
use super::gather::{Front, Gatherer};
use super::large_memory::LargeMemory;
use super::lsn::Lsn;
use super::lump::{Lump, check, to_server_time};
use super::message::garbled;
use super::network;
use super::refusal::{During, ServerError};
use super::socket::Wait;
use super::waker::Waker;
use super::wire::{TERMINATE, Wire};

/// Longest message of a stream: the server's own limit of 1 GiB, and room for its headers.
pub const MESSAGE_BYTES_MAX: usize = (1 << 30) + (64 << 10);
/// Status messages that the server has not taken; more means that it reads nothing at all.
const UNSENT_BYTES_MAX: usize = 64 << 10;

/// How far we are, for [`CopyBoth::send_status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Received up to here.
    pub write: Lsn,
    /// Durable up to here; the server may forget what lies before.
    pub flush: Lsn,
    /// Applied up to here.
    pub apply: Lsn,
    /// Whether the server should answer with a keepalive.
    pub reply_wanted: bool,
}

/// A replication connection after `START_REPLICATION`.
#[derive(Debug)]
pub struct CopyBoth {
    wire: Wire,
    slot: String,
    gatherer: Gatherer,
    /// The large message that was handed out last.
    large: Vec<Bytes>,
}

impl CopyBoth {
    pub(super) fn new(mut wire: Wire, slot: String) -> Self {
        wire.limit_bytes = MESSAGE_BYTES_MAX;
        CopyBoth {
            wire,
            slot,
            gatherer: Gatherer::new(LargeMemory::default()),
            large: Vec::new(),
        }
    }

    /// Ends a wait of [`CopyBoth::receive`] from another thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.wire.channel.socket().waker().clone()
    }

    /// How long the server has been silent. It speaks at least every half of its `wal_sender_timeout`.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.gatherer.silence()
    }

    /// Waits for messages. Returns an empty lump at `deadline`, or when the waker was used.
    ///
    /// The lump borrows the connection's buffer: read it, then call again. What had arrived before an error is
    /// handed out before the error.
    ///
    /// # Errors
    /// [`blacksmith_core::error::Kind::Unavailable`] when the connection is lost or the server ended the
    /// stream; otherwise what the server refused, see [`super::Refusal`].
    pub fn receive(&mut self, deadline: Instant) -> Result<Lump<'_>> {
        self.large.clear();
        loop {
            match self.gatherer.next(&mut self.wire, check, deadline)? {
                Front::Large(body) => {
                    self.large = body;
                    return Lump::large(&mut self.large);
                }
                Front::Data(bytes) => return Ok(Lump::new(&self.wire.channel.unread()[..bytes])),
                Front::Nothing => return Ok(Lump::new(&[])),
                Front::Other(tag, body) => self.control(tag, &body)?,
            }
        }
    }

    /// Handles a message that is not part of the stream.
    fn control(&self, tag: u8, body: &[u8]) -> Result<()> {
        match tag {
            b'E' => {
                Err(ServerError::read(body)?.into_error(During::Slot(&self.slot), &self.wire.place))
            }
            b'N' | b'S' => Ok(()),
            b'c' | b'C' | b'Z' => Err(Error::unavailable("the server ended the stream")
                .at(&self.wire.place)
                .help("it stops or restarts; the stream goes on when it is back")),
            _ => Err(garbled("an unknown message in the stream").at(&self.wire.place)),
        }
    }

    /// Tells the server how far we are. Never waits; what the socket does not take now goes out during the next
    /// [`CopyBoth::receive`].
    ///
    /// # Errors
    /// When the connection is lost, or the server has read nothing for very long.
    pub fn send_status(&mut self, status: &Status, now: Timestamp) -> Result<()> {
        if self.wire.channel.unsent_bytes() > UNSENT_BYTES_MAX {
            return Err(
                Error::unavailable("the server reads no status messages").at(&self.wire.place)
            );
        }
        let mut message = Vec::with_capacity(39);
        message.extend_from_slice(b"d\0\0\0\x26r");
        for lsn in [status.write, status.flush, status.apply] {
            message.extend_from_slice(&lsn.0.to_be_bytes());
        }
        message.extend_from_slice(&to_server_time(now).to_be_bytes());
        message.push(status.reply_wanted.into());
        let queued = self.wire.channel.queue(&message);
        queued.map_err(|error| network::failure(error, &self.wire.place))?;
        self.wire.flush()
    }

    /// Ends the stream politely, so that the slot is free when this returns: says goodbye, and reads on until
    /// the server has closed, for no longer than `patience`. Returns whether the server closed in time.
    pub fn close(mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let copy_done_and_terminate = [*b"c\0\0\0\x04", TERMINATE].concat();
        if self.wire.channel.queue(&copy_done_and_terminate).is_err() {
            return false;
        }
        self.wire.owes_goodbye = false;
        loop {
            if self.wire.channel.flush().is_err() {
                return true; // the peer is gone
            }
            match self.wire.channel.pull() {
                Ok(Pulled::Closed) | Err(_) => return true,
                Ok(Pulled::Bytes(_)) => {
                    let unread = self.wire.channel.unread().len();
                    self.wire.channel.inbox().consume(unread);
                }
                Ok(Pulled::Nothing) => match self.wire.channel.wait(1, deadline) {
                    Ok(Wait::TimedOut) | Err(_) => return false,
                    Ok(Wait::Ready | Wait::Woken) => {}
                },
            }
            if Instant::now() >= deadline {
                return false;
            }
        }
    }
}
