//! Catching up: a slot that is far behind is read in large batches, by SQL.
//!
//! A walsender sends every change by itself, and that is most of its work. The same messages come as the rows of
//! `COPY (SELECT … FROM pg_logical_slot_peek_binary_changes(…))` at more than twice the rate, because the
//! server fills its packets. So while the log ahead is long, each turn here
//!
//! 1. *peeks*: reads whole transactions up to an LSN and leaves them in the slot;
//! 2. waits until the store has them, durably, with the LSN at which reading resumes;
//! 3. *advances* the slot to that LSN, and only now may the server forget them.
//!
//! `pg_logical_slot_get_binary_changes` would be one call instead of two, and would confirm what nobody has
//! written down yet. Near the end of the log the stream takes over, on the same connection, at the same LSN.
//!
//! The position rules are the stream's: the store has only whole transactions, in commit order, each with
//! the LSN behind it. A peek begins where the *slot* stands, not where we ask, so before the first one the
//! slot is led to where the store stands, which may be further: after a crash of ours between 2 and 3, or one of
//! the server, which writes down where a slot is only now and then.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use blacksmith_core::error::{Error, Kind, Result};
use blacksmith_core::failpoint;
use bytes::{Buf, Bytes};

use super::Stream;
use super::backlog::Backlog;
use super::inlet::Inlet;
use crate::connection::{
    Copied, CopyOut, During, Lsn, Refusal, ReplicationConnection, SlotStanding, StreamOptions,
    Streaming, refusal_of, server_error,
};
use crate::protocol::{CopyFormat, CopyRows, Value};

/// Messages that end a batch before its LSN does: where rows are tiny.
const MESSAGES_MAX: u32 = 4_000_000;
/// Memory that the server may gather an answer in; what is more goes to its disk for the while.
const ANSWER_MEMORY_BYTES: u64 = 64 << 20;
/// In a row with one value: how many values it has, and the length of the first.
const ROW_HEAD_BYTES: usize = 2 + 4;
/// How long one wait for rows takes at most.
const RECEIVE_WAIT: Duration = Duration::from_millis(50);
/// How long the store may have no room, while the server keeps the answer and the view of its data for us.
const STALL_MAX: Duration = Duration::from_secs(30);
/// How long a batch may take to become durable.
const DURABLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How many times longer than a stream the server may be silent: it sends nothing of a batch before it has read everything,
/// and to move the slot it reads that log once more, without decoding it.
const SILENCE_FACTOR: u32 = 4;
/// How long the server is asked to give up a batch when we are stopped.
const CANCEL_PATIENCE: Duration = Duration::from_secs(2);

/// What to do where batches come otherwise than they should.
const STREAM_INSTEAD: &str =
    "it is tried again; if that does not help, set `catch_up = false` in the source and report it";

/// Whether the server will answer the same next time, so that the stream has to do without.
pub(super) fn is_forbidden(error: &Error) -> bool {
    let refusal = refusal_of(error, During::Slot(""));
    let passing = matches!(refusal, Some(Refusal::SlotInUse(_)));
    let lacking = refusal == Some(Refusal::OutOfResources);
    server_error(error).is_some() && !passing && (lacking || error.kind() == Kind::Refused)
}

/// A slot that is being caught up with.
#[derive(Debug)]
pub(super) struct CatchUp<'a> {
    stream: &'a Stream,
    connection: &'a mut ReplicationConnection,
    backlog: Backlog,
    options: StreamOptions,
    inlet: Inlet<'a>,
    /// Up to here the store has everything, durably.
    reached: u64,
}

