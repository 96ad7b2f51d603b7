//! From messages to the store: the part of reading a slot that does not depend on how it is read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use blacksmith_core::error::Result;
use bytes::Bytes;

use super::Stream;
use super::assembly::Assembly;
use super::shipment::Shipment;

/// Takes messages in order and hands whole transactions to the store.
#[derive(Debug)]
pub(super) struct Inlet<'a> {
    stream: &'a Stream,
    assembly: Assembly,
    shipment: Shipment,
    events_before: u64,
}

impl<'a> Inlet<'a> {
    /// Everything up to `resume` is in the store.
    pub(super) fn new(stream: &'a Stream, resume: u64) -> Inlet<'a> {
        Inlet {
            stream,
            assembly: Assembly::default(),
            shipment: Shipment::new(stream.door.clone(), stream.settings.ack, resume),
            events_before: stream.gauge.events.load(Ordering::Relaxed),
        }
    }

    /// Takes one message of pgoutput.
    ///
    /// # Errors
    /// When the stream makes no sense, or a table cannot be resolved.
    pub(super) fn push(&mut self, message: &[u8]) -> Result<()> {
        self.assembly.push(message, &mut &*self.stream.tables)
    }

    /// Takes one message of many MiB, in pieces that are kept until they are written.
    ///
    /// # Errors
    /// As [`Inlet::push`].
    pub(super) fn push_large(&mut self, pieces: &[Bytes]) -> Result<()> {
        self.assembly.push_large(pieces, &mut &*self.stream.tables)
    }

    /// Nothing more has arrived for now: the whole transactions that were gathered go on.
    pub(super) fn flush(&mut self) {
        self.assembly.flush();
    }

    /// Hands on what the store has room for; whether that was all.
    ///
    /// # Errors
    /// When the store failed.
    pub(super) fn ship(&mut self) -> Result<bool> {
        if !self.shipment.carry_out(&mut self.assembly)? {
            return Ok(false);
        }
        let (_, at_us) = self.assembly.ended();
        let gauge = &self.stream.gauge;
        gauge.committed_at_us.fetch_max(at_us, Ordering::Relaxed);
        gauge.events.store(
            self.events_before + self.assembly.events(),
            Ordering::Relaxed,
        );
        Ok(true)
    }

    /// Waits until the store may have room again, for no longer than `timeout`.
    ///
    /// # Errors
    /// When the store is fenced.
    pub(super) fn wait_for_room(&self, timeout: Duration) -> Result<()> {
        self.stream.door.wait_for_room(timeout)
    }

    /// End of the last transaction received.
    pub(super) fn ended(&self) -> u64 {
        self.assembly.ended().0
    }

    /// Whether nothing received waits for the end of its transaction, but for what the server streams before
    /// its commit and will send again.
    pub(super) fn is_between_transactions(&self) -> bool {
        self.assembly.is_between_transactions()
    }

    /// Whether the server has streamed parts of transactions that have not ended.
    pub(super) fn holds_streamed(&self) -> bool {
        self.assembly.holds_streamed()
    }

    /// Whether everything handed in is durable.
    pub(super) fn is_durable(&self) -> bool {
        self.shipment.is_durable()
    }

    /// The LSN up to which the server may forget. Never goes back.
    pub(super) fn confirmed(&mut self) -> u64 {
        self.shipment.confirmed()
    }

    /// The LSN up to which the store has everything.
    pub(super) fn durable_lsn(&mut self) -> u64 {
        self.shipment.durable_lsn()
    }

    /// Remembers that reading resumes at `lsn`, though no event came with it; false when the store has no room
    /// for that now.
    ///
    /// # Errors
    /// When the store failed.
    pub(super) fn remember(&mut self, lsn: u64) -> Result<bool> {
        self.shipment.remember(lsn)
    }
}
