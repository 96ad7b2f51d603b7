//! Opening a log: lock the folder, read the last segment, clean up what a crash left, and say so.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::log::active::{Active, Birth, Content, failed};
use crate::log::batch::Batch;
use crate::log::catalog::{Catalog, Segment, Shared};
use crate::log::disk::{Access, Disk, Lock, read_full};
use crate::log::durable::{Durable, End, Mark};
use crate::log::frame::KIND_OPENED;
use crate::log::hopper::Hopper;
use crate::log::mend::{check_stages, clean, mend, unavailable};
use crate::log::reserve::Reserve;
use crate::log::scan::{Scanned, scan};
use crate::log::segment::{Name, SegmentHeader, stage_dir};
use crate::log::sequencer::Sequencer;
use crate::log::snapshot::{Fold, Snapshot, StageTable};
use crate::log::survey::{Survey, Surveyed, check_pair, read_header, survey};
use crate::log::walk::unreadable;
use crate::log::{LogOptions, SyncMode};
use crate::position::{Position, Span};

/// The tail of a write that was cut off, and was never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The segment's file.
    pub path: PathBuf,
    /// The segment.
    pub segment: u64,
    /// Where the tail began.
    pub offset: u64,
    /// How long it was.
    pub bytes: u64,
}

/// What opening found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Identity of the store, random at its birth.
    pub store: u64,
    /// How many times it has been opened for writing, this time included.
    pub epoch: u32,
    /// Whether it was made now.
    pub created: bool,
    /// The positions it holds; empty when none.
    pub span: Span,
    /// How many segments it has.
    pub segments: usize,
    /// Frames read from the last segment.
    pub frames: u64,
    /// A write that had been cut off and was removed.
    pub torn: Option<Torn>,
    /// Staged files without a commit that were removed.
    pub stages_removed: u64,
    /// Bytes they took.
    pub stage_bytes_removed: u64,
    /// How long opening took.
    pub took: Duration,
}

/// Everything a log is made of.
#[derive(Debug)]
pub(super) struct Recovered<F> {
    pub(super) shared: Arc<Shared>,
    pub(super) sequencer: Sequencer<F>,
    pub(super) active: Active,
    pub(super) lock: Lock,
    pub(super) recovery: Recovery,
}

/// The last segment made ready for more, and everything known from it.
struct Ready {
    active: Active,
    catalog: Catalog,
    stages: StageTable,
    next: Position,
    frames: u64,
    torn: Option<Torn>,
    created: bool,
}

/// Opens or makes the log in `dir`.
///
/// # Errors
/// As [`super::Log::open`].
pub(super) fn open<F: Fold>(
    dir: &Path,
    options: &LogOptions,
    disk: Arc<dyn Disk>,
    mut fold: F,
) -> Result<Recovered<F>> {
    let started = options.clock.elapsed();
    let lock = prepare(dir, disk.as_ref())?;
    let found = survey(disk.as_ref(), dir)?;
    let reserve = Reserve::of(dir, Arc::clone(&disk), options.reserve_bytes);
    // Never complete, never named as a segment: and their names are needed.
    for id in &found.unfinished {
        let path = Name::New(*id).path(dir);
        let removed = disk.remove(&path);
        removed.map_err(|error| unavailable(&failed("remove", &path, &error)))?;
    }
    let mut ready = match found.segments.is_empty() {
        true => create(dir, options, disk.as_ref(), &found, &reserve, &fold)?,
        false => resume(dir, options, disk.as_ref(), &found, &reserve, &mut fold)?,
    };
    let removed = clean(
        dir,
        disk.as_ref(),
        &found,
        &mut ready.catalog,
        &mut ready.stages,
    )?;
    let end = End {
        mark: Mark {
            upto: ready.next.previous(),
            frames: 0,
        },
        segment: ready.active.id,
        offset: ready.active.durable,
    };
    let staged = ready.stages.staged.values();
    let staged = staged.filter(|at| at.segment == ready.active.id);
    let sequencer = Sequencer {
        staged_bytes: staged.map(|at| at.bytes).sum(),
        fold,
        next: ready.next,
        segment: ready.active.id,
        fill_bytes: ready.active.offset,
        room_bytes: options.segment_bytes,
        frames: 0,
        stages: ready.stages,
    };
    let first = ready
        .catalog
        .segments
        .front()
        .map(|front| front.header.first);
    let recovery = Recovery {
        store: ready.active.store,
        epoch: ready.active.epoch,
        created: ready.created,
        span: Span::new(first.unwrap_or(Position::FIRST), ready.next.previous()),
        segments: ready.catalog.segments.len(),
        frames: ready.frames,
        torn: ready.torn,
        stages_removed: removed.0,
        stage_bytes_removed: removed.1,
        took: options.clock.elapsed().saturating_sub(started),
    };
    report(&recovery, options);
    if !reserve.is_short() {
        let laid_by = reserve.lay_by();
        laid_by.map_err(|error| unavailable(&failed("set aside", reserve.path(), &error)))?;
    }
    let shared = Arc::new(Shared {
        disk,
        dir: dir.to_owned(),
        store: ready.active.store,
        catalog: Mutex::new(ready.catalog),
        hopper: Hopper::new(options.pending_bytes_max),
        durable: Durable::at(end),
        next_stage: AtomicU64::new(sequencer.stages.next_stage),
        reserve: Arc::new(reserve),
        spare_segments: options.spare_segments,
    });
    Ok(Recovered {
        shared,
        sequencer,
        active: ready.active,
        lock,
        recovery,
    })
}