impl<'a> CatchUp<'a> {
    /// The store has everything up to `resume`. The messages will be as `options` say, but for transactions in
    /// progress, which SQL does not know.
    pub(super) fn new(
        stream: &'a Stream,
        connection: &'a mut ReplicationConnection,
        backlog: Backlog,
        options: &StreamOptions,
        resume: u64,
    ) -> CatchUp<'a> {
        let options = StreamOptions {
            protocol: 1,
            streaming: Streaming::Off,
            ..options.clone()
        };
        CatchUp {
            stream,
            connection,
            backlog,
            options,
            inlet: Inlet::new(stream, resume),
            reached: resume,
        }
    }

    /// Reads on until the end of the log is near, or until stopped. Returns where the stream resumes.
    ///
    /// # Errors
    /// What the server refused, a lost connection, or the store's; what was reached is in the store.
    pub(super) fn run(mut self) -> Result<u64> {
        let began = Instant::now();
        let (mut at, mut batches) = (self.standing()?, 0_u32);
        // Whether it is worth it depends on where the slot will stand, and it is moved only if it is.
        let led = SlotStanding {
            confirmed: Lsn(self.reached),
            ..at
        };
        if self.backlog.batch(&led).is_none() {
            return Ok(self.reached);
        }
        let slot = self.stream.settings.slot.as_str();
        tracing::info!(slot, from = %Lsn(self.reached), to = %at.log_end, "the slot is far behind: catching up in batches");
        self.stream.gauge.catching_up.store(true, Ordering::Relaxed);
        at = self.advance(at)?;
        while let Some(upto) = self.backlog.batch(&at)
            && !self.is_over()
        {
            self.batch(upto)?;
            if self.stream.stop.is_asked() {
                break;
            }
            batches += 1;
            at = self.advance(at)?;
        }
        tracing::info!(slot, batches, reached = %Lsn(self.reached), took = ?began.elapsed(), "caught up");
        Ok(self.reached)
    }

    fn is_over(&self) -> bool {
        self.stream.stop.is_asked() || self.stream.stop.is_reached(self.reached)
    }

    fn standing(&mut self) -> Result<SlotStanding> {
        let at = self.connection.slot_standing(&self.stream.settings.slot)?;
        let gauge = &self.stream.gauge;
        gauge.server_lsn.fetch_max(at.log_end.0, Ordering::Relaxed);
        Ok(at)
    }

    /// Has the server forget what the store has, and looks where the slot stands then.
    fn advance(&mut self, before: SlotStanding) -> Result<SlotStanding> {
        let reached = Lsn(self.reached);
        if before.confirmed < reached {
            let slot = &self.stream.settings.slot;
            let timeout = silence_max(self.stream);
            self.connection.advance_slot(slot, reached, timeout)?;
            failpoint!(CatchUpAdvanced?);
        }
        let at = self.standing()?;
        if at.confirmed != reached {
            return Err(Error::unavailable(format!(
                "the slot stands at {}, and the store at {reached}: a batch would leave out or repeat what is between",
                at.confirmed
            ))
            .help("it is tried again; if that does not help, somebody else moves this slot: name another `slot`"));
        }
        let gauge = &self.stream.gauge;
        gauge.confirmed_lsn.fetch_max(reached.0, Ordering::Relaxed);
        Ok(at)
    }

    /// Reads one batch, and waits until the store has it.
    fn batch(&mut self, upto: u64) -> Result<()> {
        let messages = self.take(upto)?;
        self.inlet.flush();
        ship(self.stream, &mut self.inlet)?;
        if self.stream.stop.is_asked() {
            return Ok(()); // what came as a whole is in the store, and reading resumes behind it
        }
        if !self.inlet.is_between_transactions() {
            return Err(
                Error::unavailable("the server ended a batch inside a transaction")
                    .help(STREAM_INSTEAD),
            );
        }
        let ended = self.inlet.ended();
        // Whatever ended before `upto` has come, unless the batch was ended by its size.
        self.reached = match messages < MESSAGES_MAX {
            true => ended.max(upto),
            false => ended,
        };
        failpoint!(CatchUpTaken?);
        self.settle()?;
        failpoint!(CatchUpDurable?);
        Ok(())
    }

    /// Takes a batch from the server; how many messages it had.
    fn take(&mut self, upto: u64) -> Result<u32> {
        let stream = self.stream;
        let silence_max = silence_max(stream);
        let mut copy = self.connection.peek_slot(
            &stream.settings.slot,
            Lsn(upto),
            MESSAGES_MAX,
            ANSWER_MEMORY_BYTES,
            &self.options,
        )?;
        let mut messages = 0;
        loop {
            if stream.stop.is_asked() {
                copy.cancel(CANCEL_PATIENCE);
                return Ok(messages);
            }
            match take_some(&mut copy, &mut self.inlet)? {
                Some(more) => messages += more,
                None => return Ok(messages),
            }
            if copy.silence() > silence_max {
                let seconds = copy.silence().as_secs();
                let what = format!("the server has sent nothing of a batch for {seconds} s");
                return Err(
                    Error::unavailable(what).help("check the network between here and the server")
                );
            }
            ship(stream, &mut self.inlet)?;
        }
    }

    /// Waits until the store has everything up to `reached`, and knows that it has.
    fn settle(&mut self) -> Result<()> {
        let deadline = Instant::now() + DURABLE_TIMEOUT;
        let mut remembered = self.inlet.remember(self.reached)?;
        while !remembered || self.inlet.durable_lsn() < self.reached {
            if Instant::now() >= deadline {
                return Err(Error::unavailable(
                    "a batch of the backlog was not durable within 60 s",
                )
                .help("it is tried again; see why the store is slow: is its disk full or busy?"));
            }
            self.inlet.wait_for_room(RECEIVE_WAIT)?;
            remembered = remembered || self.inlet.remember(self.reached)?;
        }
        Ok(())
    }
}

