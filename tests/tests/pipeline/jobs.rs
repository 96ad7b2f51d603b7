//! Changed rows as jobs: what an action that takes JSON is given of a database.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use blacksmith_tests::lake::Lake;
use serde_json::{Value, json};

use crate::arrange::arrange;

/// The ids of the events in the lake's table, by position.
fn ids(lake: &Lake, table: &str) -> BTreeMap<u64, String> {
    let mut ids = BTreeMap::new();
    let mut take = |rows: &arrow_array::RecordBatch| {
        let column = |name| rows.column_by_name(name).unwrap();
        let positions = column("_seq").as_primitive::<UInt64Type>().values().iter();
        let texts = column("_event_id").as_string::<i32>().iter();
        ids.extend(
            positions
                .copied()
                .zip(texts.map(|text| text.unwrap().to_owned())),
        );
    };
    lake.each_batch(table, &mut take).unwrap();
    ids
}

/// The lines of every file in the archive, in order of the files' names.
fn lines(folder: &std::path::Path) -> Vec<Value> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "ndjson"))
        .collect();
    files.sort();
    let texts = files
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap());
    let text: String = texts.collect();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn each_change_is_one_job_with_every_value_as_it_was_in_order_over_all_tables() {
    let (db, mut pipeline) = arrange(
        "jobs",
        "create table t (id bigint primary key, price numeric(12, 2), note text);
         create table u (id int primary key);
         alter table t alter note set storage external;
         insert into t values (1, 1.10, 'first');",
    );
    pipeline.set("destinations.lake", "event_ids", "true");
    pipeline.set("destinations.archive", "driver", "\"file\"");
    pipeline.set("destinations.archive", "path", "\"archive\"");
    pipeline.flow("archive");
    pipeline.catch_up();
    db.execute(
        "insert into t values (9223372036854775807, 0.00, repeat('x', 5000));
         insert into u values (7);
         update t set price = 2.50 where id = 9223372036854775807;
         update t set id = 2 where id = 1;
         delete from u;
         truncate t;",
    );
    pipeline.catch_up();
    pipeline.catch_up(); // and nothing is written twice
    let lines = lines(&pipeline.path().join("archive"));
    let changes: Vec<_> = lines
        .iter()
        .map(|line| {
            let trigger = line["trigger"].as_str().unwrap();
            let op = line["context"]["op"].as_str().unwrap();
            (trigger, op, line["data"].clone())
        })
        .collect();
    let big = "9223372036854775807";
    let expected = [
        (
            "public.t",
            "read",
            json!({"id": 1, "price": "1.10", "note": "first"}),
        ),
        (
            "public.t",
            "insert",
            json!({"id": big, "price": "0.00", "note": "x".repeat(5000)}),
        ),
        ("public.u", "insert", json!({"id": 7})),
        ("public.t", "update", json!({"id": big, "price": "2.50"})),
        (
            "public.t",
            "update",
            json!({"id": 2, "price": "1.10", "note": "first"}),
        ),
        ("public.u", "delete", json!({"id": 7})),
        ("public.t", "truncate", json!({})),
    ];
    // What stood there before the first copy was taken may be emptied tables.
    let kept: Vec<_> = changes
        .into_iter()
        .skip_while(|change| change.1 == "truncate")
        .collect();
    assert_eq!(kept, expected);
    let context = |at: usize| &lines[lines.len() - expected.len() + at]["context"];
    assert_eq!(context(3)["unchanged"], json!(["note"]));
    assert_eq!(context(4)["before"], json!({"id": 1}));
    let positions: Vec<_> = lines
        .iter()
        .map(|line| line["position"].as_u64().unwrap())
        .collect();
    assert!(positions.is_sorted_by(|before, after| before < after));
    // Jobs of one event carry its id, whatever they are given.
    let of_table = lines.iter().filter(|line| line["trigger"] == "public.t");
    let archived: BTreeMap<u64, String> = of_table
        .map(|line| {
            let id = line["event_id"].as_str().unwrap();
            (line["position"].as_u64().unwrap(), id.to_owned())
        })
        .collect();
    assert_eq!(ids(&pipeline.lake(), "public.t"), archived);
}
