//! The examples, run as they are.

#[path = "../examples/actions.rs"]
mod actions;

/// CON-03 CON-04 CON-06 CON-08 CON-11 CON-15 DST-01 DST-03 DST-06 ACT-01 ACT-05 ACT-06 ACT-08
#[test]
fn an_action_for_a_type_and_one_for_record_batches_are_given_the_same_events() {
    actions::main().unwrap();
}
