use blacksmith_cdc::catalog::{Asked, preflight};
use blacksmith_core::finding::{Finding, Severity};
use blacksmith_tests::server::{Options, Server};

use super::*;

fn check(url: &str, tables: &[&str], known_system: Option<(u64, u32)>) -> Vec<Finding> {
    let tables: Vec<String> = tables.iter().map(|table| (*table).to_owned()).collect();
    let options = options(url);
    let asked = Asked {
        options: &options,
        publication: "p",
        slot: "checked",
        tables: &tables,
        known_system,
    };
    let findings = wait_for(preflight(&asked));
    assert!(!format!("{findings:?}").contains("canary"), "{findings:?}");
    findings
}

/// The finding that says `what`; its severity must be as given.
#[track_caller]
fn found<'a>(findings: &'a [Finding], severity: Severity, what: &str) -> &'a Finding {
    let found = findings.iter().find(|finding| finding.what.contains(what));
    let found = found.unwrap_or_else(|| panic!("nothing says {what:?} in {findings:#?}"));
    assert_eq!(found.severity, severity, "{found:?}");
    found
}

#[test]
fn a_server_that_is_ready_has_no_problem() {
    let db = Server::shared().database("ready");
    db.execute("create table t (id int primary key)");
    let findings = check(&db.url(), &["public.*"], None);
    assert!(
        findings
            .iter()
            .all(|finding| finding.severity != Severity::Problem),
        "{findings:#?}"
    );
    found(&findings, Severity::Good, "wal_level is logical");
    found(
        &findings,
        Severity::Good,
        "publication \"p\" does not exist yet and will be created",
    );
    found(
        &findings,
        Severity::Good,
        "\"checked\" does not exist yet and will be created",
    );
}

#[test]
fn every_problem_of_a_server_is_found_at_once() {
    let server = Server::start(
        Options::default()
            .set("wal_level", "replica")
            .set("wal_sender_timeout", "0")
            .set("max_slot_wal_keep_size", "8MB")
            .set("max_replication_slots", "0")
            .set("max_wal_senders", "1"),
    );
    let db = server.existing("postgres");
    db.execute(
        "create table bare (id int); create unlogged table u (id int primary key); create table t (id int primary key);
         create table hidden (id int primary key); alter table hidden enable row level security;
         create role limited login replication password 'x'; grant select on t, hidden to limited;
         create publication p for table bare with (publish = 'insert')",
    );
    let url = format!("postgres://limited:x@127.0.0.1:{}/postgres", server.port());
    let findings = check(&url, &["public.*", "sales.*"], Some((42, 1)));
    found(&findings, Severity::Problem, "wal_level is replica");
    found(&findings, Severity::Warning, "wal_sender_timeout is 0");
    found(
        &findings,
        Severity::Warning,
        "max_slot_wal_keep_size is 8MB",
    );
    found(
        &findings,
        Severity::Problem,
        "fewer than two replication connections",
    );
    found(&findings, Severity::Problem, "another database system");
    found(
        &findings,
        Severity::Problem,
        "\"checked\" does not exist any more",
    );
    found(&findings, Severity::Warning, "no table matches \"sales.*\"");
    found(&findings, Severity::Warning, "does not send updates");
    let bare = found(
        &findings,
        Severity::Warning,
        "\"bare\" is published without a usable replica identity",
    );
    assert_eq!(
        bare.fix.as_deref(),
        Some("ALTER TABLE \"public\".\"bare\" REPLICA IDENTITY FULL")
    );
    found(&findings, Severity::Warning, "\"u\" is left out");
    found(
        &findings,
        Severity::Problem,
        "\"t\" is not in publication \"p\", which belongs to another role",
    );
    found(
        &findings,
        Severity::Problem,
        "\"bare\" cannot be read by this role",
    );
    found(
        &findings,
        Severity::Problem,
        "row security hides rows of \"public\".\"hidden\"",
    );
    for finding in findings
        .iter()
        .filter(|finding| finding.severity != Severity::Good)
    {
        assert!(finding.fix.is_some(), "{finding:?} says nothing to do");
    }
}

#[test]
fn a_role_that_may_not_publish_is_told_the_statement_that_the_program_would_have_run() {
    let db = Server::shared().database("not_owner");
    let role = db.name().to_owned();
    db.execute(&format!(
        "create table t (id int primary key); create table bare (id int);
         create role {role} login replication password 'x';
         grant select on all tables in schema public to {role}"
    ));
    let url = format!(
        "postgres://{role}:x@127.0.0.1:{}/{role}",
        db.server().port()
    );
    let findings = check(&url, &["public.*"], None);
    let finding = found(&findings, Severity::Problem, "this role may not create it");
    let statement = finding
        .fix
        .as_deref()
        .and_then(|fix| fix.split_once("run: "));
    let (_, statement) = statement.expect("the statement to run");
    db.execute(statement);
    let sql = "select tablename, pubviaroot::text
               from pg_publication join pg_publication_tables using (pubname)";
    let published = [["t", "true"].map(|text| Some(text.to_owned())).to_vec()];
    assert_eq!(db.rows(sql), published);

    db.execute("drop publication p");
    let findings = check(&url, &["bare"], None);
    found(&findings, Severity::Problem, "no table can be put into it");
}

#[test]
fn a_slot_of_another_plugin_or_database_and_no_free_slot_are_found() {
    let server = Server::start(Options::default().set("max_replication_slots", "2"));
    let db = server.database("here");
    db.execute("create table t (id int primary key)");
    db.execute("select pg_create_logical_replication_slot('other', 'pgoutput')");
    found(
        &check(&db.url(), &["t"], None),
        Severity::Problem,
        "does not exist and fewer than two are free",
    );
    db.execute("select pg_drop_replication_slot('other'), pg_create_logical_replication_slot('checked', 'test_decoding')");
    found(
        &check(&db.url(), &["t"], None),
        Severity::Problem,
        "is not one of pgoutput",
    );
    db.execute("select pg_drop_replication_slot('checked')");
    server
        .existing("postgres")
        .execute("select pg_create_logical_replication_slot('checked', 'pgoutput')");
    found(
        &check(&db.url(), &["t"], None),
        Severity::Problem,
        "belongs to another database",
    );
}

#[test]
fn a_server_that_does_not_let_us_in_is_one_problem_with_its_help() {
    let url = Server::shared().url("no_such_database");
    let findings = check(&url, &["t"], None);
    assert_eq!(findings.len(), 1);
    let finding = found(&findings, Severity::Problem, "the database does not exist");
    assert!(
        finding
            .fix
            .as_deref()
            .unwrap()
            .contains("correct the database"),
        "{finding:?}"
    );
    assert!(
        !finding.what.contains("correct the database"),
        "said once: {finding:?}"
    );
}
