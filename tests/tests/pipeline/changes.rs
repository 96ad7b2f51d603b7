//! Single changes, and what they do to the rows that are there.

use blacksmith_tests::lake::{Op, fold};

use crate::arrange::{SOON, arrange};

const ORDERS: &str = "
    create table orders (id int primary key, customer text, amount numeric(12, 2), note jsonb);
    insert into orders select n, 'customer ' || n % 10, n * 1.5, '{\"a\": [1, null]}'
    from generate_series(1, 1000) n";

#[test]
fn rows_of_before_and_after_the_start_fold_to_what_postgres_has() {
    let (db, pipeline) = arrange("changes", ORDERS);
    let program = pipeline.start();
    pipeline.wait_equal(&db, &["public.orders"], SOON);
    db.execute("insert into orders values (2000, 'new', 0, null), (2001, null, null, 'null')");
    db.execute("update orders set amount = amount + 1 where id % 3 = 0");
    db.execute("delete from orders where id % 7 = 0");
    pipeline.wait_equal(&db, &["public.orders"], SOON);
    assert!(program.terminate().success());
    let digests = pipeline.assert_equal(&db, &["public.orders"]);
    assert_eq!(digests[0].rows, 1000 - 142 + 2);
}

#[test]
fn until_caught_up_loads_all_that_was_there_and_ends() {
    let (db, pipeline) = arrange("until", ORDERS);
    pipeline.catch_up();
    assert_eq!(pipeline.assert_equal(&db, &["public.orders"])[0].rows, 1000);
    db.execute("delete from orders where id > 10");
    pipeline.catch_up();
    assert_eq!(pipeline.assert_equal(&db, &["public.orders"])[0].rows, 10);
    let rows = pipeline.lake().rows();
    pipeline.catch_up(); // with nothing to do
    assert_eq!(pipeline.lake().rows(), rows);
}

#[test]
fn a_lake_with_no_schedule_of_its_own_is_caught_up_too() {
    let (db, mut pipeline) = arrange("interval", ORDERS);
    pipeline.set(
        "destinations.lake",
        "schedule",
        "{ interval = \"@every 1h\" }",
    );
    pipeline.catch_up();
    assert_eq!(pipeline.assert_equal(&db, &["public.orders"])[0].rows, 1000);
}

#[test]
fn changed_and_swapped_keys_leave_no_old_row() {
    let (db, pipeline) = arrange("keys", ORDERS);
    db.execute(
        "create table pairs (a int, b text, v text, primary key (b, a));
                insert into pairs select n, 'p' || n, repeat(md5(n::text), 200)
                from generate_series(1, 50) n",
    );
    pipeline.catch_up();
    db.execute("update orders set id = id + 10000 where id <= 100");
    db.execute(
        "begin; update orders set id = -1 where id = 200; update orders set id = 200
                where id = 201; update orders set id = 201 where id = -1; commit",
    );
    db.execute("update pairs set b = 'moved' where a % 2 = 0");
    pipeline.catch_up();
    let digests = pipeline.assert_equal(&db, &["public.orders", "public.pairs"]);
    assert_eq!((digests[0].rows, digests[1].rows), (1000, 50));
}

#[test]
fn a_truncated_table_is_empty_and_its_neighbours_are_not() {
    let (db, pipeline) = arrange("truncate", ORDERS);
    db.execute(
        "create table parts (id int primary key) partition by range (id);
                create table parts_low partition of parts for values from (0) to (100);
                create table parts_high partition of parts for values from (100) to (200);
                insert into parts select generate_series(1, 199);
                create table other (id int primary key, of int references orders);
                insert into other values (1, 1)",
    );
    pipeline.catch_up();
    db.execute("begin; truncate orders, other; insert into orders values (1, 'after'); commit");
    db.execute("truncate parts");
    db.execute("insert into parts values (7)");
    pipeline.catch_up();
    let parts = if pipeline.lake().tables().contains("public.parts") {
        vec!["public.parts"]
    } else {
        vec!["public.parts_low", "public.parts_high"]
    };
    pipeline.assert_equal(&db, &parts);
    let digests = pipeline.assert_equal(&db, &["public.orders", "public.other"]);
    assert_eq!((digests[0].rows, digests[1].rows), (1, 0));
}

