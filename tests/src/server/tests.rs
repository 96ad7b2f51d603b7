use std::process::Command;
use std::time::Duration;

use super::{Auth, Options, Server, Stop};
use crate::db::Session;
use crate::wait;

#[test]
fn databases_of_the_shared_server_do_not_see_each_other() {
    let one = Server::shared().database("apart");
    let two = Server::shared().database("apart");
    one.execute("create table t (id int primary key); insert into t values (7)");
    assert_eq!(one.value("select id from t"), "7");
    assert_eq!(two.value("select to_regclass('t') is null"), "t");
}

#[test]
fn a_dropped_database_takes_its_slots_along() {
    let db = Server::shared().database("slots");
    let slot = format!("slot_of_{}", db.name());
    db.execute(&format!(
        "select pg_create_logical_replication_slot('{slot}', 'pgoutput')"
    ));
    drop(db);
    let left = format!("select count(*) from pg_replication_slots where slot_name = '{slot}'");
    assert_eq!(Server::shared().existing("postgres").value(&left), "0");
}

#[test]
fn committed_rows_survive_a_killed_server() {
    let server = Server::start(Options::default());
    let db = server.database("killed");
    db.execute("create table t as select generate_series(1, 1000) id");
    let port = server.port();
    server.kill9();
    assert_eq!(server.pid(), None);
    server.resume();
    assert_eq!(server.port(), port);
    assert_eq!(db.value("select count(*) from t"), "1000");
    server.stop(Stop::Immediate);
    server.resume();
    assert_eq!(db.value("select count(*) from t"), "1000");
}

#[test]
fn settings_files_and_the_password_are_honoured() {
    let mut options = Options::default().set("wal_sender_timeout", "12s");
    options.files.push(("note".into(), b"hello".to_vec()));
    let server = Server::start(options);
    let db = server.existing("postgres");
    assert_eq!(db.value("show wal_sender_timeout"), "12s");
    assert_eq!(db.value("select pg_read_file('note')"), "hello");

    let good: tokio_postgres::Config = db.url().parse().unwrap();
    assert!(Session::try_connect(&good).is_ok());
    let mut wrong = good.clone();
    wrong.password("wrong");
    let refused = Session::try_connect(&wrong).unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "28P01");
}

#[test]
fn a_trusting_server_asks_for_no_password() {
    let server = Server::start(Options {
        auth: Auth::Trust,
        ..Options::default()
    });
    let mut config: tokio_postgres::Config = server.url("postgres").parse().unwrap();
    config.password("anything");
    assert!(Session::try_connect(&config).is_ok());
}

#[test]
fn a_dropped_server_leaves_neither_process_nor_folder() {
    let server = Server::start(Options::default());
    let pid = server.pid().unwrap();
    let (data, sockets) = (server.data_dir(), server.socket_dir().to_path_buf());
    assert!(data.exists() && sockets.exists());
    drop(server);
    assert!(!data.exists() && !sockets.exists());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_server_whose_watching_shell_was_killed_is_cleared_by_the_next_start() {
    let server = Server::start(Options::default());
    let (pid, folder) = (server.pid().unwrap(), server.data_dir());
    let folder = folder.parent().unwrap().to_path_buf();
    let shell = parent_of(pid);
    let killed = Command::new("kill")
        .args(["-9", &shell.to_string()])
        .status();
    assert!(killed.unwrap().success());
    std::fs::write(folder.join("owner"), "1 0").unwrap(); // as if its tests had died too
    let next = Server::start(Options::default());
    assert!(!folder.exists());
    wait::until(Duration::from_secs(10), "the leaked server to end", || {
        (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
    drop(next);
}

fn parent_of(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn every_supported_version_starts_with_logical_decoding() {
    for version in super::binaries::versions() {
        let server = Server::version(version);
        assert_eq!(server.major(), version);
        let db = server.existing("postgres");
        let shown = db.value("select current_setting('server_version_num')::int / 10000");
        assert_eq!(shown, version.to_string());
        assert_eq!(db.value("show wal_level"), "logical");
    }
}
