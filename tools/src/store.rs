//! `store stat`, `verify` and `repair`: the log's files.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use blacksmith_core::clock::SystemClock;
use blacksmith_core::error::{Error, Result};
use blacksmith_core::log::{self, Damage, Salvage, Verification};
use blacksmith_core::position::Span;
use blacksmith_core::schedule::duration::write_duration;
use blacksmith_core::settings::{Settings, StoreDriver, StoreSettings, write_size};
use blacksmith_core::store::log::LogStore;
use blacksmith_core::store::{self, Store};
use serde_json::{Value, json};

use crate::cli::{self, Global};
use crate::exit::{Output, print};
use crate::program::Program;
use crate::table::Table;

/// `store stat` or `store verify`.
pub(crate) fn store(
    program: &Program,
    global: &Global,
    command: &cli::Store,
    output: Output,
) -> Result<ExitCode> {
    let settings = program.settings(&global.config)?;
    settings.problems.check()?;
    match command {
        cli::Store::Stat => stat(&settings, output),
        cli::Store::Verify => verify(&settings, output),
        cli::Store::Repair { salvage: false } => would_lose(&settings, output),
        cli::Store::Repair { salvage: true } => salvage(&settings, output),
        cli::Store::Purge { dry_run } => purge(&settings, *dry_run, output),
        cli::Store::Forget { lane } => forget(&settings, lane),
    }
}

/// Where the files of the store are, for looking at them.
pub(crate) fn folder(settings: &StoreSettings) -> Result<&Path> {
    match settings.driver {
        StoreDriver::Log => Ok(&settings.path),
        StoreDriver::Memory => Err(Error::config("the store is in memory and leaves no files")
            .help("nobody else can look at it; use driver = \"log\" under [store]")),
    }
}

/// What every policy lets go, one row each.
fn purge(settings: &Settings, dry_run: bool, output: Output) -> Result<ExitCode> {
    let now = SystemClock::shared().now();
    let store = match dry_run {
        true => LogStore::open_read_only(folder(&settings.store)?)?,
        false => own(settings)?,
    };
    let mut table = Table::new(&["status", "older than", "segments", "first", "last", "bytes"]);
    for policy in &settings.store.purges {
        let purge = &policy.purge;
        let purged = match dry_run {
            true => store.purgeable(purge, now),
            false => store.purge(purge, now)?,
        };
        let statuses: Vec<&str> = purge.statuses.iter().map(|status| status.name()).collect();
        table.row([
            json!(statuses.join(" ")),
            json!(write_duration(purge.older_than)),
            json!(purged.segments),
            json!(purged.span.map(|span| span.first.0)),
            json!(purged.span.map(|span| span.last.0)),
            json!(purged.bytes),
        ]);
    }
    store.close()?;
    print(|out| table.write(output, out))?;
    Ok(ExitCode::SUCCESS)
}

/// The store, for this process alone: another one that has it open makes this fail.
pub(crate) fn own(settings: &Settings) -> Result<LogStore> {
    let folder = folder(&settings.store)?;
    // To look first does not make a store where there is none.
    LogStore::open_read_only(folder)?;
    let options = log::LogOptions {
        segment_bytes: settings.store.segment_bytes,
        reserve_bytes: settings.store.reserve_bytes,
        ..log::LogOptions::default()
    };
    let retention = log::Retention::default();
    let opened = LogStore::open(folder, options, log::SystemDisk::shared(), retention)?;
    Ok(opened.0)
}

