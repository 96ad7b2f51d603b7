//! Looking at a store without touching it, while another process may own it.
//!
//! `events`, `jobs` and `transitions` read the log itself; nothing is kept for them. Lists are newest
//! first: they look at a window of positions at the end, then at larger ones before it, until they
//! have as many as they may show.

mod events;
mod filter;
mod jobs;
mod scan;
mod transitions;

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;

use blacksmith_core::error::{Error, Result};
use blacksmith_core::event::FormatId;
use blacksmith_core::flow::Route;
use blacksmith_core::id::Id;
use blacksmith_core::position::Position;
use blacksmith_core::settings::{Environment, Settings};
use blacksmith_core::source::Format;
use blacksmith_core::store::Store;
use blacksmith_core::store::log::LogStore;
use serde_json::Value;

use self::filter::Filter;
use crate::cli::{FilterArgs, Global, ListCommand, Listing};
use crate::drivers;
use crate::exit::{Output, print};
use crate::store::folder;

/// What is listed or shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noun {
    Events,
    Jobs,
    Transitions,
}

/// `events`, `jobs` or `transitions`.
pub(crate) fn look(
    noun: Noun,
    global: &Global,
    listing: Listing,
    output: Output,
) -> Result<ExitCode> {
    let look = Look::open(global)?;
    match listing.command {
        Some(ListCommand::Show { id }) => look.show(noun, &id, output)?,
        Some(ListCommand::List(filter)) => look.list(noun, &filter, output)?,
        None => look.list(noun, &listing.filter, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A store open for reading, and what is needed to read its events.
#[derive(Debug)]
struct Look {
    store: Arc<dyn Store>,
    formats: HashMap<FormatId, Arc<dyn Format>>,
    routes: Vec<Route>,
}

impl Look {
    fn open(global: &Global) -> Result<Look> {
        let settings = Settings::load(&global.config, &Environment::process())?;
        settings.problems.check()?;
        let formats = drivers::formats().into_iter();
        let by_id = formats.flat_map(|format| {
            format
                .ids()
                .iter()
                .map(move |id| (*id, Arc::clone(&format)))
        });
        Ok(Look {
            store: Arc::new(LogStore::open_read_only(folder(&settings.store)?)?),
            formats: by_id.collect(),
            routes: settings.flows,
        })
    }

    fn list(&self, noun: Noun, filter: &FilterArgs, output: Output) -> Result<()> {
        let filter = Filter::of(filter, self.store.oldest(), self.store.durable().upto())?;
        let table = match noun {
            Noun::Events => self.list_events(&filter)?,
            Noun::Jobs => self.list_jobs(&filter)?,
            Noun::Transitions => self.list_transitions(&filter)?,
        };
        print(|out| table.write(output, out))
    }

    fn show(&self, noun: Noun, id: &str, output: Output) -> Result<()> {
        let address = self.address(id)?;
        let shown = match noun {
            Noun::Events => vec![self.show_event(&address)?],
            Noun::Jobs => self.show_jobs(&address)?,
            Noun::Transitions => self.show_transitions(&address)?,
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

    /// Reads an id or a position, which must be in this store.
    fn address(&self, text: &str) -> Result<Address> {
        let address = match text.parse::<u64>() {
            Ok(position) => Address {
                position: Position(position),
                lane: None,
            },
            Err(_) => {
                let id: Id = text.parse()?;
                if id.store() != self.store.id() {
                    return Err(Error::invalid(format!("{text} belongs to another store"))
                        .help("name the configuration of that store with --config"));
                }
                let position = id.position().ok_or_else(|| {
                    Error::invalid(format!(
                        "{text} was given before the event had its position"
                    ))
                    .help("use the id in the reply to the request, or list events by time")
                })?;
                Address {
                    position,
                    lane: id.lane(),
                }
            }
        };
        let (oldest, head) = (self.store.oldest(), self.store.durable().upto());
        if address.position < oldest || address.position > head {
            return Err(Error::invalid(format!(
                "the store has no event at position {}",
                address.position
            ))
            .help(format!(
                "it holds the positions {oldest} to {head}; older ones were dropped by retention"
            )));
        }
        Ok(address)
    }

    /// Splits `destination/action`.
    fn lane_names(name: &str) -> (&str, &str) {
        name.split_once('/').unwrap_or((name, ""))
    }
}

/// Which event, and which of its jobs.
#[derive(Debug, Clone, Copy)]
struct Address {
    position: Position,
    lane: Option<blacksmith_core::event::LaneId>,
}

/// A time as JSON.
fn time(at: blacksmith_core::clock::Timestamp) -> Value {
    Value::String(at.to_string())
}
