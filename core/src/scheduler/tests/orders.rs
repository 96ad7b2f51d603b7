//! What operators have done with jobs, while the lane runs.

use super::*;
use crate::flow::Pattern;
use crate::id::Id;
use crate::job::{Command, Transition};
use crate::operate::{Order, Outcome, Selection};
use crate::query::{Filter, Names, Statuses, Times};

/// Unordered and hourly: nothing happens by itself for an hour, but batches of 10.
fn quiet() -> Setup {
    Setup {
        ordering: Ordering::Unordered,
        ..Setup::default()
    }
    .hourly()
}

fn realtime() -> Setup {
    Setup {
        ordering: Ordering::Unordered,
        ..Setup::default()
    }
}

fn at(first: u64, last: u64) -> Selection {
    Selection::from(Filter {
        positions: Some(span(first, last)),
        ..Filter::default()
    })
}

fn names(pattern: &str) -> Names {
    Names {
        only: vec![Pattern::new(pattern)],
        not: Vec::new(),
    }
}

/// Every job that stands so.
fn standing(status: Status) -> Selection {
    let statuses = Statuses {
        only: vec![status],
        not: Vec::new(),
    };
    Selection::from(Filter {
        statuses,
        ..Filter::default()
    })
}

fn everything() -> Selection {
    Selection::from(Filter::default())
}

impl Lab {
    async fn order(&self, command: Command, jobs: Selection) -> Result<Outcome> {
        let reason = Some("the harbour master says so".to_owned());
        let order = Order {
            command,
            jobs,
            reason,
        };
        self.operator.order(&order).await
    }

    async fn changed(&self, command: Command, jobs: Selection) -> u64 {
        self.order(command, jobs).await.unwrap().taken
    }

    fn transitions(&self) -> Vec<Transition> {
        let all = Span::new(Position::FIRST, Position::MAX);
        self.store.transitions(None, all, usize::MAX).unwrap()
    }
}

