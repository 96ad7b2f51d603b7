//! Folders of tests below `target/`, each signed by the test process that owns it.
//!
//! A signature is a pid and its start time, which together name one process for ever. What a dead
//! owner left behind is nobody's, and the next test process clears it away.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

/// A folder that goes with this value, unless the test is failing: then it stays, to be looked at,
/// until the next run.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new, empty folder whose name begins with `name`.
    ///
    /// # Panics
    /// When the target folder is not writable.
    #[must_use]
    pub fn new(name: &str) -> Folder {
        static CLEARED: Once = Once::new();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let home = crate::target_dir().join("tests");
        CLEARED.call_once(|| clear(&home));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = home.join(format!("{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("the target folder is writable");
        sign(&path).expect("a new folder is writable");
        Folder(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("left for a look: {}", self.0.display());
        } else if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// Writes who owns `folder`.
pub(crate) fn sign(folder: &Path) -> Result<(), String> {
    let pid = std::process::id();
    let owner = format!("{pid} {}", started(pid).unwrap_or_default());
    fs::write(folder.join("owner"), owner).map_err(|error| error.to_string())
}

/// The folders below `home` whose owners are gone.
pub(crate) fn orphans(home: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(home).into_iter().flatten().flatten();
    let orphaned = entries.map(|entry| entry.path()).filter(|folder| {
        // Without a signature it is being made or removed right now.
        let owner = fs::read_to_string(folder.join("owner"));
        owner.is_ok_and(|owner| !lives(&owner))
    });
    orphaned.collect()
}

fn lives(owner: &str) -> bool {
    let mut words = owner.split_whitespace();
    let pid = words.next().and_then(|pid| pid.parse().ok());
    pid.is_some_and(|pid| started(pid).as_deref() == words.next())
}

/// The start time of a process in clock ticks, which tells two users of one pid apart.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit(") ").next()?;
    after_name.split(' ').nth(19).map(String::from)
}

/// Ends what still runs in orphaned folders below `home`, and removes them.
fn clear(home: &Path) {
    for folder in orphans(home) {
        for pid in running_in(&folder) {
            eprintln!("ending the leaked process {pid} of {}", folder.display());
            signal(pid, Signal::KILL);
        }
        if let Err(error) = fs::remove_dir_all(&folder) {
            eprintln!("cannot remove {}: {error}", folder.display());
        }
    }
}

/// The processes whose current folder is `folder`.
fn running_in(folder: &Path) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let inside = entries.filter(|entry| {
        let current = fs::read_link(entry.path().join("cwd"));
        current.is_ok_and(|current| current == folder)
    });
    inside
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Sends `signal` to `pid`.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(raw) = raw
        && let Err(error) = kill_process(raw, signal)
    {
        eprintln!("cannot signal process {pid}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_gone_with_its_owner_and_so_is_what_ran_in_it() {
        let home = Folder::new("home");
        let orphan = home.path().join("orphan");
        let kept = home.path().join("kept");
        fs::create_dir_all(&orphan).unwrap();
        fs::create_dir_all(&kept).unwrap();
        sign(&kept).unwrap();
        fs::write(orphan.join("owner"), "1 0").unwrap(); // no process of ours
        let mut command = std::process::Command::new("sleep");
        let mut child = command.arg("600").current_dir(&orphan).spawn().unwrap();
        clear(home.path());
        assert!(!child.wait().unwrap().success());
        assert!(!orphan.exists() && kept.exists());
    }
}
