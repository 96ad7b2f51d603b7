//! The hand-off of runs to a lane beside its peers: one thread or two hand over 65,536 runs of 16 bytes in batches, one
//! takes them all. Each has room for 4,096, and yields when it finds no room or nothing there.

use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use blacksmith_core::ring::ring;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// A reference as lanes are handed: where, and into what.
type Run = (u64, u64);

const RUNS: usize = 65_536;
const CAPACITY: usize = 4_096;

/// Sends all runs through: `offer` hands over what there is room for and leaves the rest, `take` takes what is there.
fn through(
    producers: usize,
    batch: usize,
    offer: impl Fn(&mut Vec<Run>) + Send + Clone,
    mut take: impl FnMut(&mut Vec<Run>),
) {
    thread::scope(|scope| {
        for _ in 0..producers {
            let offer = offer.clone();
            scope.spawn(move || produce(RUNS / producers, batch, offer));
        }
        let (mut taken, mut count) = (Vec::with_capacity(CAPACITY), 0);
        while count < RUNS {
            take(&mut taken);
            if taken.is_empty() {
                thread::yield_now();
            }
            count += black_box(&taken).len();
            taken.clear();
        }
    });
}

fn produce(count: usize, batch: usize, offer: impl Fn(&mut Vec<Run>)) {
    let mut runs = Vec::with_capacity(batch);
    for first in (0..count).step_by(batch) {
        runs.extend((first..first + batch).map(|at| (at as u64, 1)));
        offer(&mut runs);
        while !runs.is_empty() {
            thread::yield_now();
            offer(&mut runs);
        }
    }
}

fn through_ring(producers: usize, batch: usize) {
    let (producer, mut consumer) = ring(CAPACITY);
    let offer = move |runs: &mut Vec<Run>| {
        producer.offer(runs);
    };
    through(producers, batch, offer, |taken| {
        consumer.take_all(taken);
    });
}

/// One by one: these have no batches.
fn send_each(runs: &mut Vec<Run>, mut send: impl FnMut(Run) -> bool) {
    let sent = runs.iter().take_while(|run| send(**run)).count();
    runs.drain(..sent);
}

fn through_crossbeam(producers: usize, batch: usize) {
    let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
    let offer = move |runs: &mut Vec<Run>| send_each(runs, |run| sender.try_send(run).is_ok());
    through(producers, batch, offer, |taken| {
        taken.extend(receiver.try_iter())
    });
}

fn through_flume(producers: usize, batch: usize) {
    let (sender, receiver) = flume::bounded(CAPACITY);
    let offer = move |runs: &mut Vec<Run>| send_each(runs, |run| sender.try_send(run).is_ok());
    through(producers, batch, offer, |taken| {
        taken.extend(receiver.drain())
    });
}

fn through_vec(producers: usize, batch: usize) {
    let shared = Arc::new(Mutex::new(Vec::with_capacity(CAPACITY)));
    let filled = Arc::clone(&shared);
    let offer = move |runs: &mut Vec<Run>| {
        let mut filled = filled.lock().unwrap_or_else(PoisonError::into_inner);
        let room = CAPACITY - filled.len();
        filled.extend(runs.drain(..room.min(runs.len())));
    };
    through(producers, batch, offer, |taken| {
        let mut filled = shared.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *filled, taken);
    });
}

/// Sends all runs through one kind of hand-off: with so many producers, in batches of so many.
type Through = fn(usize, usize);

fn lane(criterion: &mut Criterion) {
    let kinds: [(&str, Through); 4] = [
        ("ring", through_ring),
        ("crossbeam-channel", through_crossbeam),
        ("flume", through_flume),
        ("mutexed vec", through_vec),
    ];
    for producers in [1, 2] {
        let mut group = criterion.benchmark_group(format!("lane/{producers} producers"));
        group.throughput(Throughput::Elements(RUNS as u64));
        group.sample_size(20);
        for batch in [1, 64, 1_024] {
            for (name, run) in kinds {
                let id = BenchmarkId::new(name, batch);
                group.bench_function(id, |bencher| bencher.iter(|| run(producers, batch)));
            }
        }
        group.finish();
    }
}

criterion_group!(benches, lane);
criterion_main!(benches);