fn report(recovery: &Recovery, options: &LogOptions) {
    if options.sync == SyncMode::Never {
        tracing::warn!("the log does not sync: a power cut loses acknowledged data");
    }
    if let Some(torn) = &recovery.torn {
        tracing::warn!(
            path = %torn.path.display(),
            offset = torn.offset,
            bytes = torn.bytes,
            "removed a write that had been cut off; it was never acknowledged"
        );
    }
    if recovery.stages_removed > 0 {
        tracing::info!(
            files = recovery.stages_removed,
            bytes = recovery.stage_bytes_removed,
            "removed transactions that were not committed"
        );
    }
}

/// The folder, its lock, and the names in it made durable.
pub(super) fn prepare(dir: &Path, disk: &dyn Disk) -> Result<Lock> {
    let stages = stage_dir(dir);
    let created = disk.create_dir(&stages);
    created.map_err(|error| unreadable(&stages, error))?;
    let path = dir.join("LOCK");
    let note = format!("{}\n", std::process::id());
    let taken = disk.lock(&path, &note);
    let taken = taken.map_err(|error| unreadable(&path, error))?;
    let lock = taken.ok_or_else(|| in_use(disk, &path))?;
    for folder in [dir.parent(), Some(dir), Some(&stages)]
        .into_iter()
        .flatten()
    {
        // The parent of a relative name is the empty path.
        if !folder.as_os_str().is_empty() {
            let synced = disk.sync_dir(folder);
            synced.map_err(|error| unreadable(folder, error))?;
        }
    }
    Ok(lock)
}

fn in_use(disk: &dyn Disk, path: &Path) -> Error {
    let mut note = [0; 20];
    let read = disk
        .open(path, Access::Read)
        .and_then(|file| read_full(file.as_ref(), &mut note, 0))
        .unwrap_or(0);
    let note = note.get(..read).unwrap_or_default();
    let owner = match std::str::from_utf8(note).map(str::trim) {
        Ok(pid) if !pid.is_empty() => format!("process {pid}"),
        _ => "another process".to_owned(),
    };
    Error::refused(format!("{owner} has this log open"))
        .at(path.display())
        .help("a store has one owner: stop it first, or run gateway and scheduler in one process, or choose another folder")
}

