//! The roles that `docs/postgres.md` tells users to make, made: they are enough, and each part of them is needed.

use std::time::Duration;

use blacksmith_tests::db::Db;
use blacksmith_tests::server::{PASSWORD, Server};
use blacksmith_tests::stream::Pipeline;

use crate::arrange::{SOON, options};

const GUIDE: &str = include_str!("../../../docs/postgres.md");

/// The statements of the guide's section `title`.
fn statements(title: &str) -> String {
    let (_, section) = GUIDE.split_once(title).expect("the guide has the section");
    let (_, block) = section.split_once("```sql\n").expect("the section has SQL");
    let (block, _) = block.split_once("```").expect("the SQL ends");
    block.replace("'secret'", &format!("'{PASSWORD}'"))
}

/// A server of its own, because roles belong to whole servers, with the guide's database and tables.
fn shop() -> (Server, Db) {
    let server = Server::start(options());
    server.existing("postgres").execute("create database shop");
    let db = server.existing("shop");
    db.execute(
        "create role app; create table orders (id int primary key, v text); create table customers (id int primary key);
         alter table orders owner to app; alter table customers owner to app;
         insert into orders select n, 'v' from generate_series(1, 1000) n; insert into customers values (1)",
    );
    (server, db)
}

/// A pipeline that logs in as the guide's role.
fn as_guided(db: &Db) -> Pipeline {
    Pipeline::logging_in(db, &db.url().replace("//postgres:", "//blacksmith:"))
}

const BOTH: [&str; 2] = ["public.orders", "public.customers"];

/// What `check` says, and whether it finds a problem.
fn check(pipeline: &Pipeline) -> (String, bool) {
    let before = pipeline.printed().len() + pipeline.said().len();
    let code = pipeline
        .spawn(&["check"])
        .wait(Duration::from_secs(60))
        .code();
    let all = pipeline.said() + &pipeline.printed();
    assert!(all.len() > before, "check says nothing");
    (all, code != Some(0))
}

#[test]
fn a_role_that_only_replicates_and_reads_follows_a_publication_of_its_administrator() {
    let (_server, db) = shop();
    db.execute(&statements("## Publication made by an administrator"));
    let pipeline = as_guided(&db);
    let (said, is_problem) = check(&pipeline);
    assert!(!is_problem, "{said}");
    let program = pipeline.start();
    pipeline.wait_equal(&db, &BOTH, SOON);
    db.execute("update orders set v = 'w' where id < 10; insert into customers values (2)");
    pipeline.wait_equal(&db, &BOTH, SOON);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &BOTH);
    let rights = db.rows("select rolsuper, rolcreaterole, rolcreatedb, rolbypassrls from pg_roles where rolname = 'blacksmith'");
    assert_eq!(rights, [vec![Some("f".to_owned()); 4]]);
}

#[test]
fn a_member_of_the_owner_makes_the_publication_and_takes_up_tables_that_come() {
    let (_server, db) = shop();
    db.execute(&statements("## Publication made by the program"));
    let pipeline = as_guided(&db);
    let (said, is_problem) = check(&pipeline);
    assert!(!is_problem, "{said}");
    let program = pipeline.start();
    pipeline.wait_equal(&db, &BOTH, SOON);
    db.execute("create table late (id int primary key); alter table late owner to app; insert into late values (1)");
    pipeline.wait_equal(&db, &["public.late"], SOON);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &["public.orders", "public.customers", "public.late"]);
}

/// Whatever is taken away, `check` says exactly what gives it back; and that, run, is enough.
#[test]
fn check_names_exactly_the_grant_that_is_missing() {
    let (server, db) = shop();
    db.execute(&statements("## Publication made by an administrator"));
    let pipeline = as_guided(&db);
    db.execute(
        "revoke connect on database shop from public; revoke usage on schema public from public",
    );
    for (taken, given) in [
        (
            "alter role blacksmith noreplication",
            "ALTER ROLE \"blacksmith\" REPLICATION",
        ),
        (
            "revoke connect on database shop from blacksmith",
            "GRANT CONNECT ON DATABASE \"shop\" TO \"blacksmith\"",
        ),
        (
            "revoke usage on schema public from blacksmith",
            "GRANT USAGE ON SCHEMA \"public\" TO \"blacksmith\"",
        ),
        (
            "revoke select on orders from blacksmith",
            "GRANT SELECT ON \"public\".\"orders\" TO \"blacksmith\"",
        ),
        (
            "alter table orders enable row level security",
            "ALTER ROLE \"blacksmith\" BYPASSRLS",
        ),
    ] {
        db.execute(taken);
        let (said, is_problem) = check(&pipeline);
        assert!(is_problem, "{taken}:\n{said}");
        let escaped = given.replace('"', "\\\"");
        assert!(
            said.contains(given) || said.contains(&escaped),
            "{taken}:\n{said}"
        );
        db.execute(given);
    }
    db.execute("drop publication blacksmith; revoke create on database shop from public");
    let (said, _) = check(&pipeline);
    for given in [
        "GRANT CREATE ON DATABASE \"shop\" TO \"blacksmith\"",
        "GRANT \"app\" TO \"blacksmith\"",
    ] {
        let escaped = given.replace('"', "\\\"");
        assert!(
            said.contains(given) || said.contains(&escaped),
            "{given}:\n{said}"
        );
        db.execute(given);
    }
    let program = pipeline.start();
    pipeline.wait_equal(&db, &BOTH, SOON);
    assert!(program.terminate().success());
    pipeline.assert_equal(&db, &BOTH);
    drop(server);
}
