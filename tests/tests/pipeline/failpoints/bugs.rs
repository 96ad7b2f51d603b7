//! Planted bugs: a bench that does not catch them catches nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::house::House;
use super::work::Work;

/// In this time a bug must have been caught.
const CAUGHT_WITHIN: Duration = Duration::from_secs(60);

/// Lives that come to their deaths by `die`, first without `bugs` and then with them, until one of those shows; panics when none does.
/// Each is given another time of passing, as a single death may be harmless. Without the bugs all must come to a good end.
fn assert_caught(bugs: &'static str, work: Work, times: &[u64], die: impl Fn(&House, u64)) {
    let began = Instant::now();
    for time in times {
        let healthy = House::new(work, "");
        die(&healthy, *time);
        healthy.recover();
        let began_sick = Instant::now();
        let Some(said) = caught(&House::new(work, bugs), |house| die(house, *time)) else {
            continue;
        };
        let (alone, all) = (began_sick.elapsed(), began.elapsed());
        eprintln!("{bugs}: caught at time {time} within {alone:?}, {all:?} in all: {said}");
        assert!(all < CAUGHT_WITHIN, "{bugs} was caught too late");
        return;
    }
    panic!("{bugs} was not caught");
}

/// What the bench said when it failed, in short; none when it did not.
fn caught(sick: &House, die: impl Fn(&House)) -> Option<String> {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        die(sick);
        sick.recover();
    }));
    let panic = lived.err()?;
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
    Some(said.unwrap_or_default().chars().take(300).collect())
}

/// Where in the work the writer's thread stands still, with frames in hand that are nowhere else.
const TIMES: [u64; 4] = [20, 35, 50, 65];

fn die_with_frames_in_hand(house: &House, time: u64) {
    house.live(&format!("log.taken=hang@{time}"));
}

#[test]
fn confirming_to_the_server_what_is_not_durable_is_caught() {
    let bug = "bug.ack_before_durable=plant";
    assert_caught(bug, Work::Small, &TIMES, die_with_frames_in_hand);
}

#[test]
fn answering_a_request_before_its_event_is_written_is_caught() {
    let bug = "bug.durable_before_written=plant";
    assert_caught(bug, Work::Webhook, &TIMES, die_with_frames_in_hand);
}

#[test]
fn noting_a_range_before_its_rows_are_stored_is_caught() {
    let bug = "bug.range_noted_first=plant";
    assert_caught(bug, Work::Copy, &[1, 2, 3], |house, time| {
        house.live(&format!("copy.read=hang@{time}"));
    });
}

#[test]
fn reporting_success_before_the_sink_committed_is_caught() {
    let bug = "bug.settled_before_commit=plant";
    assert_caught(bug, Work::Small, &[1, 2, 3], |house, time| {
        house.live(&format!("parquet.announced=hang@{time}"));
    });
}

/// The commit record of a batch is there, its transition is not, and the store has more behind it.
fn die_with_a_record_and_more_behind(house: &House, time: u64) {
    house.die_with_more_behind("parquet.recorded", time);
}

/// What the batch is joined with must not be loaded in other pieces than those that have records: the sink refuses, and loads no more.
#[test]
fn forming_the_batch_of_a_crash_anew_is_caught() {
    let bug = "bug.executing_forgotten=plant";
    assert_caught(bug, Work::Small, &[1], die_with_a_record_and_more_behind);
}

/// Not to look at the commit record harms nobody as long as the same batch comes again, which replaces itself.
#[test]
fn loading_again_what_has_a_commit_record_is_caught_once_the_batch_is_another() {
    let bugs = "bug.executing_forgotten=plant;bug.record_unread=plant";
    assert_caught(bugs, Work::Small, &[1], die_with_a_record_and_more_behind);
    let alone = House::new(Work::Small, "bug.record_unread=plant");
    die_with_a_record_and_more_behind(&alone, 1);
    alone.recover();
}
