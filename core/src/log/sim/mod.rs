//! A simulated disk for tests: a page cache over blocks, names that need their folder synced, power
//! cuts, errors and damage, all decided by a seed.
//!
//! What a power cut leaves: of each file any length it had since its last sync, of each unsynced
//! block (of 512 bytes, or 4 KiB) any version it had, and of the unsynced changes of names any subset. A sync
//! that fails leaves the blocks in the cache marked clean, as Linux does: they look written, and are
//! gone after the next power cut. A call may also take as long as a test wants it to.

#![allow(clippy::indexing_slicing, reason = "tests may fail by panic")]

mod dice;
mod inode;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::log::disk::{Access, Disk, DiskFile, Lock, write_all};
use crate::log::durable::lock;
pub(crate) use dice::Dice;
use inode::{BlockBytes, Inode};

/// How much of what was not synced a power cut keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing.
    Nothing,
    /// Everything, as if the kernel had just written it back.
    Everything,
    /// Any part of it, by this seed.
    Any(u64),
}

/// What goes wrong at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The power goes, in the middle of the call.
    PowerCut,
    /// The call fails with this error, once.
    Error(ErrorKind),
    /// The call takes until [`SimDisk::go_on`].
    Slow,
}

#[derive(Debug, Clone)]
enum Change {
    Link(PathBuf, u64),
    Rename(PathBuf, PathBuf, u64),
    Unlink(PathBuf),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Change::Link(path, inode) => _ = names.insert(path.clone(), *inode),
            Change::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
            Change::Unlink(path) => _ = names.remove(path),
        }
    }

    fn folder(&self) -> Option<&Path> {
        match self {
            Change::Link(path, _) | Change::Rename(path, ..) | Change::Unlink(path) => {
                path.parent()
            }
        }
    }
}

#[derive(Debug, Default)]
struct World {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    names_on_platter: BTreeMap<PathBuf, u64>,
    changes: Vec<Change>,
    locks: BTreeSet<PathBuf>,
    /// Calls that change something, so far.
    calls: u64,
    faults: BTreeMap<u64, Fault>,
    /// Calls that only look, so far, and what goes wrong at them.
    looks: u64,
    look_faults: BTreeMap<u64, ErrorKind>,
    /// How many faults happened since they were last cleared.
    met: u64,
    /// Whether a call takes its time, and who waits for that or for its end.
    is_slow: bool,
    slowness: Arc<Condvar>,
    /// Of files that are made from now on.
    block: BlockBytes,
    /// Bytes that all files together may take.
    capacity: Option<usize>,
    /// Writes are cut short and interrupted by this.
    stutter: Option<Dice>,
    /// Folder syncs are answered but not done: a bug that tests must find.
    forgets_folders: bool,
    is_off: bool,
    /// The power is being cut: syncs do not finish any more.
    is_cutting: bool,
    /// Counts processes: files opened by an earlier one are closed.
    process: u64,
}

/// The disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<World>>);

impl SimDisk {
    pub(crate) fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// How many changing calls there were.
    pub(crate) fn calls(&self) -> u64 {
        lock(&self.0).calls
    }

    /// Plans a fault at a changing call, counted from now.
    pub(crate) fn fault_in(&self, calls: u64, fault: Fault) {
        let mut world = lock(&self.0);
        let at = world.calls + calls;
        world.faults.insert(at, fault);
    }

    /// Plans an error at a call that only looks, counted from now.
    pub(crate) fn look_fault_in(&self, looks: u64, kind: ErrorKind) {
        let mut world = lock(&self.0);
        let at = world.looks + looks;
        world.look_faults.insert(at, kind);
    }

    /// Forgets faults that were planned, and that some happened; there is room again.
    pub(crate) fn clear_faults(&self) {
        let mut world = lock(&self.0);
        world.faults.clear();
        world.look_faults.clear();
        world.met = 0;
        world.capacity = None;
    }

    /// Whether something went wrong since faults were last cleared.
    pub(crate) fn has_met_faults(&self) -> bool {
        lock(&self.0).met > 0
    }

