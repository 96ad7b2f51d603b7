//! One connection of the stream, from login to its end.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use blacksmith_core::error::{Error, Result};
use blacksmith_core::failpoint;

use super::backlog::Backlog;
use super::catch_up::{self, CatchUp};
use super::inlet::Inlet;
use super::{Ended, Stream};
use crate::connection::{
    CopyBoth, Lsn, Message, ReplicationConnection, Status, StreamOptions, Streaming,
};
use crate::{slot, state};

/// The server hears from us at least this often.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// A confirmation that has moved is sent after this time.
const CONFIRM_EVERY: Duration = Duration::from_millis(100);
/// How long one wait for messages takes at most: feedback is looked at in between.
const RECEIVE_WAIT: Duration = Duration::from_millis(50);
/// The same in a run that ends when all of it has come.
const RECEIVE_WAIT_AWAITED: Duration = Duration::from_millis(5);
/// An idle stream remembers where it is when it has moved this far, or after [`IDLE_EVERY`].
const IDLE_BYTES: u64 = 1 << 20;
const IDLE_EVERY: Duration = Duration::from_secs(10);
/// How long questions about the slot may take.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a stream goes on before it gives way to batches.
const STREAM_AT_LEAST: Duration = Duration::from_secs(60);
/// How long the server may take to let go of the slot when we leave.
const GOODBYE: Duration = Duration::from_secs(2);

impl Stream {
    /// Connects, and reads until stopped or interrupted: what is far behind in batches, and then the stream.
    pub(super) fn session(&self) -> Result<Ended> {
        let mut resume = state::resume(&self.door)
            .ok_or_else(|| Error::damaged("the store does not know where the stream resumes"))?;
        let mut connection = self.connect(resume)?;
        let options = self.options();
        if let Some(backlog) = self.backlog() {
            let catching = CatchUp::new(self, &mut connection, backlog, &options, resume);
            let caught = catching.run();
            self.gauge.catching_up.store(false, Ordering::Relaxed);
            match caught {
                Ok(reached) => resume = reached,
                Err(error) if catch_up::is_forbidden(&error) => {
                    self.stream_only.store(true, Ordering::Relaxed);
                    tracing::warn!(slot = %self.settings.slot, error = %error.report(), "the slot cannot be read in batches; the stream catches up instead, slower");
                    return Ok(Ended::Interrupted);
                }
                Err(error) => return Err(error),
            }
            if self.stop.is_asked() {
                return Ok(Ended::Stopped);
            }
        }
        let copy = connection.start_replication(&self.settings.slot, Lsn(resume), &options)?;
        self.gauge
            .confirmed_lsn
            .fetch_max(resume, Ordering::Relaxed);
        tracing::info!(slot = %self.settings.slot, from = %Lsn(resume), binary = options.binary, "streaming");
        let mut session = Session {
            stream: self,
            copy,
            inlet: Inlet::new(self, resume),
            feedback: Feedback::new(resume),
            began: Instant::now(),
        };
        let ended = session.run();
        if ended.is_ok() {
            session.copy.close(GOODBYE);
        }
        ended
    }

    /// A connection to the server that we know, with the slot where the store stands.
    fn connect(&self, resume: u64) -> Result<ReplicationConnection> {
        let mut connection = ReplicationConnection::connect(&self.settings.options, &self.waker)?;
        let identity = connection.identify_system()?;
        // The timer is made inside: this thread is not one of the runtime's own.
        let verified = async {
            let verified = slot::verify(&identity, &self.door, &self.settings, resume);
            tokio::time::timeout(VERIFY_TIMEOUT, verified).await
        };
        self.runtime.block_on(verified).map_err(|_| {
            Error::unavailable("the server did not answer questions about the slot within 60 s")
        })??;
        self.gauge.connected.store(true, Ordering::Relaxed);
        Ok(connection)
    }

    /// How messages are asked for, as the tables are now.
    fn options(&self) -> StreamOptions {
        let mut options = StreamOptions::new(self.settings.publications.clone());
        options.binary = self.settings.binary && self.tables.are_binary();
        self.tables.set_binary(options.binary);
        if self.whole.load(Ordering::Relaxed) {
            options.streaming = Streaming::Off;
        }
        options
    }

    /// What counts as a backlog that is read in batches; `None` when none may be.
    fn backlog(&self) -> Option<Backlog> {
        let least_bytes = self.settings.catch_up_from?;
        let allowed = !self.stream_only.load(Ordering::Relaxed);
        allowed.then(|| Backlog::from(least_bytes))
    }
}

struct Session<'a> {
    stream: &'a Stream,
    copy: CopyBoth,
    inlet: Inlet<'a>,
    feedback: Feedback,
    began: Instant,
}

/// What was said to the server, and when.
struct Feedback {
    /// How far the server says it has sent everything.
    server: u64,
    /// The newest LSN that was remembered or shipped with events.
    remembered: u64,
    remembered_at: Instant,
    confirmed: u64,
    told_at: Instant,
    reply_wanted: bool,
}

impl Feedback {
    fn new(resume: u64) -> Feedback {
        let now = Instant::now();
        Feedback {
            server: resume,
            remembered: resume,
            remembered_at: now,
            confirmed: resume,
            told_at: now,
            reply_wanted: false,
        }
    }
}

