//! `drain`: a backlog of transactions of 1,000 rows, from the program's start until everything is durable in its log, and
//! until everything is loaded. Other backlogs go the same way.

use super::Bench;
use crate::e2e::Result;
use crate::e2e::backlog::{Backlog, Way, Work};
use crate::e2e::data::Data;
use crate::e2e::program::Sink;
use crate::e2e::trial::{Contender, Trial};

pub(super) fn hold(bench: &mut Bench) -> Result<Vec<Trial>> {
    let size = bench.size;
    let trials = Data::ALL.map(|data| {
        let backlog = bench.backlog(Work::bulk(data, size.rows))?;
        whole("drain", backlog, size.rounds)
    });
    trials.into_iter().collect()
}

/// The whole way of a backlog, streamed and in batches, beside both ceilings.
pub(super) fn whole(scenario: &str, backlog: &Backlog, rounds: usize) -> Result<Trial> {
    let mut contenders = vec![
        Contender::ceiling("pg_recvlogical", || backlog.pg_recvlogical()),
        Contender::ceiling("framing", || backlog.framing()),
    ];
    for (way, suffix) in [(Way::Stream, ""), (Way::Batches, ", catch-up")] {
        let name = format!("log{suffix}");
        contenders.push(Contender::ours(&name, move || backlog.drain_to_log(way)));
        for sink in Sink::ALL {
            let name = format!("{}{suffix}", sink.name());
            contenders.push(Contender::ours(&name, move || backlog.drain(sink, way)));
        }
    }
    let trial = Trial::hold(scenario, &backlog.work.name, rounds, contenders)?;
    Ok(trial.of_row_bytes(backlog.row_bytes))
}
