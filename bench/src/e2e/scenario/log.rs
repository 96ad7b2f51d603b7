//! `log`: events of 256 bytes, durable, from 64 threads; and one at a time, each waiting for the one before.

use super::Bench;
use crate::e2e::log::{APPEND, EVENT_BYTES, ONE_BY_ONE, WRITE};
use crate::e2e::trial::{Contender, Trial};
use crate::e2e::{Result, child, folder, words};

/// Rows of the run for one event that waits for the one before.
const ALONE: u64 = 100;

pub(super) fn hold(bench: &mut Bench) -> Result<Vec<Trial>> {
    let (many, few) = (bench.size.rows * 4, bench.size.rows / ALONE);
    let (many, few, each) = (many.to_string(), few.to_string(), EVENT_BYTES.to_string());
    let folder = bench.empty("log")?;
    let fresh = || folder::empty(folder.clone());
    let contenders = vec![
        Contender::ceiling("write and sync", || {
            child::measure(&[WRITE, words::word(&fresh()?)?, &many, &each])
        }),
        Contender::ours("64 producers", |_| {
            child::measure(&[APPEND, words::word(&fresh()?)?, &many])
        }),
        Contender::ours("one by one", |_| {
            child::measure(&[ONE_BY_ONE, words::word(&fresh()?)?, &few])
        }),
    ];
    let trial = Trial::hold("log", "append", &bench.rounds, contenders)?;
    Ok(vec![trial.of_row_bytes(EVENT_BYTES as f64)])
}
