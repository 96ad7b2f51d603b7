//! `restart`: a store with a large log and very many live jobs, none like its neighbour, is opened.

use super::Bench;
use crate::e2e::restart::{FILL, OPEN};
use crate::e2e::trial::{Contender, Trial};
use crate::e2e::{Result, child, words};

/// Log and jobs for a run of a million rows; smaller runs take their part.
const GIB: f64 = 10.0;

pub(super) fn hold(bench: &mut Bench) -> Result<Vec<Trial>> {
    let rows = bench.size.rows;
    let gib = GIB * rows as f64 / 1e6;
    eprintln!("filling a store: {gib:.1} GiB, {rows} live jobs");
    let folder = bench.empty("restart")?;
    let folder = words::word(&folder)?;
    child::run(&[FILL, folder, &gib.to_string(), &rows.to_string()])?;
    let contenders = vec![Contender::ours("open", |_| child::measure(&[OPEN, folder]))];
    let work = format!("{gib:.1} GiB, {rows} live jobs");
    let trial = Trial::hold("restart", &work, &bench.rounds, contenders);
    crate::e2e::folder::remove(folder.as_ref())?;
    Ok(vec![trial?])
}
