//! Small things that every event needs: sets of positions, and ids.

use blacksmith_bench::micro::{ids, spans};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn facts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("facts");
    for piece in spans().into_iter().chain(ids()) {
        let name = piece.name.clone();
        let mut work = piece.prepare();
        group.throughput(Throughput::Elements(work.items));
        group.bench_function(name, |bench| bench.iter(|| work.turn()));
    }
    group.finish();
}

criterion_group!(benches, facts);
criterion_main!(benches);
