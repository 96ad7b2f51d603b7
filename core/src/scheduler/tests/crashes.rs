//! A process that ends while it loads, again and again.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::destination::OnUnknown;
use crate::log::LogOptions;
use crate::log::sim::{Cut, SimDisk};
use crate::store::log::LogStore;

fn setup() -> Setup {
    Setup {
        ordering: Ordering::Unordered,
        ..Setup::default()
    }
}

/// Scenario 21
#[tokio::test(start_paused = true)]
async fn what_was_in_hand_when_the_process_ended_is_loaded_again_at_once() {
    let never = Turn::Wait(Arc::new(Notify::new()));
    let mut lab = setup().turns([never]).open();
    lab.append(10);
    lab.next().await;
    let store = Arc::clone(&lab.store);
    drop(lab);
    let mut lab = setup().open_over(store);
    let again = lab.next().await;
    assert_eq!(
        (again.span, again.attempt, again.at),
        (span(1, 10), 2, Duration::ZERO)
    );
}

/// Scenario 21
#[tokio::test(start_paused = true)]
async fn batches_that_were_in_hand_together_come_back_each_as_it_was() {
    let with = || {
        let mut setup = setup();
        setup.limits.max_concurrency = Some(3);
        setup
    };
    let never = || Turn::Wait(Arc::new(Notify::new()));
    let mut lab = with().turns([never(), never(), never()]).open();
    lab.append(28);
    let begun = three(&mut lab).await;
    let last = begun.last().map(|seen| (seen.span, seen.at.as_secs()));
    assert_eq!(last, Some((span(21, 28), 10)));
    let store = Arc::clone(&lab.store);
    drop(lab);
    let mut lab = with().open_over(store);
    let again = three(&mut lab).await;
    let again: Vec<_> = again.iter().map(|own| (own.span, own.attempt)).collect();
    let expected = [span(1, 10), span(11, 20), span(21, 28)].map(|span| (span, 2));
    assert_eq!(again, expected);
}

/// The next three batches in order of position: each is decoded on a thread of its own, so they come in any order.
async fn three(lab: &mut Lab) -> [Seen; 3] {
    let mut seen = [lab.next().await, lab.next().await, lab.next().await];
    seen.sort_by_key(|seen| seen.span.first);
    seen
}

/// A store on `disk`, as a process finds it.
fn store_on(disk: &SimDisk) -> Arc<dyn Store> {
    let options = LogOptions {
        segment_bytes: 1 << 20,
        ..LogOptions::default()
    };
    let retention = Retention::default();
    let opened = LogStore::open(Path::new("/store"), options, disk.shared(), retention);
    Arc::new(opened.unwrap().0)
}

/// Scenario 22
#[tokio::test(start_paused = true)]
async fn what_a_sink_took_before_a_crash_comes_again_under_the_same_name_and_is_taken_once() {
    for ordering in [Ordering::Unordered, Ordering::Ordered] {
        let disk = SimDisk::default();
        let open = |turns: Vec<Turn>| {
            let setup = Setup {
                ordering,
                ..setup()
            };
            setup.turns(turns).open_over(store_on(&disk))
        };
        let never = || Turn::Wait(Arc::new(Notify::new()));
        // What the sink has, by the name of the load that brought it.
        let mut sink = BTreeMap::new();
        let mut lab = open(vec![never()]);
        lab.append(30);
        for crash in 0..3 {
            // It has the last of these, and the power goes before it can say so.
            for _ in 0..=crash.min(1) {
                let seen = lab.next().await;
                let took = (seen.span, seen.numbers);
                let before = sink.insert(seen.span.first, took.clone());
                assert!(before.is_none_or(|before| before == took));
            }
            disk.power_cycle(Cut::Nothing);
            lab = open(vec![Turn::Succeed, never()]);
        }
        assert_eq!((sink.len(), lab.next().await.attempt), (3, 2));
        lab.lane.flush(Position(30)).await.unwrap();
        let taken: Vec<i64> = sink
            .into_values()
            .flat_map(|(_, numbers)| numbers)
            .collect();
        assert_eq!(taken, (1..=30).collect::<Vec<_>>(), "{ordering:?}");
    }
}

