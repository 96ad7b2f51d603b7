//! What backlogs are made of: statements that write them, and how many changes these are.

use super::data::Data;

/// Rows of a transaction in bulk.
const BULK: u64 = 1_000;
/// Changes of a transaction of the mix, and what they are.
const MIXED: u64 = 100;
/// Tables that are written in turn.
const TABLES: u64 = 20;

/// What is written.
#[derive(Debug, Clone)]
pub struct Work {
    /// Its name in the report.
    pub name: String,
    /// Statements before the slot.
    pub setup: Vec<String>,
    /// Statements behind it: the backlog.
    pub load: Vec<String>,
    /// Changes that these make.
    pub changes: u64,
    /// One of the tables.
    pub table: String,
}

impl Work {
    /// Inserts, 1,000 in a transaction.
    #[must_use]
    pub fn bulk(data: Data, rows: u64) -> Work {
        Work::inserts(data, data.name(), rows, BULK)
    }

    /// Inserts, one in a transaction.
    #[must_use]
    pub fn singles(rows: u64) -> Work {
        Work::inserts(Data::Events, "singles", rows, 1)
    }

    /// Inserts, all in one transaction.
    #[must_use]
    pub fn huge(rows: u64) -> Work {
        Work::inserts(Data::Events, "huge", rows, rows)
    }

    fn inserts(data: Data, name: &str, rows: u64, each: u64) -> Work {
        Work {
            name: name.into(),
            setup: vec![data.create(data.name())],
            load: vec![data.fill(data.name(), rows, each)],
            changes: rows,
            table: data.name().into(),
        }
    }

    /// 25 inserts, 50 updates and 25 deletes in each transaction.
    #[must_use]
    pub fn mix(changes: u64) -> Work {
        let transactions = changes / MIXED;
        let (data, there) = (Data::Events, transactions * 75);
        let fresh = format!("{there} + n * 25");
        let insert = data.rows(&format!("{fresh} + 1"), &format!("{fresh} + 25"));
        let load = format!(
            "do $$ declare n bigint; begin for n in 0 .. {transactions} - 1 loop \
             insert into events {insert}; \
             update events set status = 'updated', weight = weight + 1 where id between n * 75 + 1 and n * 75 + 50; \
             delete from events where id between n * 75 + 51 and n * 75 + 75; \
             commit; end loop; end $$"
        );
        Work {
            name: "mix".into(),
            setup: vec![
                data.create("events"),
                data.fill("events", there, BULK),
                "analyze events".into(),
            ],
            load: vec![load],
            changes: transactions * MIXED,
            table: "events".into(),
        }
    }

    /// Inserts into 20 tables, 50 into each in every transaction.
    #[must_use]
    pub fn tables(rows: u64) -> Work {
        let data = Data::Events;
        let names: Vec<String> = (1..=TABLES)
            .map(|number| format!("events_{number:02}"))
            .collect();
        let transactions = rows / BULK;
        let each = BULK / TABLES;
        let select = data.rows(&format!("n * {each} + 1"), &format!("(n + 1) * {each}"));
        let inserts = names
            .iter()
            .map(|name| format!("insert into {name} {select};"));
        let load = format!(
            "do $$ declare n bigint; begin for n in 0 .. {transactions} - 1 loop {} commit; end loop; end $$",
            inserts.collect::<String>()
        );
        Work {
            name: "tables20".into(),
            setup: names.iter().map(|name| data.create(name)).collect(),
            load: vec![load],
            changes: transactions * BULK,
            table: "events_01".into(),
        }
    }
}
