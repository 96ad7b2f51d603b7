use super::{Workload, values};
use crate::dice::Dice;
use crate::server::{Options, Server};

use super::reference::Reference;
use super::transaction::Author;
use crate::lake::Lake;
use crate::lake::compare::compare;

#[test]
fn a_small_seed_leaves_rows_in_every_shape_of_table() {
    let server = Server::start(Options::default());
    let db = server.database("workload");
    let mut workload = Workload::small(1);
    workload.create(&db);
    let summary = workload.run(&db);
    eprintln!("{summary:?}");
    assert!(summary.committed > 150, "{summary:?}");
    assert!(summary.rolled_back > 0, "{summary:?}");
    let tables = Workload::published(&db);
    assert_eq!(
        tables.len(),
        24,
        "18 tables and 3 partitions of the other two: {tables:?}"
    );
}

#[test]
fn every_version_takes_the_workload() {
    for version in crate::server::binaries::versions() {
        let server = Server::version(version);
        let db = server.database("workload");
        let mut workload = Workload::small(2);
        workload.transactions = 15;
        workload.rows_max = 2_000;
        workload.create(&db);
        let summary = workload.run(&db);
        assert!(summary.committed > 30, "{version}: {summary:?}");
    }
}

#[test]
fn a_seed_writes_the_same_statements_again() {
    let server = Server::shared().database("types");
    server.execute(values::TYPES_SQL);
    let types = values::available(&mut server.session());
    let written = |seed: u64| {
        let dice = Dice::new(seed);
        let plan = |number| super::Table::plan(number, 20, &types, &mut dice.part(number as u64));
        let tables: Vec<_> = (0..20).map(plan).collect();
        let mut author = Author::new(&tables, 0, 4, true, dice.part(1_000));
        (0..50).map(|_| author.next().0).collect::<Vec<_>>()
    };
    assert_eq!(written(3), written(3));
    assert_ne!(written(3), written(4));
}

#[test]
fn every_type_is_in_some_table() {
    let types: Vec<_> = values::ALL.iter().collect();
    let dice = Dice::new(5);
    let plan = |number| super::Table::plan(number, 20, &types, &mut dice.part(number as u64));
    let created: String = (0..20).map(|number| plan(number).create()).collect();
    for of in types {
        assert!(created.contains(&format!("\" {}", of.name)), "{}", of.name);
    }
}

#[test]
fn the_tables_equal_the_folded_lake_of_a_plain_reader() {
    let server = Server::start(Options::default());
    for seed in 0..4 {
        let db = server.database("reference");
        let mut workload = Workload::small(seed);
        workload.create(&db);
        let slot = format!("reference_{seed}");
        db.execute(&format!(
            "select pg_create_logical_replication_slot('{slot}', 'pgoutput')"
        ));
        let root = tempfile::TempDir::new().unwrap();
        let tables = Workload::published(&db);
        let reference = Reference::begin(&db, root.path(), &tables);
        let summary = workload.run(&db);
        reference.finish(&slot, super::PUBLICATION);
        let lake = Lake::open(root.path()).unwrap();
        let mut session = db.session();
        for table in &tables {
            let equal = compare(&mut session, &lake, table);
            equal.unwrap_or_else(|why| panic!("seed {seed}: {summary:?}\n{why}"));
        }
    }
}
