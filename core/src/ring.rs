//! A bounded ring from any number of producers to one consumer, without a lock and without waiting.
//!
//! # How it works
//!
//! Places are numbered from 0 and never start again; place `p` lies in slot `p % capacity`. Two counters go up:
//! `tail`, the next place to be claimed, and `head`, the next place to be taken.
//!
//! - A producer claims as many places as it has values, or as there is room for, by one compare-and-swap of `tail`; then it
//!   writes each value into its slot and stamps the slot. A batch costs one contended instruction, whatever its length.
//! - The consumer takes from `head` on what is stamped, stops at the first slot that is not, and moves `head` once.
//!
//! A slot's **stamp** is `p + 1` once the value of place `p` is in it, and keeps that until the slot is filled again. So a
//! stamp needs no clearing, and one from an earlier round is never taken for the present one (0 is no round's).
//!
//! # What orders what
//!
//! - Stamp, stored with `Release` and loaded with `Acquire`: the consumer that sees a stamp sees the value.
//! - `head`, stored with `Release` and loaded with `Acquire`: the producer that sees room sees that the value that was there
//!   is taken out. Only the consumer stores it.
//! - `tail`: `Relaxed`. Claims are exclusive because the compare-and-swap is atomic; nothing is published by it.
//! - `gone`: `Relaxed`. It only saves work.
//!
//! # Full, and gone
//!
//! When there is no room, the values stay with the producer: nobody waits in here and nothing is thrown away. Lanes hold what
//! the log has anyway, so a full lane reads it there, and the source is never held up by a destination. When the consumer
//! is dropped, [`Producer::is_abandoned`] says so, and what is still in the ring is dropped with the last handle.
//!
//! # When it is the wrong thing
//!
//! A producer that loses its processor between claim and stamp keeps the consumer from what was claimed later, for as long
//! as it is away: on two busy cores a tick of 4 ms. That is why the log's writer, one thread, fills the rings of
//! all lanes: with one producer nothing is ever claimed and not yet stamped for longer than a store takes, and runs arrive in
//! order of position. And it is why the ring carries runs, one for each sync of the log, and not events.
//!
//! Proven over all interleavings by loom: `RUSTFLAGS="--cfg loom" cargo test --release -p blacksmith-loom --target-dir target/loom`.

use std::fmt;
use std::mem::MaybeUninit;

use cell::UnsafeCell;
#[cfg(loom)]
use loom::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
#[cfg(not(loom))]
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// A ring of at least `capacity` places, rounded up to a power of two: the end that is filled, and the
/// end that is emptied.
#[must_use]
pub fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let capacity = capacity.max(1).next_power_of_two();
    let slots = (0..capacity).map(|_| Slot {
        stamp: AtomicU64::new(0),
        value: UnsafeCell::new(MaybeUninit::uninit()),
    });
    let ring = Arc::new(Ring {
        tail: Padded(AtomicU64::new(0)),
        head: Padded(AtomicU64::new(0)),
        gone: AtomicBool::new(false),
        slots: slots.collect(),
    });
    let producer = Producer {
        ring: Arc::clone(&ring),
    };
    (producer, Consumer { ring, head: 0 })
}

/// The end that is filled. Clones fill the same ring.
pub struct Producer<T> {
    ring: Arc<Ring<T>>,
}

/// The end that is emptied.
pub struct Consumer<T> {
    ring: Arc<Ring<T>>,
    /// What `ring.head` holds; nobody else changes it.
    head: u64,
}

struct Ring<T> {
    tail: Padded<AtomicU64>,
    head: Padded<AtomicU64>,
    gone: AtomicBool,
    /// A power of two of them.
    slots: Box<[Slot<T>]>,
}

struct Slot<T> {
    stamp: AtomicU64,
    value: UnsafeCell<MaybeUninit<T>>,
}

/// Keeps what several cores write to off each other's cache lines, which come in pairs.
#[repr(align(128))]
struct Padded<T>(T);

#[expect(
    unsafe_code,
    reason = "slots are written and read by turns that their stamps decide"
)]
// SAFETY: values cross from the thread that offers to the thread that takes, hence `T: Send`. No two threads touch a
// slot's value at once: a place is claimed by one producer, filled before it is stamped, taken by the only consumer
// after, and claimed again only when `head` has passed it. No thread is ever given a reference to a value in the ring.
unsafe impl<T: Send> Sync for Ring<T> {}

#[expect(
    unsafe_code,
    reason = "slots are written and read by turns that their stamps decide"
)]
// SAFETY: as above; the ring owns the values in it.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Ring<T> {
    fn slot(&self, place: u64) -> &Slot<T> {
        // The remainder fits, whatever the width of usize: there are as many slots.
        &self.slots[(place & (self.slots.len() as u64 - 1)) as usize]
    }

    /// Claims up to `wanted` places that follow each other; returns the first and how many.
    fn claim(&self, wanted: usize) -> (u64, usize) {
        let mut tail = self.tail.0.load(Ordering::Relaxed);
        loop {
            let head = self.head.0.load(Ordering::Acquire);
            // A `head` beyond this `tail` tells that others have claimed meanwhile; the swap will fail.
            let taken = tail.saturating_sub(head);
            let room = (self.slots.len() as u64).saturating_sub(taken) as usize;
            let count = wanted.min(room);
            if count == 0 {
                return (tail, 0);
            }
            let claimed = self.tail.0.compare_exchange_weak(
                tail,
                tail + count as u64,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match claimed {
                Ok(_) => return (tail, count),
                Err(now) => tail = now,
            }
        }
    }

    fn fill(&self, place: u64, value: T) {
        let slot = self.slot(place);
        slot.value.with_mut(|own| {
            // SAFETY: `place` was claimed by the caller alone, and `head` had passed the place that used the slot before.
            #[expect(unsafe_code, reason = "the claim makes the slot the caller's")]
            unsafe {
                (*own).write(value);
            }
        });
        slot.stamp.store(place + 1, Ordering::Release);
    }

    /// Takes the value of `place` out, if it is there. Only for the consumer, and only at `head`.
    fn take(&self, place: u64) -> Option<T> {
        let slot = self.slot(place);
        if slot.stamp.load(Ordering::Acquire) != place + 1 {
            return None;
        }
        Some(slot.value.with_mut(|own| {
            // SAFETY: the stamp says that the value is whole. It is read once: the consumer is one, goes on to the next
            // place, and no producer writes here before `head` says so.
            #[expect(unsafe_code, reason = "the stamp makes the slot the consumer's")]
            unsafe {
                (*own).assume_init_read()
            }
        }))
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let mut head = self.head.0.load(Ordering::Relaxed);
        while let Some(value) = self.take(head) {
            drop(value);
            head += 1;
        }
    }
}

