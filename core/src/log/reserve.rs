//! What is done on the day that the disk is full.
//!
//! A file of zeros, the *reserve*, lies beside the segments. When a write finds no room, the file goes, and
//! what was accepted already is written in its place: also what lanes say of their jobs, so that they settle
//! and retention can drop segments, though not a byte is free. Nothing new is taken from sources until the
//! reserve lies there again. If even that is used up, the writer waits until somebody makes room; nothing was
//! promised meanwhile, and nothing needs a restart.
//!
//! A sync that fails for want of room is another matter: nobody knows what it wrote, so the log stops.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::log::disk::{Access, Disk, write_all};
use crate::log::durable::lock;

/// How often it is looked whether there is room for the reserve again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Zeros are written in pieces of this size where the system cannot set room aside.
static ZEROS: [u8; 256 << 10] = [0; 256 << 10];

/// Whoever may find room on a full disk.
pub(super) trait Room: fmt::Debug + Send + Sync {
    /// Called after the disk refused a call for want of room: true when there may be some now.
    fn make(&self) -> bool;
}

/// Does `call`, again and again as long as the disk is full and `room` may be made.
pub(super) fn insist<T>(room: &dyn Room, mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if is_full(&error) && room.make() => {}
            done => return done,
        }
    }
}

/// Whether the call failed for want of room.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// There is none beyond what is free.
#[derive(Debug)]
pub(super) struct NoRoom;

impl Room for NoRoom {
    fn make(&self) -> bool {
        false
    }
}

/// Room set aside.
#[derive(Debug)]
pub(super) struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Its size; 0 sets nothing aside.
    bytes: u64,
    is_short: AtomicBool,
    looked_at: Mutex<Option<Instant>>,
}

impl Reserve {
    /// The reserve of the log in `dir`, as it lies there or not.
    pub(super) fn of(dir: &Path, disk: Arc<dyn Disk>, bytes: u64) -> Reserve {
        Reserve {
            disk,
            path: dir.join("RESERVE"),
            bytes,
            is_short: AtomicBool::new(false),
            looked_at: Mutex::new(None),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the disk was full, and the reserve does not lie there again.
    pub(super) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Acquire)
    }

    /// Sets the room aside; what lies there already stays. On a full disk the log is short of it.
    ///
    /// # Errors
    /// What the disk says, but that it is full.
    pub(super) fn lay_by(&self) -> io::Result<()> {
        match self.set_aside() {
            Err(error) if is_full(&error) => {
                // Half a reserve would only keep others from what is left.
                self.give_up();
                self.is_short.store(true, Ordering::Release);
                Ok(())
            }
            done => {
                done?;
                self.is_short.store(false, Ordering::Release);
                Ok(())
            }
        }
    }

    fn set_aside(&self) -> io::Result<()> {
        if self.bytes == 0 {
            return Ok(());
        }
        let there = self.disk.open(&self.path, Access::Write);
        let file = match there {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.disk.open(&self.path, Access::Create)
            }
            opened => opened,
        }?;
        let mut at = file.bytes()?;
        if at > self.bytes {
            file.truncate(self.bytes)?;
        }
        if at < self.bytes && file.allocate(self.bytes)? {
            return Ok(());
        }
        while at < self.bytes {
            let rest = usize::try_from(self.bytes - at).unwrap_or(usize::MAX);
            let zeros = ZEROS.get(..rest).unwrap_or(&ZEROS);
            write_all(file.as_ref(), &[zeros], at)?;
            at += zeros.len() as u64;
        }
        Ok(())
    }

    /// Lets go of what was set aside; whether there was anything.
    pub(super) fn give_up(&self) -> bool {
        match self.disk.remove(&self.path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "cannot remove the reserve");
                false
            }
        }
    }

    /// Says, once, that the disk is full.
    pub(super) fn fall_short(&self) {
        if !self.is_short.swap(true, Ordering::AcqRel) {
            tracing::error!(
                path = %self.path.display(),
                "the disk of the store is full: sources wait until there is room; free some space, nothing is lost and nothing has to be started again"
            );
        }
        *lock(&self.looked_at) = Some(Instant::now());
    }

    /// Sets the room aside again if it is time to try; true when that made the shortage end.
    ///
    /// # Errors
    /// As [`Reserve::lay_by`].
    pub(super) fn restore(&self) -> io::Result<bool> {
        if !self.is_short() {
            return Ok(false);
        }
        {
            let mut looked_at = lock(&self.looked_at);
            if looked_at.is_some_and(|at| at.elapsed() < LOOK_AGAIN) {
                return Ok(false);
            }
            *looked_at = Some(Instant::now());
        }
        self.lay_by()?;
        Ok(!self.is_short())
    }

    /// How long to wait before the next try, when there is a shortage.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.is_short().then_some(LOOK_AGAIN)
    }
}

/// While the log is being opened nobody waits: the reserve is all there is.
impl Room for Reserve {
    fn make(&self) -> bool {
        self.fall_short();
        self.give_up()
    }
}
