//! What each rule is for: with all of them no history goes wrong, without one some history does.

use crate::explore::{Found, explore};
use crate::rules::Rules;
use crate::world::World;

/// As many states as a walk may have: more are a mistake in the bounds.
const STATES_MAX: usize = 2_000_000;

fn walk(rules: Rules) -> Found {
    let found = explore(World::default(), |world| world.steps(&rules), STATES_MAX);
    eprintln!("{found}");
    found
}

/// A history goes wrong in this way when a rule is left out.
fn assert_fails(rules: Rules, what: &str) {
    let found = walk(rules);
    let flaw = found
        .flaw
        .as_deref()
        .expect("this rule is needed, and the model does not show it");
    assert!(flaw.contains(what), "{found}");
}

#[test]
fn with_every_rule_no_history_loses_repeats_or_rewrites_anything_and_none_gets_stuck() {
    let found = walk(Rules::default());
    assert_eq!(found.flaw, None, "{found}");
    assert!(found.states > 10_000, "{found}");
}

#[test]
fn acknowledging_before_the_sync_loses_what_was_acknowledged() {
    let rules = Rules {
        syncs_before_acknowledging: false,
        ..Rules::default()
    };
    assert_fails(rules, "was acknowledged and is gone");
}

#[test]
fn without_the_epoch_a_process_that_was_taken_over_rewrites_history() {
    let rules = Rules {
        checks_epochs: false,
        ..Rules::default()
    };
    assert_fails(rules, "rewritten");
}

#[test]
fn without_a_sync_of_the_folder_a_segment_goes_with_what_was_acknowledged() {
    let rules = Rules {
        syncs_folders: false,
        ..Rules::default()
    };
    assert_fails(rules, "was acknowledged and is gone");
}

#[test]
fn taking_what_the_cache_shows_for_durable_loses_it_later() {
    let rules = Rules {
        syncs_what_it_found: false,
        ..Rules::default()
    };
    assert_fails(rules, "was acknowledged and is gone");
}

#[test]
fn settling_before_the_commit_leaves_jobs_that_are_nowhere() {
    let rules = Rules {
        commits_before_settling: false,
        ..Rules::default()
    };
    assert_fails(rules, "settled and");
}

#[test]
fn a_load_that_adds_to_what_it_left_is_there_twice() {
    let rules = Rules {
        replaces_itself: false,
        ..Rules::default()
    };
    assert_fails(rules, "twice");
}

#[test]
fn loading_before_the_claim_is_durable_forms_other_batches_of_the_same_events() {
    let rules = Rules {
        awaits_claims: false,
        ..Rules::default()
    };
    assert_fails(rules, "twice");
}

#[test]
fn forgetting_claims_forms_other_batches_of_the_same_events() {
    let rules = Rules {
        remembers_claims: false,
        ..Rules::default()
    };
    assert_fails(rules, "twice");
}

#[test]
fn a_follow_up_beside_its_transition_is_lost_between_them() {
    let rules = Rules {
        settles_with_what_follows: false,
        ..Rules::default()
    };
    assert_fails(rules, "never follows");
}

/// The batch of a crash comes again as it was, and replaces itself: the failpoints' bench sees the same.
#[test]
fn not_looking_at_the_commit_record_alone_harms_nobody() {
    let rules = Rules {
        looks_at_records: false,
        ..Rules::default()
    };
    assert_eq!(walk(rules).flaw, None);
}
