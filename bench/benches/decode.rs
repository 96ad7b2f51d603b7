//! Blocks of the log into record batches, on one core, and messages into blocks.

mod timed;

use blacksmith_bench::micro::{decodes, framings};
use criterion::{Criterion, criterion_group, criterion_main};

fn decode(criterion: &mut Criterion) {
    timed::pieces(criterion, "decode", decodes());
}

fn framing(criterion: &mut Criterion) {
    timed::pieces(criterion, "framing", framings());
}

criterion_group!(benches, decode, framing);
criterion_main!(benches);
