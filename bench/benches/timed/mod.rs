//! Pieces of work, each timed under its own name.

use blacksmith_bench::micro::{Piece, Work};
use criterion::{Criterion, Throughput};

/// Times `pieces` as a group of this name.
pub(crate) fn pieces(criterion: &mut Criterion, group: &str, pieces: Vec<Piece>) {
    let mut group = criterion.benchmark_group(group);
    for piece in pieces {
        let name = piece.name.clone();
        let mut work = piece.prepare();
        group.throughput(throughput(&work));
        group.bench_function(name, |bench| bench.iter(|| work.turn()));
    }
    group.finish();
}

/// In items, and in bytes where they mean something.
fn throughput(work: &Work) -> Throughput {
    match work.bytes {
        0 => Throughput::Elements(work.items),
        bytes => Throughput::ElementsAndBytes {
            elements: work.items,
            bytes,
        },
    }
}