/// Scenario 23
#[tokio::test(start_paused = true)]
async fn what_was_reported_before_a_crash_stays_final_and_the_rest_is_loaded_again() {
    let mut lab = setup().hourly().turns([Turn::FailThese(vec![2, 4])]).open();
    lab.append(10);
    lab.next().await;
    lab.settled(1).await;
    let store = Arc::clone(&lab.store);
    drop(lab);
    let mut lab = setup().open_over(Arc::clone(&store));
    assert_eq!(lab.next().await.numbers, [2, 4]);
    lab.settled(10).await;
    let finals = |position| {
        let own = store
            .transitions(None, span(position, position), 100)
            .unwrap();
        own.iter().filter(|t| t.status.is_settled()).count()
    };
    assert!((1..=10).all(|position| finals(position) == 1));
}

/// Scenario 31
#[tokio::test(start_paused = true)]
async fn a_crash_adds_no_attempt_to_those_that_max_retries_allows_unless_order_counts() {
    let with = |ordering, on_unknown| {
        let mut setup = Setup {
            ordering,
            ..Setup::default()
        };
        setup.schedule.max_retries = 0;
        setup.schedule.max_retries_explicit = true;
        setup.limits.on_unknown = Some(on_unknown);
        setup
    };
    let cases = [
        (Ordering::Unordered, OnUnknown::Hold, Status::Unknown, 1),
        (Ordering::Unordered, OnUnknown::Retry, Status::Discarded, 1),
        (Ordering::Ordered, OnUnknown::Hold, Status::Succeeded, 2),
    ];
    for (ordering, on_unknown, status, attempts) in cases {
        let never = Turn::Wait(Arc::new(Notify::new()));
        let mut lab = with(ordering, on_unknown).turns([never]).open();
        lab.append(10);
        lab.next().await;
        let store = Arc::clone(&lab.store);
        drop(lab);
        let lab = with(ordering, on_unknown).open_over(store);
        let flushed = lab.lane.flush(Position(10)).await;
        assert_eq!(flushed.is_err(), status == Status::Unknown, "it is held");
        let last = lab.history().pop();
        assert_eq!(last, Some((1, 10, status, attempts)));
    }
}

/// Loads until the process ends of it; whether it did.
async fn one_process(store: &Arc<dyn Store>, poison: i64) -> bool {
    let turns = std::iter::repeat_with(|| Turn::WaitWith(poison)).take(100);
    let mut lab = setup().turns(turns).open_over(Arc::clone(store));
    let head = Position(store.durable().upto().0);
    loop {
        tokio::select! {
            biased;
            seen = lab.seen.recv() => if seen.unwrap().numbers.contains(&poison) {
                return true;
            },
            flushed = lab.lane.flush(head) => {
                assert!(flushed.is_err(), "the poisonous job is held");
                assert_eq!(lab.lane.counters.quarantined.get(), 1);
                return false;
            }
        }
    }
}

/// Scenario 33
#[tokio::test(start_paused = true)]
async fn a_job_that_ends_the_process_is_found_and_held_and_the_others_are_loaded() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Retention::default()).unwrap());
    let lab = setup().hourly().open_over(Arc::clone(&store));
    lab.append(8);
    lab.lane.stop().await.unwrap();
    let mut crashes = 0;
    while one_process(&store, 3).await {
        crashes += 1;
        assert!(crashes < 20);
    }
    assert_eq!(
        crashes,
        3 + 3,
        "three ends to suspect eight jobs, three to find the one"
    );
    let lane = store.lanes().remove(0);
    let held = lane.open().filter(|open| !open.status.is_settled());
    let held: Vec<_> = held.map(|open| (open.span, open.status)).collect();
    assert_eq!(held, [(span(3, 3), Status::Unknown)]);
    assert_eq!(lane.touched_upto(), Position(8));
}
