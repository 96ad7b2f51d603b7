//! When a batch closes, and what goes into it.

use super::*;

/// SCH-01
#[tokio::test(start_paused = true)]
async fn a_batch_closes_by_rows_at_once_and_what_is_left_by_age() {
    let mut lab = Setup::default().open();
    lab.append(14);
    let full = lab.next().await;
    assert_eq!(
        (full.span, full.events, full.at),
        (span(1, 10), 10, Duration::ZERO)
    );
    assert_eq!(full.numbers, (1..=10).collect::<Vec<_>>());
    let rest = lab.next().await;
    assert_eq!(
        (rest.span, rest.numbers),
        (span(11, 14), vec![11, 12, 13, 14])
    );
    assert_eq!(rest.at.as_secs(), 10);
    lab.settled(14).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_closes_by_bytes() {
    let mut setup = Setup::default();
    setup.batch.bytes_max = 4;
    let mut lab = setup.open();
    lab.append(1);
    lab.append(2);
    assert_eq!(lab.next().await.span, span(1, 3));
}

#[tokio::test(start_paused = true)]
async fn several_blocks_gather_into_one_batch() {
    let mut lab = Setup::default().open();
    for _ in 0..4 {
        lab.append(2);
    }
    let seen = lab.next().await;
    assert_eq!((seen.span, seen.numbers), (span(1, 8), (1..=8).collect()));
    assert_eq!(seen.at.as_secs(), 10, "the age of the oldest decides");
}

/// STA-03
#[tokio::test(start_paused = true)]
async fn a_batch_is_recorded_as_executing_before_it_is_loaded() {
    let mut lab = Setup::default().open();
    lab.append(10);
    assert_eq!(lab.next().await.recorded, Some((Status::Executing, 1)));
    lab.settled(10).await;
    let expected = [(1, 10, Status::Executing, 1), (1, 10, Status::Succeeded, 1)];
    assert_eq!(lab.history(), expected);
    assert_eq!(lab.standing().open().count(), 0);
}

/// A sink that finds what an earlier load of this very process left tells by it that the store is no older copy.
#[tokio::test(start_paused = true)]
async fn each_load_is_told_how_far_the_store_is_by_then() {
    let mut lab = Setup::default().open();
    for batch in 1..=3 {
        lab.append(10);
        let seen = lab.next().await;
        assert_eq!(
            (seen.head, seen.span.last),
            (Position(batch * 10), Position(batch * 10))
        );
        lab.settled(batch * 10).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_routed_elsewhere_settles_without_a_load() {
    let mut lab = Setup::default().open();
    lab.append_others(25);
    lab.settled(25).await;
    assert_eq!(lab.history(), [(1, 25, Status::Succeeded, 0)]);
    assert!(lab.seen.try_recv().is_err(), "the action was not called");
}

#[tokio::test(start_paused = true)]
async fn the_action_gets_its_own_events_of_a_mixed_batch() {
    let mut lab = Setup::default().open();
    lab.append_others(3);
    lab.append(2);
    lab.append_others(4);
    lab.append(1);
    let seen = lab.next().await;
    assert_eq!(
        (seen.span, seen.events, seen.numbers),
        (span(1, 10), 3, vec![4, 5, 10])
    );
    lab.settled(10).await;
}

/// ACT-07
#[tokio::test(start_paused = true)]
async fn a_scheduled_lane_waits_for_its_tick_and_takes_all_that_gathered() {
    let mut lab = Setup::default().hourly().open();
    lab.append(14);
    let (first, second) = (lab.next().await, lab.next().await);
    assert_eq!((first.span, first.at.as_secs()), (span(1, 10), 3_600));
    assert_eq!((second.span, second.at.as_secs()), (span(11, 14), 3_600));
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_a_tick_that_met_nothing_waits_for_the_next() {
    let mut lab = Setup::default().hourly().open();
    lab.has_begun().await;
    tokio::time::advance(HOUR + HOUR / 2).await;
    tokio::task::yield_now().await;
    lab.append(1);
    let at = lab.next().await.at;
    assert!(at >= 2 * HOUR, "loaded after {at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_tick_is_not_used_up_by_a_full_batch_but_is_over_when_nothing_is_left() {
    let mut lab = Setup::default().hourly().open();
    lab.append(10);
    assert_eq!(lab.next().await.at.as_secs(), 3_600);
    lab.settled(10).await;
    tokio::time::advance(HOUR / 2).await;
    lab.append(1);
    assert_eq!(lab.next().await.at.as_secs(), 7_200);
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_no_schedule_and_leaves_the_next_tick_where_it_was() {
    let mut lab = Setup::default().hourly().open();
    lab.has_begun().await;
    tokio::time::advance(HOUR / 2).await;
    lab.append(3);
    lab.lane.flush(Position(4)).await.unwrap();
    assert_eq!(lab.next().await.at.as_secs(), 1_800);
    lab.append(1);
    assert_eq!(lab.next().await.at.as_secs(), 3_600);
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_what_is_settled_returns_at_once() {
    let lab = Setup::default().open();
    lab.lane.flush(Position::ZERO).await.unwrap();
    assert_eq!(lab.clock.elapsed(), Duration::ZERO);
}
