//! Carries the assembly's steps out at the door, and knows what of them is durable.

use std::collections::{HashMap, VecDeque};

use blacksmith_core::door::{Door, Staging};
use blacksmith_core::error::Result;
use blacksmith_core::event::{Commit, Draft, FormatId, Refusal};
use blacksmith_core::log::Receipt;
use blacksmith_core::planted;
use blacksmith_core::position::Position;

use super::assembly::{Assembly, Step};
use crate::envelope::Envelope;
use crate::state;

/// Which point of the store has to be reached before a commit is confirmed to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ack {
    /// The log's disk has it.
    #[default]
    Log,
    /// Every destination has it.
    Sink,
}

/// Everything on its way from the assembly to durability.
#[derive(Debug)]
pub(super) struct Shipment {
    door: Door,
    ack: Ack,
    staged: HashMap<u32, Staging>,
    /// Commits handed in, oldest first: durable when the receipt says so.
    underway: VecDeque<(Receipt, u64)>,
    /// Commits that are durable and wait for the destinations.
    unsettled: VecDeque<(Position, u64)>,
    durable: u64,
    confirmed: u64,
}

/// Commits that may wait for the destinations before they are merged into the youngest.
const UNSETTLED_MAX: usize = 4_096;

impl Shipment {
    /// Nothing on its way; `confirmed` was confirmed before.
    pub(super) fn new(door: Door, ack: Ack, confirmed: u64) -> Shipment {
        Shipment {
            door,
            ack,
            staged: HashMap::new(),
            underway: VecDeque::new(),
            unsettled: VecDeque::new(),
            durable: confirmed,
            confirmed,
        }
    }

    /// Carries out as many steps as the store has room for; true when none are left.
    ///
    /// # Errors
    /// When the store failed.
    pub(super) fn carry_out(&mut self, assembly: &mut Assembly) -> Result<bool> {
        while let Some(step) = assembly.next_step() {
            if let Some(step) = self.step(step)? {
                assembly.put_back(step);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Carries out one step, or hands it back when the store has no room.
    fn step(&mut self, step: Step) -> Result<Option<Step>> {
        match step {
            Step::Append { tally, body, lsn } => {
                let draft = Draft {
                    format: FormatId::PGOUTPUT,
                    received_at: self.door.now(),
                    tally,
                    envelope: Envelope::default().encode(),
                    body,
                    state: vec![state::resume_at(lsn)],
                };
                match self.door.append(draft) {
                    Ok(receipt) => self.underway.push_back((receipt, lsn)),
                    Err(Refusal::Full(draft)) => {
                        let Draft { tally, body, .. } = *draft;
                        return Ok(Some(Step::Append { tally, body, lsn }));
                    }
                    Err(Refusal::Failed(error)) => return Err(error),
                }
            }
            Step::Stage { xid, tally, body } => {
                if !self.staged.contains_key(&xid) {
                    self.staged.insert(xid, self.door.stage()?);
                }
                let Some(staging) = self.staged.get_mut(&xid) else {
                    return Ok(None);
                };
                match staging.push(&tally, body) {
                    Ok(()) => {}
                    Err(Refusal::Full(body)) => {
                        return Ok(Some(Step::Stage {
                            xid,
                            tally,
                            body: *body,
                        }));
                    }
                    Err(Refusal::Failed(error)) => return Err(error),
                }
            }
            Step::Commit {
                xid,
                envelope,
                excluded,
                lsn,
            } => {
                let Some(staging) = self.staged.remove(&xid) else {
                    return Ok(None);
                };
                let commit = Commit {
                    format: FormatId::PGOUTPUT,
                    received_at: self.door.now(),
                    envelope: envelope.encode(),
                    excluded,
                    state: vec![state::resume_at(lsn)],
                };
                match staging.commit(commit) {
                    Ok(receipt) => self.underway.push_back((receipt, lsn)),
                    Err(Refusal::Full(back)) => {
                        let (staging, commit) = *back;
                        self.staged.insert(xid, staging);
                        let excluded = commit.excluded;
                        return Ok(Some(Step::Commit {
                            xid,
                            envelope,
                            excluded,
                            lsn,
                        }));
                    }
                    Err(Refusal::Failed(error)) => return Err(error),
                }
            }
            Step::Drop { xid } => drop(self.staged.remove(&xid)),
        }
        Ok(None)
    }

    /// Remembers that the stream resumes at `lsn`, though no event came with it: how an idle slot
    /// advances. The store has it before the server is told. False when the store has no room for it now.
    ///
    /// # Errors
    /// When the store failed.
    pub(super) fn remember(&mut self, lsn: u64) -> Result<bool> {
        match self.door.remember(vec![state::resume_at(lsn)]) {
            Ok(receipt) => self.underway.push_back((receipt, lsn)),
            Err(Refusal::Full(_)) => return Ok(false),
            Err(Refusal::Failed(error)) => return Err(error),
        }
        Ok(true)
    }

    /// Whether everything handed in is durable.
    pub(super) fn is_durable(&self) -> bool {
        self.underway
            .iter()
            .all(|(receipt, _)| receipt.is_durable())
    }

    /// The LSN up to which the server may forget. Never goes back.
    pub(super) fn confirmed(&mut self) -> u64 {
        while let Some((receipt, lsn)) = self.underway.front()
            && (receipt.is_durable() || planted!(AckBeforeDurable))
        {
            self.durable = self.durable.max(*lsn);
            match self.ack {
                Ack::Log => self.confirmed = self.confirmed.max(*lsn),
                Ack::Sink => self.unsettled.push_back((receipt.last, *lsn)),
            }
            self.underway.pop_front();
        }
        if self.unsettled.len() > UNSETTLED_MAX {
            let youngest = self.unsettled.pop_back();
            self.unsettled.truncate(UNSETTLED_MAX / 2);
            self.unsettled.extend(youngest);
        }
        let settled = self.door.settled_upto();
        while let Some((last, lsn)) = self.unsettled.front()
            && *last <= settled
        {
            self.confirmed = self.confirmed.max(*lsn);
            self.unsettled.pop_front();
        }
        self.confirmed
    }

    /// The LSN up to which the store has everything.
    pub(super) fn durable_lsn(&mut self) -> u64 {
        self.confirmed();
        self.durable
    }
}
