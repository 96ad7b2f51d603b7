//! Lanes beside a plain list of positions, at every lag, over a disk in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;
use crate::clock::{Now, Timestamp};
use crate::event::{
    About, Block, Commit, Draft, Excluded, FormatId, LaneId, SchemaId, SourceId, Tally,
};
use crate::job::{Status, Transition};
use crate::log::sim::SimDisk;
use crate::log::{LogOptions, Receipt, Retention};
use crate::position::{Position, Span};
use crate::store::Store;
use crate::store::log::LogStore;

const PATIENCE: Duration = Duration::from_secs(60);
const LANES: usize = 3;
const NOW: Now = Now {
    wall: Timestamp(0),
    elapsed: Duration::ZERO,
};

#[derive(Debug, Clone)]
enum Act {
    Append {
        count: u32,
        bytes: usize,
        routed: bool,
    },
    Stage {
        chunks: u32,
        routed: bool,
    },
    /// Everything that was appended becomes durable.
    Sync,
    Gather {
        lane: usize,
        rows: u64,
    },
    /// What every lane has gathered is settled, and goes.
    Retain,
    Restart,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let append = (1..6_u32, 0..300_000_usize, any::<bool>());
    let act = prop_oneof![
        10 => append.prop_map(|(count, bytes, routed)| Act::Append { count, bytes, routed }),
        1 => (1..4_u32, any::<bool>()).prop_map(|(chunks, routed)| Act::Stage { chunks, routed }),
        3 => Just(Act::Sync),
        6 => (0..LANES, 1..30_u64).prop_map(|(lane, rows)| Act::Gather { lane, rows }),
        1 => Just(Act::Retain),
        1 => Just(Act::Restart),
    ];
    proptest::collection::vec(act, 1..80)
}

/// A store, what is in it, and lanes that read it.
struct House {
    disk: SimDisk,
    recent_bytes_max: usize,
    store: Arc<dyn Store>,
    source: SourceId,
    routed: SchemaId,
    other: SchemaId,
    /// For each position from the first on, whether it is the lanes'.
    list: Vec<bool>,
    last: Option<Receipt>,
    ids: Vec<LaneId>,
    readers: Vec<LaneReader>,
}

fn open(disk: &SimDisk, recent_bytes_max: usize) -> Arc<dyn Store> {
    let options = LogOptions {
        segment_bytes: 1 << 20,
        recent_bytes_max,
        ..LogOptions::default()
    };
    let retention = Retention {
        max_bytes: 0,
        ..Retention::default()
    };
    let opened = LogStore::open(Path::new("/log"), options, disk.shared(), retention);
    Arc::new(opened.unwrap().0)
}

impl House {
    fn new(recent_bytes_max: usize) -> House {
        let disk = SimDisk::default();
        let store = open(&disk, recent_bytes_max);
        let source = store.register_source("web").unwrap();
        let define = |trigger| {
            let about = About::trigger(trigger, Bytes::new());
            store.define(source, about).unwrap()
        };
        let (routed, other) = (define("routed"), define("other"));
        let lane = |number| store.register_lane(&format!("void/{number}")).unwrap();
        House {
            ids: (0..LANES).map(lane).collect(),
            readers: (0..LANES)
                .map(|_| LaneReader::new(&store, Position::FIRST))
                .collect(),
            disk,
            recent_bytes_max,
            store,
            source,
            routed,
            other,
            list: Vec::new(),
            last: None,
        }
    }

    fn act(&mut self, act: &Act) -> Result<(), TestCaseError> {
        match *act {
            Act::Append {
                count,
                bytes,
                routed,
            } => self.append(count, bytes, routed),
            Act::Stage { chunks, routed } => self.stage(chunks, routed),
            Act::Sync => self.sync(),
            Act::Gather { lane, rows } => self.gather(lane, rows)?,
            Act::Retain => self.retain(),
            Act::Restart => self.restart(),
        }
        Ok(())
    }

    fn tally(&self, count: u32, routed: bool) -> Vec<Tally> {
        let schema = if routed { self.routed } else { self.other };
        vec![Tally {
            schema,
            group: 0,
            count,
        }]
    }

    fn took(&mut self, receipt: Receipt, count: u32, routed: bool) {
        assert_eq!(receipt.first.0, self.list.len() as u64 + 1);
        self.list.extend((0..count).map(|_| routed));
        self.last = Some(receipt);
    }

