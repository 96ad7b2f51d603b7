//! Record batches into a Parquet file in memory, on one core.

mod timed;

use blacksmith_bench::micro::encodes;
use criterion::{Criterion, criterion_group, criterion_main};

fn parquet(criterion: &mut Criterion) {
    timed::pieces(criterion, "parquet", encodes());
}

criterion_group!(benches, parquet);
criterion_main!(benches);
