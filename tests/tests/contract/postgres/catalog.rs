use blacksmith_cdc::catalog::{
    Identity, Patterns, RelationQuestion, TableInfo, TableKind, TypeClass, ensure_publication,
    find_publication, find_slot, list_tables, load_published_tables, load_types, take_over_slot,
};
use blacksmith_core::error::Kind;
use blacksmith_tests::server::Server;

use super::*;

fn published(db: &Db, publication: &str) -> Vec<TableInfo> {
    wait_for(async { load_published_tables(&sql(db).await, publication).await }).unwrap()
}

#[test]
fn a_table_is_described_with_its_columns_keys_identity_and_real_size() {
    let db = Server::shared().database("described");
    db.execute(
        r#"create schema "Weird ""Schema""";
           create type mood as enum ('sad', 'ok');
           create table "Weird ""Schema"""."T" (gone int, b numeric(10,2) not null, a int, big text, m public.mood,
               double_a int generated always as (a * 2) stored, primary key (b, a));
           alter table "Weird ""Schema"""."T" drop column gone;
           alter table "Weird ""Schema"""."T" alter big set storage external;
           insert into "Weird ""Schema"""."T" select g, g, repeat('x', 100), 'ok' from generate_series(1, 1000) g;
           create publication p for all tables"#,
    );
    let table = published(&db, "p").remove(0);
    assert_eq!(
        (table.namespace.as_str(), table.name.as_str()),
        ("Weird \"Schema\"", "T")
    );
    assert_eq!(table.quoted(), r#""Weird ""Schema"""."T""#);
    assert_eq!(
        (table.kind, table.identity, table.identity_usable),
        (TableKind::Ordinary, Identity::Default, true)
    );
    assert_eq!(table.primary_key, [2, 3]);
    assert_eq!(table.key(), [2, 3]);
    let columns: Vec<_> = table
        .columns
        .iter()
        .map(|c| {
            (
                c.number,
                c.name.as_str(),
                c.type_name.as_str(),
                c.not_null,
                c.generated,
                c.published,
                c.storage,
            )
        })
        .collect();
    assert_eq!(
        columns,
        [
            (2, "b", "numeric(10,2)", true, false, true, 'm'),
            (3, "a", "integer", true, false, true, 'p'),
            (4, "big", "text", false, false, true, 'e'),
            (5, "m", "public.mood", false, false, true, 'p'),
            (6, "double_a", "integer", false, true, false, 'p'),
        ]
    );
    let part = &table.parts[0];
    assert_eq!(part.oid, table.oid);
    let blocks = db.value(r#"select pg_relation_size('"Weird ""Schema"""."T"') / 8192"#);
    assert_eq!(
        part.blocks.to_string(),
        blocks,
        "the real size: nothing was analyzed"
    );
    assert!(part.blocks > 10 && part.filenode > 0 && !part.foreign);
}

#[test]
fn a_single_table_is_described_by_its_number_as_among_all() {
    let db = Server::shared().database("by_number");
    db.execute(
        r#"create schema "Weird ""Schema"""; create domain cents as numeric(12,2);
           create table "Weird ""Schema"""."T" (gone int, b cents[] not null, a varchar(7), "primary" int,
               double int generated always as ("primary" * 2) stored,
               constraint pk primary key ("primary", b) include (a));
           alter table "Weird ""Schema"""."T" drop column gone;
           create table other (id int primary key);
           create publication p for all tables"#,
    );
    let tables = published(&db, "p");
    let table = tables.iter().find(|table| table.name == "T").unwrap();
    let (asked, of_none) = wait_for(async {
        let client = sql(&db).await;
        let question = RelationQuestion::prepare(&client).await.unwrap();
        let asked = question.ask(&client, table.oid).await.unwrap();
        (asked, question.ask(&client, 1).await.unwrap())
    });
    assert_eq!(of_none, []);
    let asked: Vec<_> = asked
        .iter()
        .map(|c| {
            (
                c.name.as_str(),
                c.type_oid,
                c.typmod,
                c.type_name.as_str(),
                c.generated,
                c.in_primary_key,
            )
        })
        .collect();
    let among_all: Vec<_> = table
        .columns
        .iter()
        .map(|c| {
            let in_key = table.primary_key.contains(&c.number);
            (
                c.name.as_str(),
                c.type_oid,
                c.typmod,
                c.type_name.as_str(),
                c.generated,
                in_key,
            )
        })
        .collect();
    assert_eq!(asked, among_all);
    let in_key: Vec<_> = asked.iter().filter(|c| c.5).map(|c| c.0).collect();
    assert_eq!(in_key, ["b", "primary"]);
}

#[test]
fn filters_column_lists_and_identities_are_those_of_the_publication() {
    let db = Server::shared().database("filters");
    db.execute(
        "create table f (id int primary key, a int, b int);
         create table i (x int not null, y text); create unique index iy on i (x);
         alter table i replica identity using index iy;
         create table full_id (x int); alter table full_id replica identity full;
         create table none (x int primary key); alter table none replica identity nothing;
         create table bare (x int);
         create publication p for table f (id, b) where (a > 5 and b is not null), i, full_id, none, bare
             with (publish = 'insert')",
    );
    let tables = published(&db, "p");
    let by_name = |name: &str| tables.iter().find(|table| table.name == name).unwrap();
    let f = by_name("f");
    let listed: Vec<_> = f
        .columns
        .iter()
        .map(|column| (column.name.as_str(), column.published))
        .collect();
    assert_eq!(listed, [("id", true), ("a", false), ("b", true)]);
    let filter = f.row_filter.as_deref().unwrap();
    db.execute("insert into f values (1, 6, 0), (2, 5, 0), (3, 9, null)");
    assert_eq!(
        db.value(&format!(
            "select string_agg(id::text, ',') from f where {filter}"
        )),
        "1"
    );
    let identity = |name: &str| {
        let table = by_name(name);
        (table.identity, table.identity_usable, table.key().to_vec())
    };
    assert_eq!(identity("i"), (Identity::Index, true, vec![1]));
    assert_eq!(identity("full_id"), (Identity::Full, true, vec![]));
    assert_eq!(identity("none"), (Identity::Nothing, false, vec![1]));
    assert_eq!(identity("bare"), (Identity::Default, false, vec![]));
}

#[test]
fn partitions_are_published_as_leaves_or_as_their_root() {
    let db = Server::shared().database("parts");
    db.execute(
        "create table r (id int, at date, primary key (id, at)) partition by range (at);
         create table r1 partition of r for values from ('2020-01-01') to ('2021-01-01');
         create table r2 partition of r for values from ('2021-01-01') to ('2022-01-01') partition by list (id);
         create table r2a partition of r2 default;
         insert into r select g, '2021-05-05' from generate_series(1, 5000) g;
         create publication leaves for table r;
         create publication root for table r with (publish_via_partition_root = true)",
    );
    let leaves = published(&db, "leaves");
    let names: Vec<_> = leaves
        .iter()
        .map(|table| (table.name.as_str(), table.parts.len()))
        .collect();
    assert_eq!(names, [("r1", 1), ("r2a", 1)]);
    assert!(
        leaves
            .iter()
            .all(|table| table.is_partition && table.kind == TableKind::Ordinary)
    );
    let roots = published(&db, "root");
    assert_eq!(roots.len(), 1);
    assert_eq!(
        (roots[0].kind, roots[0].identity_usable),
        (TableKind::Partitioned, true)
    );
    let parts: Vec<_> = roots[0]
        .parts
        .iter()
        .map(|part| (part.name.as_str(), part.blocks > 0))
        .collect();
    assert_eq!(parts, [("r1", false), ("r2a", true)]);
    db.execute("alter table r1 replica identity nothing");
    assert!(
        !published(&db, "root")[0].identity_usable,
        "one leaf without identity spoils the table"
    );
}

#[test]
fn types_are_resolved_down_to_what_they_are_made_of() {
    let db = Server::shared().database("types");
    db.execute(
        "create type mood as enum ('a'); create type pair as (a int, b text);
         create domain cents as numeric(12,2) check (value >= 0); create domain fees as cents not null;
         create domain moods as mood[]; create type span as range (subtype = float8);
         create table t (f fees, m moods, p pair, s span, b box[], v int2vector, n name)",
    );
    let (types, oids) = wait_for(async {
        let client = sql(&db).await;
        let rows = client
            .query("asking", "select attname::text, atttypid from pg_attribute where attrelid = 'public.t'::regclass and attnum > 0", &[])
            .await
            .unwrap();
        let oids: std::collections::HashMap<String, u32> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let all: Vec<u32> = oids.values().copied().collect();
        (load_types(&client, &all).await.unwrap(), oids)
    });
    let class = |oid: u32| types[&oid].class;
    let TypeClass::Domain { base, typmod: -1 } = class(oids["f"]) else {
        panic!("{:?}", class(oids["f"]))
    };
    let TypeClass::Domain {
        base: numeric,
        typmod,
    } = class(base)
    else {
        panic!()
    };
    assert_eq!(
        (types[&numeric].name.as_str(), typmod),
        ("numeric", ((12 << 16) | 2) + 4)
    );
    let TypeClass::Domain { base: array, .. } = class(oids["m"]) else {
        panic!()
    };
    let TypeClass::Array { element } = class(array) else {
        panic!()
    };
    assert_eq!(
        (class(element), types[&element].namespace.as_str()),
        (TypeClass::Enum, "public")
    );
    assert_eq!(class(oids["p"]), TypeClass::Composite);
    assert_eq!(class(oids["s"]), TypeClass::Range { subtype: 701 });
    let TypeClass::Array { element: boxes } = class(oids["b"]) else {
        panic!()
    };
    assert_eq!(types[&boxes].delimiter, ';');
    assert_eq!(
        (class(oids["v"]), class(oids["n"])),
        (TypeClass::Base, TypeClass::Base)
    );
    assert!(types[&oids["n"]].has_binary);
}

#[test]
fn a_publication_is_created_with_the_tables_that_bear_it_and_extended_later() {
    let db = Server::shared().database("publish");
    db.execute(
        r#"create table good (id int primary key); create table bare (id int); create unlogged table u (id int primary key);
           create table other (id int primary key); create schema s; create table s."Odd ""x""" (id int primary key);
           create table r (id int primary key) partition by list (id); create table r1 partition of r default"#,
    );
    let patterns = Patterns::parse(&["public.good", "bare", "u", "s.*", "r*"]).unwrap();
    let ensure =
        || wait_for(async { ensure_publication(&sql(&db).await, "it's \"p\"", &patterns).await });
    let state = ensure().unwrap();
    assert!(state.created);
    assert_eq!(
        state.added,
        [
            r#""public"."good""#,
            r#""public"."r""#,
            r#""s"."Odd ""x""""#
        ]
    );
    let left: Vec<_> = state
        .left_out
        .iter()
        .map(|left| (left.name.as_str(), left.fix.as_str()))
        .collect();
    assert_eq!(
        left,
        [
            (
                "bare",
                r#"ALTER TABLE "public"."bare" REPLICA IDENTITY FULL"#
            ),
            ("u", r#"ALTER TABLE "public"."u" SET LOGGED"#)
        ]
    );
    assert!(state.publication.via_root && state.publication.ours && !state.publication.all_tables);
    assert_eq!(
        state.publication.tables.len(),
        3,
        "the root stands for its partitions"
    );
    db.execute(&state.left_out[0].fix);
    let state = ensure().unwrap();
    assert!(!state.created);
    assert_eq!(state.added, [r#""public"."bare""#]);
    assert_eq!(ensure().unwrap().added, Vec::<String>::new());
    db.execute("update bare set id = 2");
}

#[test]
fn what_we_may_not_do_comes_back_as_the_statement_to_run() {
    let db = Server::shared().database("rights");
    let role = format!("limited_{}", db.name());
    db.execute(&format!(
        "create table t (id int primary key); create table t2 (id int primary key);
         create role {role} login replication password 'x'; grant select on t to {role}; create publication theirs for table t"
    ));
    let url = format!(
        "postgres://{role}:x@127.0.0.1:{}/{}",
        db.server().port(),
        db.name()
    );
    let ensure = |name: &'static str, table: &'static str| {
        wait_for(async {
            let client = SqlClient::connect(&options(&url)).await.unwrap();
            ensure_publication(&client, name, &Patterns::parse(&[table]).unwrap()).await
        })
    };
    let error = ensure("mine", "t").unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(
        error
            .report()
            .contains(r#"CREATE PUBLICATION "mine" FOR TABLE "public"."t""#),
        "{}",
        error.report()
    );
    let error = ensure("theirs", "t2").unwrap_err();
    assert!(
        error
            .report()
            .contains(r#"ALTER PUBLICATION "theirs" ADD TABLE "public"."t2""#),
        "{}",
        error.report()
    );
    assert!(
        ensure("theirs", "t").is_ok(),
        "nothing to do takes no rights"
    );
    let error = ensure("mine", "nothing_like_it").unwrap_err();
    assert!(
        error.report().contains("no table matches"),
        "{}",
        error.report()
    );
    db.execute(&format!("drop owned by {role}; drop role {role}"));
}

#[test]
fn a_slot_is_described_and_taken_over_only_by_its_own_application() {
    let db = Server::shared().database("slots");
    let name = unique(&db, "s");
    let find = || wait_for(async { find_slot(&sql(&db).await, &name).await }).unwrap();
    assert_eq!(find(), None);
    let url = format!("{}?application_name=blacksmith%20{name}", db.url());
    let mut stream = stream_of(&db, &url, &name);
    let slot = find().unwrap();
    assert_eq!(
        (slot.plugin.as_deref(), slot.database.as_deref()),
        (Some("pgoutput"), Some(db.name()))
    );
    assert!(
        slot.active_pid.is_some()
            && slot.confirmed_flush.is_some()
            && !slot.is_lost()
            && !slot.temporary
    );
    let take = |application: String| {
        wait_for(async { take_over_slot(&sql(&db).await, &name, &application).await }).unwrap()
    };
    assert!(
        !take("blacksmith".into()),
        "another application's reader is left alone"
    );
    assert!(!take(format!("blacksmith {}", name.replace('s', "_"))));
    assert!(
        stream
            .receive(Instant::now() + Duration::from_millis(10))
            .is_ok()
    );
    assert!(take(format!("blacksmith {name}")));
    let error = loop {
        match stream.receive(soon()) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Kind::Unavailable, "{}", error.report());
    blacksmith_tests::wait::until(PATIENCE, "the slot to be free", || {
        find().unwrap().active_pid.is_none().then_some(())
    });
    let mut connection = replication(&db.url());
    assert!(connection.drop_slot(&name).unwrap());
    assert_eq!(find(), None);
    let again = connection.drop_slot(&name);
    assert!(!again.unwrap(), "what has gone by itself is no failure");
}

#[test]
fn names_are_compared_as_values_never_as_patterns() {
    let db = Server::shared().database("names");
    db.execute("create publication a_b; create publication axb; create table a_b (id int); create table axb (id int)");
    wait_for(async {
        let client = sql(&db).await;
        assert_eq!(
            find_publication(&client, "a_b")
                .await
                .unwrap()
                .unwrap()
                .name,
            "a_b"
        );
        assert_eq!(find_publication(&client, "a%").await.unwrap(), None);
        assert_eq!(
            find_publication(&client, "' or true --").await.unwrap(),
            None
        );
        let tables = list_tables(&client).await.unwrap();
        assert_eq!(tables.len(), 2);
        let wanted = Patterns::parse(&["a_b"]).unwrap();
        assert_eq!(
            tables
                .iter()
                .filter(|table| wanted.matches(&table.namespace, &table.name))
                .count(),
            1
        );
    });
}
