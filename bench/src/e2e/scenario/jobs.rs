//! `jobs`: events through the gateway's intake into the log, each a job of an action that does nothing, until all are settled.

use super::Bench;
use crate::e2e::jobs::{COMMAND, EVENT_BYTES};
use crate::e2e::log::WRITE;
use crate::e2e::trial::{Contender, Trial};
use crate::e2e::{Result, child, folder, words};

pub(super) fn hold(bench: &mut Bench) -> Result<Vec<Trial>> {
    let trials = [
        (1, "one event in a request"),
        (500, "500 events in a request"),
    ];
    trials
        .into_iter()
        .map(|(bulk, work)| one(bench, bulk, work))
        .collect()
}

fn one(bench: &Bench, bulk: u64, work: &str) -> Result<Trial> {
    let events = (bench.size.rows * 2).to_string();
    let (each, bulk) = (EVENT_BYTES.to_string(), bulk.to_string());
    let folder = bench.empty("jobs")?;
    let fresh = || folder::empty(folder.clone());
    let contenders = vec![
        Contender::ceiling("write and sync", || {
            child::measure(&[WRITE, words::word(&fresh()?)?, &events, &each])
        }),
        Contender::ours("jobs", |_| {
            child::measure(&[COMMAND, words::word(&fresh()?)?, &events, &bulk])
        }),
    ];
    let trial = Trial::hold("jobs", work, &bench.rounds, contenders)?;
    Ok(trial.of_row_bytes(EVENT_BYTES as f64))
}
