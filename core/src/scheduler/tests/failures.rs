//! What becomes of jobs that did not come out well, and of those behind them.

use super::*;

/// Unordered, otherwise as usual.
fn unordered() -> Setup {
    Setup {
        ordering: Ordering::Unordered,
        ..Setup::default()
    }
}

#[tokio::test(start_paused = true)]
async fn an_ordered_lane_tries_the_same_span_again_before_anything_behind_it() {
    let mut lab = Setup::default().turns([Turn::Fail, Turn::Fail]).open();
    lab.append(10);
    lab.append(10);
    for attempt in [1, 2, 3] {
        let seen = lab.next().await;
        assert_eq!(
            (seen.span, seen.attempt, seen.events),
            (span(1, 10), attempt, 10)
        );
        assert_eq!(seen.numbers, (1..=10).collect::<Vec<_>>());
        assert_eq!(seen.recorded, Some((Status::Executing, attempt)));
    }
    let seen = lab.next().await;
    assert_eq!((seen.span, seen.attempt), (span(11, 20), 1));
    lab.settled(20).await;
    assert!(
        lab.clock.elapsed() >= SECOND,
        "each retry waits for its pause"
    );
    let first = lab.history()[1];
    assert_eq!(first, (1, 10, Status::Failed, 1));
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_as_long_as_the_action_asked_for_it() {
    let mut lab = Setup::default().turns([Turn::FailFor(HOUR)]).open();
    lab.append(10);
    let failed_at = lab.next().await.at;
    let again = lab.next().await;
    assert_eq!((again.span, again.attempt), (span(1, 10), 2));
    assert!(again.at >= failed_at + HOUR, "{:?}", again.at);
}

#[tokio::test(start_paused = true)]
async fn an_ordered_lane_holds_for_ever_by_itself() {
    let fails = std::iter::repeat_with(|| Turn::Fail).take(100);
    let mut lab = Setup::default().turns(fails).open();
    lab.append(10);
    for attempt in 1..=101 {
        assert_eq!(lab.next().await.attempt, attempt);
    }
    lab.settled(10).await;
    assert!(discarded(&lab.standing()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn retries_that_somebody_limited_run_out_and_the_lane_goes_on() {
    let mut setup = Setup::default().turns([Turn::Fail, Turn::Fail]);
    setup.schedule.max_retries = 1;
    setup.schedule.max_retries_explicit = true;
    let mut lab = setup.open();
    lab.append(10);
    lab.append(10);
    lab.settled(20).await;
    let attempts = [lab.next().await, lab.next().await, lab.next().await];
    let attempts = attempts.map(|seen| (seen.span.first.0, seen.attempt));
    assert_eq!(attempts, [(1, 1), (1, 2), (11, 1)]);
    assert_eq!(
        discarded(&lab.standing()),
        [(span(1, 10), "the sea is rough".to_owned())]
    );
}

#[tokio::test(start_paused = true)]
async fn an_unordered_lane_goes_on_while_a_job_waits_for_its_retry() {
    let mut lab = unordered().turns([Turn::FailOne(4)]).open();
    lab.append(10);
    assert_eq!(lab.next().await.span, span(1, 10));
    lab.append(10);
    let other = lab.next().await;
    assert_eq!((other.span, other.at), (span(11, 20), Duration::ZERO));
    let again = lab.next().await;
    assert_eq!((again.span, again.attempt), (span(4, 4), 2));
    assert_eq!((again.numbers, again.events), (vec![4], 1));
    lab.settled(20).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_action_fails_its_batch_and_nothing_else() {
    let mut lab = Setup::default().turns([Turn::Panic]).open();
    lab.append(10);
    assert_eq!(lab.next().await.attempt, 1);
    assert_eq!(lab.next().await.attempt, 2);
    lab.settled(10).await;
    let all = span(1, 10);
    let history = lab.store.transitions(None, all, 10).unwrap();
    assert_eq!(history[1].status, Status::Failed);
    assert!(history[1].error.as_ref().unwrap().contains("a bug"));
}

/// THN-08 STA-07
#[tokio::test(start_paused = true)]
async fn jobs_of_unknown_outcome_are_held_and_others_go_on() {
    let mut lab = Setup::default().turns([Turn::Omit(4)]).open();
    lab.append(10);
    lab.append(10);
    lab.next().await;
    assert_eq!(lab.next().await.span, span(11, 20));
    lab.settled(3).await;
    let error = lab.lane.flush(Position(20)).await.unwrap_err();
    assert!(error.report().contains("jobs 4..4 is unknown"), "{error:?}");
    let standing = lab.standing();
    assert_eq!(standing.settled_upto, Position(3));
    let held = standing.open().next().unwrap();
    assert_eq!((held.span, held.status), (span(4, 4), Status::Unknown));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_decoded_is_discarded_with_its_reason_and_the_rest_succeeds() {
    let lab = Setup::default().open();
    let lines = ["1", "two", "3"].map(str::to_owned);
    lab.append_lines(lab.routed, &lines);
    lab.settled(3).await;
    let standing = lab.standing();
    assert_eq!(
        discarded(&standing),
        [(span(2, 2), "numbers: not a number".to_owned())]
    );
    let expected = [
        (1, 3, Status::Executing, 1),
        (1, 1, Status::Succeeded, 1),
        (2, 2, Status::Discarded, 1),
        (3, 3, Status::Succeeded, 1),
    ];
    assert_eq!(lab.history(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_failed_batch_is_tried_again_whole_although_an_event_in_it_cannot_be_decoded() {
    let mut lab = Setup::default().turns([Turn::Fail]).open();
    let lines = ["1", "two", "3"].map(str::to_owned);
    lab.append_lines(lab.routed, &lines);
    for attempt in [1, 2] {
        let seen = lab.next().await;
        assert_eq!(
            (seen.span, seen.attempt, seen.numbers),
            (span(1, 3), attempt, vec![1, 3])
        );
    }
    lab.settled(3).await;
    assert_eq!(discarded(&lab.standing())[0].0, span(2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_wait_for_the_interval_of_a_retry() {
    let mut lab = Setup::default()
        .hourly()
        .turns([Turn::Fail, Turn::Fail])
        .open();
    lab.append(1);
    lab.next().await;
    lab.lane.flush(Position(1)).await.unwrap();
    let waited = lab.clock.elapsed();
    assert!((HOUR..HOUR + HOUR / 2).contains(&waited), "{waited:?}");
}
