//! The store's durable watermark, as async code waits for it.
//!
//! Who waits for a receipt stands in a queue, and is woken once: by the sync that makes its frame durable, or when the store
//! stops. Woken at every sync, most of a busy gateway's requests would look for nothing, because the frame that they are in is
//! written while the one before it is synced.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use crate::error::Result;
use crate::log::{Durable, Receipt, Registration};
use crate::planted;
use crate::position::Position;

/// Waits for what becomes durable. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Watermark {
    durable: Durable,
    waiting: Arc<Waiting>,
    _registration: Arc<Registration>,
}

impl Watermark {
    /// Follows `durable`.
    #[must_use]
    pub fn new(durable: Durable) -> Watermark {
        let waiting = Arc::new(Waiting::default());
        let (own, followed) = (Arc::clone(&waiting), durable.clone());
        let registration = durable.register(Arc::new(move || own.wake(&followed)));
        Watermark {
            durable,
            waiting,
            _registration: Arc::new(registration),
        }
    }

    /// The highest durable position.
    #[must_use]
    pub fn upto(&self) -> Position {
        self.durable.upto()
    }

    /// Whether the store goes on taking things.
    ///
    /// # Errors
    /// Why not, when it is fenced or closed.
    pub fn goes_on(&self) -> Result<()> {
        let waited = self.durable.wait_past(Position::MAX, Duration::ZERO);
        waited.map(drop)
    }

    /// Returns once something beyond `position` is durable.
    ///
    /// # Errors
    /// When the store is fenced or closed.
    pub async fn past(&self, position: Position) -> Result<()> {
        self.until(|| {
            self.durable
                .wait_past(position, Duration::ZERO)
                .map(|upto| upto > position)
        })
        .await
    }

    /// Returns once what `receipt` stands for is durable.
    ///
    /// # Errors
    /// When the store is fenced or closed.
    pub async fn reached(&self, receipt: &Receipt) -> Result<()> {
        planted!(DurableUnawaited, return Ok(()));
        let mut queued = None;
        poll_fn(|cx| self.poll_reached(receipt, &mut queued, cx)).await
    }

    fn poll_reached(
        &self,
        receipt: &Receipt,
        queued: &mut Option<Waker>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        if receipt.is_durable() {
            return Poll::Ready(Ok(()));
        }
        let mut queue = self.waiting.queue();
        // Looked at again behind the lock: who wakes the queue takes it after the watermark moved.
        if receipt.is_durable() {
            return Poll::Ready(Ok(()));
        }
        self.goes_on()?;
        if !queued.as_ref().is_some_and(|own| own.will_wake(cx.waker())) {
            *queued = Some(cx.waker().clone());
            queue
                .entry(receipt.frame())
                .or_default()
                .push(cx.waker().clone());
        }
        Poll::Pending
    }

    async fn until(&self, reached: impl Fn() -> Result<bool>) -> Result<()> {
        loop {
            let moved = self.waiting.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if reached()? {
                return Ok(());
            }
            moved.await;
        }
    }
}

/// Everybody who waits for a watermark.
#[derive(Debug, Default)]
struct Waiting {
    /// For those who wait for a position.
    moved: Notify,
    /// Those who wait for a receipt, by its frame. Who gives up stays until the frame is durable.
    by_frame: Mutex<BTreeMap<u64, Vec<Waker>>>,
}

impl Waiting {
    fn queue(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Vec<Waker>>> {
        self.by_frame.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called after each move of the watermark, and when the store stops.
    fn wake(&self, durable: &Durable) {
        self.moved.notify_waiters();
        let reached = match durable.wait_past(Position::MAX, Duration::ZERO) {
            Ok(_) => durable.frames(),
            Err(_) => u64::MAX,
        };
        for waker in self.take_upto(reached) {
            waker.wake();
        }
    }

    fn take_upto(&self, frame: u64) -> impl Iterator<Item = Waker> {
        let mut queue = self.queue();
        let later = match frame.checked_add(1) {
            Some(next) => queue.split_off(&next),
            None => BTreeMap::new(),
        };
        let reached = std::mem::replace(&mut *queue, later);
        reached.into_values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::log::Mark;

    /// How often somebody was woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Woken {
        fn times(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn place(durable: &Durable, frames: u64) {
        let upto = Position(frames);
        durable.place(Mark { upto, frames });
        durable.tell();
    }

    fn receipt(durable: &Durable, frame: u64) -> Receipt {
        Receipt::new(Position(frame), 1, frame, durable.clone())
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>, woken: &Arc<Woken>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(woken))))
    }

    #[test]
    fn a_sync_wakes_those_whose_frame_it_made_durable_and_nobody_else() {
        let durable = Durable::default();
        let watermark = Watermark::new(durable.clone());
        let (one, two) = (receipt(&durable, 2), receipt(&durable, 3));
        let (early, late) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let (mut first, mut second) =
            (pin!(watermark.reached(&one)), pin!(watermark.reached(&two)));
        assert!(poll(first.as_mut(), &early).is_pending());
        assert!(poll(second.as_mut(), &late).is_pending());
        place(&durable, 1);
        assert_eq!((early.times(), late.times()), (0, 0));
        // Asked again for another reason, it stands in the queue once.
        assert!(poll(first.as_mut(), &early).is_pending());
        place(&durable, 2);
        assert_eq!((early.times(), late.times()), (1, 0));
        assert!(matches!(poll(first.as_mut(), &early), Poll::Ready(Ok(()))));
        place(&durable, 9);
        assert_eq!((early.times(), late.times()), (1, 1));
        assert!(matches!(poll(second.as_mut(), &late), Poll::Ready(Ok(()))));
    }

    #[test]
    fn who_was_handed_to_another_task_is_woken_there() {
        let durable = Durable::default();
        let watermark = Watermark::new(durable.clone());
        let receipt = receipt(&durable, 1);
        let (before, now) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let mut waiting = pin!(watermark.reached(&receipt));
        assert!(poll(waiting.as_mut(), &before).is_pending());
        assert!(poll(waiting.as_mut(), &now).is_pending());
        place(&durable, 1);
        assert_eq!(now.times(), 1);
        assert!(matches!(poll(waiting.as_mut(), &now), Poll::Ready(Ok(()))));
    }

    #[test]
    fn when_the_store_stops_everybody_is_woken_and_learns_why_but_what_is_durable_stays_so() {
        let durable = Durable::default();
        let watermark = Watermark::new(durable.clone());
        let (lost, there) = (receipt(&durable, 2), receipt(&durable, 1));
        let woken = Arc::new(Woken::default());
        let mut waiting = pin!(watermark.reached(&lost));
        assert!(poll(waiting.as_mut(), &woken).is_pending());
        place(&durable, 1);
        durable.stop("the disk failed", "start again");
        assert_eq!(woken.times(), 1);
        let Poll::Ready(Err(error)) = poll(waiting.as_mut(), &woken) else {
            panic!("it waits on");
        };
        assert!(error.to_string().contains("the disk failed"), "{error}");
        // Who comes later learns it at once.
        assert!(matches!(
            poll(pin!(watermark.reached(&lost)), &woken),
            Poll::Ready(Err(_))
        ));
        assert!(matches!(
            poll(pin!(watermark.reached(&there)), &woken),
            Poll::Ready(Ok(()))
        ));
    }
}