/// Every replica identity, columns out of line, and changes that leave them alone: in the batch of
/// the insert and in a later one.
#[test]
fn unchanged_large_values_are_neither_lost_nor_null() {
    let (db, pipeline) = arrange("toast", "");
    for (table, identity) in [
        ("by_default", "default"),
        ("by_full", "full"),
        ("by_index", "using index by_index_other_idx"),
    ] {
        db.execute(&format!(
            "create table {table} (id int primary key, other int not null, n int, t text, j jsonb, a text[]);
             create unique index {table}_other_idx on {table} (other);
             alter table {table} alter t set storage external, alter j set storage external,
                                 alter a set storage external;
             alter table {table} replica identity {identity};"
        ));
    }
    let tables = ["by_default", "by_full", "by_index"];
    let values =
        "repeat('x', 5000), jsonb_build_object('k', repeat('y', 5000)), array[repeat('z', 5000)]";
    pipeline.catch_up();
    for table in tables {
        db.execute(&format!(
            "insert into {table} select n, n, 0, {values} from generate_series(1, 20) n;
                             update {table} set n = 1 where id <= 10"
        ));
    }
    pipeline.catch_up();
    for table in tables {
        db.execute(&format!("update {table} set n = 2; update {table} set t = 'small' where id = 3;
                             update {table} set id = id + 100, other = other + 100 where id = 4;
                             update {table} set j = null where id = 5; delete from {table} where id = 6"));
    }
    pipeline.catch_up();
    pipeline.assert_equal(
        &db,
        &["public.by_default", "public.by_full", "public.by_index"],
    );
    let log = pipeline.lake().change_log("public.by_default").unwrap();
    let columns = ["id", "t"].map(String::from);
    let folded = fold::fold(&log, &columns).unwrap();
    let large = folded
        .rows
        .iter()
        .filter(|row| row[1].as_ref().is_some_and(|t| t.len() == 5000));
    assert_eq!(large.count(), 18); // 20, one made small, one deleted
}

#[test]
fn tables_without_a_key_arrive_row_by_row() {
    let (db, pipeline) = arrange(
        "keyless",
        "create table whole (v int, t text); alter table whole replica identity full;
         create table events (at int, what text); alter table events replica identity nothing;
         create publication blacksmith for all tables;
         insert into whole values (1, 'same'), (1, 'same'), (2, null);
         insert into events values (1, 'a'), (1, 'a')",
    );
    pipeline.catch_up();
    db.execute(
        "insert into whole values (1, 'same'); update whole set t = 'x' where v = 2;
                delete from whole where ctid = (select min(ctid) from whole where v = 1);
                insert into events values (1, 'a')",
    );
    pipeline.catch_up();
    let digests = pipeline.assert_equal(&db, &["public.whole", "public.events"]);
    assert_eq!((digests[0].rows, digests[1].rows), (3, 3));
}

#[test]
fn each_change_says_what_it_was_with_the_lsn_of_its_commit() {
    let (db, pipeline) = arrange(
        "ops",
        "create table t (id int primary key); insert into t values (1)",
    );
    pipeline.catch_up();
    db.execute("begin; insert into t values (2); update t set id = 2 where id = 2; commit");
    db.execute("delete from t where id = 1; truncate t");
    pipeline.catch_up();
    let entries = pipeline
        .lake()
        .change_log("public.t")
        .unwrap()
        .entries()
        .unwrap();
    let ops: Vec<Op> = entries.iter().map(|entry| entry.op).collect();
    assert_eq!(
        ops,
        [Op::Read, Op::Insert, Op::Update, Op::Delete, Op::Truncate]
    );
    assert_eq!(entries[1].lsn, entries[2].lsn);
    assert!(entries[0].lsn < entries[1].lsn && entries[2].lsn < entries[3].lsn);
}

/// Row filters, column lists and names that need quotes, in the copy and in the stream.
#[test]
fn a_publication_that_was_there_is_followed_with_its_filters_and_columns() {
    let (db, pipeline) = arrange(
        "filter",
        r#"create table "Weird ""Name" ("Id" int primary key, "a b" text, hidden text, n int);
           insert into "Weird ""Name" select n, 'v' || n, 'secret', n from generate_series(1, 100) n"#,
    );
    if db.server().major() < 15 {
        return; // filters and column lists came with 15
    }
    db.execute(
        r#"create publication blacksmith for table "Weird ""Name" ("Id", "a b", n)
           where ("Id" > 90) with (publish = 'insert')"#,
    );
    pipeline.catch_up();
    db.execute(
        r#"insert into "Weird ""Name" values (5000, 'after', 'secret', 1), (3, 'x', 'y', 0)
                  on conflict do nothing; insert into "Weird ""Name" values (-1, 'no', 'no', 1)"#,
    );
    pipeline.catch_up();
    let log = pipeline.lake().change_log("public.Weird \"Name").unwrap();
    assert_eq!(log.columns(), ["Id", "a b", "n"]);
    let folded = fold::fold(&log, &["Id".into()]).unwrap();
    let mut ids: Vec<i32> = folded
        .rows
        .iter()
        .map(|row| row[0].as_ref().unwrap().parse().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (91..=100).chain([5000]).collect::<Vec<_>>());
}

#[test]
fn partitions_arrive_as_the_publication_has_them() {
    for via_root in [true, false] {
        let (db, pipeline) = arrange(
            "partitions",
            "create table p (id int primary key, v text) partition by range (id);
             create table p_low partition of p for values from (0) to (100);
             create table p_high (extra int, v text, id int not null);
             alter table p_high drop extra;
             alter table p attach partition p_high for values from (100) to (1000);
             insert into p select n, 'v' || n from generate_series(1, 199) n",
        );
        db.execute(&format!(
            "create publication blacksmith for table p with (publish_via_partition_root = {via_root})"
        ));
        pipeline.catch_up();
        db.execute(
            "update p set v = 'changed' where id % 2 = 0; update p set id = 500 where id = 5;
                    delete from p where id = 150; insert into p values (600, 'new')",
        );
        pipeline.catch_up();
        match via_root {
            true => drop(pipeline.assert_equal(&db, &["public.p"])),
            false => drop(pipeline.assert_equal(&db, &["public.p_low", "public.p_high"])),
        }
        assert_eq!(pipeline.lake().tables().contains("public.p"), via_root);
    }
}
