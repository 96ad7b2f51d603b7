//! Setting right, at opening, what a crash left: a torn tail, frames nobody vouches for, transactions
//! without a commit.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::log::active::failed;
use crate::log::catalog::Catalog;
use crate::log::disk::{Access, Disk, DiskFile, read_full, write_all};
use crate::log::durable::Fence;
use crate::log::reserve::{Room, insist};
use crate::log::scan::Scanned;
use crate::log::segment::{Name, stage_dir};
use crate::log::snapshot::StageTable;
use crate::log::survey::{Survey, Surveyed};
use crate::log::walk::{damaged, unreadable};
use crate::position::{Position, Span};

/// Nothing is lost when the disk fails during opening, so it may be tried again.
pub(super) fn unavailable(fence: &Fence) -> Error {
    Error::unavailable(fence.what.clone()).help(fence.help.clone())
}

/// Every committed staged file must be there in full length.
pub(super) fn check_stages(
    dir: &Path,
    disk: &dyn Disk,
    found: &Survey,
    catalog: &Catalog,
    scanned: &Scanned,
) -> Result<()> {
    let oldest = catalog.segments.front().map_or(0, |front| front.header.id);
    for (id, staged) in &scanned.stages.staged {
        if staged.segment < oldest {
            continue;
        }
        let path = Name::Stage(*id).path(dir);
        let index = usize::try_from(staged.segment - oldest).unwrap_or(usize::MAX);
        let first = catalog
            .segments
            .get(index)
            .map_or(Position::FIRST, |at| at.header.first);
        let lost = Span::new(first, catalog.last(index, scanned.next.previous()));
        if found.stages.binary_search(id).is_err() {
            return Err(damaged(
                &path,
                0,
                "a committed transaction is missing",
                lost,
            ));
        }
        let file = disk.open(&path, Access::Read);
        let bytes = file.and_then(|file| file.bytes());
        let bytes = bytes.map_err(|error| unreadable(&path, error))?;
        if bytes < staged.bytes {
            return Err(damaged(
                &path,
                bytes,
                "a committed transaction is cut short",
                lost,
            ));
        }
    }
    Ok(())
}

/// Removes the torn tail, and writes what nobody vouches for once more: it may be in the page cache
/// only, marked as written by a sync that failed.
pub(super) fn mend(last: &Surveyed, scanned: &Scanned, room: &dyn Room) -> Result<()> {
    const STEP_BYTES: u64 = 1 << 20;
    let file: &dyn DiskFile = scanned.file.as_ref();
    let unwritable = |error| unavailable(&failed("write", &last.path, &error));
    let mut at = scanned.vouched;
    while at < scanned.end {
        let len = (scanned.end - at).min(STEP_BYTES);
        let mut bytes = vec![0; len as usize];
        let read = read_full(file, &mut bytes, at);
        let read = read.map_err(|error| unreadable(&last.path, error))?;
        let bytes = bytes.get(..read).unwrap_or_default();
        insist(room, || write_all(file, &[bytes], at)).map_err(unwritable)?;
        at += len;
    }
    let torn_end = scanned.end + scanned.torn_bytes;
    let zeros = Bytes::from(vec![0; STEP_BYTES.min(scanned.torn_bytes) as usize]);
    while at < torn_end {
        let len = (torn_end - at).min(STEP_BYTES) as usize;
        let zeros = zeros.get(..len).unwrap_or_default();
        insist(room, || write_all(file, &[zeros], at)).map_err(unwritable)?;
        at += len as u64;
    }
    file.sync()
        .map_err(|error| unavailable(&failed("sync", &last.path, &error)))
}

/// Removes what a crash left: staged files without a commit or whose segment is
/// gone. Returns how many of the uncommitted and their bytes.
pub(super) fn clean(
    dir: &Path,
    disk: &dyn Disk,
    found: &Survey,
    catalog: &mut Catalog,
    stages: &mut StageTable,
) -> Result<(u64, u64)> {
    let remove = |path: &Path| {
        let removed = disk.remove(path);
        removed.map_err(|error| unavailable(&failed("remove", path, &error)))
    };
    catalog.spares.clone_from(&found.spares);
    let oldest = catalog.segments.front().map_or(0, |front| front.header.id);
    let committed: BTreeSet<u64> = stages.staged.keys().copied().collect();
    stages.staged.retain(|_, staged| staged.segment >= oldest);
    let (mut files, mut bytes) = (0, 0);
    for id in &found.stages {
        stages.next_stage = stages.next_stage.max(id + 1);
        if stages.staged.contains_key(id) {
            continue;
        }
        let path = Name::Stage(*id).path(dir);
        if !committed.contains(id) {
            files += 1;
            bytes += disk
                .open(&path, Access::Read)
                .and_then(|file| file.bytes())
                .unwrap_or(0);
        }
        remove(&path)?;
    }
    // The names must be gone before a new file can take one of them.
    let stages = stage_dir(dir);
    let synced = disk.sync_dir(&stages);
    synced.map_err(|error| unavailable(&failed("sync", &stages, &error)))?;
    Ok((files, bytes))
}
