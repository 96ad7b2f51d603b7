//! Values of every type, through the whole path.

use blacksmith_tests::stream::Pipeline;
use blacksmith_tests::workload::Workload;

use crate::arrange::{arrange, server};

#[test]
fn every_type_arrives_exact_from_the_copy_and_from_the_stream() {
    for format in ["text", "binary", "auto"] {
        let db = server().database("types");
        let mut workload = Workload::small(4);
        workload.rows_initial = 400;
        workload.transactions = 30;
        workload.ddl = false;
        workload.create(&db);
        let mut pipeline = Pipeline::new(&db);
        pipeline.set("sources.shop", "format", &format!("\"{format}\""));
        pipeline.catch_up();
        let tables = Workload::published(&db);
        let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
        pipeline.assert_equal(&db, &tables);
        let summary = workload.run(&db);
        assert!(summary.committed > 0, "{summary:?}");
        pipeline.catch_up();
        pipeline.assert_equal(&db, &tables);
    }
}

#[test]
fn the_database_s_own_settings_do_not_change_a_value() {
    let (db, pipeline) = arrange(
        "settings",
        "create table t (id int primary key, at timestamptz, d date, i interval, f float8, b bytea, m text);
         insert into t select n, '2024-06-01 12:00:00.123456+00', '0044-03-15 BC', '1 mon -2 days 3:04:05.6',
                              0.1 + n, '\\x00ff', 'copied' from generate_series(1, 10) n",
    );
    let name = db.name();
    for setting in [
        "timezone = 'Asia/Kathmandu'",
        "datestyle = 'German, DMY'",
        "intervalstyle = 'sql_standard'",
        "extra_float_digits = -10",
        "bytea_output = 'escape'",
        "search_path = 'nowhere'",
        "standard_conforming_strings = off",
    ] {
        db.execute(&format!("alter database \"{name}\" set {setting}"));
    }
    pipeline.catch_up();
    db.execute("insert into public.t select id + 100, at, d, i, f, b, 'streamed' from public.t");
    pipeline.catch_up();
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 20);
}

#[test]
fn the_largest_numbers_keep_every_digit() {
    let (db, pipeline) = arrange(
        "digits",
        "create table t (id int primary key, n numeric, m numeric(38, 0))",
    );
    pipeline.catch_up();
    db.execute(
        "insert into t values
        (1, repeat('9', 1000)::numeric, repeat('9', 38)::numeric),
        (2, ('0.' || repeat('123456789', 100))::numeric, -1 * repeat('9', 38)::numeric),
        (3, 'NaN', 'NaN'), (4, '1e100000', 0), (5, '-1e-1000', 1)",
    );
    pipeline.catch_up();
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 5);
}

#[test]
fn a_row_that_cannot_be_decoded_is_put_aside_and_everything_else_goes_on() {
    let postgres = server().existing("postgres");
    let name = format!("ascii_{}", std::process::id());
    postgres.execute(&format!(
        "create database {name} encoding 'SQL_ASCII' locale 'C' template template0"
    ));
    let db = server().existing(&name);
    db.execute("create table t (id int primary key, v text); create table u (id int primary key)");
    let pipeline = Pipeline::new(&db);
    pipeline.catch_up();
    db.execute(
        "insert into t values (1, 'fine'), (2, E'\\xff\\xfe'), (3, 'fine too');
                insert into u values (1)",
    );
    pipeline.catch_up();
    let lake = pipeline.lake();
    let entries = lake.change_log("public.t").unwrap().entries().unwrap();
    assert_eq!(entries.len(), 2, "the rows around it are there");
    pipeline.assert_equal(&db, &["public.u"]);
    let slot = pipeline.slot();
    db.execute(&format!("select pg_drop_replication_slot('{slot}')"));
    postgres.execute(&format!("drop database {name} with (force)"));
}

#[test]
fn rows_larger_than_a_frame_of_the_log_arrive_from_the_copy_and_from_the_stream() {
    let (db, pipeline) = arrange("wide", "create table t (id int primary key, v text)");
    let megabytes = 70;
    let wide = format!("repeat('0123456789', {megabytes} * 100000)");
    db.execute(&format!("insert into t values (1, 'narrow'), (2, {wide})"));
    pipeline.catch_up();
    db.execute(&format!("insert into t values (3, {wide}), (4, 'narrow')"));
    pipeline.catch_up();
    assert_eq!(pipeline.assert_equal(&db, &["public.t"])[0].rows, 4);
}
