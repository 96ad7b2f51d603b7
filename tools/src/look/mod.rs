//! Looking at a store without touching it, while another process may own it: `events`, `jobs` and
//! `transitions` as tables and JSON over [`blacksmith_core::query`].

mod events;
mod jobs;
mod transitions;

use std::process::ExitCode;
use std::sync::Arc;

use blacksmith_core::clock::{SystemClock, Timestamp};
use blacksmith_core::error::Result;
use blacksmith_core::json::Json;
use blacksmith_core::query::{Filter, Noun, Page, Query, Words};
use blacksmith_core::store::Store;
use blacksmith_core::store::log::LogStore;
use serde_json::{Value, json};

use crate::assemble::Known;
use crate::cli::{FilterArgs, Global, ListCommand, Listing};
use crate::exit::{Output, print};
use crate::program::Program;
use crate::store::folder;

/// `events`, `jobs` or `transitions`.
pub(crate) fn look(
    noun: Noun,
    program: &Program,
    global: &Global,
    listing: Listing,
    output: Output,
) -> Result<ExitCode> {
    let look = Look::open(program, global)?;
    match listing.command {
        Some(ListCommand::Show { id }) => look.show(noun, &id, output)?,
        Some(ListCommand::List(filter)) => look.list(noun, &filter, output)?,
        None => look.list(noun, &listing.filter, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A store open for reading, and whom to ask about it.
#[derive(Debug)]
struct Look {
    store: Arc<dyn Store>,
    query: Query,
}

impl Look {
    fn open(program: &Program, global: &Global) -> Result<Look> {
        let settings = program.settings(&global.config)?;
        settings.problems.check()?;
        let known = Known::of(program, &settings);
        let store = LogStore::open_read_only(folder(&settings.store)?)?;
        let store: Arc<dyn Store> = Arc::new(store);
        Ok(Look {
            query: Query::new(Arc::clone(&store), known.formats, known.actions),
            store,
        })
    }

    fn list(&self, noun: Noun, args: &FilterArgs, output: Output) -> Result<()> {
        let words = Words::from(args.words.clone());
        let filter = words.filter(noun, &self.query, SystemClock::shared().now())?;
        if args.count {
            return self.count(noun, &filter, output);
        }
        let page = Page {
            offset: args.offset,
            limit: args.limit,
            after: None,
        };
        let table = match noun {
            Noun::Events => self.list_events(&filter, &page)?,
            Noun::Jobs => self.list_jobs(&filter, &page)?,
            Noun::Transitions => self.list_transitions(&filter, &page)?,
        };
        print(|out| table.write(output, out))
    }

    fn count(&self, noun: Noun, filter: &Filter, output: Output) -> Result<()> {
        let count = match noun {
            Noun::Events => self.query.count_events(filter)?,
            Noun::Jobs => self.query.count_jobs(filter)?,
            Noun::Transitions => self.query.count_transitions(filter)?,
        };
        print(|out| match output {
            Output::Text => writeln!(out, "{count}"),
            Output::Json => writeln!(out, "{}", json!({"count": count})),
        })
    }

    fn show(&self, noun: Noun, id: &str, output: Output) -> Result<()> {
        let address = self.query.address(id)?;
        let shown = match noun {
            Noun::Events => vec![self.show_event(address)?],
            Noun::Jobs => self.show_jobs(address)?,
            Noun::Transitions => self.show_transitions(address)?,
        };
        print(|out| {
            for value in &shown {
                match output {
                    Output::Text => writeln!(out, "{value:#}")?,
                    Output::Json => writeln!(out, "{value}")?,
                }
            }
            Ok(())
        })
    }
}

/// Splits `destination/action`.
fn lane_names(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or((name, ""))
}

/// A time as JSON.
fn time(at: Timestamp) -> Value {
    Value::String(at.to_string())
}

/// What lies at a position: rows of tables, or a document as one row.
fn rows(rows: &[Json], context: Option<&Json>, data: Option<&Json>) -> Vec<Value> {
    let read = |json: &Json| json.read().unwrap_or(Value::Null);
    match (context, data) {
        (Some(context), Some(data)) => vec![json!({"context": read(context), "data": read(data)})],
        _ => rows.iter().map(read).collect(),
    }
}
