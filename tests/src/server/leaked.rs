//! Servers whose tests were killed together with the watching shell.
//!
//! Every server folder is signed by the test process that owns it ([`crate::folder`]). A folder
//! whose owner is gone is nobody's: its server, if one still runs on it, is ended by pid, and the
//! folder removed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::folder::{orphans, signal};

/// How long the watching shell has to clean up by itself, and a leaked server to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Removes the server folders of dead owners below `home`.
pub(super) fn clear(home: &Path) {
    for folder in orphans(&home.join("run")) {
        end(&folder);
    }
}

fn end(folder: &Path) {
    // The shell is at work in the normal case; only when it does not finish, we do its work.
    let gone = crate::wait::poll(PATIENCE / 5, || (!folder.exists()).then_some(()));
    if gone.is_some() {
        return;
    }
    let data = folder.join("data");
    if let Some(pid) = postmaster(&data) {
        eprintln!("ending the leaked Postgres {pid} of {}", folder.display());
        signal(pid, Signal::QUIT);
        let ended = || (!runs_on(pid, &data)).then_some(());
        if crate::wait::poll(PATIENCE, ended).is_none() {
            signal(pid, Signal::KILL);
        }
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            eprintln!("cannot remove {}: {error}", folder.display());
        }
        _ => {} // another test process may have been faster
    }
}

/// The pid of the postmaster that runs on `data` now.
fn postmaster(data: &Path) -> Option<u32> {
    let file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid = file.lines().next()?.trim().parse().ok()?;
    runs_on(pid, data).then_some(pid)
}

/// Whether process `pid` was started on exactly this data folder: a pid file may be stale.
fn runs_on(pid: u32, data: &Path) -> bool {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let data = data.as_os_str().as_encoded_bytes();
    arguments
        .split(|byte| *byte == 0)
        .any(|argument| argument == data)
}
