//! What the fuzz targets of this crate do with an input. Not part of the crate: it is there in tests, and with `--cfg fuzzing`.
//!
//! A target is a function that takes any bytes and panics when a promise is broken. The fuzzer calls it with what it invents
//! (`cargo x fuzz`, `fuzz/README.md`), the test below with what is kept in `fuzz/corpus`, so the corpus holds in every
//! ordinary test run too. Targets that need to see private parts are beside them, in files of the same name.

#[cfg(feature = "http")]
mod body;
mod configuration;
mod ids;
mod input;
mod interval;
mod json;

pub(crate) use input::Input;

/// A target's name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// The targets of this crate.
pub const TARGETS: &[Target] = &[
    ("ids", ids::run),
    ("interval", interval::run),
    ("json", json::run),
    #[cfg(feature = "http")]
    ("body", body::run),
    ("configuration", configuration::run),
    ("frame", crate::log::fuzzing::frame),
    ("segment", crate::log::fuzzing::segment),
    ("record", crate::store::fuzzing::record),
    ("catalog", crate::store::fuzzing::catalog),
    ("store", crate::store::fuzzing::store),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_target_holds_for_all_that_is_kept_in_its_corpus() {
        for (name, run) in TARGETS {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../fuzz/corpus")
                .join(name);
            let inputs = std::fs::read_dir(&corpus)
                .unwrap()
                .map(|entry| entry.unwrap().path());
            let inputs: Vec<_> = inputs.collect();
            assert!(!inputs.is_empty(), "{} is empty", corpus.display());
            for input in inputs {
                let bytes = std::fs::read(&input).unwrap();
                let held = std::panic::catch_unwind(|| run(&bytes));
                assert!(held.is_ok(), "{name} does not hold for {}", input.display());
            }
        }
    }

    #[test]
    fn every_target_takes_nothing_and_noise() {
        for (_, run) in TARGETS {
            run(&[]);
            for byte in [0, 1, b'[', 0x7f, 0xff] {
                run(&[byte; 300]);
            }
        }
    }
}