/// Needs the store for itself: nobody may be loading the lane meanwhile.
fn forget(settings: &Settings, lane: &str) -> Result<ExitCode> {
    let store = own(settings)?;
    store.forget_lane(lane)?;
    store.close()?;
    print(|out| {
        writeln!(
            out,
            "{lane} holds nothing in the store any more; it is taken up again when it is configured"
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

fn stat(settings: &Settings, output: Output) -> Result<ExitCode> {
    let store = LogStore::open_read_only(folder(&settings.store)?)?;
    let segments = segments(&store);
    let lanes = lanes(&store);
    let (oldest, head) = (store.oldest(), store.durable().upto());
    let bytes: u64 = store.segments().iter().map(|segment| segment.bytes).sum();
    print(|out| match output {
        Output::Text => {
            writeln!(
                out,
                "store {} in {}",
                store.id(),
                settings.store.path.display()
            )?;
            writeln!(
                out,
                "positions {oldest} to {head}, settled up to {}, {}\n",
                store.settled_upto(),
                write_size(bytes)
            )?;
            segments.write_text(out)?;
            writeln!(out)?;
            lanes.write_text(out)
        }
        Output::Json => {
            let sources = store
                .sources()
                .into_iter()
                .map(|(_, name)| Value::from(&*name));
            let object = json!({
                "store": store.id().to_string(),
                "path": settings.store.path,
                "oldest": oldest.0,
                "head": head.0,
                "settled_upto": store.settled_upto().0,
                "bytes": bytes,
                "sources": sources.collect::<Vec<_>>(),
                "segments": segments.objects(),
                "lanes": lanes.objects(),
            });
            writeln!(out, "{object}")
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn segments(store: &LogStore) -> Table {
    let mut table = Table::new(&["segment", "first", "last", "bytes", "created at"]);
    for segment in store.segments() {
        table.row([
            json!(segment.id),
            json!(segment.span.first.0),
            json!(segment.span.last.0),
            json!(segment.bytes),
            json!(segment.created_at.to_string()),
        ]);
    }
    table
}

fn lanes(store: &LogStore) -> Table {
    let mut table = Table::new(&[
        "lane",
        "start",
        "settled upto",
        "behind",
        "open ranges",
        "discarded",
        "oldest open",
    ]);
    let head = store.durable().upto();
    for lane in store.lanes() {
        let oldest = lane
            .open()
            .next()
            .map(|open| format!("{} {}, attempt {}", open.span, open.status, open.attempt));
        let discarded: u64 = lane.discarded().map(|open| open.span.len()).sum();
        table.row([
            json!(match lane.forgotten {
                true => format!("{} (forgotten)", lane.name),
                false => lane.name.to_string(),
            }),
            json!(lane.start.0),
            json!(lane.settled_upto.0),
            json!(head.0.saturating_sub(lane.settled_upto.0)),
            json!(lane.open().count()),
            json!(discarded),
            json!(oldest),
        ]);
    }
    table
}

fn verify(settings: &Settings, output: Output) -> Result<ExitCode> {
    let found = log::verify(folder(&settings.store)?)?;
    print(|out| match output {
        Output::Text => write_verification(&found, out),
        Output::Json => writeln!(out, "{}", verification(&found)),
    })?;
    match found.is_sound() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

/// `store repair` alone: what verification finds, and what can be done about it.
fn would_lose(settings: &Settings, output: Output) -> Result<ExitCode> {
    let code = verify(settings, output)?;
    if code == ExitCode::SUCCESS {
        return Ok(code);
    }
    Err(Error::damaged("the store is damaged; nothing was changed").help(
        "put undamaged copies of the files back; or stop the program and run `store repair --salvage`, which gives up \
         the positions listed and keeps everything else",
    ))
}

fn salvage(settings: &Settings, output: Output) -> Result<ExitCode> {
    let found = store::salvage(folder(&settings.store)?)?;
    print(|out| match output {
        Output::Text => write_salvage(&found, out),
        Output::Json => writeln!(out, "{}", salvaged(&found)),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn write_salvage(found: &Salvage, out: &mut dyn Write) -> io::Result<()> {
    write_lost(found.lost_before(), out)?;
    write_damages(&found.damages, out)?;
    match &found.saved_to {
        None => writeln!(out, "sound; nothing was changed"),
        Some(folder) => {
            let lost: u64 = found.lost().map(Span::len).sum();
            let (kept, folder) = (found.positions, folder.display());
            writeln!(
                out,
                "{lost} positions are lost, {kept} events are kept; the bytes that were replaced are in {folder}"
            )
        }
    }
}

fn salvaged(found: &Salvage) -> Value {
    json!({
        "lost": found.lost().map(Span::len).sum::<u64>(),
        "lost_before": found.lost_before().map(|lost| span(&lost)).collect::<Vec<_>>(),
        "events": found.positions,
        "records": found.frames,
        "saved_to": found.saved_to,
        "damages": found.damages.iter().map(damage).collect::<Vec<_>>(),
    })
}

fn write_verification(found: &Verification, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{} segments, {} records, {} events, {}; {} staged files, {}",
        found.segments,
        found.frames,
        found.positions,
        write_size(found.bytes),
        found.staged_files,
        write_size(found.staged_bytes)
    )?;
    if let Some(torn) = &found.torn {
        writeln!(
            out,
            "an unfinished write of {} bytes ends {}; it is no damage",
            torn.bytes,
            torn.path.display()
        )?;
    }
    write_lost(found.lost.iter().copied(), out)?;
    write_damages(&found.damages, out)?;
    writeln!(
        out,
        "{}",
        if found.is_sound() {
            "sound"
        } else {
            "not sound"
        }
    )
}

fn write_lost(spans: impl Iterator<Item = Span>, out: &mut dyn Write) -> io::Result<()> {
    for lost in spans {
        writeln!(
            out,
            "positions {lost} were lost before, and given up by a salvage"
        )?;
    }
    Ok(())
}

fn write_damages(damages: &[Damage], out: &mut dyn Write) -> io::Result<()> {
    for damage in damages {
        let (path, offset) = (damage.path.display(), damage.offset);
        let concerned = match damage.span.is_empty() {
            true => "no event".to_owned(),
            false => format!("positions {}", damage.span),
        };
        let what = &damage.what;
        writeln!(out, "DAMAGED {path} at byte {offset}, {concerned}: {what}")?;
    }
    Ok(())
}

fn damage(damage: &Damage) -> Value {
    json!({
        "path": damage.path,
        "offset": damage.offset,
        "first": damage.span.first.0,
        "last": damage.span.last.0,
        "what": damage.what,
    })
}

fn span(span: &Span) -> Value {
    json!({ "first": span.first.0, "last": span.last.0 })
}

fn verification(found: &Verification) -> Value {
    json!({
        "sound": found.is_sound(),
        "lost": found.lost.iter().map(span).collect::<Vec<_>>(),
        "segments": found.segments,
        "records": found.frames,
        "events": found.positions,
        "bytes": found.bytes,
        "staged_files": found.staged_files,
        "staged_bytes": found.staged_bytes,
        "unfinished": found.torn.as_ref().map(|torn| json!({"path": torn.path, "offset": torn.offset, "bytes": torn.bytes})),
        "damages": found.damages.iter().map(damage).collect::<Vec<_>>(),
    })
}
