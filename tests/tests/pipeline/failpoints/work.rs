//! The work during which the program dies: what makes each part of the path do something.

use blacksmith_tests::db::Db;

/// One kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    /// Tables that are full when the program is started for the first time.
    Copy,
    /// Many small transactions, through several segments of the log.
    Small,
    /// One transaction that the server streams before its commit, with a savepoint rolled back.
    Streamed,
    /// Columns that come, go and change between rows, and a table that appears.
    Schema,
    /// Many small transactions while no program runs: the next one reads them in batches.
    Backlog,
    /// Requests.
    Webhook,
}

pub(super) const ALL: [Work; 6] = [
    Work::Copy,
    Work::Small,
    Work::Streamed,
    Work::Schema,
    Work::Backlog,
    Work::Webhook,
];

impl Work {
    /// A name for databases and folders.
    pub(super) fn name(self) -> &'static str {
        match self {
            Work::Copy => "die_copy",
            Work::Small => "die_small",
            Work::Streamed => "die_streamed",
            Work::Schema => "die_schema",
            Work::Backlog => "die_backlog",
            Work::Webhook => "die_webhook",
        }
    }

    /// The tables to compare.
    pub(super) fn tables(self) -> &'static [&'static str] {
        match self {
            Work::Copy => &["public.a", "public.b", "public.c"],
            Work::Small | Work::Streamed | Work::Backlog => &["public.a"],
            Work::Schema => &["public.a", "public.b"],
            Work::Webhook => &[],
        }
    }

    /// What is there before the program.
    pub(super) fn prepare(self, db: &Db) {
        db.execute("create table a (id serial primary key, v text)");
        if self == Work::Copy {
            db.execute(
                "create table b (id int primary key, n numeric, v text);
                 create table c (id int primary key, at timestamptz);
                 insert into a (v) select repeat(md5(n::text), 20) from generate_series(1, 4000) n;
                 insert into b select n, n / 7.0, 'row ' || n from generate_series(1, 3000) n;
                 insert into c select n, now() from generate_series(1, 500) n",
            );
        }
        let tables = match self {
            Work::Schema => "a", // the other one appears
            _ => &self.tables().join(", "),
        };
        // Ours, so that it is there whenever the program dies.
        db.execute(&format!("create publication blacksmith for table {tables}"));
    }

    /// What the application does, dead or alive the program.
    pub(super) fn write(self, db: &Db) {
        let mut session = db.session();
        let mut execute = |sql: &str| session.execute(sql);
        match self {
            Work::Copy => {
                execute(
                    "update a set v = 'changed' where id % 100 = 0; delete from c where id < 20",
                );
            }
            Work::Small | Work::Backlog => {
                for round in 0..60 {
                    execute(&format!(
                        "begin; insert into a (v) select repeat(md5(n::text), 60) from generate_series(1, 25) n;
                         update a set v = 'round {round}' where id = {round} * 20 + 1; commit"
                    ));
                    execute(&format!("delete from a where id = {round} * 25 + 7"));
                }
            }
            Work::Streamed => {
                execute("insert into a (v) select 'before' from generate_series(1, 50) n");
                execute(
                    "begin; insert into a (v) select repeat(md5(n::text), 8) from generate_series(1, 12000) n;
                     savepoint s; insert into a (v) select 'never' from generate_series(1, 3000); rollback to s;
                     update a set v = 'again' where id % 10 = 0; commit",
                );
                execute("update a set v = 'behind' where id < 10");
            }
            Work::Schema => {
                execute("insert into a (v) select 'row ' || n from generate_series(1, 200) n");
                execute(
                    "create table b (id int primary key, v text); insert into b values (1, 'new')",
                );
                // The program may have done it already.
                execute(
                    "do $$ begin alter publication blacksmith add table b;
                     exception when duplicate_object then end $$",
                );
                for round in 0..4 {
                    execute(&format!("alter table a add n{round} int"));
                    execute(&format!("update a set n{round} = id where id % 3 = 0"));
                    execute(&format!("insert into b values ({round} + 10, 'round')"));
                }
                execute("alter table a drop n1; update a set v = 'dropped' where id < 20");
                execute("begin; alter table b rename v to w; update b set w = w || '!'; commit");
            }
            Work::Webhook => {}
        }
    }
}
