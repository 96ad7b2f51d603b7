//! Names that hope to be pasted into SQL or into a path: everywhere a name can stand.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use blacksmith_tests::db::Db;
use blacksmith_tests::stream::Pipeline;

use crate::arrange::{SOON, server};

/// For schemas, tables, columns and the publication alike.
const NAMES: [&str; 22] = [
    "\"; drop table witness; --",
    "'; drop table witness; --",
    "Weird \"Name\"",
    "line\nbreak\ttab",
    "żółć 🦀",
    "$$ $1 {name} ${HOME}",
    "back\\slash \\' \\\"",
    "..",
    ".",
    "../x",
    "../../x",
    "/etc",
    "a/b",
    "a\\b",
    "nul%00%2F",
    "c:d*?<>|",
    "con",
    "dot.",
    " space ",
    "case",
    "CASE",
    "_commits",
];

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// As the lake names the table: a dot of the schema's is escaped.
fn in_lake(schema: &str, table: &str) -> String {
    format!("{}.{table}", schema.replace('%', "%25").replace('.', "%2E"))
}

/// A database with a table for each name, in a schema of this name, with columns of this name; and pairs that
/// would meet if names were just put together.
fn hostile() -> (Db, Vec<String>) {
    let db = server().database("names");
    let longest = "ж".repeat(31) + "x"; // 63 bytes, all that Postgres keeps
    let mut tables: Vec<(String, String)> = NAMES
        .iter()
        .map(|name| ((*name).into(), (*name).into()))
        .collect();
    tables.push((longest.clone(), longest));
    for (schema, table) in [
        ("a.b", "c"),
        ("a", "b.c"),
        ("a%2Eb", "c"),
        ("public", "Case"),
        ("public", "case"),
    ] {
        tables.push((schema.into(), table.into()));
    }
    let mut session = db.session();
    session.execute("create table witness (id int primary key); insert into witness values (1)");
    for (schema, table) in &tables {
        let (name, column) = (
            format!("{}.{}", quoted(schema), quoted(table)),
            quoted(table),
        );
        session.execute(&format!(
            "create schema if not exists {}; create table {name} (id int primary key, {column} text);
             insert into {name} select n, 'first' from generate_series(1, 3) n",
            quoted(schema)
        ));
    }
    let mut names: Vec<String> = tables
        .iter()
        .map(|(schema, table)| in_lake(schema, table))
        .collect();
    names.push("public.witness".into());
    (db, names)
}

/// Writes to every table what the lake must then hold.
fn write(db: &Db) {
    let sql = "select format('insert into %I.%I values (4, ''streamed''); delete from %I.%I where id = 2',
                             nspname, relname, nspname, relname)
               from pg_class c join pg_namespace n on n.oid = relnamespace
               where relkind = 'r' and nspname not like 'pg\\_%' and nspname <> 'information_schema'
                     and relname <> 'witness'";
    let mut session = db.session();
    for row in session.rows(sql) {
        session.execute(row[0].as_ref().unwrap());
    }
}

#[test]
fn no_name_is_taken_for_sql_or_for_a_path_in_copy_stream_and_check() {
    let (db, names) = hostile();
    let mut pipeline = Pipeline::new(&db);
    let publication = "pub\"; drop table witness; -- 'x'\n../";
    pipeline.set(
        "sources.shop",
        "publication",
        &serde_json::to_string(publication).unwrap(),
    );
    pipeline.set("sources.shop", "tables", "[\"*.*\"]");
    assert_eq!(
        pipeline.run(&["check"]),
        Some(0),
        "{}",
        pipeline.said_last()
    );
    let program = pipeline.start();
    let tables: Vec<&str> = names.iter().map(String::as_str).collect();
    pipeline.wait_equal(&db, &tables, SOON);
    write(&db);
    pipeline.wait_equal(&db, &tables, SOON);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &tables);
    assert_eq!(db.value("select count(*) from witness"), "1");
    let made = db.value("select string_agg(pubname, '') from pg_publication");
    assert_eq!(made, publication);
    assert_eq!(
        pipeline.run(&["check"]),
        Some(0),
        "{}",
        pipeline.said_last()
    );

    let lake = pipeline.lake();
    assert_eq!(
        lake.tables(),
        names.iter().cloned().collect::<BTreeSet<_>>()
    );
    let folders: BTreeSet<&Path> = lake
        .published()
        .filter_map(|file| file.path.parent())
        .collect();
    assert_eq!(
        folders.len(),
        names.len(),
        "each table has a folder of its own"
    );
    for file in lake.published() {
        let parts: Vec<Component<'_>> = file.path.components().collect();
        let plain = parts
            .iter()
            .all(|part| matches!(part, Component::Normal(_)));
        assert!(plain && parts.len() == 2, "{}", file.path.display());
    }
    let beside = std::fs::read_dir(pipeline.path()).unwrap();
    let beside: BTreeSet<String> = beside
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let ours = [
        "blacksmith.toml",
        "data",
        "lake",
        "owner",
        "stderr",
        "stdout",
    ];
    let strange: Vec<&String> = beside
        .iter()
        .filter(|name| !ours.contains(&name.trim_start_matches('.')))
        .collect();
    assert!(strange.is_empty(), "beside the lake: {strange:?}");
}
