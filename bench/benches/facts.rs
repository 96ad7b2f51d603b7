//! Small things that every event needs: sets of positions, and ids.

mod timed;

use blacksmith_bench::micro::{ids, spans};
use criterion::{Criterion, criterion_group, criterion_main};

fn facts(criterion: &mut Criterion) {
    let pieces = spans().into_iter().chain(ids());
    timed::pieces(criterion, "facts", pieces.collect());
}

criterion_group!(benches, facts);
criterion_main!(benches);
