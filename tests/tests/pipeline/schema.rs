//! Tables that change their columns, in any order of things.

use crate::arrange::{SOON, arrange};

const TABLE: &str = "create table t (id int primary key, v text); insert into t values (1, 'a')";

#[test]
fn rows_written_before_a_column_was_added_are_decoded_as_they_were() {
    let (db, pipeline) = arrange("added_later", TABLE);
    pipeline.catch_up();
    db.execute("insert into t values (2, 'b')");
    db.execute("alter table t add n int");
    db.execute("insert into t values (3, 'c', 3)");
    db.execute("alter table t drop v");
    db.execute("insert into t values (4, 4)");
    pipeline.catch_up(); // the catalog now knows (id, n); the log has three shapes
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 4);
    let log = pipeline.lake().change_log("public.t").unwrap();
    let folded = blacksmith_tests::lake::fold::fold(&log, &["id".into(), "v".into()]).unwrap();
    let two = folded
        .rows
        .iter()
        .find(|row| row[0].as_deref() == Some("2"))
        .unwrap();
    assert_eq!(two[1].as_deref(), Some("b"));
}

#[test]
fn columns_are_added_dropped_renamed_and_widened_while_running() {
    let (db, pipeline) = arrange("while_running", TABLE);
    let program = pipeline.start();
    pipeline.wait_equal(&db, &["public.t"], SOON);
    db.execute("alter table t add n int; update t set n = 1");
    db.execute("alter table t rename v to w; update t set w = w || '!'");
    db.execute("alter table t alter n type bigint; insert into t values (2, 'x', 9000000000)");
    db.execute(
        "begin; insert into t values (3, 'y', 1); alter table t add d date;
                insert into t values (4, 'z', 1, '2020-01-01'); commit",
    );
    db.execute("alter table t drop n; insert into t values (5, 'q', null)");
    pipeline.wait_equal(&db, &["public.t"], SOON);
    assert!(program.terminate().success());
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 5);
}

#[test]
fn a_column_dropped_and_added_again_under_its_name_is_a_new_one() {
    let (db, pipeline) = arrange("readded", TABLE);
    pipeline.catch_up();
    db.execute("alter table t drop v; alter table t add v int; update t set v = 7");
    db.execute("insert into t values (2, null)");
    pipeline.catch_up();
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 2);
    let log = pipeline.lake().change_log("public.t").unwrap();
    let schema = log.schema().unwrap();
    let kind = schema.field_with_name("v").unwrap().data_type().clone();
    assert_eq!(kind, arrow_schema::DataType::Int32);
}

#[test]
fn a_change_of_columns_at_the_edge_of_a_batch_keeps_both_tables_right() {
    let (db, mut pipeline) = arrange("edge", TABLE);
    db.execute("create table u (id int primary key, v text)");
    pipeline.set(
        "destinations.lake",
        "batch",
        "{ max_rows = 2, max_age = \"100ms\" }",
    );
    pipeline.catch_up();
    db.execute(
        "begin; insert into t values (2, 'b'), (3, 'c'); insert into u values (1, 'u');
                alter table u add n int; insert into t values (4, 'd');
                insert into u values (2, 'u', 2), (3, 'u', 3); alter table t add n int;
                insert into t values (5, 'e', 5); commit",
    );
    pipeline.catch_up();
    let digests = pipeline.assert_equal(&db, &["public.t", "public.u"]);
    assert_eq!((digests[0].rows, digests[1].rows), (5, 3));
}

#[test]
fn generated_columns_and_dropped_tables_stop_nothing() {
    let (db, pipeline) = arrange("generated", TABLE);
    db.execute(
        "create table g (id int primary key, n int, twice int generated always as (n * 2) stored);
                create table gone (id int primary key)",
    );
    pipeline.catch_up();
    db.execute("insert into g (id, n) values (1, 5); insert into gone values (1)");
    db.execute("drop table gone");
    db.execute("insert into t values (2, 'after')");
    pipeline.catch_up();
    pipeline.assert_equal(&db, &["public.g", "public.t"]);
    assert_eq!(
        pipeline
            .lake()
            .change_log("public.gone")
            .unwrap()
            .entries()
            .unwrap()
            .len(),
        1
    );
}
