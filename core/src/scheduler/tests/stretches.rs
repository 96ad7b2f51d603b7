//! Batches that several threads decode. Time goes on: it would jump to when a batch is due while its blocks are read.

use std::sync::{Condvar, PoisonError};

use super::*;

/// Lines of this length, so that a batch of some dozens has several stretches.
const LINE_BYTES: usize = 1 << 20;
const LINES: u64 = 50;
/// The second stretch has this block: who decodes it has to wait for the first, and goes no further.
const LATER: u64 = 10;

/// Numbers, of which the first are decoded only when somebody has come to later ones.
#[derive(Debug, Default)]
struct Overtaken(Arc<Passed>);

#[derive(Debug, Default)]
struct Passed {
    later: Mutex<bool>,
    told: Condvar,
    /// What happens at a later block, once.
    fault: Mutex<Option<Fault>>,
}

#[derive(Debug)]
enum Fault {
    Panic,
    Error,
}

impl Format for Overtaken {
    fn ids(&self) -> &'static [FormatId] {
        Numbers.ids()
    }

    fn name(&self) -> &'static str {
        "numbers that are overtaken"
    }

    fn decoding(&self, _: Asked) -> Box<dyn Decoding> {
        Box::new(Overtaken(Arc::clone(&self.0)))
    }
}

impl Decoding for Overtaken {
    fn push(&mut self, block: &Block, wanted: &Wanted<'_>, out: &mut Vec<Decoded>) -> Result<()> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut later = self.0.later.lock().unwrap_or_else(PoisonError::into_inner);
        if block.first == Position::FIRST && cores > 1 {
            drop(self.0.told.wait_while(later, |later| !*later));
        } else if block.first.0 >= LATER {
            *later = true;
            drop(later);
            self.0.told.notify_all();
            let fault = self.0.fault.lock().unwrap().take();
            match fault {
                Some(Fault::Panic) => panic!("a bug"),
                Some(Fault::Error) => return Err(Error::unavailable("the ink is smudged")),
                None => {}
            }
        }
        Numbers.push(block, wanted, out)
    }

    fn finish(&mut self, out: &mut Vec<Decoded>) -> Result<()> {
        Numbers.finish(out)
    }

    fn completed(&self) -> Option<Completed> {
        None
    }
}

/// One batch of [`LINES`] numbers, a block each.
async fn load(format: Overtaken) -> Lab {
    let setup = Setup {
        format: Arc::new(format),
        takes: Takes::Rows,
        batch: BatchLimits {
            rows_max: LINES,
            bytes_max: 1 << 30,
            age_max: HOUR,
        },
        ..Setup::default()
    };
    let lab = setup.open();
    for number in 1..=LINES {
        let line = format!("{}{number}", "0".repeat(LINE_BYTES));
        lab.append_lines(lab.routed, &[line]);
    }
    lab
}

#[tokio::test]
async fn rows_that_another_thread_decoded_first_come_in_their_place() {
    let mut lab = load(Overtaken::default()).await;
    let seen = lab.next().await;
    assert_eq!(seen.numbers, (1..=LINES as i64).collect::<Vec<_>>());
    lab.settled(LINES).await;
}

/// The same, with a fault: the whole batch comes when it is tried again.
async fn load_twice(fault: Fault) -> Lab {
    let format = Overtaken::default();
    *format.0.fault.lock().unwrap() = Some(fault);
    let mut lab = load(format).await;
    let seen = lab.next().await;
    assert_eq!(seen.attempt, 2);
    assert_eq!(seen.numbers, (1..=LINES as i64).collect::<Vec<_>>());
    lab.settled(LINES).await;
    assert_eq!(lab.history()[1].2, Status::Failed);
    lab
}

#[tokio::test]
async fn a_decoder_that_panics_beside_others_fails_its_batch_and_keeps_none_of_them_waiting() {
    load_twice(Fault::Panic).await;
}

#[tokio::test]
async fn a_stretch_that_cannot_be_decoded_fails_its_batch_behind_the_rows_before_it() {
    let lab = load_twice(Fault::Error).await;
    let cut_short = std::mem::take(&mut *lab.cut_short.lock().unwrap());
    let [before] = cut_short.as_slice() else {
        panic!("{} loads were cut short", cut_short.len());
    };
    // The whole first stretch, which was decoded after the error, and nothing of what the error is in or behind.
    let upto = before.len() as i64;
    assert!((1..LATER as i64).contains(&upto), "{before:?}");
    assert_eq!(*before, (1..=upto).collect::<Vec<_>>());
}
