//! `actions`: how they stand, and orders for whole actions.

use std::process::ExitCode;
use std::sync::Arc;

use blacksmith_core::clock::SystemClock;
use blacksmith_core::error::Result;
use blacksmith_core::operate::{Operator, Standing};
use blacksmith_core::query::Query;
use blacksmith_core::schedule::Schedule;
use blacksmith_core::store::Store;
use blacksmith_core::store::log::LogStore;
use serde_json::json;

use super::hand::Hand;
use crate::assemble::Known;
use crate::cli::{ActionArgs, Actions, Global};
use crate::exit::{Output, print};
use crate::program::Program;
use crate::run::runtime;
use crate::store::folder;
use crate::table::Table;

/// `actions` and everything behind it.
pub(crate) fn actions(
    program: &Program,
    global: &Global,
    command: Option<Actions>,
    output: Output,
) -> Result<ExitCode> {
    match command {
        None | Some(Actions::List) => list(program, global, output),
        Some(Actions::Pause(typed)) => set_paused(program, global, true, &typed, output),
        Some(Actions::Resume(typed)) => set_paused(program, global, false, &typed, output),
    }
}

/// Looks into the store without touching it, whoever owns it.
fn list(program: &Program, global: &Global, output: Output) -> Result<ExitCode> {
    let settings = program.settings(&global.config)?;
    settings.problems.check()?;
    let known = Known::of(program, &settings);
    let store: Arc<dyn Store> = Arc::new(LogStore::open_read_only(folder(&settings.store)?)?);
    let query = Query::new(store, known.formats, known.actions);
    let operator = Operator::new(query, known.plans, SystemClock::shared());
    let standings = runtime()?.block_on(operator.standings())?;
    print(|out| table(&standings).write(output, out))?;
    Ok(ExitCode::SUCCESS)
}

fn table(standings: &[Standing]) -> Table {
    let mut table = Table::new(&[
        "action",
        "state",
        "schedule",
        "pending",
        "executing",
        "failed",
        "held",
        "discarded",
        "oldest",
        "paused since",
        "reason",
        "last error",
    ]);
    for own in standings {
        let paused = own.paused.as_ref();
        let since = paused.and_then(|pause| pause.since());
        table.row([
            json!(*own.action),
            json!(own.state.name()),
            json!(own.plan.as_ref().map(|plan| schedule(&plan.schedule))),
            json!(own.pending),
            json!(own.executing),
            json!(own.failed),
            json!(own.held),
            json!(own.discarded),
            json!(own.oldest.map(|at| at.to_string())),
            json!(since.map(|at| at.to_string())),
            json!(paused.and_then(|pause| pause.reason.as_deref())),
            json!(own.last_error.as_ref().map(|(_, error)| &**error)),
        ]);
    }
    table
}

fn schedule(schedule: &Schedule) -> String {
    match schedule.realtime {
        true => "realtime".to_owned(),
        false => schedule.interval.to_string(),
    }
}

fn set_paused(
    program: &Program,
    global: &Global,
    paused: bool,
    typed: &ActionArgs,
    output: Output,
) -> Result<ExitCode> {
    let hand = Hand::find(program, global)?;
    let names = hand.set_paused(paused, typed);
    let closed = hand.close();
    let mut table = Table::new(&["action", "outcome"]);
    for name in names? {
        let done = match (typed.dry_run, paused) {
            (true, true) => "would pause",
            (true, false) => "would resume",
            (false, true) => "paused",
            (false, false) => "resumed",
        };
        table.row([json!(name), json!(done)]);
    }
    print(|out| table.write(output, out))?;
    closed?;
    Ok(ExitCode::SUCCESS)
}
