//! One libFuzzer program for all targets: linked once, told by `BLACKSMITH_FUZZ_TARGET` which one to run.
//!
//! `cargo x fuzz` builds and runs it. What a target does with its input stands in the crate that it tests, in modules called
//! `fuzzing`, beside what it needs to see; this program only finds it.

#![no_main]

mod allowance;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: allowance::Counting = allowance::Counting;

/// What takes the inputs of this run.
static RUN: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("BLACKSMITH_FUZZ_TARGET").unwrap_or_default();
        let mut targets = blacksmith_core::fuzzing::TARGETS.iter().chain(blacksmith_cdc::fuzzing::TARGETS);
        let (_, run) = targets
            .find(|(own, _)| *own == name)
            .unwrap_or_else(|| panic!("no target is called {name:?}: run `cargo x fuzz`"));
        RUN.get_or_init(|| *run);
    },
    |input: &[u8]| {
        if let Some(run) = RUN.get() {
            allowance::of_input(input.len(), || run(input));
        }
    }
);
