//! Which jobs an order concerns.

use std::collections::BTreeMap;

use super::outcome::Unknown;
use crate::error::{Error, Kind, Result};
use crate::id::Id;
use crate::job::{Command, Status};
use crate::query::{Filter, Query, Selected};
use crate::spans::Spans;

/// Ids in one order, at most.
const IDS_MAX: usize = 10_000;

/// Jobs by their ids, or by what is known of them.
#[derive(Debug, Clone)]
pub enum Selection {
    /// These jobs, at most 10,000.
    Ids(Vec<Id>),
    /// Those that the filter lets through. One that names no status means those that the command concerns.
    Filter(Box<Filter>),
}

impl From<Filter> for Selection {
    fn from(filter: Filter) -> Selection {
        Selection::Filter(Box::new(filter))
    }
}

/// The jobs that a selection came to.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Where they are; each lane once.
    pub(super) lanes: Vec<Selected>,
    /// Ids that are no job of the store.
    pub(super) unknown: Vec<Unknown>,
}

impl Selection {
    /// The job with this id.
    #[must_use]
    pub fn job(id: Id) -> Selection {
        Selection::Ids(vec![id])
    }

    /// Finds the jobs that `command` is to be carried out on.
    ///
    /// # Errors
    /// As [`Query::select`]; `Invalid` when there are too many ids.
    pub(super) fn choose(&self, command: Command, query: &Query) -> Result<Chosen> {
        match self {
            Selection::Ids(ids) => by_id(ids, query),
            Selection::Filter(filter) => {
                let mut lanes = query.select(&concerned(command, filter))?;
                if command == Command::Cancel {
                    for selected in &mut lanes {
                        spare(query, selected)?;
                    }
                }
                Ok(Chosen {
                    lanes,
                    unknown: Vec::new(),
                })
            }
        }
    }
}

/// Whoever says nothing of states means those with which something can be done.
fn concerned(command: Command, filter: &Filter) -> Filter {
    use Status::{Acknowledged, Awaiting, Discarded, Executing, Failed, Unknown};
    let mut filter = filter.applied();
    if filter.statuses.only.is_empty() {
        filter.statuses.only = match command {
            Command::Retry => vec![Failed, Discarded, Unknown],
            Command::Discard | Command::Cancel => {
                vec![Acknowledged, Awaiting, Executing, Failed, Unknown]
            }
            Command::Pause => vec![Acknowledged, Awaiting, Failed],
            Command::Resume => vec![Awaiting],
        };
    }
    filter
}

/// Leaves out what of a batch in hand holds no job that was selected: no load is dropped for nothing.
fn spare(query: &Query, selected: &mut Selected) -> Result<()> {
    let mut batches: BTreeMap<_, Spans> = BTreeMap::new();
    let pieces = selected.spans.iter();
    for open in pieces.flat_map(|span| selected.lane.all(span)) {
        if open.status == Status::Executing {
            let batch = batches.entry((open.attempt, open.at));
            batch.or_default().add(open.span);
        }
    }
    for spans in batches.values() {
        if query.jobs_in(&selected.lane, spans)? == 0 {
            spans.iter().for_each(|span| selected.spans.remove(span));
        }
    }
    Ok(())
}

fn by_id(ids: &[Id], query: &Query) -> Result<Chosen> {
    if ids.len() > IDS_MAX {
        return Err(Error::invalid(format!("{} ids are too many", ids.len()))
            .help(format!("name at most {IDS_MAX} at a time, or use a filter")));
    }
    let mut chosen = Chosen::default();
    for id in ids {
        match job(*id, query) {
            Ok(selected) => chosen.add(selected),
            Err(error) if error.kind() == Kind::Invalid => {
                chosen.unknown.push(Unknown {
                    id: id.to_string(),
                    reason: error.report(),
                });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(chosen)
}

fn job(id: Id, query: &Query) -> Result<Selected> {
    let address = query.address_of(id)?;
    if address.lane.is_none() {
        return Err(Error::invalid("this is the id of an event")
            .help("name one of its jobs, or select by event"));
    }
    let selected = query.select_at(address)?;
    selected.ok_or_else(|| Error::invalid("no job has this id"))
}

impl Chosen {
    fn add(&mut self, selected: Selected) {
        let mut known = self.lanes.iter_mut();
        match known.find(|own| own.lane.id == selected.lane.id) {
            Some(own) => selected.spans.iter().for_each(|span| own.spans.add(span)),
            None => self.lanes.push(selected),
        }
    }
}
