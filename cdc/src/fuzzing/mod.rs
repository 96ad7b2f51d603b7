//! What the fuzz targets of this crate do with an input. Not part of the crate: it is there in tests, and with `--cfg fuzzing`.
//!
//! As in `blacksmith_core::fuzzing`: a target takes any bytes and panics when a promise is broken; `cargo x fuzz` calls it
//! with what it invents, the test below with what is kept in `fuzz/corpus`.

mod block;
mod copy;
mod pgoutput;
mod value;

/// A target's name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// The targets of this crate.
pub const TARGETS: &[Target] = &[
    ("wire", crate::connection::fuzzing::wire),
    ("pgoutput", pgoutput::run),
    ("copy", copy::run),
    ("value", value::run),
    ("stream", crate::stream::fuzzing::stream),
    ("block", block::run),
];

/// Pieces of an input: each a length (u16, little-endian) and as many bytes as there are of it.
pub(crate) fn pieces(mut input: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = input.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (piece, rest) = rest.split_at(length);
        input = rest;
        Some(piece)
    })
}

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
            for byte in [0, 1, b'I', 0x7f, 0xff] {
                run(&[byte; 300]);
            }
        }
    }
}
