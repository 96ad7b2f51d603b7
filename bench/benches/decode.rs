//! Blocks of the log into record batches, on one core, and messages into blocks.

use blacksmith_bench::micro::{Piece, decodes, framings};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn decode(criterion: &mut Criterion) {
    time(criterion, "decode", decodes());
}

fn framing(criterion: &mut Criterion) {
    time(criterion, "framing", framings());
}

fn time(criterion: &mut Criterion, group: &str, pieces: Vec<Piece>) {
    let mut group = criterion.benchmark_group(group);
    for piece in pieces {
        let name = piece.name.clone();
        let mut work = piece.prepare();
        group.throughput(Throughput::Elements(work.items));
        group.bench_function(name, |bench| bench.iter(|| work.turn()));
    }
    group.finish();
}

criterion_group!(benches, decode, framing);
criterion_main!(benches);
