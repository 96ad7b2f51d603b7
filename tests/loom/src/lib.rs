//! The ring of the lanes over all interleavings of its threads, and all values that its loads may see.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p blacksmith-loom --target-dir target/loom`
//!
//! A package of its own, because the flag reaches every dependency, and not every one of them builds with it. Without
//! the flag it is empty.

#![cfg(all(loom, test))]

#[path = "../../../core/src/ring.rs"]
#[expect(unreachable_pub, reason = "public where it lives")]
mod ring;

mod tests {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::thread;

    use crate::ring::{Consumer, ring};

    /// Takes until there are `count`.
    fn take<T>(consumer: &mut Consumer<T>, count: usize) -> Vec<T> {
        let mut taken = Vec::new();
        while taken.len() < count {
            if consumer.take_all(&mut taken) == 0 {
                thread::yield_now();
            }
        }
        taken
    }

    /// Counts how often values of it are dropped.
    struct Dropped(Arc<AtomicUsize>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_value_is_whole_when_it_is_taken_and_values_keep_their_order() {
        loom::model(|| {
            let (producer, mut consumer) = ring(4);
            let producing = thread::spawn(move || {
                producer.offer(&mut vec![Box::new(1), Box::new(2), Box::new(3)])
            });
            assert_eq!(
                take(&mut consumer, 3)
                    .into_iter()
                    .map(|value| *value)
                    .collect::<Vec<_>>(),
                [1, 2, 3]
            );
            assert_eq!(producing.join().unwrap(), 3);
        });
    }

    #[test]
    fn around_the_end_nothing_is_overwritten_before_it_is_taken() {
        loom::model(|| {
            let (producer, mut consumer) = ring(2);
            let producing = thread::spawn(move || {
                let mut values = vec![Box::new(1), Box::new(2), Box::new(3), Box::new(4)];
                producer.offer(&mut values);
                producer.offer(&mut values);
                values
            });
            let mut seen = Vec::new();
            consumer.take_all(&mut seen);
            consumer.take_all(&mut seen);
            let left = producing.join().unwrap();
            consumer.take_all(&mut seen);
            seen.extend(left);
            let seen: Vec<u32> = seen.into_iter().map(|value| *value).collect();
            assert_eq!(seen, [1, 2, 3, 4]);
        });
    }

    #[test]
    fn two_producers_share_the_places_and_each_keeps_its_order() {
        loom::model(|| {
            let (producer, mut consumer) = ring(4);
            let other = producer.clone();
            let one = thread::spawn(move || producer.offer(&mut vec![11, 12]));
            let two = thread::spawn(move || other.offer(&mut vec![21, 22]));
            let mut taken = Vec::new();
            consumer.take_all(&mut taken);
            assert_eq!((one.join().unwrap(), two.join().unwrap()), (2, 2));
            consumer.take_all(&mut taken);
            // One claim for both values of a batch: they stay together.
            assert!(
                taken == [11, 12, 21, 22] || taken == [21, 22, 11, 12],
                "{taken:?}"
            );
        });
    }

    #[test]
    fn what_finds_no_room_is_handed_back_and_the_rest_is_taken_once() {
        loom::model(|| {
            let (producer, mut consumer) = ring(2);
            let other = producer.clone();
            let offer = |mut values: Vec<u32>, producer: crate::ring::Producer<u32>| {
                let offered = producer.offer(&mut values);
                (offered, values)
            };
            let one = thread::spawn(move || offer(vec![11, 12], producer));
            let two = thread::spawn(move || offer(vec![21], other));
            let mut taken = Vec::new();
            consumer.take_all(&mut taken);
            let ((first, mut left), (second, others)) = (one.join().unwrap(), two.join().unwrap());
            consumer.take_all(&mut taken);
            assert_eq!(taken.len(), first + second);
            left.extend(others);
            left.extend(taken);
            left.sort_unstable();
            assert_eq!(left, [11, 12, 21]);
        });
    }

    #[test]
    fn an_abandoned_ring_drops_each_value_once() {
        loom::model(|| {
            let dropped = Arc::new(AtomicUsize::new(0));
            let (producer, mut consumer) = ring(2);
            let values: Vec<Dropped> = (0..3).map(|_| Dropped(Arc::clone(&dropped))).collect();
            let producing = thread::spawn(move || {
                let mut values = values;
                producer.offer(&mut values);
                producer.is_abandoned()
            });
            let mut taken = Vec::new();
            consumer.take_all(&mut taken);
            drop(consumer);
            producing.join().unwrap();
            drop(taken);
            assert_eq!(dropped.load(Ordering::Relaxed), 3);
        });
    }
}
