//! `http`: requests over 64 connections that are kept open, each answered when its events are durable; a request with one
//! event of 1 KiB, and with 500 lines of 256 bytes.

use std::net::TcpListener;
use std::path::Path;

use super::{Bench, empty};
use crate::e2e::client::Load;
use crate::e2e::meter::Running;
use crate::e2e::program::{PATIENCE, Program};
use crate::e2e::reading::Reading;
use crate::e2e::trial::{Contender, Trial};
use crate::e2e::{Result, bare, ceiling, child};

/// Lines of a batch.
const LINES: u64 = 500;

pub(super) fn hold(bench: &mut Bench) -> Result<Vec<Trial>> {
    let single = Load {
        path: "/events",
        kind: "application/json",
        body: document(1024),
        requests: bench.size.rows / 2,
        events: 1,
    };
    let batch = Load {
        path: "/lines",
        kind: "application/x-ndjson",
        body: format!("{}\n", document(255)).repeat(LINES as usize),
        requests: bench.size.rows * 2 / LINES,
        events: LINES,
    };
    let trials = [("one event of 1 KiB", single), ("500 lines", batch)];
    trials
        .into_iter()
        .map(|(work, load)| one(bench, work, &load))
        .collect()
}

fn one(bench: &Bench, work: &str, load: &Load) -> Result<Trial> {
    let folder = bench.empty("http")?;
    let contenders = vec![
        Contender::ceiling("bare axum", || ask_bare(load)),
        Contender::ours("blacksmith", || ask_ours(&empty(folder.clone())?, load)),
    ];
    let trial = Trial::hold("http", work, bench.size.rounds, contenders)?;
    Ok(trial.of_row_bytes(load.body.len() as f64 / load.events as f64))
}

/// A JSON document of so many bytes.
fn document(bytes: usize) -> String {
    let head = r#"{"order":4711,"customer":"c-004711","status":"paid","currency":"EUR","total":1299,"address":{"city":"Berlin","zip":"10115"},"note":""#;
    let note = "leave it at the door please, ".repeat(bytes / 28 + 1);
    let room = bytes.saturating_sub(head.len() + 2);
    format!("{head}{}\"}}", &note[..room])
}

fn free_address() -> Result<String> {
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    free.map(|address| address.to_string())
        .map_err(|error| format!("no free port: {error}"))
}

fn ask_bare(load: &Load) -> Result<Reading> {
    let address = free_address()?;
    ask(load, &address, child::start(&[bare::COMMAND, &address])?)
}

fn ask_ours(folder: &Path, load: &Load) -> Result<Reading> {
    let address = free_address()?;
    let configuration = format!(
        "[gateway]\naddress = \"{address}\"\n[sources.web]\ndriver = \"http\"\n\
         [sources.web.routes.events]\npath = \"/events\"\n\
         [sources.web.routes.lines]\npath = \"/lines\"\nbody = \"ndjson\"\n\
         [destinations.sink]\ndriver = \"blackhole\"\nschedule = {{ realtime = true }}\n\
         [[flows]]\nfrom = \"web\"\nto = \"sink\"\n"
    );
    let program = Program::configured(folder, &configuration, "")?;
    let reading = ask(load, &address, program.start(&["run"])?);
    reading.map_err(|why| format!("{why}\n{}", program.said_last()))
}

/// Asks a server that is starting, and ends it.
fn ask(load: &Load, address: &str, server: Running) -> Result<Reading> {
    ceiling::settle_disk();
    let answer = load.send(address)?;
    let mut server = server;
    let usage = server.usage();
    server.terminate()?;
    server.wait(PATIENCE)?;
    Ok(Reading {
        rows: answer.rows,
        seconds: answer.seconds,
        own: usage,
        more: answer.more,
        ..Reading::default()
    })
}

#[cfg(test)]
mod tests {
    use super::document;

    #[test]
    fn documents_are_json_of_the_size_asked_for() {
        for bytes in [255, 1024] {
            assert_eq!(document(bytes).len(), bytes);
            assert!(serde_json::from_str::<serde_json::Value>(&document(bytes)).is_ok());
        }
    }
}
