//! What became of jobs, recorded: encoded for the log, and taken by the catalog.

mod timed;

use blacksmith_bench::micro::transitions;
use criterion::{Criterion, criterion_group, criterion_main};

fn recorded(criterion: &mut Criterion) {
    timed::pieces(criterion, "transitions", transitions());
}

criterion_group!(benches, recorded);
criterion_main!(benches);
