//! What README tells users to type, typed.

use blacksmith_tests::duckdb;

use crate::arrange::arrange;

const README: &str = include_str!("../../../README.md");

/// The SQL of README that makes the current state out of a change log: the query, and its variant
/// for columns with large values.
fn queries() -> (String, String) {
    let blocks = README
        .split("```sql")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let mut blocks = blocks.filter(|block| block.contains("qualify"));
    let (plain, large) = (blocks.next(), blocks.next());
    let (plain, large) = plain.zip(large).expect("README shows two queries");
    let (before, _) = plain
        .split_once("select * exclude")
        .expect("the query selects");
    let large = large.trim_start();
    (plain.into(), format!("{before}{large}"))
}

#[test]
fn the_queries_of_readme_give_the_tables_as_they_are() {
    if duckdb::left_out() {
        return;
    }
    let (db, pipeline) = arrange(
        "readme",
        "create table orders (id int primary key, amount numeric(10, 2), details text);
         alter table orders alter details set storage external;
         insert into orders select n, n, repeat('d' || n, 2000) from generate_series(1, 50) n",
    );
    pipeline.catch_up();
    db.execute(
        "update orders set amount = -amount where id <= 20; delete from orders where id = 7",
    );
    db.execute(
        "begin; truncate orders; insert into orders
                select n, n, repeat('e' || n, 2000) from generate_series(1, 30) n; commit",
    );
    db.execute("update orders set amount = amount + 0.5 where id % 2 = 0;
                update orders set id = 100 where id = 1; delete from orders where id = 3;
                update orders set details = null where id = 4; insert into orders values (200, null, '')");
    pipeline.catch_up();
    pipeline.assert_equal(&db, &["public.orders"]);
    let (plain, large) = queries();
    let wrapped = |query: &str, columns: &str| {
        // The last statement selects; its rows are put in order for comparing.
        let at = query
            .find("with changes")
            .expect("the query begins with its changes");
        let (setup, select) = query.split_at(at);
        let select = select.trim().trim_end_matches(';');
        format!("{setup} select {columns} from ({select}) order by id")
    };
    let found = duckdb::rows(pipeline.path(), &wrapped(&plain, "id, amount"));
    assert_eq!(found, db.rows("select id, amount from orders order by id"));
    let found = duckdb::rows(pipeline.path(), &wrapped(&large, "id, amount, details"));
    let expected = db.rows("select id, amount, details from orders order by id");
    // A row whose key changed has its large value under the old key, where this query does not look.
    let same = |rows: &[blacksmith_tests::db::Row]| -> Vec<_> {
        rows.iter()
            .filter(|row| row[0].as_deref() != Some("100"))
            .cloned()
            .collect()
    };
    assert_eq!(same(&found), same(&expected));
}

/// The names in backticks of the shape `module::claim`, in the tables of traps and of scenarios.
fn named() -> Vec<(&'static str, &'static str)> {
    let pieces = include_str!("../../README.md")
        .split('`')
        .skip(1)
        .step_by(2);
    let names = pieces.filter_map(|piece| piece.split_once("::"));
    names
        .filter(|(module, name)| !module.contains(' ') && name.len() > 12)
        .collect()
}

/// Where the modules that README names are.
const HOMES: [&str; 11] = [
    "tests/model",
    "tests/pipeline",
    "tests/pipeline/neighbours",
    "tests/pipeline/failpoints",
    "../core/src/scheduler/tests",
    "../core/src/scheduler",
    "../core/src/log/tests",
    "../core/src/store",
    "../core/src/schedule",
    "../cdc/src/value",
    "tests/contract",
];

/// Whether `source` has a test whose name begins so.
fn has_test(source: &str, name: &str) -> bool {
    let Some(at) = source.find(&format!("fn {name}")) else {
        return false;
    };
    let above = source[..at].rsplit("\n\n").next().unwrap_or_default();
    above.contains("#[test]") || above.contains("#[tokio::test")
}

#[test]
fn every_claim_that_readme_names_is_a_test() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    // Those of the contract tier begin with the product.
    let others = ["Server", "postgres"];
    let names = named().into_iter();
    let names: Vec<_> = names
        .filter(|(module, _)| !others.contains(module))
        .collect();
    assert!(names.len() > 50, "{names:?}");
    for (module, name) in names {
        let files = HOMES.map(|home| here.join(home).join(format!("{module}.rs")));
        let mut sources = files
            .iter()
            .filter_map(|file| std::fs::read_to_string(file).ok());
        let claim = name.trim_end_matches('…');
        let found = sources.any(|source| has_test(&source, claim));
        assert!(found, "there is no test {module}::{name}");
    }
}
