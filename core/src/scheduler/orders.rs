//! Operators' orders, carried out by the lane's own task between two of its loads' reports.

use super::filing::Filing;
use super::retries::Retry;
use super::runner::Runner;
use crate::destination::Ordering;
use crate::error::{Error, Result};
use crate::job::{Command, Transition};
use crate::operate::{Ask, LaneOrder, Obeyed, decide, pieces};

impl Runner {
    /// Does what was asked, and answers.
    pub(super) async fn obey(&mut self, ask: Ask, filing: &mut Filing) {
        match ask {
            Ask::Pause(paused, reply) => {
                self.paused = paused;
                let stuck = None;
                self.standing.send_modify(|standing| standing.stuck = stuck);
                tracing::warn!(lane = %self.name, paused, "an operator paused or resumed the action");
                // Whoever asked may have gone.
                reply.send(()).ok();
            }
            Ask::Order(order, reply) => {
                // An error of the store meets the lane itself at its next record.
                let obeyed = self.carry_out(&order, filing).await;
                reply.send(obeyed).ok();
            }
        }
    }

    async fn carry_out(&mut self, order: &LaneOrder, filing: &mut Filing) -> Result<Obeyed> {
        let unknown = || Error::stopped(format!("the store does not know lane {}", self.name));
        let lane = self.loader.store.lane(self.id).ok_or_else(unknown)?;
        let now = self.clock.now();
        let decision = decide(&lane, order, Some(self.rules.ordering), now);
        let mut receipt = None;
        for piece in pieces(&decision.transitions) {
            receipt = self.follower.record(piece)?;
        }
        for transition in &decision.transitions {
            self.take_to_heart(order.command, transition, filing);
        }
        self.counters.commands.add(1);
        let obeyed = decision.obeyed;
        tracing::warn!(lane = %self.name, command = %order.command, positions = obeyed.taken.positions(), "an operator's order was carried out");
        self.until_durable(receipt).await?;
        Ok(obeyed)
    }

    /// Files jobs where an order put them.
    fn take_to_heart(&mut self, command: Command, change: &Transition, filing: &mut Filing) {
        let span = change.span;
        self.retries.take_out(span);
        self.unknown.remove(span);
        self.held.remove(span);
        match command {
            Command::Retry | Command::Resume => {
                // In order, what the lane has not come to yet does not go before what lies between.
                let span = match self.rules.ordering {
                    Ordering::Ordered => filing.give_back(span),
                    Ordering::Unordered => span,
                };
                if !span.is_empty() {
                    self.retries.push_pieces(Retry {
                        span,
                        attempts: change.attempt,
                        due: self.clock.elapsed(),
                        alone: false,
                        batch: None,
                    });
                }
            }
            Command::Discard | Command::Cancel => {
                filing.claim(span);
                self.hands.decide(span, command == Command::Cancel);
            }
            Command::Pause => {
                filing.claim(span);
                self.held.add(span);
            }
        }
    }
}