impl<T> Producer<T> {
    /// Moves values into the ring, from the first one on and in order, as many as there is room for; returns how
    /// many. The others stay.
    pub fn offer(&self, values: &mut Vec<T>) -> usize {
        let (first, count) = self.ring.claim(values.len());
        // Draining a vector only moves: nothing can fail between the claim and the stamps.
        for (place, value) in (first..).zip(values.drain(..count)) {
            self.ring.fill(place, value);
        }
        count
    }

    /// Whether nobody will take anything any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.ring.gone.load(Ordering::Relaxed)
    }
}

impl<T> Clone for Producer<T> {
    fn clone(&self) -> Self {
        Producer {
            ring: Arc::clone(&self.ring),
        }
    }
}

impl<T> Consumer<T> {
    /// Takes everything that is there, in order, behind what is in `taken`; returns how much.
    pub fn take_all(&mut self, taken: &mut impl Extend<T>) -> usize {
        let before = self.head;
        taken.extend(std::iter::from_fn(|| {
            let value = self.ring.take(self.head)?;
            self.head += 1;
            Some(value)
        }));
        if self.head != before {
            self.ring.head.0.store(self.head, Ordering::Release);
        }
        (self.head - before) as usize
    }
}

impl<T> Drop for Consumer<T> {
    fn drop(&mut self) {
        // Should `Extend` have panicked in the midst of it, this says what was taken.
        self.ring.head.0.store(self.head, Ordering::Release);
        self.ring.gone.store(true, Ordering::Relaxed);
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("capacity", &self.ring.slots.len())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// The cell that loom watches, and the same over the standard library's.
mod cell {
    #[cfg(loom)]
    pub(super) use loom::cell::UnsafeCell;

    #[cfg(not(loom))]
    pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    #[cfg(not(loom))]
    impl<T> UnsafeCell<T> {
        pub(super) fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        pub(super) fn with_mut<R>(&self, visit: impl FnOnce(*mut T) -> R) -> R {
            visit(self.0.get())
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn values_come_out_in_order_round_after_round() {
        let (producer, mut consumer) = ring(4);
        let mut taken = Vec::new();
        for first in (0..30).step_by(3) {
            assert_eq!(producer.offer(&mut vec![first, first + 1, first + 2]), 3);
            assert_eq!(consumer.take_all(&mut taken), 3);
        }
        assert_eq!(taken, (0..30).collect::<Vec<_>>());
    }

    #[test]
    fn what_a_full_ring_has_no_room_for_stays_with_the_producer() {
        let (producer, mut consumer) = ring(2);
        let mut values = vec!["a", "b", "c"];
        assert_eq!((producer.offer(&mut values), &values[..]), (2, &["c"][..]));
        assert_eq!((producer.offer(&mut values), &values[..]), (0, &["c"][..]));
        let mut taken = Vec::new();
        consumer.take_all(&mut taken);
        assert_eq!(producer.offer(&mut values), 1);
        consumer.take_all(&mut taken);
        assert_eq!(taken, ["a", "b", "c"]);
    }

    #[test]
    fn what_nobody_took_is_dropped_once_and_with_the_last_handle() {
        let value = Arc::new(());
        let (producer, mut consumer) = ring(4);
        producer.offer(&mut vec![Arc::clone(&value), Arc::clone(&value)]);
        let mut taken = Vec::new();
        consumer.take_all(&mut taken);
        producer.offer(&mut vec![Arc::clone(&value); 3]);
        assert_eq!(Arc::strong_count(&value), 6);
        assert!(!producer.is_abandoned());
        drop(consumer);
        assert!(producer.is_abandoned());
        drop(producer);
        assert_eq!(Arc::strong_count(&value), 3);
    }

    #[test]
    fn several_producers_lose_nothing_and_each_keeps_its_order() {
        const EACH: u64 = 20_000;
        let (producer, mut consumer) = ring(64);
        let mut taken: Vec<(u64, u64)> = Vec::new();
        std::thread::scope(|scope| {
            for name in 0..3 {
                let producer = producer.clone();
                scope.spawn(move || {
                    let mut values = Vec::new();
                    for number in 0..EACH {
                        values.push((name, number));
                        producer.offer(&mut values);
                    }
                    while !values.is_empty() {
                        producer.offer(&mut values);
                        std::thread::yield_now();
                    }
                });
            }
            while taken.len() < 3 * EACH as usize {
                if consumer.take_all(&mut taken) == 0 {
                    std::thread::yield_now();
                }
            }
        });
        for name in 0..3 {
            let own = taken.iter().filter(|(of, _)| *of == name);
            assert!(own.map(|(_, number)| *number).eq(0..EACH));
        }
    }
}
