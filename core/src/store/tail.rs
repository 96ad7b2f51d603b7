//! The tail: what became durable last, kept in memory for the lanes that keep up.
//!
//! The log's writer hands over what each sync made durable. It is kept, in order, until newer takes its room
//! ([`LogOptions::recent_bytes_max`](crate::log::LogOptions::recent_bytes_max)), and each lane gets one **run** for it, 16 bytes, through a
//! [ring](crate::ring) of its own. A run is a *weak* reference: only the tail keeps events in memory, so a lane that
//! is held, slow or hourly holds no memory, and cannot push out what others need. When it gets there and the run leads
//! nowhere any more, or the run found no room in the ring, the lane reads the log ([`Following`](super::follow::Following)).
//!
//! Why the writer hands over, and not those who append: what may be seen is decided by the sync, in one order, by one
//! thread, which has it all in hand at that moment. Appenders pay nothing, the writer one claim per lane and sync, and
//! nobody waits: the tail neither holds up the source nor is it held up by a lane.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crossbeam_channel::{Receiver, Sender};

use super::log::block_of;
use crate::event::Block;
use crate::log::{Listener, Written};
use crate::position::Position;
use crate::ring::{Consumer, Producer, ring};

/// Runs that wait for one lane, at most. At one for each sync, that is seconds of them.
const RUNS_MAX: usize = 1_024;
/// Lanes that wait to be handed runs, at most; one more reads the log instead.
const JOINING_MAX: usize = 1_024;
/// Memory that a frame takes besides its bytes, about.
const FRAME_BYTES: u64 = 256;

/// The events that one sync made durable.
#[derive(Debug)]
pub(super) struct Recent {
    /// As they were appended, until the first lane looks.
    frames: Mutex<Vec<Written>>,
    /// The same, read once for all lanes.
    blocks: OnceLock<Vec<Block>>,
}

impl Recent {
    fn new(frames: Vec<Written>) -> Recent {
        Recent {
            frames: Mutex::new(frames),
            blocks: OnceLock::new(),
        }
    }

    /// The blocks in order of position. Those that were staged are missing, and what cannot be read: the
    /// log tells why.
    pub(super) fn blocks(&self) -> &[Block] {
        self.blocks.get_or_init(|| {
            let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
            let frames = std::mem::take(&mut *frames).into_iter();
            frames.filter_map(block_of).collect()
        })
    }
}

/// Where a lane finds what became durable from `first` on, if it is still there.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) first: Position,
    pub(super) recent: Weak<Recent>,
}

/// The writer's end.
#[derive(Debug)]
pub(super) struct Tail {
    kept: VecDeque<(u64, Arc<Recent>)>,
    kept_bytes: u64,
    kept_bytes_max: u64,
    lanes: Vec<Producer<Run>>,
    joining: Receiver<Producer<Run>>,
    /// One run on its way, lane by lane.
    handing: Vec<Run>,
}

/// The lanes' end. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Entrance(Sender<Producer<Run>>);

impl Tail {
    /// A tail that keeps at most `kept_bytes_max`.
    pub(super) fn new(kept_bytes_max: usize) -> (Tail, Entrance) {
        let (entrance, joining) = crossbeam_channel::bounded(JOINING_MAX);
        let tail = Tail {
            kept: VecDeque::new(),
            kept_bytes: 0,
            kept_bytes_max: kept_bytes_max as u64,
            lanes: Vec::new(),
            joining,
            handing: Vec::with_capacity(1),
        };
        (tail, Entrance(entrance))
    }

    fn keep(&mut self, bytes: u64, recent: Arc<Recent>) {
        self.kept.push_back((bytes, recent));
        self.kept_bytes += bytes;
        while self.kept_bytes > self.kept_bytes_max
            && let Some((bytes, _)) = self.kept.pop_front()
        {
            self.kept_bytes -= bytes;
        }
    }
}

impl Listener for Tail {
    fn listens(&self) -> bool {
        !self.lanes.is_empty() || !self.joining.is_empty()
    }

    fn durable(&mut self, frames: Vec<Written>) {
        self.lanes.extend(self.joining.try_iter());
        self.lanes.retain(|lane| !lane.is_abandoned());
        let Some(first) = frames.first().map(|frame| frame.first) else {
            return;
        };
        let parts = frames.iter().flat_map(|frame| &frame.parts);
        let bytes = parts.map(|part| part.len() as u64).sum::<u64>();
        let bytes = bytes + frames.len() as u64 * FRAME_BYTES;
        let recent = Arc::new(Recent::new(frames));
        for lane in &self.lanes {
            self.handing.push(Run {
                first,
                recent: Arc::downgrade(&recent),
            });
            lane.offer(&mut self.handing);
            // A full ring leaves the run here: that lane reads the log.
            self.handing.clear();
        }
        if self.lanes.is_empty() {
            self.kept.clear();
            self.kept_bytes = 0;
        } else {
            self.keep(bytes, recent);
        }
    }
}

impl Entrance {
    /// Has runs handed over from now on.
    pub(super) fn join(&self) -> Consumer<Run> {
        let (producer, consumer) = ring(RUNS_MAX);
        // With no room, or no writer any more, nothing ever comes, and the lane reads the log.
        _ = self.0.try_send(producer);
        consumer
    }
}
