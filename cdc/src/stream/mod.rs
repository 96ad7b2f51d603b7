//! The stream of one slot: a thread that frames, ships, and confirms, and waits for no destination. What lies far
//! behind is read in batches first (`catch_up`).
//!
//! It has its own clock: whatever happens to the store, the server hears from it every second. When
//! the store has no room it stops reading, not answering. A lost connection is made anew with
//! backoff, from the last commit that the store has.

mod assembly;
mod backlog;
mod catch_up;
mod chunk;
mod inlet;
mod session;
mod shipment;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use blacksmith_core::door::Door;
use blacksmith_core::error::{Advice, Error, Result};

use crate::connection::{ConnectOptions, During, Refusal, Waker, refusal_of};
use crate::tables::Tables;

pub(crate) use assembly::Relations;
pub use shipment::Ack;

/// First pause before a new connection.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// Longest pause before a new connection.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// How often a refusal that may pass is tried again, with growing pauses: about half a minute.
const PASSING_TRIES: u32 = 7;

/// What we do when a session fails, whichever the slot.
const READING: During<'_> = During::Slot("");

/// The server may need a while to see that our last connection is gone.
fn is_in_use(error: &Error) -> bool {
    matches!(refusal_of(error, READING), Some(Refusal::SlotInUse(_)))
}

/// Decoding inside the server failed. What made it fail so far ("could not map filenode") was a slot
/// without a scout; should there be another cause, a transaction may be decodable after its commit.
fn is_undecodable(error: &Error) -> bool {
    refusal_of(error, READING) == Some(Refusal::Undecodable)
}

/// What the stream is read with.
#[derive(Debug, Clone)]
pub(crate) struct StreamSettings {
    /// How to connect.
    pub(crate) options: ConnectOptions,
    /// The publications.
    pub(crate) publications: Vec<String>,
    /// The slot.
    pub(crate) slot: String,
    /// When commits are confirmed.
    pub(crate) ack: Ack,
    /// Whether values are asked for in binary, as long as every table allows it.
    pub(crate) binary: bool,
    /// From how many bytes of log on a backlog is read in batches; `None` for never.
    pub(crate) catch_up_from: Option<u64>,
    /// A timeline that was accepted by the user after a promotion.
    pub(crate) timeline: Option<u32>,
}

/// How far the stream is, for whoever looks.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// Events handed in.
    pub(crate) events: AtomicU64,
    /// Where the server's log ends, as it last said.
    pub(crate) server_lsn: AtomicU64,
    /// What was confirmed to the server.
    pub(crate) confirmed_lsn: AtomicU64,
    /// Commit time of the last transaction received; microseconds since 1970.
    pub(crate) committed_at_us: AtomicI64,
    /// Whether a connection is up.
    pub(crate) connected: AtomicBool,
    /// Whether a backlog is being read in batches.
    pub(crate) catching_up: AtomicBool,
}

/// Reads one slot until it is stopped.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) settings: StreamSettings,
    pub(crate) door: Door,
    pub(crate) tables: Arc<Tables>,
    pub(crate) gauge: Arc<Gauge>,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) waker: Waker,
    /// Ask for transactions after their commit only.
    pub(crate) whole: AtomicBool,
    /// The server does not let us read batches.
    pub(crate) stream_only: AtomicBool,
    pub(crate) stop: Arc<Stop>,
}

/// Asks the stream to come to an end.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    /// Whether somebody waits for the end: then it is looked for often.
    pub(crate) awaited: bool,
    /// At once, after what is received is confirmed.
    pub(crate) now: AtomicBool,
    /// When everything up to this LSN is durable; 0 for never.
    pub(crate) at_lsn: AtomicU64,
}

impl Stop {
    pub(crate) fn is_asked(&self) -> bool {
        self.now.load(Ordering::Acquire)
    }

    fn is_reached(&self, durable_lsn: u64) -> bool {
        let at = self.at_lsn.load(Ordering::Acquire);
        at != 0 && durable_lsn >= at
    }
}

/// Why a session ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// We were asked to.
    Stopped,
    /// The slot is to be read in another way from now on.
    Interrupted,
}

impl Stream {
    /// Reads until stopped. Runs on its own thread.
    ///
    /// # Errors
    /// What trying again cannot mend.
    pub(crate) fn run(&self) -> Result<()> {
        let mut failures = 0;
        let mut refusals = 0;
        loop {
            let before = self.gauge.events.load(Ordering::Relaxed);
            let ended = self.session();
            self.gauge.connected.store(false, Ordering::Relaxed);
            let error = match ended {
                Ok(Ended::Stopped) => return Ok(()),
                Ok(Ended::Interrupted) => continue,
                Err(_) if self.stop.is_asked() => return Ok(()),
                Err(error)
                    if (is_in_use(&error) || is_undecodable(&error))
                        && refusals < PASSING_TRIES =>
                {
                    self.whole.store(is_undecodable(&error), Ordering::Relaxed);
                    refusals += 1;
                    error
                }
                Err(error) if error.advice() == Advice::Stop => return Err(error),
                Err(error) => error,
            };
            if self.gauge.events.load(Ordering::Relaxed) > before {
                failures = 0;
                refusals = 0;
            }
            failures += 1;
            self.pause(failures, &error);
            if self.stop.is_asked() {
                return Ok(());
            }
        }
    }

    fn pause(&self, failures: u32, error: &Error) {
        let pause = BACKOFF_MIN
            .saturating_mul(1 << failures.min(16))
            .min(BACKOFF_MAX);
        let retry_ms = pause.as_millis() as u64;
        tracing::warn!(slot = %self.settings.slot, error = %error.report(), retry_ms, "the stream was interrupted; it will be taken up again");
        let until = Instant::now() + pause;
        while !self.stop.is_asked() && Instant::now() < until {
            self.waker.wait(until);
        }
    }
}
