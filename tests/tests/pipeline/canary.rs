//! A password and a row's value that must never be said, looked for in everything that is said.
//!
//! Said is what goes to the log (at its most talkative), to the terminal, over HTTP and over the admin socket. Rows
//! are shown by `events show` and to destinations, whose business they are, and kept in the store; the password is in
//! none of these.

use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use blacksmith_tests::db::Db;
use blacksmith_tests::endpoint::{Answer, Endpoint};
use blacksmith_tests::http::get;
use blacksmith_tests::server::{PASSWORD, Server};
use blacksmith_tests::stream::{Pipeline, Running};
use blacksmith_tests::wait;

use crate::arrange::{SOON, options};

const ROW: &str = "canary-row-value";

/// What a wrong password is, and the tail of a URL that is a secret too.
const WRONG: &str = "canary-wrong-password";
const KEY: &str = "canary-key-of-the-endpoint";

#[track_caller]
fn assert_unsaid(what: &str, text: &str) {
    assert!(!text.is_empty(), "{what} says nothing at all");
    for secret in [PASSWORD, ROW, WRONG, KEY] {
        let line = text.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{what} says {secret}: {line:?}");
    }
}

/// A database without an encoding, so that a row can be undecodable, and a pipeline into a lake and to an endpoint that
/// both fail at first.
fn arranged(server: &Server, endpoint: &Endpoint) -> (Db, Pipeline) {
    let postgres = server.existing("postgres");
    postgres.execute("create database canary encoding 'SQL_ASCII' locale 'C' template template0");
    let db = server.existing("canary");
    db.execute(&format!(
        "create table t (id text primary key, v text);
         insert into t values ('{ROW} in the copy', '{ROW}')"
    ));
    let mut pipeline = Pipeline::new(&db);
    pipeline.set_env("BLACKSMITH_LOG", "trace");
    pipeline.set("scheduler", "address", "\"127.0.0.1:0\"");
    let url = format!("\"{}?key={KEY}\"", endpoint.url());
    let schedule = "{ realtime = true, backoff = { initial = \"100ms\", max = \"500ms\" } }";
    for (key, value) in [
        ("driver", "\"http\""),
        ("url", &url),
        ("schedule", schedule),
        ("batch", "{ max_age = \"100ms\" }"),
    ] {
        pipeline.set("destinations.crm", key, value);
    }
    pipeline.flow("crm");
    (db, pipeline)
}

#[test]
fn no_password_and_no_row_is_said_when_all_is_well_or_when_everything_fails() {
    let server = Server::start(options());
    let endpoint = Endpoint::start(|number| match number {
        0..3 => Answer::Status(500),
        3 | 5 => Answer::Status(422),
        4 => Answer::TakenAndHungUp,
        _ => Answer::Status(200),
    });
    let (db, mut pipeline) = arranged(&server, &endpoint);
    let program = pipeline.start();
    wait::until(SOON, "the first row, and an endpoint that fails", || {
        (pipeline.lake().rows() >= 1 && endpoint.seen().len() >= 3).then_some(())
    });
    let away = pipeline.path().join("away");
    fs::rename(pipeline.lake_path(), &away).unwrap();
    fs::write(pipeline.lake_path(), "not a folder").unwrap();
    db.execute(&format!(
        "insert into t values ('{ROW} 2', E'{ROW} \\xff\\xfe'), ('{ROW} 3', '{ROW}')"
    ));
    db.execute(&format!(
        "begin; insert into t select '{ROW} ' || n, repeat('{ROW}', 50) from generate_series(10, 3000) n; rollback"
    ));
    db.execute(&format!(
        "update t set v = v || '{ROW}', id = id || '!' where id like '% 3'"
    ));
    wait::until(SOON, "a load into the lake to fail", || {
        let failed = |line: &str| line.contains("lake/append") && line.contains("WARN");
        pipeline.said().lines().any(failed).then_some(())
    });
    fs::remove_file(pipeline.lake_path()).unwrap();
    fs::rename(&away, pipeline.lake_path()).unwrap();
    wait::until(Duration::from_secs(60), "rows to land", || {
        (pipeline.lake().rows() >= 3 && endpoint.seen().len() >= 6).then_some(())
    });
    look_around(&pipeline, &program);
    db.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'walsender'",
    );
    db.execute(&format!("insert into t values ('{ROW} 4', '{ROW}')"));
    wait::until(Duration::from_secs(60), "the next row", || {
        (pipeline.lake().rows() >= 5).then_some(())
    });
    assert!(program.terminate().success());
    look_with_commands(&pipeline);
    pipeline.set_url(&db.program_url().replace(PASSWORD, WRONG));
    for command in [&["check"][..], &["run"]] {
        assert_ne!(pipeline.run(command), Some(0));
    }
    pipeline.set_url(&format!("postgres://blacksmith:{WRONG}/@127.0.0.1/canary"));
    assert_eq!(pipeline.run(&["check"]), Some(78));
    let said = pipeline.said();
    assert!(
        said.contains("\"level\":\"TRACE\"") && said.contains("\"level\":\"DEBUG\""),
        "the log is not talkative"
    );
    assert_unsaid("the log", &said);
    assert_unsaid("the terminal", &pipeline.printed());
    for file in files(&pipeline.path().join("data"))
        .into_iter()
        .chain(files(&pipeline.lake_path()))
    {
        let bytes = fs::read(&file).unwrap();
        for secret in [PASSWORD, WRONG, KEY] {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} is in {}", file.display());
        }
    }
}

/// Everything that a running process answers with.
fn look_around(pipeline: &Pipeline, program: &Running) {
    let address = program.scheduler();
    for path in [
        "/metrics",
        "/_health",
        "/_health/ready",
        "/admin/api/actions",
        "/nothing",
    ] {
        let reply = get(TcpStream::connect(&address).unwrap(), &address, path).unwrap();
        assert_unsaid(path, &reply);
    }
    let socket = pipeline.path().join("data/admin.sock");
    let reply = get(
        UnixStream::connect(socket).unwrap(),
        "localhost",
        "/admin/api/actions",
    )
    .unwrap();
    assert!(reply.contains("crm"), "{reply}");
    assert_unsaid("the admin socket", &reply);
}

/// Every command that is not asked to show a row.
fn look_with_commands(pipeline: &Pipeline) {
    let before = pipeline.printed().len();
    for command in [
        &["check"][..],
        &["events"],
        &["events", "--count"],
        &["jobs"],
        &["jobs", "--json"],
        &["jobs", "--status", "discarded", "--json"],
        &["transitions", "--json"],
        &["actions", "--json"],
        &["store", "stat", "--json"],
        &["store", "verify"],
        &["store", "repair"],
    ] {
        let code = pipeline.run(command);
        assert_eq!(code, Some(0), "{command:?}: {}", pipeline.said_last());
    }
    let printed = pipeline.printed()[before..].to_owned();
    assert!(
        printed.contains("discarded"),
        "no job was refused:\n{printed}"
    );
}

/// All files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .filter(|path| path.is_file()) // and no socket
        .collect()
}
