//! What happens when a place is passed.

use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use super::VARIABLE;
use super::plan::{Action, Armed, Plan};
use super::points::Point;
use crate::error::{Error, Result};

/// How long a thread stands still before the process dies: longer than the stream takes to confirm (100 ms).
const HANG: Duration = Duration::from_millis(300);
/// How often a paused thread looks whether it may go on.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Empty until [`configure`] was called: then nothing happens anywhere.
static PLAN: OnceLock<Plan> = OnceLock::new();

/// Reads what is to happen where from the environment. For the beginning of `main`.
///
/// # Errors
/// Config, when it cannot be read in every word.
pub fn configure() -> Result<()> {
    let plan = match std::env::var(VARIABLE) {
        Ok(text) => Plan::read(&text)?,
        Err(std::env::VarError::NotPresent) => Plan::default(),
        Err(error) => return Err(Error::config(VARIABLE).because(error)),
    };
    PLAN.set(plan)
        .map_err(|_| Error::config("failpoints are configured already"))
}

/// Passes a place whose step cannot fail.
pub fn pass(point: Point) {
    let failed = fail(point);
    debug_assert!(failed.is_none(), "the plan lets no step fail that cannot");
}

/// Passes a place; the error is what its step is to fail with.
pub fn fail(point: Point) -> Option<Error> {
    let armed = PLAN.get()?.at(point)?;
    let time = armed.passed.fetch_add(1, Ordering::Relaxed) + 1;
    let is_time = time == armed.at || (time > armed.at && armed.action == Action::Count);
    if !is_time {
        return None;
    }
    say(armed, time);
    match &armed.action {
        Action::Kill => die(),
        Action::Hang => {
            std::thread::sleep(HANG);
            die()
        }
        Action::Error => Some(Error::unavailable(format!("failpoint {}", point.name()))),
        Action::Pause(file) => {
            wait_for_removal(file);
            None
        }
        Action::Count | Action::Plant => None,
    }
}

/// Whether a bug is planted.
pub fn is_planted(bug: Point) -> bool {
    PLAN.get().is_some_and(|plan| plan.at(bug).is_some())
}

/// In one write, so that lines of several threads stay apart. Nobody may be listening any more.
fn say(armed: &Armed, time: u64) {
    let (name, action) = (armed.point.name(), armed.action.name());
    let line = format!("failpoint {name}: {action} at {time}\n");
    std::io::stderr().write_all(line.as_bytes()).ok();
}

/// Ends the process as an operating system short of memory would.
fn die() -> ! {
    kill_process(getpid(), Signal::KILL).ok();
    std::process::abort()
}

fn wait_for_removal(file: &Path) {
    if let Err(error) = std::fs::write(file, "") {
        let line = format!("failpoint: cannot make {}: {error}\n", file.display());
        std::io::stderr().write_all(line.as_bytes()).ok();
        die()
    }
    while file.exists() {
        std::thread::sleep(LOOK_AGAIN);
    }
}
