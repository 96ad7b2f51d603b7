//! Salvaging a store: the log's part ([`crate::log::salvage`]), and what becomes of jobs whose events are lost.

use std::path::Path;
use std::time::Duration;

use super::Store;
use super::catalog::{Catalog, Lane};
use super::log::LogStore;
use crate::clock::{SystemClock, Timestamp};
use crate::error::Result;
use crate::job::{Status, Transition};
use crate::log::{self, LogOptions, Retention, Salvage, SystemDisk};
use crate::position::Span;

/// How long the record of it may take to become durable.
const DURABLE_WAIT: Duration = Duration::from_secs(60);

/// Saves what holds of the store in `dir`. Jobs that were begun and whose events are lost are discarded, with that
/// reason; those that nothing had happened to are passed over, because which action they were for is lost too.
///
/// # Errors
/// As [`log::salvage`].
pub fn salvage(dir: &Path) -> Result<Salvage> {
    let found = log::salvage(dir, Catalog::default())?;
    if found.saved_to.is_none() {
        return Ok(found);
    }
    let (disk, retention) = (SystemDisk::shared(), Retention::default());
    let (store, _) = LogStore::open(dir, LogOptions::default(), disk, retention)?;
    let now = SystemClock::shared().now();
    let lost: Vec<Span> = found.lost().collect();
    let lanes = store.lanes();
    let given_up = lanes.iter().flat_map(|lane| given_up(lane, &lost, now));
    let transitions: Vec<Transition> = given_up.collect();
    if !transitions.is_empty() {
        store.record(&transitions)?.wait(DURABLE_WAIT)?;
    }
    store.close()?;
    Ok(found)
}

/// The jobs of a lane that can never be loaded.
fn given_up(lane: &Lane, lost: &[Span], at: Timestamp) -> Vec<Transition> {
    let open = lane.open().filter(|open| !open.status.is_settled());
    open.flat_map(|open| {
        let gone = lost
            .iter()
            .filter_map(move |lost| lost.intersection(open.span));
        gone.map(move |span| Transition {
            lane: lane.id,
            span,
            status: Status::Discarded,
            attempt: open.attempt,
            at,
            error: Some("its event was lost: the log was damaged here, and salvaged".into()),
            command: None,
        })
    })
    .collect()
}