    /// Waits until a call takes its time.
    pub(crate) fn wait_until_slow(&self) {
        let world = lock(&self.0);
        let slowness = Arc::clone(&world.slowness);
        let waited = slowness.wait_while(world, |world| !world.is_slow);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Ends the call that takes its time.
    pub(crate) fn go_on(&self) {
        let mut world = lock(&self.0);
        world.is_slow = false;
        world.slowness.notify_all();
    }

    /// What reaches the platter whole or not at all: of files that are made from now on.
    pub(crate) fn set_block_bytes(&self, bytes: usize) {
        lock(&self.0).block = BlockBytes(bytes);
    }

    pub(crate) fn set_capacity(&self, bytes: Option<usize>) {
        lock(&self.0).capacity = bytes;
    }

    /// Leaves room for so many bytes more.
    pub(crate) fn leave_room(&self, bytes: usize) {
        let mut world = lock(&self.0);
        let taken = world.taken_bytes();
        world.capacity = Some(taken + bytes);
    }

    pub(crate) fn set_stutter(&self, seed: u64) {
        lock(&self.0).stutter = Some(Dice(seed));
    }

    pub(crate) fn forget_folders(&self) {
        lock(&self.0).forgets_folders = true;
    }

    pub(crate) fn is_off(&self) -> bool {
        lock(&self.0).is_off
    }

    /// The process dies; what it wrote stays in the cache. A power cut before becomes a death at that
    /// call.
    pub(crate) fn kill(&self) {
        let mut world = lock(&self.0);
        world.is_off = false;
        world.process += 1;
        world.locks.clear();
    }

    /// The power is cut and comes back.
    pub(crate) fn power_cycle(&self, cut: Cut) {
        self.kill();
        let mut world = lock(&self.0);
        let mut dice = Dice(match cut {
            Cut::Any(seed) => seed,
            Cut::Nothing | Cut::Everything => 0,
        });
        let mut names = world.names_on_platter.clone();
        for change in std::mem::take(&mut world.changes) {
            let kept = match cut {
                Cut::Nothing => false,
                Cut::Everything => true,
                Cut::Any(_) => dice.once_in(2),
            };
            if kept {
                change.apply(&mut names);
            }
        }
        for inode in world.inodes.values_mut() {
            inode.cut(cut, &mut dice);
        }
        world.names_on_platter.clone_from(&names);
        let linked: BTreeSet<u64> = names.values().copied().collect();
        world.inodes.retain(|id, _| linked.contains(id));
        world.names = names;
        world.is_off = false;
        world.faults.clear();
    }

    /// An independent copy of the disk as it is.
    pub(crate) fn fork(&self) -> SimDisk {
        let world = lock(&self.0);
        SimDisk(Arc::new(Mutex::new(World {
            inodes: world.inodes.clone(),
            names: world.names.clone(),
            names_on_platter: world.names_on_platter.clone(),
            changes: world.changes.clone(),
            block: world.block,
            ..World::default()
        })))
    }

    /// Changes the bytes of a file behind everybody's back, cache and platter.
    pub(crate) fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = lock(&self.0);
        let id = world.names[path];
        let inode = world.inodes.get_mut(&id).unwrap();
        change(&mut inode.cache);
        inode.platter.clone_from(&inode.cache);
        inode.dirty.clear();
        inode.lengths.clear();
    }

    /// Takes a file away behind everybody's back.
    pub(crate) fn lose(&self, path: &Path) {
        let mut world = lock(&self.0);
        world.names.remove(path);
        world.names_on_platter.remove(path);
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let world = lock(&self.0);
        world.inodes[&world.names[path]].cache.clone()
    }

    /// The names of all files.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        lock(&self.0).names.keys().cloned().collect()
    }

    /// Counts a changing call; `act` does it. At a power cut it is done too, but only to the cache.
    fn call<R>(&self, act: impl FnOnce(&mut World) -> io::Result<R>) -> io::Result<R> {
        let mut world = lock(&self.0);
        world.check_power()?;
        world.calls += 1;
        let call = world.calls;
        match world.faults.remove(&call) {
            None => act(&mut world),
            Some(Fault::Error(kind)) => {
                world.met += 1;
                Err(kind.into())
            }
            Some(Fault::Slow) => {
                world.is_slow = true;
                let slowness = Arc::clone(&world.slowness);
                slowness.notify_all();
                let waited = slowness.wait_while(world, |world| world.is_slow);
                let mut world = waited.unwrap_or_else(PoisonError::into_inner);
                act(&mut world)
            }
            Some(Fault::PowerCut) => {
                world.is_cutting = true;
                _ = act(&mut world);
                world.is_cutting = false;
                world.is_off = true;
                Err(io::Error::other("the power was cut"))
            }
        }
    }
}

impl World {
    fn check_power(&self) -> io::Result<()> {
        match self.is_off {
            true => Err(io::Error::other("the power is off")),
            false => Ok(()),
        }
    }

    /// Counts a call that only looks.
    fn look(&mut self) -> io::Result<()> {
        self.check_power()?;
        self.looks += 1;
        match self.look_faults.remove(&self.looks) {
            None => Ok(()),
            Some(kind) => {
                self.met += 1;
                Err(kind.into())
            }
        }
    }

