//! `behind`: a lane that finds a whole backlog in the log on disk, and loads it.

use super::Bench;
use crate::e2e::Result;
use crate::e2e::behind::Behind;
use crate::e2e::data::Data;
use crate::e2e::program::Sink;
use crate::e2e::trial::{Contender, Trial};
use crate::e2e::work::Work;

pub(super) fn hold(bench: &mut Bench) -> Result<Vec<Trial>> {
    let size = bench.size;
    let (backlog, _) = bench.backlog(Work::bulk(Data::Events, size.rows))?;
    let filled = [
        Behind::make(backlog, Sink::Blackhole)?,
        Behind::make(backlog, Sink::Parquet)?,
    ];
    let trial = Trial::hold(
        "behind",
        &backlog.work.name,
        size.rounds,
        contenders(&filled),
    )?;
    Ok(vec![trial.of_row_bytes(backlog.row_bytes)])
}

fn contenders<'a>(filled: &'a [Behind<'a>; 2]) -> Vec<Contender<'a>> {
    let [blackhole, parquet] = filled;
    vec![
        Contender::ceiling("replay", || parquet.replay()),
        Contender::ours(Sink::Blackhole.name(), || blackhole.load()),
        Contender::ours(Sink::Parquet.name(), || parquet.load()),
    ]
}
