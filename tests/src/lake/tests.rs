use tempfile::TempDir;

use super::compare::{Table, compare, differences};
use super::fold::{Folded, fold};
use super::handmade::{Change, change, write};
use super::{Lake, parse_lsn};
use crate::db::Row;
use crate::server::Server;

const T: &str = "public.t";

fn folded(lake: &TempDir, columns: &[&str]) -> Result<Folded, String> {
    let log = Lake::open(lake.path())?.change_log(T)?;
    let columns: Vec<String> = columns.iter().map(|name| (*name).to_string()).collect();
    fold(&log, &columns)
}

fn rows(lake: &TempDir, columns: &[&str]) -> Vec<String> {
    let folded = folded(lake, columns).unwrap();
    let mut rows: Vec<String> = folded.rows.iter().map(shown).collect();
    rows.sort();
    rows
}

fn shown(row: &Row) -> String {
    let values = row.iter().map(|value| value.as_deref().unwrap_or("NULL"));
    values.collect::<Vec<_>>().join(" ")
}

fn lake() -> TempDir {
    TempDir::new().unwrap()
}

#[test]
fn the_last_change_of_a_key_counts_and_a_delete_ends_it() {
    let lake = lake();
    write(
        lake.path(),
        T,
        &["id"],
        &["id", "v"],
        &[
            change("read", 9, 1, &[Some("1"), Some("old")]),
            change("read", 9, 2, &[Some("2"), Some("gone")]),
            change("update", 20, 3, &[Some("1"), Some("new")]),
            change("delete", 20, 4, &[Some("2"), None]),
            change("insert", 30, 5, &[Some("3"), None]),
        ],
    );
    assert_eq!(rows(&lake, &["id", "v"]), ["1 new", "3 NULL"]);
}

#[test]
fn snapshot_rows_are_older_than_changes_that_reached_the_log_before_them() {
    let lake = lake();
    write(
        lake.path(),
        T,
        &["id"],
        &["id", "v"],
        &[
            change("update", 20, 1, &[Some("1"), Some("changed")]),
            change("read", 9, 2, &[Some("1"), Some("copied")]),
        ],
    );
    // The update comes first by position and last by LSN.
    assert_eq!(rows(&lake, &["id", "v"]), ["1 changed"]);
}

#[test]
fn changes_before_a_resumed_part_of_the_snapshot_need_no_row() {
    let lake = lake();
    write(
        lake.path(),
        T,
        &["id"],
        &["id", "big"],
        &[
            unchanged(change("update", 20, 1, &[Some("1"), None]), &["big"]),
            change("delete", 30, 2, &[Some("2"), None]),
            change("read", 39, 3, &[Some("1"), Some("BIG")]),
            unchanged(change("update", 50, 4, &[Some("1"), None]), &["big"]),
        ],
    );
    assert_eq!(rows(&lake, &["id", "big"]), ["1 BIG"]);
}

#[test]
fn a_truncate_removes_all_rows_before_it() {
    let lake = lake();
    write(
        lake.path(),
        T,
        &["id"],
        &["id"],
        &[
            change("insert", 1, 1, &[Some("1")]),
            change("delete", 1, 2, &[Some("9")]), // copied after the truncate, so not at all
            change("truncate", 2, 3, &[None]),
            change("insert", 3, 4, &[Some("2")]),
        ],
    );
    assert_eq!(rows(&lake, &["id"]), ["2"]);
}

