//! A `COPY … TO STDOUT` on a connection of our own: its rows in lumps, as they arrive.
//!
//! The server sends one row in each `CopyData` message, and unlike a stream it gathers them into full packets.
//! Nothing here waits beyond a deadline, and a wait ends early when the connection's [`super::Waker`] is used.

use std::time::{Duration, Instant};

use blacksmith_core::error::{Error, Result};
use bytes::Bytes;
use postgres_protocol::message::frontend;

use super::copy_both::MESSAGE_BYTES_MAX;
use super::gather::{Front, Gatherer};
use super::message::{HEADER_BYTES, garbled};
use super::refusal::{During, ServerError};
use super::sql_connection::{ANSWER_TIMEOUT, SqlConnection};
use super::wire::ANSWER_BYTES_MAX;

/// A COPY that runs. Unless it is read to its end or refused, its connection cannot be used any more.
#[derive(Debug)]
pub struct CopyOut<'a> {
    connection: &'a mut SqlConnection,
    during: During<'a>,
    gatherer: Gatherer,
    /// Told when the answer is complete.
    refused: Option<Error>,
}

/// What [`CopyOut::receive`] has got.
#[derive(Debug)]
pub enum Copied<'a> {
    /// Rows, or none when none came in time.
    Rows(CopiedRows<'a>),
    /// The content of one `CopyData` message of many MiB, in pieces; the first is at least 4 MiB long. Whoever keeps
    /// them keeps it.
    Large(Vec<Bytes>),
    /// The answer is complete; the connection can be used again.
    End,
}

impl SqlConnection {
    /// Runs `sql`, a `COPY … TO STDOUT`; `during` is for errors.
    ///
    /// # Errors
    /// When the connection is lost. What the server refuses is told by [`CopyOut::receive`].
    pub fn copy_out<'a>(&'a mut self, sql: &str, during: During<'a>) -> Result<CopyOut<'a>> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        self.wire
            .send_with(deadline, |message| frontend::query(sql, message))?;
        self.wire.limit_bytes = MESSAGE_BYTES_MAX;
        let gatherer = Gatherer::new(self.large.clone());
        Ok(CopyOut {
            connection: self,
            during,
            gatherer,
            refused: None,
        })
    }
}

impl CopyOut<'_> {
    /// How long the server has sent nothing. It may have to work long before the first row.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.gatherer.silence()
    }

    /// Waits for rows, until `deadline` or until the waker is used. They borrow the connection's buffer: read
    /// them, then call again.
    ///
    /// # Errors
    /// What the server refused: the connection can be used again, unless that ended it. Or a lost connection. Errors
    /// are final.
    pub fn receive(&mut self, deadline: Instant) -> Result<Copied<'_>> {
        let any = |_: &[u8]| Ok(());
        loop {
            let wire = &mut self.connection.wire;
            let front = match self.gatherer.next(wire, any, deadline) {
                Ok(front) => front,
                // Behind an error that ends the session nothing comes.
                Err(lost) => return Err(self.refused.take().unwrap_or(lost)),
            };
            match front {
                Front::Data(bytes) => {
                    let rest = &self.connection.wire.channel.unread()[..bytes];
                    return Ok(Copied::Rows(CopiedRows { rest }));
                }
                Front::Large(body) => return Ok(Copied::Large(body)),
                Front::Nothing => return Ok(Copied::Rows(CopiedRows { rest: &[] })),
                Front::Other(b'Z', _) => {
                    self.connection.wire.limit_bytes = ANSWER_BYTES_MAX;
                    return self.refused.take().map_or(Ok(Copied::End), Err);
                }
                Front::Other(tag, body) => self.control(tag, &body)?,
            }
        }
    }

    /// Handles a message that is no row.
    fn control(&mut self, tag: u8, body: &[u8]) -> Result<()> {
        let place = &self.connection.wire.place;
        match tag {
            b'E' => self.refused = Some(ServerError::read(body)?.into_error(self.during, place)),
            // The answer begins; its rows, and the command, are complete; a notice; a setting changed.
            b'H' | b'c' | b'C' | b'N' | b'S' => {}
            _ => return Err(garbled("an unknown message in a copy").at(place)),
        }
        Ok(())
    }

    /// Gives up: asks the server to cancel the command, for no longer than `patience`.
    pub fn cancel(self, patience: Duration) {
        self.connection.cancel(patience);
    }
}

/// The contents of `CopyData` messages, side by side as they arrived.
#[derive(Debug, Clone)]
pub struct CopiedRows<'a> {
    rest: &'a [u8],
}

impl CopiedRows<'_> {
    /// Whether nothing has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for CopiedRows<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_first_chunk::<HEADER_BYTES>()?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (body, rest) = rest.split_at_checked(length.checked_sub(4)?)?;
        self.rest = rest;
        Some(body)
    }
}
