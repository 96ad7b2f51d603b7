//! Which segments may go: the oldest, whole, settled, and too old or too many.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use crate::clock::Timestamp;
use crate::failpoint;
use crate::log::active::failed;
use crate::log::catalog::{SegmentInfo, Shared};
use crate::log::durable::{Fence, lock};
use crate::log::hopper::{Retire, Work};
use crate::log::segment::Name;
use crate::log::snapshot::StageTable;
use crate::position::Position;

/// How long settled segments are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// A segment whose last frame is older may go.
    pub max_age: Duration,
    /// The oldest may go while segments and staged files take more bytes than this.
    pub max_bytes: u64,
}

impl Default for Retention {
    /// Seven days, ten GiB.
    fn default() -> Self {
        Retention {
            max_age: Duration::from_secs(7 * 24 * 3600),
            max_bytes: 10 << 30,
        }
    }
}

/// What the decision needs to know of one segment.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// The last position in it and in all before it.
    last: Position,
    /// When the next one was begun: nothing was written to it since.
    sealed_at: Timestamp,
    /// Bytes that dropping it frees, its staged files included.
    bytes: u64,
}

/// How many of the oldest `sealed` segments go; `open_bytes` are taken by the one being written.
fn choose(
    sealed: &[Candidate],
    open_bytes: u64,
    settled: Position,
    policy: &Retention,
    now: Timestamp,
) -> usize {
    let mut held = sealed.iter().map(|each| each.bytes).sum::<u64>() + open_bytes;
    let goes = |candidate: &&Candidate| {
        let old = now.since(candidate.sealed_at) > policy.max_age;
        let large = held > policy.max_bytes;
        held -= candidate.bytes;
        candidate.last <= settled && (old || large)
    };
    sealed.iter().take_while(goes).count()
}

/// Decides and hands the work to the writer; the receiver hears when it is done.
pub(super) fn begin(
    shared: &Arc<Shared>,
    stages: &mut StageTable,
    settled: Position,
    policy: &Retention,
    now: Timestamp,
) -> (Vec<SegmentInfo>, Receiver<()>) {
    let (done, receiver) = bounded(1);
    let infos = shared.segments();
    let (sealed, open_bytes) = candidates(shared, stages);
    let count = choose(&sealed, open_bytes, settled, policy, now);
    let dropped: Vec<SegmentInfo> = infos.into_iter().take(count).collect();
    let segments: Vec<u64> = dropped.iter().map(|info| info.id).collect();
    let Some(newest) = segments.last().copied() else {
        return (dropped, receiver);
    };
    let gone = stages.staged.iter().filter(|(_, at)| at.segment <= newest);
    let gone: Vec<u64> = gone.map(|(id, _)| *id).collect();
    stages.staged.retain(|_, at| at.segment > newest);
    let retire = Retire {
        segments,
        stages: gone,
        done,
    };
    shared.hopper.push([Work::Retire(retire)], 0);
    (dropped, receiver)
}

/// Drops the oldest segments one by one: were a later one gone and an earlier one back after a
/// crash, the log would look as if its middle were missing.
pub(super) fn carry_out(shared: &Shared, retire: &Retire) -> Result<(), Fence> {
    for id in &retire.segments {
        drop_segment(shared, *id)?;
    }
    for id in &retire.stages {
        let path = Name::Stage(*id).path(&shared.dir);
        let removed = shared.disk.remove(&path);
        removed.map_err(|error| failed("remove", &path, &error))?;
    }
    // Nobody may be waiting for it any more, which is fine.
    _ = retire.done.try_send(());
    Ok(())
}

fn drop_segment(shared: &Shared, id: u64) -> Result<(), Fence> {
    let mut catalog = lock(&shared.catalog);
    let Some(segment) = catalog.segments.pop_front_if(|front| front.header.id == id) else {
        return Ok(());
    };
    let is_read = Arc::strong_count(&segment.lease) > 1;
    let is_wanted = catalog.spares.len() < shared.spare_segments && !shared.reserve.is_short();
    let keep = is_wanted && !is_read;
    drop(catalog);
    let disk = shared.disk.as_ref();
    let path = Name::Segment(id).path(&shared.dir);
    let gone = match keep {
        true => disk.rename(&path, &Name::Spare(id).path(&shared.dir)),
        false => disk.remove(&path),
    };
    gone.map_err(|error| failed("drop", &path, &error))?;
    failpoint!(SegmentDropped?);
    let synced = disk.sync_dir(&shared.dir);
    synced.map_err(|error| failed("sync", &shared.dir, &error))?;
    if keep {
        lock(&shared.catalog).spares.push(id);
    }
    Ok(())
}

fn candidates(shared: &Shared, stages: &StageTable) -> (Vec<Candidate>, u64) {
    let catalog = lock(&shared.catalog);
    let bytes = |id: u64, file_bytes: u64| {
        let staged = stages.staged.values().filter(|at| at.segment == id);
        file_bytes + staged.map(|at| at.bytes).sum::<u64>()
    };
    let mut sealed = Vec::new();
    let mut open_bytes = 0;
    for (index, segment) in catalog.segments.iter().enumerate() {
        let bytes = bytes(segment.header.id, segment.file_bytes);
        match catalog.segments.get(index + 1) {
            None => open_bytes = bytes,
            Some(next) => sealed.push(Candidate {
                last: next.header.first.previous(),
                sealed_at: next.header.created_at,
                bytes,
            }),
        }
    }
    (sealed, open_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn sealed(last: u64, day: u64, bytes: u64) -> Candidate {
        Candidate {
            last: Position(last),
            sealed_at: at(day),
            bytes,
        }
    }

    fn at(day: u64) -> Timestamp {
        Timestamp(0).after(DAY * day as u32)
    }

    fn policy(days: u32, max_bytes: u64) -> Retention {
        Retention {
            max_age: DAY * days,
            max_bytes,
        }
    }

    #[test]
    fn an_unsettled_segment_stays_however_old_and_large() {
        let row = [sealed(10, 1, 100), sealed(20, 2, 100), sealed(30, 3, 100)];
        let chosen = choose(&row, 100, Position(19), &policy(0, 0), at(90));
        assert_eq!(chosen, 1);
    }

    #[test]
    fn age_counts_from_the_last_moment_a_segment_was_written() {
        let row = [sealed(10, 1, 100), sealed(20, 2, 100)];
        let settled = Position(20);
        assert_eq!(choose(&row, 0, settled, &policy(7, 1000), at(8)), 0);
        assert_eq!(choose(&row, 0, settled, &policy(7, 1000), at(9)), 1);
        assert_eq!(choose(&row, 0, settled, &policy(7, 1000), at(10)), 2);
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        let row = [sealed(10, 1, 100), sealed(20, 1, 50), sealed(30, 1, 100)];
        let settled = Position(30);
        assert_eq!(choose(&row, 100, settled, &policy(7, 350), at(1)), 0);
        assert_eq!(choose(&row, 100, settled, &policy(7, 349), at(1)), 1);
        assert_eq!(choose(&row, 100, settled, &policy(7, 249), at(1)), 2);
    }
}