/// How long the server may say nothing while it reads its log for us. Longer, and the line is taken for dead.
fn silence_max(stream: &Stream) -> Duration {
    stream.settings.options.silence_max * SILENCE_FACTOR
}

/// Takes the rows that have come, and how many they were; `None` at the end.
fn take_some(copy: &mut CopyOut<'_>, inlet: &mut Inlet<'_>) -> Result<Option<u32>> {
    let rows = match copy.receive(Instant::now() + RECEIVE_WAIT)? {
        Copied::Rows(rows) => rows,
        Copied::Large(mut row) => {
            cut_row_head(&mut row)?;
            inlet.push_large(&row)?;
            return Ok(Some(1));
        }
        Copied::End => return Ok(None),
    };
    let mut messages = 0;
    for payload in rows {
        for row in CopyRows::new(CopyFormat::Binary, payload)? {
            let Some(Value::Binary(message)) = row?.values().next() else {
                return Err(Error::unavailable("the server sent a change that is NULL")
                    .help(STREAM_INSTEAD));
            };
            inlet.push(message)?;
            messages += 1;
        }
    }
    Ok(Some(messages))
}

/// Leaves of a row that has one value of many MiB only that value. What comes before the first row of an answer is not
/// here: no transaction begins with such a row.
fn cut_row_head(row: &mut [Bytes]) -> Result<()> {
    let value_bytes = row
        .iter()
        .map(Bytes::len)
        .sum::<usize>()
        .checked_sub(ROW_HEAD_BYTES);
    let first = row
        .first_mut()
        .filter(|first| first.len() >= ROW_HEAD_BYTES);
    let (Some(first), Some(value_bytes)) = (first, value_bytes) else {
        return Err(
            Error::unavailable("the server sent a change that is cut short").help(STREAM_INSTEAD),
        );
    };
    let (columns, bytes) = (first.get_u16(), first.get_u32());
    match columns == 1 && bytes as usize == value_bytes {
        true => Ok(()),
        false => Err(
            Error::unavailable("the server sent a change that is not one value")
                .help(STREAM_INSTEAD),
        ),
    }
}

/// Hands everything to the store, waiting for room for a while.
fn ship(stream: &Stream, inlet: &mut Inlet<'_>) -> Result<()> {
    let began = Instant::now();
    while !inlet.ship()? {
        if stream.stop.is_asked() {
            return Ok(());
        }
        if began.elapsed() > STALL_MAX {
            return Err(
                Error::unavailable("the store has had no room for a batch for 30 s")
                    .help("see why it takes no more: is its disk full?"),
            );
        }
        inlet.wait_for_room(RECEIVE_WAIT)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(columns: u16, said_bytes: u32, value: &[u8]) -> Option<Vec<u8>> {
        let row = [&columns.to_be_bytes(), &said_bytes.to_be_bytes()[..], value].concat();
        let mut pieces: Vec<Bytes> = row.chunks(8).map(Bytes::copy_from_slice).collect();
        cut_row_head(&mut pieces).is_ok().then(|| pieces.concat())
    }

    #[test]
    fn of_a_row_in_pieces_the_value_is_left_and_every_other_row_is_refused() {
        assert_eq!(
            cut(1, 11, b"the message").as_deref(),
            Some(&b"the message"[..])
        );
        assert_eq!(cut(2, 11, b"the message"), None);
        assert_eq!(cut(1, 10, b"the message"), None);
        assert_eq!(cut(1, u32::MAX, b""), None); // NULL
        assert!(cut_row_head(&mut [Bytes::from_static(b"short")]).is_err());
        assert!(cut_row_head(&mut []).is_err());
    }
}
