//! Gathers what a long answer brings: whole `CopyData` messages, many in one piece of memory.
//!
//! A replication stream and the rows of a COPY arrive in the same messages and are read in the same way: as
//! much as has come, in place, with the naps of [`Pace`] in between.

use std::time::{Duration, Instant};

use blacksmith_core::error::Result;
use bytes::Bytes;

use super::channel::Pulled;
use super::large_memory::LargeMemory;
use super::lump::walk;
use super::message::HEADER_BYTES;
use super::network;
use super::pace::Pace;
use super::pieces::{LARGE_MESSAGE_BYTES, Pieces};
use super::socket::Wait;
use super::wire::Wire;

/// A lump is handed out when it has this size, even if more waits.
const LUMP_BYTES_MAX: usize = 1 << 20;

/// How long one wait for memory takes at most: the waker does not end it.
const MEMORY_WAIT: Duration = Duration::from_millis(50);

/// Looks at the body of a `CopyData` message when it has arrived; of a large one only at its first piece.
pub(super) type Check = fn(&[u8]) -> Result<()>;

/// What stands at the front of the inbox now.
#[derive(Debug)]
pub(super) enum Front {
    /// So many bytes of whole `CopyData` messages. The next call gives them up.
    Data(usize),
    /// The body of one `CopyData` message of [`LARGE_MESSAGE_BYTES`] or more, in pieces. It was taken out.
    Large(Vec<Bytes>),
    /// A message of another kind, by its tag, taken out.
    Other(u8, Vec<u8>),
    /// Nothing came in time, a large message has to wait for memory, or the waker was used.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Gatherer {
    pace: Pace,
    /// Bytes handed out last.
    lent_bytes: usize,
    /// A large message that has begun.
    large: Option<Pieces>,
    memory: LargeMemory,
    heard_at: Instant,
}

impl Gatherer {
    /// Large messages are gathered in `memory`.
    pub(super) fn new(memory: LargeMemory) -> Gatherer {
        Gatherer {
            memory,
            pace: Pace::default(),
            lent_bytes: 0,
            large: None,
            heard_at: Instant::now(),
        }
    }

    /// How long nothing has come.
    pub(super) fn silence(&self) -> Duration {
        self.heard_at.elapsed()
    }

    /// Waits for messages until `deadline` or until the waker is used. What had arrived before an error is
    /// given before the error.
    ///
    /// # Errors
    /// When the connection is lost, a message makes no sense, or `check` refuses one.
    pub(super) fn next(
        &mut self,
        wire: &mut Wire,
        check: Check,
        deadline: Instant,
    ) -> Result<Front> {
        wire.channel
            .inbox()
            .consume(std::mem::take(&mut self.lent_bytes));
        loop {
            if let Some(body) = self.take_large(wire, check)? {
                return Ok(Front::Large(body));
            }
            let walked = walk(wire.channel.unread(), wire.limit_bytes, check)?;
            if walked.whole_bytes > 0 {
                self.lent_bytes = walked.whole_bytes;
                return Ok(Front::Data(walked.whole_bytes));
            }
            if let Some(next) = walked.next.filter(|next| next.tag == b'd')
                && next.total_bytes - HEADER_BYTES >= LARGE_MESSAGE_BYTES
            {
                if !self.begin_large(wire, next.total_bytes - HEADER_BYTES, deadline)? {
                    return Ok(Front::Nothing);
                }
                continue;
            }
            if let Some(next) = walked.next.filter(|next| next.tag != b'd')
                && let Some(body) = wire.channel.unread().get(HEADER_BYTES..next.total_bytes)
            {
                let body = body.to_vec();
                wire.channel.inbox().consume(next.total_bytes);
                return Ok(Front::Other(next.tag, body));
            }
            wire.flush()?;
            if self.pace.is_busy() && self.nap(wire, deadline)? == Wait::Woken {
                return Ok(Front::Nothing);
            }
            if self.pull(wire)? == 0 {
                if Instant::now() >= deadline {
                    return Ok(Front::Nothing);
                }
                if !self.pace.is_busy() && self.nap(wire, deadline)? == Wait::Woken {
                    return Ok(Front::Nothing);
                }
            }
        }
    }

    /// Begins a large message, of so many `bytes`, when there is memory for it; whether there was, soon enough.
    fn begin_large(&mut self, wire: &mut Wire, bytes: usize, deadline: Instant) -> Result<bool> {
        wire.flush()?;
        let until = deadline.min(Instant::now() + MEMORY_WAIT);
        let share = self.memory.take(bytes, until);
        // It is not the server that says nothing.
        self.heard_at = Instant::now();
        let Some(share) = share else {
            return Ok(false);
        };
        wire.channel.inbox().consume(HEADER_BYTES);
        self.large = Some(Pieces::new(share));
        Ok(true)
    }

    /// Takes what has come of a large message out of the inbox; its body when that was all of it.
    fn take_large(&mut self, wire: &mut Wire, check: Check) -> Result<Option<Vec<Bytes>>> {
        let Some(large) = &mut self.large else {
            return Ok(None);
        };
        let taken = large.take(wire.channel.unread());
        wire.channel.inbox().consume(taken);
        let body = match self.large.take_if(|large| large.are_complete()) {
            Some(complete) => complete.into_body(),
            None => return Ok(None),
        };
        check(body.first().map_or(&[], |first| first))?;
        Ok(Some(body))
    }

    fn nap(&mut self, wire: &mut Wire, deadline: Instant) -> Result<Wait> {
        let nap = self.pace.nap(Instant::now(), deadline);
        wire.channel
            .wait(nap.low_mark_bytes, nap.until)
            .map_err(|error| network::failure(error, &wire.place))
    }

    /// Takes what has arrived, up to a lump; bytes.
    fn pull(&mut self, wire: &mut Wire) -> Result<usize> {
        let mut bytes = 0;
        while bytes < LUMP_BYTES_MAX {
            match wire
                .channel
                .pull()
                .map_err(|error| network::failure(error, &wire.place))?
            {
                Pulled::Bytes(more) => bytes += more,
                Pulled::Nothing => break,
                Pulled::Closed if bytes > 0 => break,
                Pulled::Closed => {
                    let closed = std::io::ErrorKind::UnexpectedEof.into();
                    return Err(network::failure(closed, &wire.place));
                }
            }
        }
        let now = Instant::now();
        self.pace.brought(bytes, now);
        if bytes > 0 {
            self.heard_at = now;
        }
        Ok(bytes)
    }
}
