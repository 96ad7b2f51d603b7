//! A seeded random workload: everything that applications do to tables, at once.
//!
//! Twenty tables of ten shapes (keys, no keys, every replica identity, partitions, names that need
//! quotes) hold columns of every type. Several writers insert, update, delete, move and swap keys,
//! truncate, roll back, nest savepoints, prepare transactions and change columns, in transactions
//! from one row to [`Workload::rows_max`]. The seed decides everything that is tried; only how the
//! writers interleave is left to the machine.
//!
//! Limits, which are those of any change log: a statement that changes rows without Postgres
//! saying so is followed, in its transaction, by one that says it. After a renamed, re-added or
//! defaulted column every row is written again; on tables without a key, where rows are told apart
//! by content, columns are only added and dropped. Each table's columns are changed by one writer.

#[cfg(test)]
mod reference;
mod table;
#[cfg(test)]
mod tests;
mod transaction;
pub mod values;
mod writer;

use std::collections::BTreeMap;

use crate::db::Db;
use crate::dice::Dice;
use table::Table;
use writer::Writer;

/// Name of the publication that [`Workload::create`] makes.
pub const PUBLICATION: &str = "blacksmith";

/// What to do, and how much of it.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Decides everything.
    pub seed: u64,
    /// Number of tables.
    pub tables: usize,
    /// Rows per table before the writers start.
    pub rows_initial: u64,
    /// Writers at once.
    pub writers: usize,
    /// Transactions of each writer.
    pub transactions: usize,
    /// Rows of the largest transaction.
    pub rows_max: u64,
    /// Whether columns are added, dropped, renamed and widened.
    pub ddl: bool,
    tables_made: Vec<Table>,
}

/// What became of the transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Committed, prepared ones included.
    pub committed: usize,
    /// Rolled back as planned.
    pub rolled_back: usize,
    /// Refused by the server, by SQLSTATE: deadlocks and keys that were taken.
    pub refused: BTreeMap<String, usize>,
}

impl Workload {
    /// The size of one seed in CI: some seconds of writing.
    #[must_use]
    pub fn small(seed: u64) -> Workload {
        Workload {
            seed,
            tables: 20,
            rows_initial: 150,
            writers: 4,
            transactions: 60,
            rows_max: 20_000,
            ddl: true,
            tables_made: Vec::new(),
        }
    }

    /// The full size: the largest transaction has 300,000 rows.
    #[must_use]
    pub fn full(seed: u64) -> Workload {
        Workload {
            rows_initial: 2_000,
            transactions: 250,
            rows_max: 300_000,
            ..Workload::small(seed)
        }
    }

    /// Makes types, tables with their first rows, and the publication; with partitions published
    /// as their root or each by itself, as the seed decides.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn create(&mut self, db: &Db) {
        let mut session = db.session();
        session.execute(values::TYPES_SQL);
        let types = values::available(&mut session);
        let dice = Dice::new(self.seed);
        self.tables_made = (0..self.tables)
            .map(|number| Table::plan(number, self.tables, &types, &mut dice.part(number as u64)))
            .collect();
        for table in &self.tables_made {
            session.execute(&table.create());
            session.execute(&table.insert(&[], "1", &self.rows_initial.to_string(), 0));
        }
        let names: Vec<String> = self.tables_made.iter().map(Table::quoted).collect();
        let via_root = self.seed.is_multiple_of(2);
        session.execute(&format!(
            "create publication {PUBLICATION} for table {} with (publish_via_partition_root = {via_root})",
            names.join(", ")
        ));
    }

    /// Lets the writers do their work, and returns when all have.
    ///
    /// # Panics
    /// When [`Workload::create`] was not called, a server error is none that concurrency explains,
    /// or so many transactions were refused that the workload would prove little.
    #[must_use]
    pub fn run(&self, db: &Db) -> Summary {
        assert!(!self.tables_made.is_empty(), "create() comes before run()");
        let run = |number| Writer::new(self, &self.tables_made, number, db).run();
        let parts: Vec<Summary> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.writers)
                .map(|number| scope.spawn(move || run(number)))
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined
                .map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let summary = parts.iter().fold(Summary::default(), Summary::plus);
        let refused: usize = summary.refused.values().sum();
        let tried = summary.committed + summary.rolled_back + refused;
        assert!(refused * 2 < tried, "too much was refused: {summary:?}");
        summary
    }

    /// The tables to compare, as the publication names them: `schema.table`.
    #[must_use]
    pub fn published(db: &Db) -> Vec<String> {
        let sql = format!(
            "select schemaname || '.' || tablename from pg_publication_tables \
             where pubname = '{PUBLICATION}' order by 1"
        );
        db.rows(&sql).into_iter().flatten().flatten().collect()
    }
}

impl Summary {
    fn plus(mut self, other: &Summary) -> Summary {
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        for (code, count) in &other.refused {
            *self.refused.entry(code.clone()).or_default() += count;
        }
        self
    }
}
