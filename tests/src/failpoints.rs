//! The failpoints of the program under test: which there are, and the program that has them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::stream::build;

/// The variable that tells the program what is to happen where.
pub const VARIABLE: &str = "BLACKSMITH_FAILPOINTS";

/// The one list of them, which the program is built from.
const LIST: &str = include_str!("../../core/src/failpoint/points.rs");

/// A failpoint, or a bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// What it is called in the code.
    pub identifier: &'static str,
    /// What it is called in [`VARIABLE`].
    pub name: &'static str,
    /// Whether the step there can be made to fail.
    pub fails: bool,
    /// Whether it is a bug.
    pub bug: bool,
}

/// All of them, as they are listed.
#[must_use]
pub fn listed() -> Vec<Listed> {
    LIST.lines().filter_map(read).collect()
}

/// A line `LogTaken "log.taken" Fails,`.
fn read(line: &'static str) -> Option<Listed> {
    let (identifier, rest) = line.trim().split_once(" \"")?;
    let (name, nature) = rest.split_once("\" ")?;
    let nature = nature.strip_suffix(',')?;
    ["Passes", "Fails", "Bug"]
        .contains(&nature)
        .then_some(Listed {
            identifier,
            name,
            fails: nature == "Fails",
            bug: nature == "Bug",
        })
}

/// The program with failpoints: `BLACKSMITH_FAILPOINTS_BIN`, or built now.
///
/// # Panics
/// When it does not build.
#[must_use]
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("BLACKSMITH_FAILPOINTS_BIN") {
        Some(path) => path.into(),
        None => build(
            "blacksmith-stream-failpoints",
            &["--features", "failpoints"],
        ),
    })
}
