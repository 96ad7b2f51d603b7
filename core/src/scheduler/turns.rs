//! Who hands on next: what several threads make at a time leaves in the order in which it was begun.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The turns of one row of works. Who drops out by a panic ends them all.
#[derive(Debug, Default)]
pub(super) struct Turns {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    now: u64,
    is_over: bool,
}

/// The place of one work in the row, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn(pub(super) u64);

impl Turns {
    /// Whether it is this one's turn already, or nobody's any more.
    pub(super) fn has_come(&self, turn: Turn) -> bool {
        let state = self.state();
        state.is_over || state.now == turn.0
    }

    /// Waits for the turn; false when there will be none.
    pub(super) fn wait(&self, turn: Turn) -> bool {
        let waits = |state: &mut State| !state.is_over && state.now != turn.0;
        let state = self.moved.wait_while(self.state(), waits);
        !state.unwrap_or_else(PoisonError::into_inner).is_over
    }

    /// Ends the turn that is on; the next begins.
    pub(super) fn pass(&self) {
        self.state().now += 1;
        self.moved.notify_all();
    }

    /// Lets nobody wait any more.
    pub(super) fn end(&self) {
        self.state().is_over = true;
        self.moved.notify_all();
    }

    /// Ends the turns if the thread that holds it panics.
    pub(super) fn guard(&self) -> TurnsGuard<'_> {
        TurnsGuard(self)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Turns::guard`].
#[derive(Debug)]
pub(super) struct TurnsGuard<'a>(&'a Turns);

impl Drop for TurnsGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn whoever_is_ready_first_waits_for_those_before_it() {
        let turns = Turns::default();
        let (done_in, done) = channel();
        std::thread::scope(|scope| {
            for turn in [2, 0, 3, 1] {
                let (done, turns) = (done_in.clone(), &turns);
                scope.spawn(move || {
                    assert!(turns.wait(Turn(turn)));
                    done.send(turn).unwrap();
                    turns.pass();
                });
            }
        });
        drop(done_in);
        assert_eq!(done.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_panic_keeps_nobody_waiting() {
        let turns = Turns::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| turns.wait(Turn(1)));
            let panicking = scope.spawn(|| {
                let _guard = turns.guard();
                panic!("as a decoder may");
            });
            assert!(panicking.join().is_err());
            assert!(!waiting.join().unwrap());
        });
        assert!(turns.has_come(Turn(7)));
    }
}
