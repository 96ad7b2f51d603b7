//! Counts the instructions of one piece: a process of its own below callgrind.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use crate::micro::{Piece, Work, decodes, encodes, framings, ids, replays, spans, transitions};

/// Tells the child which piece to run.
pub(super) const PIECE: &str = "BLACKSMITH_PIECE";
/// `NAME:PER CENT`: pieces whose name begins so do so much more than they should.
const PLANT: &str = "BLACKSMITH_PLANT";
/// Turns of a planted piece: what is more is done by some of them twice.
const TURNS: u64 = 5;

pub(super) fn has_valgrind() -> bool {
    let version = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

/// Instructions of `name` by item.
pub(super) fn count(name: &str) -> Result<f64, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let counted = folder.path().join("counted");
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--quiet",
            "--toggle-collect=*guarded_turn*",
        ])
        .arg(format!("--callgrind-out-file={}", counted.display()))
        .arg(own)
        .env(PIECE, name)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name} below valgrind: {}\n{said}", output.status));
    }
    let items: u64 = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .map_err(|error| format!("{name}: how many items? {error}"))?;
    Ok(total(&counted)? as f64 / items as f64)
}

/// The sum that callgrind wrote: a line `totals: 12345`.
fn total(counted: &Path) -> Result<u64, String> {
    let text = std::fs::read_to_string(counted).map_err(|error| error.to_string())?;
    let total = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals: "));
    let total = total.and_then(|total| total.trim().parse().ok());
    total
        .filter(|total| *total > 0)
        .ok_or("callgrind counted nothing: is the program stripped?".to_owned())
}

/// Runs one piece, and prints how many items it had.
pub(super) fn child(name: &str) -> ExitCode {
    let groups = [
        decodes(),
        framings(),
        encodes(),
        transitions(),
        spans(),
        ids(),
        replays(),
    ];
    let piece = groups
        .into_iter()
        .flatten()
        .find(|piece| piece.name == name);
    let Some(mut work) = piece.map(Piece::prepare) else {
        return ExitCode::FAILURE;
    };
    let more = planted(name);
    work.turn(); // what a first turn allocates is not what later ones cost
    for turn in 0..TURNS {
        guarded_turn(&mut work);
        if turn < TURNS * more / 100 {
            guarded_turn(&mut work);
        }
    }
    let items = (TURNS * work.items).to_string();
    match std::io::Write::write_all(&mut std::io::stdout(), items.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// What callgrind counts.
#[inline(never)]
fn guarded_turn(work: &mut Work) {
    work.turn();
}

/// Per cent more to do than is due.
fn planted(name: &str) -> u64 {
    let plant = std::env::var(PLANT).unwrap_or_default();
    let plant = plant
        .split_once(':')
        .filter(|(begin, _)| name.starts_with(begin));
    plant.and_then(|(_, more)| more.parse().ok()).unwrap_or(0)
}