impl Session<'_> {
    fn run(&mut self) -> Result<Ended> {
        loop {
            self.receive()?;
            // Right behind a look: while the store had no room we did not listen.
            if self.copy.silence() > self.stream.settings.options.silence_max {
                let seconds = self.copy.silence().as_secs();
                let what = format!("the server has been silent for {seconds} s");
                return Err(
                    Error::unavailable(what).help("check the network between here and the server")
                );
            }
            self.ship()?;
            self.confirm()?;
            if self.is_over() {
                return self.farewell().map(|()| Ended::Stopped);
            }
            if self.is_outgrown() {
                return self.farewell().map(|()| Ended::Interrupted);
            }
        }
    }

    fn receive(&mut self) -> Result<()> {
        let wait = match self.stream.stop.awaited {
            true => RECEIVE_WAIT_AWAITED,
            false => RECEIVE_WAIT,
        };
        let lump = self.copy.receive(Instant::now() + wait)?;
        if let Some(large) = lump.large_message() {
            let gauge = &self.stream.gauge;
            gauge.server_lsn.fetch_max(large.end.0, Ordering::Relaxed);
            self.inlet.push_large(large.pieces)?;
        }
        for message in lump.messages() {
            match message {
                Message::Data { end, payload, .. } => {
                    self.stream
                        .gauge
                        .server_lsn
                        .fetch_max(end.0, Ordering::Relaxed);
                    self.inlet.push(payload)?;
                }
                Message::Keepalive {
                    end, reply_wanted, ..
                } => {
                    self.stream
                        .gauge
                        .server_lsn
                        .fetch_max(end.0, Ordering::Relaxed);
                    self.feedback.server = self.feedback.server.max(end.0);
                    self.feedback.reply_wanted |= reply_wanted;
                }
            }
        }
        self.inlet.flush();
        Ok(())
    }

    /// Hands everything to the store. While it has no room the server still hears from us.
    fn ship(&mut self) -> Result<()> {
        while !self.inlet.ship()? {
            self.confirm()?;
            if self.stream.stop.is_asked() {
                return Ok(());
            }
            self.inlet.wait_for_room(RECEIVE_WAIT)?;
        }
        Ok(())
    }

    fn confirm(&mut self) -> Result<()> {
        self.remember_idle()?;
        let confirmed = self.inlet.confirmed();
        let moved = confirmed > self.feedback.confirmed;
        let since = self.feedback.told_at.elapsed();
        let due = since >= STATUS_EVERY || (moved && since >= CONFIRM_EVERY);
        if due || self.feedback.reply_wanted {
            self.tell(confirmed)?;
        }
        Ok(())
    }

    fn tell(&mut self, confirmed: u64) -> Result<()> {
        self.feedback.confirmed = confirmed;
        self.stream
            .gauge
            .confirmed_lsn
            .fetch_max(confirmed, Ordering::Relaxed);
        let status = Status {
            write: Lsn(self.feedback.server.max(confirmed)),
            flush: Lsn(confirmed),
            apply: Lsn(confirmed),
            // Its answer says how far it is: without it an idle slot would not advance.
            reply_wanted: true,
        };
        failpoint!(AckSending?);
        self.copy.send_status(&status, self.stream.door.now())?;
        failpoint!(AckSent?);
        self.feedback.told_at = Instant::now();
        self.feedback.reply_wanted = false;
        Ok(())
    }

    /// When everything received is durable, the stream can resume where the server is now, though
    /// nothing of it was for us. The store has it before the server is told.
    fn remember_idle(&mut self) -> Result<()> {
        if !self.inlet.is_between_transactions() || !self.inlet.is_durable() {
            return Ok(());
        }
        let reached = self.feedback.server.max(self.inlet.ended());
        let moved = reached.saturating_sub(self.feedback.remembered.max(self.inlet.confirmed()));
        let awaited = self.stream.stop.at_lsn.load(Ordering::Acquire) != 0;
        let long_ago = self.feedback.remembered_at.elapsed() >= IDLE_EVERY;
        if moved >= IDLE_BYTES || (moved > 0 && (long_ago || awaited)) {
            // No room is no harm: the next keep-alive tries again.
            self.inlet.remember(reached)?;
            self.feedback.remembered = reached;
            self.feedback.remembered_at = Instant::now();
        }
        Ok(())
    }

    fn is_over(&mut self) -> bool {
        let asked = self.stream.stop.is_asked();
        asked || self.stream.stop.is_reached(self.inlet.durable_lsn())
    }

    /// Whether so much log lies before us that batches would be faster, and the stream has had its time: going
    /// over costs the server a way that it has gone already.
    fn is_outgrown(&self) -> bool {
        let Some(backlog) = self.stream.backlog() else {
            return false;
        };
        let log_end = self.stream.gauge.server_lsn.load(Ordering::Relaxed);
        let lag = log_end.saturating_sub(self.inlet.ended().max(self.feedback.server));
        backlog.outgrew_the_stream(lag)
            && self.began.elapsed() >= STREAM_AT_LEAST
            && self.inlet.is_between_transactions()
            && !self.inlet.holds_streamed()
    }

    /// Confirms the last of it, so that the server need not send it again.
    fn farewell(&mut self) -> Result<()> {
        let deadline = Instant::now() + GOODBYE;
        while !self.inlet.is_durable() && Instant::now() < deadline {
            self.inlet.wait_for_room(RECEIVE_WAIT)?;
        }
        let confirmed = self.inlet.confirmed();
        self.tell(confirmed)
    }
}
