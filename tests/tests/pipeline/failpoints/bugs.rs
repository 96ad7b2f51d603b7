//! Planted bugs: a bench that does not catch them catches nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use blacksmith_tests::{failpoints, stream};

use super::house::House;
use super::work::Work;

/// In this time a bug must have been caught.
const CAUGHT_WITHIN: Duration = Duration::from_secs(60);

/// How a program dies.
struct Death {
    /// Where.
    place: &'static str,
    /// At which times of passing it: one may be harmless.
    times: &'static [u64],
    die: fn(&House, &str, u64),
}

impl Death {
    /// The thread that comes to `place` stands still for a moment, and everything else goes on.
    fn lingering(place: &'static str, times: &'static [u64]) -> Death {
        let die = |house: &House, place: &str, time| {
            house.live(&format!("{place}=hang@{time}"));
        };
        Death { place, times, die }
    }

    /// Everything stands still at `place` until the store has more behind it.
    fn with_more_behind(place: &'static str) -> Death {
        Death {
            place,
            times: &[1],
            die: House::die_with_more_behind,
        }
    }

    /// Whether the program came to its place in `house`.
    fn is_met(&self, house: &House) -> bool {
        house.passed(self.place) > 0
    }

    /// Dies so in `work`, first without `bugs` and then with them.
    ///
    /// # Panics
    /// When the bench does not fail with the bugs, or does without them.
    fn assert_shows(&self, bugs: &'static str, work: Work) {
        // Alone, this test builds the programs first: that is not what it takes to catch a bug.
        _ = (stream::program(), failpoints::program());
        let began = Instant::now();
        for time in self.times {
            let healthy = House::new(work, "");
            (self.die)(&healthy, self.place, *time);
            healthy.recover();
            if !self.is_met(&healthy) {
                continue; // a quick machine passes fewer, larger batches
            }
            let began_sick = Instant::now();
            let sick = House::new(work, bugs);
            let Some(said) = caught(|| {
                (self.die)(&sick, self.place, *time);
                sick.recover();
            }) else {
                continue;
            };
            assert!(self.is_met(&sick), "it failed before: {said}");
            let (alone, all) = (began_sick.elapsed(), began.elapsed());
            eprintln!("{bugs}: caught within {alone:?}, {all:?} in all: {said}");
            assert!(all < CAUGHT_WITHIN, "{bugs} was caught too late");
            return;
        }
        panic!("{bugs} was not caught");
    }
}

/// The beginning of what the bench said when it failed; none when it did not.
fn caught(life: impl FnOnce()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(life)).err()?;
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
    Some(said.unwrap_or_default().chars().take(300).collect())
}

/// Frames are with the writer, and nowhere else. Which times of passing have those of the work depends on how quick the disk
/// is: the first have what a start writes, the last what became of jobs.
fn frames_in_hand() -> Death {
    Death::lingering("log.taken", &[20, 14, 11, 9, 10, 12, 13, 8, 7, 16, 6, 5])
}

/// A batch has a commit record, the transition that says so is not there, and more has come behind it.
fn recorded_only() -> Death {
    Death::with_more_behind("parquet.recorded")
}

#[test]
fn confirming_to_the_server_what_is_not_durable_is_caught() {
    frames_in_hand().assert_shows("bug.ack_before_durable=plant", Work::Small);
}

#[test]
fn answering_a_request_before_its_event_is_durable_is_caught() {
    frames_in_hand().assert_shows("bug.durable_unawaited=plant", Work::Webhook);
}

#[test]
fn noting_a_range_before_its_rows_are_stored_is_caught() {
    let read = Death::lingering("copy.read", &[1, 2, 3]);
    read.assert_shows("bug.range_noted_first=plant", Work::Copy);
}

#[test]
fn reporting_success_before_the_sink_committed_is_caught() {
    let announced = Death::lingering("parquet.announced", &[1, 1, 1]);
    announced.assert_shows("bug.settled_before_commit=plant", Work::Small);
}

/// What is in a commit record must not be loaded in other pieces: the sink refuses, and loads no more.
#[test]
fn forming_the_batch_of_a_crash_anew_is_caught() {
    recorded_only().assert_shows("bug.executing_forgotten=plant", Work::Small);
}

/// Not to look at the commit record harms nobody as long as the same batch comes again, which replaces itself.
#[test]
fn loading_again_what_has_a_commit_record_is_caught_once_the_batch_is_another() {
    let bugs = "bug.executing_forgotten=plant;bug.record_unread=plant";
    recorded_only().assert_shows(bugs, Work::Small);
    let alone = House::new(Work::Small, "bug.record_unread=plant");
    alone.die_with_more_behind("parquet.recorded", 1);
    alone.recover();
}
