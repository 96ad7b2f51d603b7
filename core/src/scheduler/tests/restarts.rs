//! What a stop leaves behind, and what a start takes up.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_span_that_was_executing_is_loaded_again_as_the_same_span() {
    let held = Turn::Wait(Arc::new(Notify::new()));
    let mut lab = Setup::default().turns([held]).open();
    lab.append(7);
    assert_eq!(lab.next().await.span, span(1, 7));
    let store = Arc::clone(&lab.store);
    drop(lab);
    let mut lab = Setup::default().open_over(store);
    lab.append(13);
    let again = lab.next().await;
    assert_eq!((again.span, again.attempt), (span(1, 7), 2));
    assert_eq!(again.numbers, (1..=7).collect::<Vec<_>>());
    assert_eq!(
        lab.next().await.span,
        span(8, 17),
        "new batches begin behind it"
    );
    lab.settled(20).await;
}

#[tokio::test(start_paused = true)]
async fn a_span_that_had_failed_keeps_its_attempts() {
    let mut lab = Setup::default().turns([Turn::Fail, Turn::Fail]).open();
    lab.append(10);
    lab.next().await;
    lab.next().await;
    let store = Arc::clone(&lab.store);
    lab.lane.stop().await.unwrap();
    let mut lab = Setup::default().open_over(store);
    let again = lab.next().await;
    assert_eq!(
        (again.span, again.attempt, again.at),
        (span(1, 10), 3, Duration::ZERO)
    );
}

#[tokio::test(start_paused = true)]
async fn jobs_of_unknown_outcome_are_still_held_after_a_restart() {
    let mut lab = Setup::default().turns([Turn::Omit(1)]).open();
    lab.append(10);
    lab.next().await;
    let store = Arc::clone(&lab.store);
    lab.lane.stop().await.unwrap();
    let mut lab = Setup::default().open_over(store);
    assert!(lab.lane.flush(Position(10)).await.is_err());
    assert!(lab.seen.try_recv().is_err(), "nothing was loaded again");
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_the_load_in_hand_come_to_its_end_and_begins_no_other() {
    let told = Arc::new(Notify::new());
    let mut lab = Setup::default()
        .turns([Turn::Wait(Arc::clone(&told))])
        .open();
    lab.append(20);
    lab.next().await;
    lab.lane.ask_to_stop();
    told.notify_one();
    lab.lane.stop().await.unwrap();
    let lane = lab.store.lanes().remove(0);
    assert_eq!((lane.settled_upto, lane.open().count()), (Position(10), 0));
    assert!(
        lab.seen.recv().await.is_none(),
        "the second batch was not begun"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_asked_to_stop_while_it_gathers_stops() {
    // The lane moves only while this test yields, so each number of turns stops it at another place.
    for turns in 0..32 {
        let lab = Setup::default().open();
        lab.append(1);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        let stopped = tokio::time::timeout(HOUR, lab.lane.stop()).await;
        stopped
            .unwrap_or_else(|_| panic!("asked in turn {turns}, it never stopped"))
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_dropped_ends_with_its_load() {
    let held = Turn::Wait(Arc::new(Notify::new()));
    let mut lab = Setup::default().turns([held]).open();
    lab.append(10);
    lab.next().await;
    let Lab { lane, mut seen, .. } = lab;
    drop(lane);
    assert!(seen.recv().await.is_none(), "the action is gone");
}

#[tokio::test(start_paused = true)]
async fn a_lane_ends_with_its_store_and_says_why() {
    let lab = Setup::default().open();
    lab.store.close().unwrap();
    lab.lane.ended().await;
    let error = lab.lane.stop().await.unwrap_err();
    assert!(error.report().contains("closed"), "{error:?}");
}
