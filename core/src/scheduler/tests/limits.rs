//! How much goes on at a time, how long, and how fast; and that what goes wrong stays where it is.

use super::*;
use crate::destination::OnUnknown;

fn unordered(limits: PartialLoadLimits) -> Setup {
    Setup {
        ordering: Ordering::Unordered,
        limits,
        ..Setup::default()
    }
}

fn never() -> Turn {
    Turn::Wait(Arc::new(Notify::new()))
}

#[tokio::test(start_paused = true)]
async fn an_unordered_action_has_as_many_loads_in_hand_as_it_may_and_an_ordered_one_has_one() {
    let limits = PartialLoadLimits {
        max_concurrency: Some(2),
        ..PartialLoadLimits::default()
    };
    for (ordering, most) in [(Ordering::Unordered, 2), (Ordering::Ordered, 1)] {
        let told = Arc::new(Notify::new());
        let turns = (0..4).map(|_| Turn::Wait(Arc::clone(&told)));
        let mut setup = unordered(limits).turns(turns);
        setup.ordering = ordering;
        let mut lab = setup.open();
        lab.append(40);
        let mut begun = 0;
        for _ in 0..most {
            lab.next().await;
            begun += 1;
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(lab.seen.try_recv().is_err(), "one more began");
        while begun < 4 {
            told.notify_one();
            lab.next().await;
            begun += 1;
        }
        for _ in 0..most {
            told.notify_one();
        }
        lab.settled(40).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_settles_out_of_order_settles_all_the_same() {
    let told = [Arc::new(Notify::new()), Arc::new(Notify::new())];
    let limits = PartialLoadLimits {
        max_concurrency: Some(2),
        ..PartialLoadLimits::default()
    };
    let turns = told.each_ref().map(|told| Turn::Wait(Arc::clone(told)));
    let mut lab = unordered(limits).turns(turns).open();
    lab.append(20);
    // Each is decoded on a thread of its own, so either may come to the action first.
    let came_first = lab.next().await.span;
    lab.next().await;
    let [lower, upper] = match came_first == span(1, 10) {
        true => [0, 1],
        false => [1, 0],
    };
    told[upper].notify_one();
    let is_settled = |open: &OpenSpan| open.status == Status::Succeeded;
    while !lab.standing().open().any(|open| is_settled(&open)) {
        tokio::task::yield_now().await;
    }
    assert_eq!(lab.standing().settled_upto, Position(0));
    told[lower].notify_one();
    lab.settled(20).await;
}

/// Scenario 26
#[tokio::test(start_paused = true)]
async fn a_load_that_hangs_is_dropped_fails_and_is_tried_again() {
    let limits = PartialLoadLimits {
        timeout: Some(5 * SECOND),
        ..PartialLoadLimits::default()
    };
    let mut lab = unordered(limits).turns([never()]).open();
    lab.append(10);
    lab.next().await;
    let again = lab.next().await;
    assert_eq!((again.span, again.attempt), (span(1, 10), 2));
    assert!(again.at >= 5 * SECOND, "{:?}", again.at);
    lab.settled(10).await;
    let history = lab.store.transitions(None, span(1, 10), 10).unwrap();
    let error = history[1].error.as_deref().unwrap_or_default();
    assert!(
        history[1].status == Status::Failed && error.contains("timed out"),
        "{error}"
    );
    assert_eq!(lab.lane.counters.timeouts.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_load_is_counted_once_by_how_it_ended_and_each_execution_by_how_it_did() {
    let limits = PartialLoadLimits::default();
    let turns = [Turn::Fail, Turn::FailOne(4)];
    let lab = unordered(limits).turns(turns).open();
    lab.append(10);
    lab.settled(10).await;
    // All ten failed, then one of them, then none.
    let own = &lab.lane.counters;
    let loads = [&own.loads_failed, &own.loads_partly, &own.loads_succeeded];
    assert_eq!(loads.map(|own| own.get()), [1, 1, 1]);
    assert_eq!(own.loads.get(), 3);
    assert_eq!((own.succeeded.get(), own.failed.get()), (10, 11));
}

/// Scenario 26
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_load_that_blocks_its_thread_holds_up_no_other_action() {
    let (release, blocked) = std::sync::mpsc::channel();
    let limits = PartialLoadLimits {
        timeout: Some(Duration::from_millis(50)),
        ..PartialLoadLimits::default()
    };
    let mut blocking = unordered(limits).turns([Turn::Block(blocked)]).open();
    let mut other = Setup::default().open();
    blocking.append(10);
    assert_eq!(blocking.next().await.attempt, 1);
    other.append(10);
    assert_eq!(other.next().await.span, span(1, 10));
    other.settled(10).await;
    // Its thread is still blocked when the next attempt has the lane's slot.
    assert_eq!(blocking.next().await.attempt, 2);
    blocking.settled(10).await;
    release.send(()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn loads_keep_the_pace_that_is_set() {
    let limits = PartialLoadLimits {
        rate_limit: Some("10/s".parse().unwrap()),
        ..PartialLoadLimits::default()
    };
    let mut lab = unordered(limits).open();
    lab.append(30);
    let mut at = Vec::new();
    for job in 1..=30 {
        let seen = lab.next().await;
        assert_eq!(seen.numbers, [job], "the burst of 10/s is one job");
        at.push(seen.at.as_millis() as u64);
    }
    let expected = (0..30).map(|job| job * 100);
    for (at, expected) in at.iter().zip(expected) {
        assert!(at.abs_diff(expected) <= 10, "{at} ms instead of {expected}");
    }
}

/// Scenario 25
#[tokio::test(start_paused = true)]
async fn a_job_that_is_never_reported_follows_the_policy_and_is_never_stuck() {
    let limits = PartialLoadLimits {
        on_unknown: Some(OnUnknown::Retry),
        ..PartialLoadLimits::default()
    };
    let mut lab = unordered(limits).turns([Turn::Omit(4)]).open();
    lab.append(10);
    lab.next().await;
    let again = lab.next().await;
    assert_eq!((again.numbers, again.attempt), (vec![4], 2));
    lab.settled(10).await;
}

/// SCH-07
#[tokio::test(start_paused = true)]
async fn all_failed_jobs_of_a_load_come_back_together() {
    let mut lab = unordered(PartialLoadLimits::default())
        .turns([Turn::FailThese(vec![2, 5, 9])])
        .open();
    lab.append(10);
    lab.next().await;
    let again = lab.next().await;
    assert_eq!((again.numbers, again.events), (vec![2, 5, 9], 3));
    assert_eq!((again.span, again.attempt), (span(2, 9), 2));
    lab.settled(10).await;
}

/// Scenario 24
#[tokio::test(start_paused = true)]
async fn foreign_and_contradicting_reports_are_counted_and_change_nothing() {
    let mut lab = unordered(PartialLoadLimits::default())
        .turns([Turn::Lie])
        .open();
    lab.append(10);
    lab.next().await;
    lab.settled(10).await;
    let counters = &lab.lane.counters;
    assert_eq!(
        (
            counters.foreign_reports.get(),
            counters.contradicting_reports.get()
        ),
        (1, 1)
    );
    assert_eq!((counters.succeeded.get(), counters.failed.get()), (10, 0));
}

/// Scenario 35 SVC-10
#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_every_load_in_hand_and_begins_no_other() {
    let told = Arc::new(Notify::new());
    let limits = PartialLoadLimits {
        max_concurrency: Some(2),
        ..PartialLoadLimits::default()
    };
    let turns = (0..2).map(|_| Turn::Wait(Arc::clone(&told)));
    let mut lab = unordered(limits).turns(turns).open();
    lab.append(40);
    lab.next().await;
    lab.next().await;
    lab.lane.ask_to_stop();
    told.notify_one();
    told.notify_one();
    lab.lane.stop().await.unwrap();
    assert_eq!(lab.store.lanes()[0].settled_upto, Position(20));
    assert_eq!(lab.store.lanes()[0].open().count(), 0);
}
