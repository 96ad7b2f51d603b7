//! Processes that end: in the middle of their work, or when they are stopped; and those that come after them.

use std::collections::{BTreeMap, BTreeSet};

use super::actor::{Entry, Ledger};
use super::finding::Past;
use super::life::{Life, TURNS};
use super::process::open;
use super::rows::Key;
use super::*;
use crate::log::sim::Cut;

impl Life {
    /// The process ends, in the middle of whatever it does after so many turns of its tasks.
    pub(super) async fn crash(&mut self, turns: u64, seed: u64) {
        if turns > 0 {
            self.take(&[(0, false, true), (1, false, false), (0, false, false)]);
            self.ledger.release();
        }
        self.turns(turns).await;
        let upto = self.store.durable().upto();
        let cut = seed.is_multiple_of(4);
        match &self.disk {
            Some(disk) if cut => disk.kill(),
            Some(disk) => disk.power_cycle(Cut::Any(seed)),
            None => {}
        }
        let words = self.ledger.len();
        self.process = None;
        self.turns(TURNS).await;
        self.ledger.truncate(words);
        if self.disk.is_some() {
            self.store = open(self.disk.as_ref());
            self.probes = 0;
        }
        assert!(
            self.store.durable().upto() >= upto,
            "what was durable is gone"
        );
        self.discover();
        // What was not durable is lost with whoever sent it.
        self.taken.clear();
        self.tell_last_words();
        self.begin_again().await;
    }

    /// What happened in the actions before the crash; what came of loads that ended may have been recorded, or not.
    fn tell_last_words(&mut self) {
        let histories = self.histories();
        for entry in self.ledger.take() {
            let ended = match &entry {
                Entry::Ended { number, .. } => Some(*number),
                Entry::Began { .. } => None,
            };
            let is_recorded = ended.is_none_or(|number| self.is_recorded(number, &histories));
            if is_recorded {
                self.tell_one(entry);
            }
        }
        for (key, history) in &histories {
            let further = &history[self.rows.rows[key].past.len()..];
            if let [(Status::Executing, attempt, None)] = further {
                self.rows.began_unseen(*key, *attempt);
            }
        }
    }

    /// Whether what came of a load is in the store: of all its jobs, or of none. One that has none may be thought so.
    fn is_recorded(&self, load: u64, histories: &BTreeMap<Key, Past>) -> bool {
        let own = self.rows.in_load(load);
        let recorded = own
            .iter()
            .filter(|key| histories[key].len() > self.rows.rows[key].past.len());
        let recorded = recorded.count();
        assert!(
            recorded == 0 || recorded == own.len(),
            "half of load {load}"
        );
        recorded == own.len()
    }

    /// Starts the next process over what the last one left.
    async fn begin_again(&mut self) {
        let now = self.time.elapsed();
        self.start();
        self.come_to_rest().await;
        let histories = self.histories();
        let is_held = |(key, history): &(&Key, &Past)| {
            let row = &self.rows.rows[*key];
            let next = history.get(row.past.len()).map(|(status, ..)| *status);
            row.status == Status::Executing && next == Some(Status::Unknown)
        };
        let held: BTreeSet<Key> = histories
            .iter()
            .filter(is_held)
            .map(|(key, _)| *key)
            .collect();
        self.rows.restart(now, &held);
    }

    /// Every load comes to its end, and the next process begins.
    pub(super) async fn restart(&mut self) {
        let process = self.process.take().unwrap();
        self.freezer = None;
        for lane in &process.lanes {
            lane.ask_to_stop();
        }
        self.ledger.release();
        for lane in process.lanes {
            // One that lingers begins to do so before it is told to go on.
            tokio::select! {
                biased;
                stopped = lane.stop() => stopped.unwrap(),
                () = let_go(&self.ledger) => {}
            }
        }
        self.freeze();
        self.discover();
        self.tell();
        assert!(self.rows.loads.is_empty(), "a load was left");
        if let Some(disk) = &self.disk {
            self.store.close().unwrap();
            disk.kill();
            self.store = open(self.disk.as_ref());
            self.probes = 0;
        }
        self.begin_again().await;
    }
}

/// Lets go whoever lingers, again and again.
async fn let_go(ledger: &Ledger) {
    loop {
        ledger.release();
        tokio::time::sleep(SECOND).await;
    }
}
