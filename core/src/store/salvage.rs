//! Salvaging a store: the log's part ([`crate::log::salvage`]), and what becomes of jobs whose events are lost.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Store;
use super::catalog::{Catalog, Lane};
use super::log::LogStore;
use crate::clock::{SystemClock, Timestamp};
use crate::error::Result;
use crate::job::{Status, Transition};
use crate::log::{self, Disk, LogOptions, Retention, Salvage, SystemDisk};
use crate::spans::Spans;

/// How long the record of it may take to become durable.
const DURABLE_WAIT: Duration = Duration::from_secs(60);

/// Saves what holds of the store in `dir`. Jobs that were begun and whose events are lost are discarded, with that
/// reason; those that nothing had happened to are passed over, because which action they were for is lost too.
/// Stopped at any point it may be begun again.
///
/// # Errors
/// As [`log::salvage`].
pub fn salvage(dir: &Path) -> Result<Salvage> {
    salvage_on(dir, SystemDisk::shared())
}

fn salvage_on(dir: &Path, disk: Arc<dyn Disk>) -> Result<Salvage> {
    let found = log::salvage_on(dir, Arc::clone(&disk), Catalog::default())?;
    // Of those that an earlier run gave up, it may not have come to discard the jobs.
    let lost: Spans = found.lost().chain(found.given_up.iter().copied()).collect();
    if found.saved_to.is_none() && lost.is_empty() {
        return Ok(found);
    }
    let (store, _) = LogStore::open(dir, LogOptions::default(), disk, Retention::default())?;
    let now = SystemClock::shared().now();
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
fn given_up(lane: &Lane, lost: &Spans, at: Timestamp) -> Vec<Transition> {
    let open = lane.open().filter(|open| !open.status.is_settled());
    open.flat_map(|open| {
        let gone = lost.within(open.span);
        let transition = |span| Transition {
            lane: lane.id,
            span,
            status: Status::Discarded,
            attempt: open.attempt,
            at,
            error: Some("its event was lost: the log was damaged here, and salvaged".into()),
            command: None,
        };
        gone.iter().map(transition).collect::<Vec<_>>()
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::{About, Draft, FormatId, Tally};
    use crate::log::sim::{Cut, Fault, SimDisk};
    use crate::position::{Position, Span};

    const DIR: &str = "/store";

    fn open(disk: &SimDisk) -> LogStore {
        let options = LogOptions {
            segment_bytes: 1 << 20,
            ..LogOptions::default()
        };
        let opened = LogStore::open(Path::new(DIR), options, disk.shared(), Retention::default());
        opened.unwrap().0
    }

    /// A store of six events, the jobs of all of them begun, in which the second and the fifth do not hold.
    fn damaged() -> SimDisk {
        let disk = SimDisk::default();
        let store = open(&disk);
        let source = store.register_source("shop").unwrap();
        let lane = store.register_lane("lake/append").unwrap();
        let about = About::trigger("public.orders", Bytes::from_static(b"s"));
        let schema = store.define(source, about).unwrap();
        for number in 1..=6 {
            let draft = Draft {
                format: FormatId::JSON,
                received_at: Timestamp(5),
                tally: vec![Tally {
                    schema,
                    group: 0,
                    count: 1,
                }],
                envelope: Bytes::from_static(b"env"),
                body: Bytes::from(format!("this is event {number}")),
                state: Vec::new(),
            };
            let receipt = store.append(source, draft).unwrap();
            receipt.wait(DURABLE_WAIT).unwrap();
        }
        let begun = Transition {
            lane,
            span: Span::new(Position(1), Position(6)),
            status: Status::Executing,
            attempt: 1,
            at: Timestamp(6),
            error: None,
            command: None,
        };
        store.record(&[begun]).unwrap().wait(DURABLE_WAIT).unwrap();
        store.close().unwrap();
        disk.kill();
        let files = disk.files();
        let segment = files
            .iter()
            .find(|path| path.extension().is_some_and(|end| end == "seg"));
        disk.tamper(segment.unwrap(), |bytes| {
            for text in ["this is event 2", "this is event 5"] {
                let mut windows = bytes.windows(text.len());
                let at = windows.position(|window| window == text.as_bytes());
                bytes[at.unwrap()] ^= 1;
            }
        });
        disk
    }

    /// The positions of jobs that are discarded, and of those under way.
    fn jobs(disk: &SimDisk) -> (Vec<u64>, Vec<u64>) {
        let store = open(disk);
        let lane = store.lanes().remove(0);
        let positions = |spans: Vec<Span>| -> Vec<u64> {
            spans
                .iter()
                .flat_map(|span| span.first.0..=span.last.0)
                .collect()
        };
        let discarded = lane.discarded().map(|open| open.span).collect();
        let under_way = lane.open().filter(|open| !open.status.is_settled());
        let under_way = under_way.map(|open| open.span).collect();
        store.close().unwrap();
        disk.kill();
        (positions(discarded), positions(under_way))
    }

    #[test]
    fn jobs_of_lost_events_are_discarded_wherever_an_earlier_salvage_was_cut_off() {
        let damaged = damaged();
        let mut cuts = 0;
        for call in 1.. {
            let disk = damaged.fork();
            disk.fault_in(call, Fault::PowerCut);
            let done = salvage_on(Path::new(DIR), disk.shared());
            if !disk.is_off() {
                assert_eq!(done.unwrap().lost().count(), 2);
                break;
            }
            disk.power_cycle(Cut::Everything);
            salvage_on(Path::new(DIR), disk.shared()).unwrap();
            disk.kill();
            assert_eq!(jobs(&disk), (vec![2, 5], vec![1, 3, 4, 6]), "call {call}");
            cuts += 1;
        }
        assert!(cuts > 20, "{cuts} cuts are too few");
    }
}
