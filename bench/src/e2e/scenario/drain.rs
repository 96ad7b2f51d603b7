//! `drain`: a backlog of transactions of 1,000 rows, from the program's start until everything is durable in its log, and
//! until everything is loaded. Other backlogs go the same way.

use super::Bench;
use crate::e2e::Result;
use crate::e2e::backlog::{Backlog, Way};
use crate::e2e::data::Data;
use crate::e2e::peers::Peers;
use crate::e2e::program::Sink;
use crate::e2e::trial::{Contender, Rounds, Trial};
use crate::e2e::work::Work;

/// What the name of a contender says who reads in batches where there is much, as the program does by itself.
const CATCH_UP: &str = ", catch-up";

pub(super) fn hold(bench: &mut Bench) -> Result<Vec<Trial>> {
    let (size, rounds) = (bench.size, bench.rounds.clone());
    let trials = Data::ALL.into_iter().map(|data| {
        let (backlog, peers) = bench.backlog(Work::bulk(data, size.rows))?;
        let mut contenders = all(backlog);
        for (name, sink) in [("log", None), ("blackhole", Some(Sink::Blackhole))] {
            contenders.push(ours(
                backlog,
                &format!("{name}{CATCH_UP}"),
                Way::Batches,
                sink,
            ));
        }
        let peers = peers.into_iter().flat_map(Peers::that_drain);
        contenders
            .extend(peers.map(|peer| Contender::peer(peer.name(), move || backlog.drain_by(peer))));
        held("drain", backlog, &rounds, contenders)
    });
    trials.collect()
}

/// The whole way of another backlog.
pub(super) fn whole(scenario: &str, backlog: &Backlog, rounds: &Rounds) -> Result<Trial> {
    held(scenario, backlog, rounds, all(backlog))
}

/// Both ceilings, the stream's way to everywhere, and in batches to Parquet.
fn all(backlog: &Backlog) -> Vec<Contender<'_>> {
    vec![
        Contender::ceiling("pg_recvlogical", || backlog.pg_recvlogical()),
        Contender::ceiling("framing", || backlog.framing()),
        ours(backlog, "log", Way::Stream, None),
        ours(backlog, "blackhole", Way::Stream, Some(Sink::Blackhole)),
        ours(backlog, "parquet", Way::Stream, Some(Sink::Parquet)),
        ours(
            backlog,
            &format!("parquet{CATCH_UP}"),
            Way::Batches,
            Some(Sink::Parquet),
        ),
    ]
}

/// Our program on the way into a sink, or to the log alone.
fn ours<'a>(backlog: &'a Backlog, name: &str, way: Way, sink: Option<Sink>) -> Contender<'a> {
    Contender::ours(name, move |build| match sink {
        Some(sink) => backlog.drain(build, sink, way),
        None => backlog.drain_to_log(build, way),
    })
}

fn held(
    scenario: &str,
    backlog: &Backlog,
    rounds: &Rounds,
    contenders: Vec<Contender<'_>>,
) -> Result<Trial> {
    let trial = Trial::hold(scenario, &backlog.work.name, rounds, contenders)?;
    Ok(trial.of_row_bytes(backlog.row_bytes))
}
