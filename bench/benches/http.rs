//! Events over HTTP, on loopback and connections that are kept open, each answered when it is on the disk of the temporary folder
//! (`TMPDIR`); beside a bare handler of axum, asked by the same client.

use std::time::Duration;

use blacksmith_bench::e2e::client::Load;
use blacksmith_bench::micro::Listening;
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};

/// Events of a turn: one in a request, and 500.
const SINGLE: u64 = 2_000;
const LINES: u64 = 50_000;

fn http(criterion: &mut Criterion) {
    let loads = [
        ("one event of 1 KiB", Load::of_events(SINGLE)),
        ("500 lines", Load::of_lines(LINES)),
    ];
    for (name, load) in loads {
        let mut group = criterion.benchmark_group(format!("http, {name}"));
        group.throughput(Throughput::ElementsAndBytes {
            elements: load.requests * load.events,
            bytes: load.requests * load.body.len() as u64,
        });
        // Few turns: what they send stays on the disk until the end.
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        group.warm_up_time(Duration::from_secs(1));
        group.measurement_time(Duration::from_secs(3));
        for (who, listening) in [
            ("bare axum", Listening::bare()),
            ("blacksmith", Listening::ours(&std::env::temp_dir())),
        ] {
            let listening = listening.expect("a listener");
            group.bench_function(who, |bench| {
                bench.iter_custom(|turns| (0..turns).map(|_| listening.turn(&load)).sum());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, http);
criterion_main!(benches);
