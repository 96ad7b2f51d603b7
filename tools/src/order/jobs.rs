//! `jobs`: lists, and orders.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use blacksmith_core::error::{Error, Result};
use blacksmith_core::job::Command;
use blacksmith_core::operate::{Outcome, Wanted};
use blacksmith_core::query::{Noun, Words};
use serde_json::json;

use super::hand::Hand;
use crate::cli::{Global, Jobs, JobsCommand, ListCommand, Listing, OrderArgs};
use crate::exit::{Output, WRONG_USAGE, print, tell_usage};
use crate::look::look;
use crate::program::Program;
use crate::table::Table;

/// `jobs` and everything behind it.
pub(crate) fn jobs(
    program: &Program,
    global: &Global,
    jobs: Jobs,
    output: Output,
) -> Result<ExitCode> {
    let Jobs { command, filter } = jobs;
    let list = |command, filter| {
        let listing = Listing { command, filter };
        look(Noun::Jobs, program, global, listing, output)
    };
    let (command, typed) = match command {
        None => return list(None, filter),
        Some(JobsCommand::List(own)) => return list(Some(ListCommand::List(own)), filter),
        Some(JobsCommand::Show { id }) => return list(Some(ListCommand::Show { id }), filter),
        Some(JobsCommand::Retry(typed)) => (Command::Retry, typed),
        Some(JobsCommand::Discard(typed)) => (Command::Discard, typed),
        Some(JobsCommand::Cancel(typed)) => (Command::Cancel, typed),
        Some(JobsCommand::Pause(typed)) => (Command::Pause, typed),
        Some(JobsCommand::Resume(typed)) => (Command::Resume, typed),
    };
    order(program, global, command, *typed, output)
}

fn order(
    program: &Program,
    global: &Global,
    command: Command,
    typed: OrderArgs,
    output: Output,
) -> Result<ExitCode> {
    let may_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    let is_sure = typed.yes || typed.dry_run || !typed.ids.is_empty();
    let wanted = Wanted {
        ids: typed.ids,
        filter: Words::from(typed.words),
        reason: typed.reason,
        dry_run: typed.dry_run,
    };
    if let Some(wrong) = wrong(command, &wanted, is_sure || may_ask) {
        tell_usage(&wrong);
        return Ok(ExitCode::from(WRONG_USAGE));
    }
    let hand = Hand::find(program, global)?;
    let outcome = match is_sure || confirmed(&hand, command, &wanted)? {
        true => hand.order(command, &wanted),
        false => Err(Error::stopped("nothing was done")),
    };
    // What the order came to is told first.
    let closed = hand.close();
    let outcome = outcome?;
    print(|out| match output {
        Output::Text => write_text(command, &wanted, &outcome, out),
        Output::Json => writeln!(out, "{}", object(command, &wanted, &outcome)),
    })?;
    closed?;
    // Who names jobs wants it done with each of them.
    let is_whole = outcome.refused == 0 && outcome.unknown.is_empty();
    Ok(match wanted.ids.is_empty() || is_whole {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// What is typed wrongly, before anything is looked at.
fn wrong(command: Command, wanted: &Wanted, is_sure: bool) -> Option<String> {
    match (wanted.ids.is_empty(), wanted.filter.is_empty()) {
        (true, true) => Some(format!(
            "say which jobs to {command}: name ids, or use filters; --destination '*' means all of them"
        )),
        (false, false) => Some("name ids or use filters, not both".to_owned()),
        (true, false) if !is_sure => Some(format!(
            "jobs {command} with filters needs --yes where nobody can be asked; --dry-run says how many jobs it would be"
        )),
        _ => None,
    }
}

/// Asks whoever sits at the terminal.
fn confirmed(hand: &Hand, command: Command, wanted: &Wanted) -> Result<bool> {
    let rehearsal = Wanted {
        dry_run: true,
        ..wanted.clone()
    };
    let outcome = hand.order(command, &rehearsal)?;
    if outcome.taken == 0 {
        return Ok(true);
    }
    let of = outcome.actions.iter().filter(|own| own.taken > 0);
    let of: Vec<_> = of
        .map(|own| format!("{} of {}", own.taken, own.action))
        .collect();
    let mut screen = io::stderr().lock();
    let asked = write!(
        screen,
        "{command} {} jobs ({})? [y/N] ",
        outcome.taken,
        of.join(", ")
    );
    let cannot = |error| Error::unavailable("cannot ask on the terminal").because(error);
    asked.and_then(|()| screen.flush()).map_err(cannot)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(cannot)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn object(command: Command, wanted: &Wanted, outcome: &Outcome) -> serde_json::Value {
    json!({
        "command": command.name(),
        "dry_run": wanted.dry_run,
        "taken": outcome.taken,
        "refused": outcome.refused,
        "actions": outcome.actions,
        "unknown": outcome.unknown,
    })
}

fn write_text(
    command: Command,
    wanted: &Wanted,
    outcome: &Outcome,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut table = Table::new(&["action", "jobs", "outcome"]);
    let done = match wanted.dry_run {
        true => format!("would {command}"),
        false => format!("{command}: done"),
    };
    for own in &outcome.actions {
        if own.taken > 0 {
            table.row([json!(own.action), json!(own.taken), json!(done)]);
        }
        for refusal in &own.refused {
            let why = format!("refused: {}", refusal.reason);
            table.row([json!(own.action), json!(refusal.jobs), json!(why)]);
        }
    }
    for unknown in &outcome.unknown {
        table.row([
            json!(unknown.id),
            json!(1),
            json!(format!("unknown: {}", unknown.reason)),
        ]);
    }
    match outcome.actions.is_empty() && outcome.unknown.is_empty() {
        true => writeln!(out, "no such job: nothing to {command}"),
        false => table.write_text(out),
    }
}