    fn append(&mut self, count: u32, bytes: usize, routed: bool) {
        let draft = Draft {
            format: FormatId::JSON,
            received_at: Timestamp(0),
            tally: self.tally(count, routed),
            envelope: Bytes::new(),
            body: Bytes::from(vec![7; bytes]),
            state: Vec::new(),
        };
        let receipt = self.store.append(self.source, draft).unwrap();
        self.took(receipt, count, routed);
    }

    fn stage(&mut self, chunks: u32, routed: bool) {
        let mut stage = self.store.stage(self.source).unwrap();
        for _ in 0..chunks {
            let tally = self.tally(2, routed);
            stage
                .push(&tally, vec![Bytes::from(vec![8; 50_000])])
                .unwrap();
        }
        let commit = Commit {
            format: FormatId::JSON,
            received_at: Timestamp(0),
            envelope: Bytes::new(),
            excluded: Excluded::default(),
            state: Vec::new(),
        };
        let receipt = stage.commit(commit).unwrap();
        self.took(receipt, 2 * chunks, routed);
    }

    fn sync(&self) {
        if let Some(receipt) = &self.last {
            receipt.wait(PATIENCE).unwrap();
        }
    }

    /// One batch of a lane holds exactly what is the lane's from where it stood.
    fn gather(&mut self, lane: usize, rows: u64) -> Result<(), TestCaseError> {
        let upto = self.store.durable().upto();
        let limits = BatchLimits {
            rows_max: rows,
            ..BatchLimits::default()
        };
        let routed = self.routed;
        let reader = &mut self.readers[lane];
        let next = reader.read_upto().next();
        let mut batch = Batch::new();
        reader
            .gather(&mut batch, &limits, &|schema| schema == routed, upto, NOW)
            .unwrap();
        let Some(span) = batch.span() else {
            prop_assert!(next > upto, "{next} is durable and was not gathered");
            return Ok(());
        };
        prop_assert_eq!(span.first, next);
        prop_assert_eq!(reader.read_upto(), span.last);
        prop_assert!(span.last <= upto, "only what is durable");
        let own = |span: Span| {
            let range = span.first.0 as usize - 1..span.last.0 as usize;
            self.list[range].iter().filter(|own| **own).count() as u64
        };
        prop_assert_eq!(batch.events(), own(span));
        prop_assert!(span.last == upto || batch.events() == rows);
        let Some(cached) = batch.take_cached() else {
            return Ok(());
        };
        let parts = cached.iter().filter_map(Block::span);
        let seen: Vec<Span> = parts.filter_map(|whole| whole.intersection(span)).collect();
        let in_order = seen.windows(2).all(|pair| pair[0].last < pair[1].first);
        prop_assert!(in_order, "{seen:?}");
        prop_assert_eq!(seen.into_iter().map(own).sum::<u64>(), own(span));
        Ok(())
    }

    fn retain(&mut self) {
        for (id, reader) in self.ids.iter().zip(&self.readers) {
            let span = Span::new(Position::FIRST, reader.read_upto());
            if !span.is_empty() {
                let settled = Transition {
                    lane: *id,
                    span,
                    status: Status::Succeeded,
                    attempt: 1,
                    at: Timestamp(0),
                    error: None,
                    command: None,
                };
                self.last = Some(self.store.record(&[settled]).unwrap());
            }
        }
        self.sync();
        self.store.retain(Timestamp(0)).unwrap();
    }

    fn restart(&mut self) {
        self.store.close().unwrap();
        self.disk.kill();
        self.store = open(&self.disk, self.recent_bytes_max);
        self.last = None;
        for reader in &mut self.readers {
            *reader = LaneReader::new(&self.store, reader.read_upto().next());
        }
    }

    /// Every lane to its end.
    fn finish(&mut self) -> Result<(), TestCaseError> {
        self.sync();
        for lane in 0..LANES {
            self.gather(lane, u64::MAX)?;
            let end = Position(self.list.len() as u64);
            prop_assert_eq!(self.readers[lane].read_upto(), end);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Scenario 19: from the tail in memory, from the log, and over the seam between them.
    #[test]
    fn each_position_is_gathered_once_and_in_order_at_every_lag_through_rotation_retention_and_restarts(
        acts in acts(),
        recent_bytes_max in prop_oneof![Just(0_usize), Just(500_000), Just(32 << 20)],
    ) {
        let mut house = House::new(recent_bytes_max);
        for act in &acts {
            house.act(act)?;
        }
        house.finish()?;
    }
}
