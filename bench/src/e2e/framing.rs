//! The framing-only drain: our own connection, which reads lumps and counts messages, and does nothing else with them.
//! What our program does on top of it is what our program costs.

use std::time::{Duration, Instant};

use blacksmith_cdc::connection::{
    ConnectOptions, Lsn, Message, ReplicationConnection, Status, StreamOptions, Waker,
};
use blacksmith_core::clock::SystemClock;
use blacksmith_core::error::Error;

use super::Result;
use super::reading::Answer;

/// The hidden command.
pub const COMMAND: &str = "--framing-only";

/// The server hears from us at least this often.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// How long the server has to let go of the slot.
const GOODBYE: Duration = Duration::from_secs(5);

/// Drains a slot to an end; the words are URL, slot, publication, and the end's LSN.
///
/// # Errors
/// When the server refuses, or the connection is lost.
pub fn main(words: &[&str]) -> Result<Answer> {
    let started = Instant::now();
    let [url, slot, publication, end] = words else {
        return Err(format!("usage: {COMMAND} URL SLOT PUBLICATION END"));
    };
    let end: Lsn = end.parse().map_err(|_| format!("{end} is no LSN"))?;
    let messages = drain(url, slot, publication, end).map_err(|error| error.report())?;
    Ok(Answer::since(started, messages))
}

fn drain(url: &str, slot: &str, publication: &str, end: Lsn) -> std::result::Result<u64, Error> {
    let (clock, waker) = (SystemClock::shared(), Waker::new()?);
    let connection = ReplicationConnection::connect(&ConnectOptions::parse(url)?, &waker)?;
    let mut options = StreamOptions::new(vec![publication.into()]);
    options.binary = true;
    let mut copy = connection.start_replication(slot, Lsn::ZERO, &options)?;
    let (mut reached, mut messages, mut told_at) = (Lsn::ZERO, 0_u64, Instant::now());
    while reached < end {
        for message in copy.receive(Instant::now() + STATUS_EVERY)?.messages() {
            match message {
                Message::Data { start, .. } => {
                    messages += 1;
                    reached = reached.max(start);
                }
                Message::Keepalive { end, .. } => reached = reached.max(end),
            }
        }
        if told_at.elapsed() >= STATUS_EVERY {
            // Nothing is confirmed: this slot is a copy that is thrown away.
            let status = Status {
                write: reached,
                flush: Lsn::ZERO,
                apply: Lsn::ZERO,
                reply_wanted: true,
            };
            copy.send_status(&status, clock.now())?;
            told_at = Instant::now();
        }
    }
    copy.close(GOODBYE);
    Ok(messages)
}
