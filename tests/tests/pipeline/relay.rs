//! A relay of transactions: each begins before the one before it ends.
//!
//! A server that makes a slot waits for the transactions that run, more than once. While a relay runs
//! there always is one, and each [`Relay::hand_over`] lets the server take one step.

use blacksmith_tests::db::{Db, Session};
use blacksmith_tests::wait;

use crate::arrange::SOON;

/// The transaction that is open now.
pub(crate) struct Relay<'a> {
    db: &'a Db,
    look: Session,
    runner: Session,
    xid: String,
}

impl<'a> Relay<'a> {
    /// Opens the first transaction.
    pub(crate) fn begin(db: &'a Db) -> Relay<'a> {
        let (runner, xid) = open(db);
        Relay {
            db,
            look: db.session(),
            runner,
            xid,
        }
    }

    /// Waits until a walsender of this database waits for the open transaction.
    #[track_caller]
    pub(crate) fn wait_awaited(&mut self) {
        let waits = format!(
            "select 1 from pg_locks join pg_stat_activity using (pid)
             where not granted and transactionid = '{}'
                   and backend_type = 'walsender' and datname = current_database()",
            self.xid
        );
        wait::until(SOON, "a walsender that waits for us", || {
            self.look.rows(&waits).pop()
        });
    }

    /// Opens the next transaction, in which `meanwhile` may write, and then commits the one before.
    pub(crate) fn hand_over(&mut self, meanwhile: impl FnOnce(&mut Session)) {
        let (mut next, xid) = open(self.db);
        meanwhile(&mut next);
        self.runner.execute("commit");
        (self.runner, self.xid) = (next, xid);
    }

    /// Commits the last transaction.
    pub(crate) fn end(mut self) {
        self.runner.execute("commit");
    }

    /// Hands over until the server makes the slot of exactly this name, and waits.
    #[track_caller]
    pub(crate) fn run_until_begun(&mut self, slot: &str) {
        let begun = format!("select 1 from pg_replication_slots where slot_name = '{slot}'");
        loop {
            self.wait_awaited();
            if !self.look.rows(&begun).is_empty() {
                return;
            }
            self.hand_over(|_| {});
        }
    }
}

/// A transaction that has an id and touches no table of the database.
fn open(db: &Db) -> (Session, String) {
    let mut session = db.session();
    session.execute("begin");
    let xid = session.value("select pg_current_xact_id()::xid");
    (session, xid)
}
