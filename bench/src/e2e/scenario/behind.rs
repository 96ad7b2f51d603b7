//! `behind`: a lane that finds a whole backlog in the log on disk, and loads it.

use super::Bench;
use crate::e2e::Result;
use crate::e2e::behind::Behind;
use crate::e2e::build::Build;
use crate::e2e::data::Data;
use crate::e2e::program::Sink;
use crate::e2e::trial::{Contender, Trial};
use crate::e2e::work::Work;

pub(super) fn hold(bench: &mut Bench) -> Result<Vec<Trial>> {
    let rounds = bench.rounds.clone();
    let (backlog, _) = bench.backlog(Work::bulk(Data::Events, bench.size.rows))?;
    let mut filled = Vec::new();
    for build in rounds.builds.all() {
        for sink in Sink::ALL {
            filled.push(Behind::make(backlog, build, sink)?);
        }
    }
    let name = &backlog.work.name;
    let trial = Trial::hold("behind", name, &rounds, contenders(&filled))?;
    Ok(vec![trial.of_row_bytes(backlog.row_bytes)])
}

fn contenders<'a>(filled: &'a [Behind<'a>]) -> Vec<Contender<'a>> {
    let find = |build: &Build, sink| {
        let found = filled.iter().find(|own| own.is_of(build, sink));
        found.ok_or("no log was filled for this sink".to_owned())
    };
    let replay = Contender::ceiling("replay", move || match filled {
        [first, ..] => first.replay(),
        [] => Err("no log was filled".into()),
    });
    let ours =
        Sink::ALL.map(|sink| Contender::ours(sink.name(), move |build| find(build, sink)?.load()));
    [replay].into_iter().chain(ours).collect()
}
