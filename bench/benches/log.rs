//! The event log on the disk of the temporary folder (`TMPDIR`): group commit with 1 to 64 producers, and replay.

mod timed;

use blacksmith_bench::micro::{Appending, replays};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Producers, bytes of a frame, frames of a turn.
const APPENDS: [(u64, usize, u64); 6] = [
    (1, 64, 64_000),
    (1, 256, 64_000),
    (8, 256, 64_000),
    (64, 256, 64_000),
    (64, 1024, 32_000),
    (64, 4096, 16_000),
];

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log append, durable");
    group.sample_size(10);
    for (producers, frame_bytes, frames) in APPENDS {
        let log = Appending::new(&std::env::temp_dir(), producers, frame_bytes, frames);
        group.throughput(Throughput::Elements(log.frames()));
        let id = BenchmarkId::new(format!("{producers} producers"), format!("{frame_bytes} B"));
        group.bench_function(id, |bench| bench.iter(|| log.turn()));
    }
    group.finish();
}

fn replay(criterion: &mut Criterion) {
    timed::pieces(criterion, "log replay", replays());
}

criterion_group!(benches, append, replay);
criterion_main!(benches);