    /// Bytes of all files that have a name.
    fn taken_bytes(&self) -> usize {
        let linked = self.names.values().filter_map(|id| self.inodes.get(id));
        linked.map(|inode| inode.cache.len()).sum()
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        lock(&self.0).look()
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let found = {
            let mut world = lock(&self.0);
            world.look()?;
            world.names.get(path).copied()
        };
        let inode = match (access, found) {
            (Access::Read | Access::Write, None) => return Err(ErrorKind::NotFound.into()),
            (Access::Read | Access::Write, Some(inode)) => inode,
            (Access::Create, Some(inode)) => self.call(|world| {
                if let Some(inode) = world.inodes.get_mut(&inode) {
                    inode.resize(0);
                }
                Ok(inode)
            })?,
            (Access::Create, None) => self.call(|world| {
                let id = world.inodes.keys().last().map_or(1, |last| last + 1);
                let inode = Inode {
                    block: world.block,
                    ..Inode::default()
                };
                world.inodes.insert(id, inode);
                world.change(Change::Link(path.to_owned(), id));
                Ok(id)
            })?,
        };
        let process = lock(&self.0).process;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            inode,
            process,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|world| {
            let inode = world.names.get(from).copied();
            let inode = inode.ok_or(ErrorKind::NotFound)?;
            world.change(Change::Rename(from.to_owned(), to.to_owned(), inode));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(|world| {
            if !world.names.contains_key(path) {
                return Err(ErrorKind::NotFound.into());
            }
            world.change(Change::Unlink(path.to_owned()));
            Ok(())
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call(|world| {
            if world.forgets_folders || world.is_cutting {
                return Ok(());
            }
            let (synced, rest) = std::mem::take(&mut world.changes)
                .into_iter()
                .partition(|change: &Change| change.folder() == Some(path));
            world.changes = rest;
            let synced: Vec<Change> = synced;
            for change in synced {
                change.apply(&mut world.names_on_platter);
            }
            Ok(())
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut world = lock(&self.0);
        world.look()?;
        let inside = world
            .names
            .keys()
            .filter(|name| name.parent() == Some(path));
        let name = |path: &PathBuf| path.file_name()?.to_str().map(str::to_owned);
        Ok(inside.filter_map(name).collect())
    }

    fn lock(&self, path: &Path, note: &str) -> io::Result<Option<Lock>> {
        let mut world = lock(&self.0);
        world.check_power()?;
        if !world.locks.insert(path.to_owned()) {
            return Ok(None);
        }
        let process = world.process;
        drop(world);
        let file = self.open(path, Access::Create)?;
        write_all(file.as_ref(), &[note.as_bytes()], 0)?;
        Ok(Some(Lock::new(SimLock {
            disk: self.clone(),
            path: path.to_owned(),
            process,
        })))
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    process: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut world = lock(&self.disk.0);
        if world.process == self.process {
            world.locks.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: u64,
    process: u64,
}

impl SimFile {
    fn call<R>(&self, act: impl FnOnce(&mut World, &mut Inode) -> io::Result<R>) -> io::Result<R> {
        self.disk.call(|world| {
            self.check(world)?;
            let mut inode = world.inodes.remove(&self.inode).unwrap_or_default();
            let done = act(world, &mut inode);
            world.inodes.insert(self.inode, inode);
            done
        })
    }

    fn check(&self, world: &World) -> io::Result<()> {
        match world.process == self.process {
            true => world.check_power(),
            false => Err(io::Error::other("opened by a process that is gone")),
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = lock(&self.disk.0);
        self.check(&world)?;
        world.look()?;
        let bytes = world.inodes.get(&self.inode);
        let bytes = bytes.map_or(&[][..], |inode| &inode.cache);
        let start = (offset as usize).min(bytes.len());
        let len = buffer.len().min(bytes.len() - start);
        buffer[..len].copy_from_slice(&bytes[start..start + len]);
        Ok(len)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(part);
        }
        self.call(|world, inode| {
            if let Some(dice) = &mut world.stutter {
                if dice.once_in(3) {
                    return Err(ErrorKind::Interrupted.into());
                }
                let some = 1 + dice.below(bytes.len() as u64);
                bytes.truncate(some as usize);
            }
            let offset = offset as usize;
            if let Some(capacity) = world.capacity {
                // This one is not among them while it is being written.
                let fits = capacity.saturating_sub(world.taken_bytes());
                if offset + bytes.len() > inode.cache.len().max(fits) {
                    world.met += 1;
                    return Err(ErrorKind::StorageFull.into());
                }
            }
            inode.write(offset, &bytes);
            Ok(bytes.len())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.check(&lock(&self.disk.0))?;
        let done = self.call(|world, inode| {
            // A sync that was under way wrote what the cut decides.
            if !world.is_cutting {
                inode.sync();
            }
            Ok(())
        });
        if done.is_err() && !self.disk.is_off() {
            // Linux marks the pages clean although they were not written.
            let mut world = lock(&self.disk.0);
            if let Some(inode) = world.inodes.get_mut(&self.inode) {
                inode.dirty.clear();
                inode.lengths.clear();
            }
        }
        done
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.call(|_, inode| {
            inode.resize(bytes as usize);
            Ok(())
        })
    }

    fn bytes(&self) -> io::Result<u64> {
        let mut world = lock(&self.disk.0);
        self.check(&world)?;
        world.look()?;
        let inode = world.inodes.get(&self.inode);
        Ok(inode.map_or(0, |inode| inode.cache.len() as u64))
    }
}
