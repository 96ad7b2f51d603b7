//! A writer: runs what its author wrote, and forgets what the server refused.

use super::table::Table;
use super::transaction::{Author, Ending};
use super::{Summary, Workload};
use crate::db::{Db, Session, explain};
use crate::dice::Dice;

/// What concurrency can bring about: a deadlock, a key that another writer took, a lock not had, a row that
/// moved to another partition.
const EXPECTED: [&str; 4] = ["40P01", "23505", "55P03", "40001"];

/// One connection's worth of work.
pub(super) struct Writer<'a> {
    author: Author<'a>,
    session: Session,
    /// Prepared transactions of the whole server share their names: what sets this writer's apart.
    prefix: String,
    number: usize,
    transactions: usize,
    rows_max: u64,
    summary: Summary,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        workload: &Workload,
        tables: &'a [Table],
        number: usize,
        db: &Db,
    ) -> Writer<'a> {
        let dice = Dice::new(workload.seed).part(1_000 + number as u64);
        Writer {
            author: Author::new(tables, number, workload.writers, workload.ddl, dice),
            session: db.session(),
            prefix: format!("{}_{number}", db.name()),
            number,
            transactions: workload.transactions,
            rows_max: workload.rows_max,
            summary: Summary::default(),
        }
    }

    pub(super) fn run(mut self) -> Summary {
        self.session
            .execute("set deadlock_timeout = '50ms'; set lock_timeout = '10s'");
        for transaction in 0..self.transactions {
            let huge = self.number == 0 && transaction == self.transactions / 2;
            let before = self.author.clone();
            let (statements, ending) = match huge {
                true => self.author.huge(self.rows_max),
                false => self.author.next(),
            };
            if !self.write(&statements, ending, transaction) {
                self.author.forget(&before);
            }
        }
        self.summary
    }

    /// Runs one transaction; whether it was committed.
    fn write(&mut self, statements: &[String], ending: Ending, number: usize) -> bool {
        let name = format!("{}_{number}", self.prefix);
        let end = match ending {
            Ending::Commit => "commit".into(),
            Ending::Rollback => "rollback".into(),
            Ending::Prepare => format!("prepare transaction '{name}'"),
        };
        let text = format!("begin; {}; {end}", statements.join("; "));
        if let Err(error) = self.session.try_execute(&text) {
            self.refused(&error, &text);
            return false;
        }
        match ending {
            Ending::Rollback => self.summary.rolled_back += 1,
            Ending::Commit => self.summary.committed += 1,
            Ending::Prepare => {
                self.session.execute(&format!("commit prepared '{name}'"));
                self.summary.committed += 1;
            }
        }
        ending != Ending::Rollback
    }

    fn refused(&mut self, error: &tokio_postgres::Error, text: &str) {
        let code = error
            .code()
            .map(|code| code.code().to_string())
            .unwrap_or_default();
        if !EXPECTED.contains(&code.as_str()) {
            let shown: String = text.chars().take(4_000).collect();
            panic!("{}\nin: {shown}", explain(error));
        }
        self.session.execute("rollback");
        *self.summary.refused.entry(code).or_default() += 1;
    }
}