/// Makes the first segment of a new store.
fn create(
    dir: &Path,
    options: &LogOptions,
    disk: &dyn Disk,
    found: &Survey,
    reserve: &Reserve,
    fold: &dyn Fold,
) -> Result<Ready> {
    let spare = found.spares.first().map(|id| Name::Spare(*id));
    let stage = found.stages.first().map(|id| Name::Stage(*id));
    if let Some(left) = spare.or(stage) {
        return Err(Error::damaged("a log without segments, but not a new one")
            .at(left.path(dir).display())
            .help("put the missing .seg files back, or empty the folder to begin anew"));
    }
    let store = getrandom::u64()
        .map_err(|_| Error::unavailable("the system gives no random number for the store's id"))?;
    let header = SegmentHeader {
        store,
        id: 1,
        epoch: 1,
        recycled: false,
        first: Position::FIRST,
        created_at: options.clock.now(),
        previous_end: 0,
        chain: 0,
    };
    let stages = StageTable {
        next_stage: 1,
        ..StageTable::default()
    };
    let birth = Birth {
        disk,
        room: reserve,
        dir,
        header,
        snapshot: Snapshot::new(&stages, fold),
        snapshot_frame_bytes: options.snapshot_frame_bytes,
        spare: None,
        planned_bytes: options.segment_bytes,
        sync: options.sync,
    };
    let active = birth.create().map_err(|fence| unavailable(&fence))?;
    let mut segment = Segment::new(header, active.file_bytes);
    segment.frames = Some(0);
    Ok(Ready {
        active,
        catalog: Catalog {
            segments: [segment].into(),
            spares: Vec::new(),
        },
        stages,
        next: Position::FIRST,
        frames: 0,
        torn: None,
        created: true,
    })
}

/// Reads the headers of all segments, and of the frames those in the last.
pub(super) fn read_segments(
    dir: &Path,
    disk: &dyn Disk,
    found: &Survey,
    fold: &mut dyn Fold,
    access: Access,
) -> Result<(Catalog, Surveyed, Scanned)> {
    let mut catalog = Catalog::default();
    let mut before: Option<Surveyed> = None;
    for id in &found.segments {
        let at = read_header(disk, dir, *id)?;
        if let Some(before) = &before {
            check_pair(dir, before, &at)?;
        }
        if let Some(before) = catalog.segments.back() {
            before.seal(at.header.previous_end);
        }
        let segment = Segment::new(at.header, at.file_bytes);
        catalog.segments.push_back(segment);
        before = Some(at);
    }
    let (Some(last), Some(segment)) = (before, catalog.segments.back_mut()) else {
        return Err(Error::invalid("there is no log in this folder").at(dir.display()));
    };
    let scanned = scan(disk, &last, segment, fold, access)?;
    if let Some(oldest) = catalog.segments.front() {
        fold.forget_before(oldest.header.first);
    }
    Ok((catalog, last, scanned))
}

/// Makes the last segment ready to be written on.
fn resume(
    dir: &Path,
    options: &LogOptions,
    disk: &dyn Disk,
    found: &Survey,
    reserve: &Reserve,
    fold: &mut dyn Fold,
) -> Result<Ready> {
    let (catalog, last, scanned) = read_segments(dir, disk, found, fold, Access::Write)?;
    check_stages(dir, disk, found, &catalog, &scanned)?;
    mend(&last, &scanned, reserve)?;
    let epoch = scanned.epoch.checked_add(1).ok_or_else(|| {
        Error::refused("this log was opened too often").help("begin a new one in another folder")
    })?;
    let mut active = Active {
        store: last.header.store,
        id: last.header.id,
        epoch,
        path: last.path.clone(),
        file: Arc::clone(&scanned.file),
        file_bytes: last.file_bytes.max(scanned.end + scanned.torn_bytes),
        offset: scanned.end,
        durable: scanned.end,
        chain: scanned.chain,
        batch: Batch::default(),
        planned_bytes: options.segment_bytes,
        sync: options.sync,
    };
    // From here on frames of the epoch before are stale, whoever may still write them.
    active.frame(Content::mark(KIND_OPENED, scanned.next), &[]);
    active.flush(reserve).map_err(|fence| unavailable(&fence))?;
    let torn = (scanned.torn_bytes > 0).then(|| Torn {
        path: last.path.clone(),
        segment: last.header.id,
        offset: scanned.end,
        bytes: scanned.torn_bytes,
    });
    Ok(Ready {
        active,
        catalog,
        stages: scanned.stages,
        next: scanned.next,
        frames: scanned.frames,
        torn,
        created: false,
    })
}
