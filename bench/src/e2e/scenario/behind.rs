//! `behind`: a lane that finds a whole backlog in the log on disk, and loads it.

use super::Bench;
use crate::e2e::Result;
use crate::e2e::backlog::{Behind, Work};
use crate::e2e::data::Data;
use crate::e2e::program::Sink;
use crate::e2e::trial::{Contender, Trial};

pub(super) fn hold(bench: &mut Bench) -> Result<Vec<Trial>> {
    let size = bench.size;
    let backlog = bench.backlog(Work::bulk(Data::Events, size.rows))?;
    let filled = [
        backlog.behind(Sink::Blackhole)?,
        backlog.behind(Sink::Parquet)?,
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
