//! An application that goes on writing whatever happens to its server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use blacksmith_tests::db::Session;
use blacksmith_tests::dice::Dice;
use blacksmith_tests::wait;
use tokio_postgres::Config;

/// What it writes to.
pub(super) const TABLES: [&str; 2] = ["public.a", "public.b"];

/// Tables for it, with something to copy.
pub(super) const SQL: &str = "
    create table a (id bigint primary key, v text, big text);
    create table b (id bigint primary key, v text);
    alter table b replica identity full;
    insert into a select n, 'first', repeat('x', 50) from generate_series(1, 20000) n;
    insert into b select n, 'first' from generate_series(1, 5000) n";

/// How long its server may be away.
const PATIENCE: Duration = Duration::from_secs(60);

/// A thread that writes. Whether a transaction whose answer was lost took effect it does not know, nor care:
/// Postgres does.
pub(super) struct Writer {
    committed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Begins to write over `config`, as `seed` says.
    pub(super) fn start(config: Config, seed: u64) -> Writer {
        let (committed, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (counter, over) = (Arc::clone(&committed), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut dice = Dice::new(seed);
            let mut session = None;
            while !over.load(Ordering::Relaxed) {
                let open = session
                    .take()
                    .or_else(|| Session::try_connect(&config).ok());
                session = open.and_then(|mut open| {
                    open.try_execute(&transaction(&mut dice)).ok()?;
                    counter.fetch_add(1, Ordering::Relaxed);
                    Some(open)
                });
            }
        });
        Writer {
            committed,
            stop,
            thread,
        }
    }

    /// Waits until it has committed `more` transactions from now on.
    #[track_caller]
    pub(super) fn wait_more(&self, more: u64) {
        let wanted = self.committed.load(Ordering::Relaxed) + more;
        wait::until(PATIENCE, "the application to go on writing", || {
            (self.committed.load(Ordering::Relaxed) >= wanted).then_some(())
        });
    }

    /// Ends it; how many transactions it saw committed.
    pub(super) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.committed.load(Ordering::Relaxed)
    }
}

/// From one row to some hundreds, over both tables; now and then most of it is rolled back.
fn transaction(dice: &mut Dice) -> String {
    let (id, rows) = (dice.below(30_000), dice.between(1, 400));
    let last = id + rows;
    let word = dice.bits();
    let ending = match dice.chance(10) {
        true => "rollback to s",
        false => "release s",
    };
    format!(
        "begin; insert into b values ({id}, '{word}') on conflict (id) do update set v = excluded.v; savepoint s;
         insert into a select n, '{word}', repeat('y', 300) from generate_series({id}, {last}) n
             on conflict (id) do update set v = excluded.v;
         update b set v = '{word}' where id between {id} and {last};
         delete from a where id between {last} and {last} + 20; {ending}; commit"
    )
}
