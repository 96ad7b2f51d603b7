//! What the store and the actions have to tell: the events and children that there are, and what happened to jobs.

use std::collections::BTreeMap;

use super::actor::Entry;
use super::life::{Known, Life};
use super::rows::Key;
use super::*;
use crate::document::{Entries, Entry as Document};
use crate::event::LaneId;
use crate::job::{Command, Transition};

/// What happened to a job, as a row has it.
pub(super) type Past = Vec<(Status, u32, Option<Command>)>;

impl Life {
    /// Reads what is new in the store: each event must be the one that was taken, each child that of a parent.
    pub(super) fn discover(&mut self) {
        let after = self.known.last_key_value().map_or(0, |(last, _)| *last);
        let mut blocks = self.store.blocks(Position(after + 1));
        while let Some(block) = blocks.next().unwrap() {
            let entries = Entries::of(block.body.clone());
            for (at, entry) in (block.first.0..).zip(entries) {
                if at > after {
                    self.find(at, &entry.unwrap(), block.received_at);
                }
            }
        }
    }

    fn find(&mut self, at: u64, entry: &Document, received_at: Timestamp) {
        let schema = self.store.schema(entry.schema).unwrap();
        let trigger = TRIGGERS.iter().position(|own| **own == **schema.trigger());
        let trigger = trigger.unwrap();
        let torn = entry.data.as_str().contains("torn");
        let parent = entry.belongs.as_ref().and_then(|belongs| belongs.parent);
        let is_event = parent.is_none();
        let known = Known {
            trigger,
            received_at,
            is_event,
        };
        self.known.insert(at, known);
        if let Some((lane, position)) = parent {
            let of = |id: LaneId| self.lane_ids.iter().position(|own| *own == id).unwrap();
            let called = |name: &&str| *schema.about.calls[0] == format!("crm/{name}");
            let child = NAMES.iter().position(called).unwrap();
            let parent = (of(lane), position.0);
            *self.children.entry((parent, child)).or_default() += 1;
            self.rows.add((child, at), torn, Some(parent));
            return;
        }
        let taken = self.taken.pop_front().expect("somebody sent it");
        let expected = (taken.trigger, taken.torn, taken.at);
        assert_eq!((trigger, torn, received_at), expected, "event {at}");
        for (lane, leads) in LEADS[trigger].iter().enumerate() {
            let calls = lane == 2 && taken.calls;
            if *leads || calls {
                self.rows.add((lane, at), torn, None);
            }
        }
    }

    /// Tells the reference what happened in the actions.
    pub(super) fn tell(&mut self) {
        for entry in self.ledger.take() {
            self.tell_one(entry);
        }
    }

    pub(super) fn tell_one(&mut self, entry: Entry) {
        eprintln!("    {entry:?}");
        match entry {
            Entry::Began {
                number,
                lane,
                spans,
                attempt,
                at,
            } => self.rows.begin(number, lane, &spans, attempt, at),
            Entry::Ended {
                number,
                given,
                reports,
                end,
                at,
            } => {
                if let Some(given) = given {
                    assert_eq!(given, self.rows.given(number), "load {number}");
                }
                let told = self.elapsed();
                self.rows.end(number, &reports, end, (at, told));
            }
        }
    }

    /// Everything that the store says of each job.
    pub(super) fn histories(&self) -> BTreeMap<Key, Past> {
        let keys = self.rows.rows.keys();
        let mut histories: BTreeMap<Key, Past> = keys.map(|key| (*key, Past::new())).collect();
        let all = Span::new(Position::FIRST, Position::MAX);
        let transitions = self.store.transitions(None, all, usize::MAX).unwrap();
        for Transition {
            lane,
            span,
            status,
            attempt,
            command,
            ..
        } in transitions
        {
            let lane = self.lane_ids.iter().position(|own| *own == lane).unwrap();
            let touched = histories.range_mut((lane, span.first.0)..=(lane, span.last.0));
            touched.for_each(|(_, past)| past.push((status, attempt, command)));
        }
        histories
    }
}
