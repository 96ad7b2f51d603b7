//! `http`: requests over 64 connections that are kept open, each answered when its events are durable; a request with one
//! event of 1 KiB, and with 500 lines of 256 bytes.

use std::net::TcpListener;
use std::path::Path;

use super::Bench;
use crate::e2e::build::Build;
use crate::e2e::client::Load;
use crate::e2e::meter::Running;
use crate::e2e::program::{PATIENCE, Program};
use crate::e2e::reading::Reading;
use crate::e2e::trial::{Contender, Trial};
use crate::e2e::{Result, bare, ceiling, child, folder};

pub(super) fn hold(bench: &mut Bench) -> Result<Vec<Trial>> {
    let rows = bench.size.rows;
    let trials = [
        ("one event of 1 KiB", Load::of_events(rows / 2)),
        ("500 lines", Load::of_lines(rows * 2)),
    ];
    trials
        .into_iter()
        .map(|(work, load)| one(bench, work, &load))
        .collect()
}

fn one(bench: &Bench, work: &str, load: &Load) -> Result<Trial> {
    let folder = bench.empty("http")?;
    let contenders = vec![
        Contender::ceiling("bare axum", || ask_bare(load)),
        Contender::ours("blacksmith", |build| {
            ask_ours(build, &folder::empty(folder.clone())?, load)
        }),
    ];
    let trial = Trial::hold("http", work, &bench.rounds, contenders)?;
    Ok(trial.of_row_bytes(load.body.len() as f64 / load.events as f64))
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

fn ask_ours(build: &Build, folder: &Path, load: &Load) -> Result<Reading> {
    let address = free_address()?;
    let configuration = format!(
        "[gateway]\naddress = \"{address}\"\n[sources.web]\ndriver = \"http\"\n\
         [sources.web.routes.events]\npath = \"/events\"\n\
         [sources.web.routes.lines]\npath = \"/lines\"\nbody = \"ndjson\"\n\
         [destinations.sink]\ndriver = \"blackhole\"\nschedule = {{ realtime = true }}\n\
         [[flows]]\nfrom = \"web\"\nto = \"sink\"\n"
    );
    let program = Program::configured(build, folder, &configuration, "")?;
    let reading = ask(load, &address, program.start(&["run"])?);
    reading.map_err(|why| program.explain(&why))
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