fn unchanged(mut change: Change, names: &[&'static str]) -> Change {
    change.unchanged = names.iter().map(|name| (*name).to_string()).collect();
    change
}

#[test]
fn an_unchanged_value_is_that_of_the_row_before_through_any_number_of_updates() {
    let lake = lake();
    write(
        lake.path(),
        T,
        &["id"],
        &["id", "v", "big"],
        &[
            change("insert", 1, 1, &[Some("1"), Some("a"), Some("BIG")]),
            unchanged(
                change("update", 2, 2, &[Some("1"), Some("b"), None]),
                &["big"],
            ),
            unchanged(
                change("update", 3, 3, &[Some("1"), Some("c"), None]),
                &["big"],
            ),
        ],
    );
    assert_eq!(rows(&lake, &["id", "v", "big"]), ["1 c BIG"]);
}

#[test]
fn a_changed_key_carries_its_unchanged_values_along() {
    let lake = lake();
    write(
        lake.path(),
        T,
        &["id"],
        &["id", "big"],
        &[
            change("insert", 1, 1, &[Some("1"), Some("BIG")]),
            unchanged(change("insert", 2, 2, &[Some("7"), None]), &["big"]),
            change("delete", 2, 2, &[Some("1"), None]),
        ],
    );
    assert_eq!(rows(&lake, &["id", "big"]), ["7 BIG"]);
}

#[test]
fn a_table_without_a_key_keeps_equal_rows_apart() {
    let lake = lake();
    write(
        lake.path(),
        T,
        &[],
        &["v"],
        &[
            change("insert", 1, 1, &[Some("x")]),
            change("insert", 1, 2, &[Some("x")]),
            change("insert", 1, 3, &[Some("x")]),
            change("delete", 2, 4, &[Some("x")]),
        ],
    );
    assert_eq!(rows(&lake, &["v"]), ["x", "x"]);
}

#[test]
fn a_column_that_a_file_lacks_is_null_there() {
    let lake = lake();
    let first = [change("insert", 1, 1, &[Some("1")])];
    write(lake.path(), T, &["id"], &["id"], &first);
    let second = [change("insert", 2, 2, &[Some("2"), Some("x")])];
    write(lake.path(), T, &["id"], &["id", "added"], &second);
    assert_eq!(rows(&lake, &["id", "added"]), ["1 NULL", "2 x"]);
    assert_eq!(rows(&lake, &["id", "to come"]), ["1 NULL", "2 NULL"]);
}

#[test]
fn a_value_kept_as_text_replaces_its_typed_null() {
    let lake = lake();
    let mut insert = change("insert", 1, 1, &[Some("1"), None]);
    insert.as_text = vec![("v", "infinity")];
    write(lake.path(), T, &["id"], &["id", "v"], &[insert]);
    assert_eq!(rows(&lake, &["id", "v"]), ["1 infinity"]);
}

/// A copy that was taken up under a later snapshot, which saw the table empty: of the rows that were deleted before it,
/// nothing but the deletes is in the lake.
#[test]
fn a_delete_before_a_snapshot_that_saw_nothing_finds_nothing_and_a_later_one_must() {
    let lake = lake();
    let changes = [
        change("delete", 5, 1, &[Some("1")]),
        change("insert", 9, 2, &[Some("2")]),
        change("delete", 10, 3, &[Some("2")]),
    ];
    write(lake.path(), T, &["id"], &["id"], &changes);
    assert!(folded(&lake, &["id"]).is_err());
    let fold_copied = |until: u64| {
        let lake = Lake::open(lake.path()).unwrap().copied_until(until);
        fold(&lake.change_log(T).unwrap(), &["id".into()])
    };
    assert!(fold_copied(5).is_err(), "committed behind the snapshot");
    assert_eq!(fold_copied(6).unwrap().rows, Vec::<Row>::new());
}

#[test]
fn a_log_that_contradicts_itself_does_not_fold() {
    let deletes = lake();
    write(
        deletes.path(),
        T,
        &["id"],
        &["id"],
        &[change("delete", 1, 1, &[Some("1")])],
    );
    let error = folded(&deletes, &["id"]).unwrap_err();
    assert!(
        error.contains("deletes") && error.contains("not there"),
        "{error}"
    );

    let updates = lake();
    write(
        updates.path(),
        T,
        &["id"],
        &["id"],
        &[change("update", 1, 1, &[Some("1")])],
    );
    assert!(folded(&updates, &["id"]).unwrap_err().contains("updates"));

    let twice = lake();
    let rows = [
        change("insert", 1, 1, &[Some("1")]),
        change("insert", 2, 2, &[Some("1")]),
    ];
    write(twice.path(), T, &["id"], &["id"], &rows);
    assert!(
        folded(&twice, &["id"])
            .unwrap_err()
            .contains("inserts a key that is there")
    );

    let toast = lake();
    let row = unchanged(change("insert", 1, 1, &[Some("1"), None]), &["big"]);
    write(toast.path(), T, &["id"], &["id", "big"], &[row]);
    assert!(
        folded(&toast, &["id"])
            .unwrap_err()
            .contains("no row before")
    );
}

#[test]
fn differences_are_told_by_key_column_and_both_values() {
    let row = |values: &[&str]| -> Row { values.iter().map(|v| Some((*v).into())).collect() };
    let columns: Vec<String> = ["id", "v"].map(String::from).into();
    let folded = Folded {
        columns: columns.clone(),
        key: vec!["id".into()],
        rows: vec![row(&["1", "a"]), row(&["2", "b"])],
    };
    let truth = |rows: Vec<Row>| Table {
        columns: columns.clone(),
        types: ["text", "text"].map(String::from).into(),
        rows,
    };
    assert_eq!(
        differences(&folded, &truth(vec![row(&["2", "b"]), row(&["1", "a"])])),
        None
    );
    let other = truth(vec![row(&["1", "z"]), row(&["3", "c"])]);
    let report = differences(&folded, &other).unwrap();
    assert!(
        report.contains("(\"1\").v: \"z\" in Postgres, \"a\" in the lake"),
        "{report}"
    );
    assert!(
        report.contains("(\"3\") is missing in the lake"),
        "{report}"
    );
    assert!(report.contains("(\"2\") is in the lake only"), "{report}");
}

#[test]
fn a_table_equal_to_its_folded_log_yields_its_digest() {
    let db = Server::shared().database("compare");
    db.execute("create table t (id text primary key, v text); insert into t values ('1', 'x')");
    let lake = lake();
    let insert = [change("insert", 1, 1, &[Some("1"), Some("x")])];
    write(lake.path(), T, &["id"], &["id", "v"], &insert);
    let opened = Lake::open(lake.path()).unwrap();
    let mut session = db.session();
    assert_eq!(compare(&mut session, &opened, T).unwrap().rows, 1);
    session.execute("update t set v = 'y'");
    assert!(
        compare(&mut session, &opened, T)
            .unwrap_err()
            .contains("\"y\" in Postgres")
    );
}

#[test]
fn a_lake_as_promised_has_no_violations() {
    let lake = lake();
    write(
        lake.path(),
        T,
        &["id"],
        &["id"],
        &[
            change("insert", 1, 1, &[Some("1")]),
            change("delete", 2, 2, &[Some("1")]),
            change("insert", 2, 2, &[Some("2")]),
        ],
    );
    let opened = Lake::open(lake.path()).unwrap();
    assert_eq!(opened.violations().unwrap(), Vec::<String>::new());
    assert_eq!(
        (opened.rows(), opened.commits()[0].commit_lsn),
        (3, Some(16))
    );
}

#[test]
fn a_repeated_position_an_orphan_and_a_wrong_count_are_violations() {
    let lake = lake();
    let twice = [
        change("insert", 1, 1, &[Some("1")]),
        change("insert", 1, 1, &[Some("1")]),
    ];
    write(lake.path(), T, &["id"], &["id"], &twice);
    let orphan = lake.path().join("public.t/orphan.parquet");
    std::fs::write(orphan, "").unwrap();
    let record = lake.path().join("_commits/00000000000000000001.json");
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(
        &record,
        text.replace("\"rows\":2,\"table\"", "\"rows\":3,\"table\""),
    )
    .unwrap();
    let found = Lake::open(lake.path())
        .unwrap()
        .violations()
        .unwrap()
        .join("\n");
    assert!(found.contains("position 1 twice"), "{found}");
    assert!(
        found.contains("orphan.parquet is in no commit record"),
        "{found}"
    );
    assert!(found.contains("recorded 3"), "{found}");
}

#[test]
fn a_row_outside_the_span_of_its_file_and_one_before_its_neighbour_are_violations() {
    let lake = lake();
    let falling = [
        change("insert", 1, 5, &[Some("1")]),
        change("insert", 1, 4, &[Some("2")]),
        change("insert", 1, 6, &[Some("3")]),
    ];
    write(lake.path(), T, &["id"], &["id"], &falling);
    // Another file of the table covers the position, but not the row's own.
    let around = [
        change("insert", 2, 7, &[Some("4")]),
        change("insert", 2, 9, &[Some("5")]),
    ];
    write(lake.path(), T, &["id"], &["id"], &around);
    let record = lake.path().join("_commits/00000000000000000006.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let text = text.replace("\"first_position\":4", "\"first_position\":5");
    std::fs::write(&record, text).unwrap();
    let found = Lake::open(lake.path()).unwrap().violations().unwrap();
    let found = found.join("\n");
    assert!(
        found.contains("position 4 of LSN 1, is not inside the span recorded of its file"),
        "{found}"
    );
    assert!(
        found.contains("is at position 4, and the one before it at 5"),
        "{found}"
    );
}

#[test]
fn an_lsn_is_read_as_postgres_writes_it() {
    assert_eq!(parse_lsn("16/B374D848"), Some(0x16_B374_D848));
    assert_eq!(parse_lsn("nonsense"), None);
}