/// STA-02
#[tokio::test(start_paused = true)]
async fn a_failed_job_that_is_retried_does_not_wait_for_its_interval() {
    let mut lab = quiet().turns([Turn::FailOne(4)]).open();
    lab.append(10);
    lab.lane.settled(Position(3)).await.unwrap();
    lab.next().await;
    let failed_at = lab.clock.elapsed();
    let only = standing(Status::Failed);
    assert_eq!(lab.changed(Command::Retry, only).await, 1);
    let again = lab.next().await;
    assert_eq!((again.numbers, again.attempt), (vec![4], 2));
    assert_eq!(again.at, failed_at);
    let orders = lab
        .transitions()
        .into_iter()
        .filter(|t| t.command.is_some());
    let orders: Vec<_> = orders
        .map(|t| (t.span, t.status, t.command, t.attempt))
        .collect();
    let retry = Some(Command::Retry);
    assert_eq!(orders, [(span(4, 4), Status::Awaiting, retry, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_discarded_job_is_taken_up_again_although_everything_behind_it_is_settled() {
    let mut setup = realtime().turns([Turn::FailOne(4)]);
    setup.schedule.max_retries = 0;
    let mut lab = setup.open();
    lab.append(10);
    lab.settled(10).await;
    lab.next().await;
    assert_eq!(discarded(&lab.standing()).len(), 1);
    let id = Id::of_job(lab.store.id(), lab.lane.id, Position(4), Timestamp(0));
    assert_eq!(lab.changed(Command::Retry, Selection::job(id)).await, 1);
    let again = lab.next().await;
    assert_eq!((again.numbers, again.attempt), (vec![4], 2));
    lab.settled(10).await;
    assert!(discarded(&lab.standing()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_job_of_unknown_outcome_is_retried_or_discarded_when_somebody_says_so() {
    for command in [Command::Retry, Command::Discard] {
        let mut lab = realtime().turns([Turn::Omit(4)]).open();
        lab.append(10);
        assert!(lab.lane.flush(Position(10)).await.is_err());
        lab.next().await;
        let unknown = standing(Status::Unknown);
        assert_eq!(lab.changed(command, unknown).await, 1);
        lab.lane.flush(Position(10)).await.unwrap();
        let reasons = discarded(&lab.standing());
        match command {
            Command::Retry => assert_eq!(lab.next().await.numbers, [4]),
            _ => assert!(reasons[0].1.contains("harbour master"), "{reasons:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn paused_jobs_are_passed_over_also_after_a_restart_and_resumed_ones_are_loaded() {
    let mut lab = quiet().open();
    lab.append(8);
    assert_eq!(lab.changed(Command::Pause, at(3, 4)).await, 2);
    let store = Arc::clone(&lab.store);
    lab.lane.stop().await.unwrap();
    lab = quiet().open_over(store);
    assert_eq!(lab.changed(Command::Pause, at(7, 7)).await, 1);
    let error = lab.lane.flush(Position(8)).await.unwrap_err();
    assert!(error.report().contains("jobs 3..4 are paused"), "{error:?}");
    assert_eq!(lab.next().await.numbers, [1, 2, 5, 6, 8]);
    assert_eq!(lab.changed(Command::Resume, everything()).await, 3);
    let resumed = lab.next().await;
    assert_eq!((resumed.numbers, resumed.attempt), (vec![3, 4, 7], 1));
    lab.settled(8).await;
}

#[tokio::test(start_paused = true)]
async fn a_discarded_job_that_was_not_loaded_yet_never_is() {
    let mut lab = quiet().open();
    lab.append(8);
    lab.order(Command::Discard, at(2, 3)).await.unwrap();
    lab.lane.flush(Position(8)).await.unwrap();
    assert_eq!(lab.next().await.numbers, [1, 4, 5, 6, 7, 8]);
    assert_eq!(discarded(&lab.standing())[0].0, span(2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_has_its_load_dropped_and_the_others_of_it_loaded_again() {
    let never = Turn::Wait(Arc::new(Notify::new()));
    let mut lab = realtime().turns([never]).open();
    lab.append(10);
    lab.next().await;
    assert_eq!(lab.changed(Command::Cancel, at(4, 4)).await, 1);
    let again = lab.next().await;
    assert_eq!(
        (again.numbers, again.attempt),
        (vec![1, 2, 3, 5, 6, 7, 8, 9, 10], 2)
    );
    lab.settled(10).await;
    assert_eq!(discarded(&lab.standing())[0].0, span(4, 4));
}

#[tokio::test(start_paused = true)]
async fn no_load_is_dropped_for_a_cancel_that_meets_none_of_its_jobs() {
    let told = Arc::new(Notify::new());
    let mut lab = realtime().turns([Turn::Wait(Arc::clone(&told))]).open();
    lab.append(4);
    lab.append_others(2);
    lab.append(6);
    let seen = lab.next().await;
    assert_eq!((seen.span, seen.events), (span(1, 12), 10));
    assert_eq!(lab.changed(Command::Cancel, at(5, 6)).await, 0);
    told.notify_one();
    lab.settled(12).await;
    let expected = [(1, 12, Status::Executing, 1), (1, 12, Status::Succeeded, 1)];
    assert_eq!(lab.history(), expected);
}

#[tokio::test(start_paused = true)]
async fn jobs_given_back_at_once_come_in_batches_also_after_a_restart() {
    for ordering in [Ordering::Unordered, Ordering::Ordered] {
        let with = || Setup {
            ordering,
            ..quiet()
        };
        let mut lab = with().open();
        let all = [Pattern::new("lake/*")];
        lab.operator.pause(&all, None).await.unwrap();
        lab.append(25);
        lab.order(Command::Discard, everything()).await.unwrap();
        assert_eq!(lab.changed(Command::Retry, everything()).await, 25);
        let store = Arc::clone(&lab.store);
        drop(lab.lane);
        lab = with().open_over(store);
        lab.operator.resume(&all).await.unwrap();
        lab.lane.flush(Position(25)).await.unwrap();
        for expected in [span(1, 10), span(11, 20), span(21, 25)] {
            assert_eq!(lab.next().await.span, expected, "{ordering:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_discarded_while_it_executes_stays_so_whatever_its_load_reports() {
    let told = Arc::new(Notify::new());
    let mut lab = realtime().turns([Turn::Wait(Arc::clone(&told))]).open();
    lab.append(10);
    lab.next().await;
    lab.order(Command::Discard, at(4, 4)).await.unwrap();
    told.notify_one();
    lab.settled(10).await;
    let history = lab.history();
    assert_eq!(
        history.iter().filter(|(first, ..)| *first == 4).count(),
        1,
        "{history:?}"
    );
    assert_eq!(discarded(&lab.standing())[0].0, span(4, 4));
}

#[tokio::test(start_paused = true)]
async fn a_paused_action_begins_no_load_also_after_a_restart_until_it_is_resumed() {
    let lab = realtime().open();
    let all = [Pattern::new("lake/*")];
    lab.operator
        .pause(&all, Some("the pier is closed"))
        .await
        .unwrap();
    lab.append(10);
    let store = Arc::clone(&lab.store);
    lab.lane.stop().await.unwrap();
    let mut lab = realtime().open_over(store);
    let error = lab.lane.flush(Position(10)).await.unwrap_err();
    assert!(error.report().contains("is paused"), "{error:?}");
    assert!(lab.seen.try_recv().is_err());
    lab.operator.resume(&all).await.unwrap();
    assert_eq!(lab.next().await.span, span(1, 10));
    lab.settled(10).await;
    assert!(
        lab.operator
            .pause(&[Pattern::new("lak")], None)
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn an_ordered_action_is_paused_as_a_whole_or_not_at_all() {
    let lab = Setup::default().hourly().open();
    lab.append(5);
    let outcome = lab.order(Command::Pause, at(2, 2)).await.unwrap();
    assert_eq!((outcome.taken, outcome.refused), (0, 1));
    let refusal = &outcome.actions[0].refused[0];
    assert!(refusal.reason.contains("pause the action"), "{refusal:?}");
    lab.order(Command::Discard, at(3, 3)).await.unwrap();
    lab.lane.flush(Position(5)).await.unwrap();
    let Lab { mut seen, .. } = lab;
    let spans = [
        seen.recv().await.unwrap().span,
        seen.recv().await.unwrap().span,
    ];
    assert_eq!(
        spans,
        [span(1, 2), span(4, 5)],
        "its loads are one span each"
    );
}

#[tokio::test(start_paused = true)]
async fn an_ordered_action_loads_what_it_is_given_back_in_its_turn_also_after_a_restart() {
    for restarts in [false, true] {
        let mut lab = Setup::default().hourly().open();
        lab.has_begun().await;
        lab.append(9);
        assert_eq!(lab.changed(Command::Discard, at(5, 7)).await, 3);
        assert_eq!(lab.changed(Command::Retry, at(5, 6)).await, 2);
        if restarts {
            let store = Arc::clone(&lab.store);
            lab.lane.stop().await.unwrap();
            lab = Setup::default().hourly().open_over(store);
        }
        lab.lane.flush(Position(10)).await.unwrap();
        let spans = [lab.next().await.span, lab.next().await.span];
        assert_eq!(spans, [span(2, 6), span(8, 10)], "restarted: {restarts}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_for_what_is_not_there_says_so() {
    let lab = quiet().open();
    lab.append(5);
    let id = Id::of_job(lab.store.id(), lab.lane.id, Position(9), Timestamp(0));
    let outcome = lab.order(Command::Retry, Selection::job(id)).await.unwrap();
    assert_eq!(
        (outcome.taken, outcome.unknown[0].id.clone()),
        (0, id.to_string())
    );
    let reason = &outcome.unknown[0].reason;
    assert!(reason.contains("no event at position 9"), "{reason}");
    let elsewhere = Selection::from(Filter {
        destinations: names("pond"),
        ..Filter::default()
    });
    let outcome = lab.order(Command::Retry, elsewhere).await.unwrap();
    assert_eq!(outcome, Outcome::default());
    assert_eq!(lab.changed(Command::Retry, everything()).await, 0);
}

#[tokio::test(start_paused = true)]
async fn where_no_lane_runs_the_order_is_recorded_and_kept_by_the_next_one() {
    let lab = quiet().open();
    lab.append(5);
    let (store, operator) = (Arc::clone(&lab.store), lab.operator.clone());
    lab.lane.stop().await.unwrap();
    let order = Order {
        command: Command::Discard,
        jobs: at(1, 4),
        reason: None,
    };
    assert_eq!(operator.order(&order).await.unwrap().taken, 4);
    let mut lab = quiet().open_over(store);
    lab.lane.flush(Position(5)).await.unwrap();
    assert_eq!(lab.next().await.numbers, [5]);
}

#[tokio::test(start_paused = true)]
async fn jobs_are_selected_by_where_their_events_come_from_and_when() {
    let lab = quiet().open();
    lab.append(3);
    tokio::time::advance(SECOND).await;
    lab.append(3);
    let select = |triggers: &str, since| {
        Selection::from(Filter {
            triggers: names(triggers),
            received: Times {
                since,
                before: None,
            },
            ..Filter::default()
        })
    };
    let none = select("oth*", None);
    assert_eq!(lab.changed(Command::Discard, none).await, 0);
    let late = select("num*", Some(Timestamp(1)));
    assert_eq!(lab.changed(Command::Discard, late).await, 3);
    assert_eq!(discarded(&lab.standing())[0].0, span(4, 6));
}

/// Whether `next` may follow on `before`, for one job.
fn is_legal(before: Option<&Transition>, next: &Transition) -> bool {
    use Status::{Awaiting, Discarded, Executing, Failed, Succeeded, Unknown};
    let (status, attempt) = before.map_or((Status::Acknowledged, 0), |t| (t.status, t.attempt));
    let same = next.attempt == attempt;
    match (status, next.status, next.command) {
        (Status::Acknowledged | Awaiting | Failed, Executing, None) => next.attempt == attempt + 1,
        (Executing, Succeeded | Failed | Discarded | Unknown, None) => same,
        (Executing, Awaiting, Some(Command::Cancel)) => same,
        (Failed | Unknown | Discarded, Awaiting, Some(Command::Retry)) => same,
        (Status::Acknowledged | Awaiting | Failed, Awaiting, Some(Command::Pause)) => same,
        (Awaiting, Awaiting, Some(Command::Resume)) => same,
        (Succeeded | Discarded, Discarded, _) => false,
        (_, Discarded, Some(Command::Discard | Command::Cancel)) => same,
        _ => false,
    }
}

/// A row of numbers that is the same for the same seed (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Orders for anything at any moment, among loads that fail, omit, hang and panic.
async fn interleave(seed: u64) {
    let mut dice = Dice(seed * 0x9e37_79b9 + 1);
    let mut setup = realtime();
    setup.limits.max_concurrency = Some(3);
    setup.limits.timeout = Some(SECOND);
    setup.schedule.max_retries = 2;
    setup.batch.rows_max = 5;
    let turns: Vec<_> = (0..20)
        .map(|_| match dice.roll(8) {
            0 => Turn::Fail,
            1 => Turn::Panic,
            2 => Turn::Omit(1 + dice.roll(20)),
            3 | 4 => Turn::FailThese(vec![1 + dice.roll(20), 1 + dice.roll(20)]),
            5 => Turn::Wait(Arc::new(Notify::new())),
            _ => Turn::Succeed,
        })
        .collect();
    let lab = setup.turns(turns).open();
    lab.append(12);
    for step in 0..12 {
        match dice.roll(4) {
            0 => tokio::time::advance(Duration::from_millis(300 * dice.roll(6))).await,
            1 if step == 5 => lab.append(8),
            _ => {}
        }
        for _ in 0..dice.roll(30) {
            tokio::task::yield_now().await;
        }
        let command = Command::ALL[dice.roll(5) as usize];
        let first = 1 + dice.roll(lab.head());
        lab.order(command, at(first, first + dice.roll(4)))
            .await
            .unwrap();
    }
    lab.order(Command::Resume, everything()).await.unwrap();
    let unknown = standing(Status::Unknown);
    // Whatever is left comes to an end, once nobody holds it: each load ends by its timeout at the latest.
    let head = Position(lab.head());
    while lab.lane.flush(head).await.is_err() {
        lab.order(Command::Discard, unknown.clone()).await.unwrap();
    }
    assert_legal(seed, &lab.transitions(), head);
    assert_eq!(lab.standing().settled_upto, head, "seed {seed}");
}

fn assert_legal(seed: u64, transitions: &[Transition], head: Position) {
    for position in (1..=head.0).map(Position) {
        let own = transitions.iter().filter(|t| t.span.contains(position));
        let mut before = None;
        for next in own {
            assert!(
                is_legal(before, next),
                "seed {seed}, job {position}: {before:?} then {next:?}"
            );
            before = Some(next);
        }
        let last = before.map(|last| last.status);
        assert!(
            matches!(last, Some(Status::Succeeded | Status::Discarded)),
            "seed {seed}, job {position} ends {last:?}"
        );
    }
}

/// Scenario 34
#[tokio::test(start_paused = true)]
async fn whatever_an_operator_orders_at_any_moment_jobs_are_in_legal_states_only() {
    for seed in 0..1_000 {
        interleave(seed).await;
    }
}
