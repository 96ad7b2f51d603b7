//! An order as people write it: the body of a request, or a command line.

use serde::{Deserialize, Serialize};

use super::operator::Operator;
use super::order::Order;
use super::outcome::Outcome;
use super::selection::Selection;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::job::Command;
use crate::query::{Noun, Query, Words};

/// What is wanted done, but for the command. Jobs are named by ids, or by a filter; not by both, and not by nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wanted {
    /// Ids of jobs, at most 10,000.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// The words of a filter.
    #[serde(skip_serializing_if = "Words::is_empty")]
    pub filter: Words,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether to say only what would be done.
    pub dry_run: bool,
}

impl Wanted {
    /// The order that is meant, at the time `now`.
    ///
    /// # Errors
    /// `Invalid` with what can be written instead; ids that are none are named one by one, with status 400.
    pub fn order(&self, command: Command, query: &Query, now: Timestamp) -> Result<Order> {
        let jobs = match (self.ids.is_empty(), self.filter.is_empty()) {
            (false, true) => Selection::Ids(ids(&self.ids)?),
            (true, false) => self.filter.filter(Noun::Jobs, query, now)?.into(),
            (true, true) => {
                return Err(Error::invalid("no job is named")
                    .help("name ids or a filter; destination \"*\" means every job"));
            }
            (false, false) => {
                return Err(Error::invalid("jobs are named by ids and by a filter")
                    .help("use one of the two"));
            }
        };
        Ok(Order {
            command,
            jobs,
            reason: self.reason.clone(),
        })
    }
}

impl Wanted {
    /// Has it carried out, or rehearsed for a dry run.
    ///
    /// # Errors
    /// As [`Wanted::order`] and [`Operator::order`]; `Invalid` with status 404 when none of the ids is a job.
    pub async fn carry_out(&self, command: Command, operator: &Operator) -> Result<Outcome> {
        let (asking, own) = (operator.clone(), self.clone());
        let reading = move || own.order(command, asking.query(), asking.clock().now());
        // To look up the event of a filter reads the store.
        let read = tokio::task::spawn_blocking(reading).await;
        let panicked = |error| Error::stopped("reading an order panicked").because(error);
        let order = read.map_err(panicked)??;
        let outcome = match self.dry_run {
            true => operator.rehearse(&order).await?,
            false => operator.order(&order).await?,
        };
        match !self.ids.is_empty() && outcome.unknown.len() == self.ids.len() {
            true => Err(nobody(&outcome)),
            false => Ok(outcome),
        }
    }
}

fn nobody(outcome: &Outcome) -> Error {
    let what = Error::invalid("the store has no such job").status(404);
    let named = outcome.unknown.iter();
    named.fold(what, |error, own| {
        error.validation(own.reason.clone(), ["ids", &own.id])
    })
}

fn ids(texts: &[String]) -> Result<Vec<Id>> {
    let mut ids = Vec::with_capacity(texts.len());
    let mut wrong = None;
    for text in texts {
        match text.parse() {
            Ok(id) => ids.push(id),
            Err(error) => {
                let error: Error = error;
                let all = wrong.take().unwrap_or_else(|| {
                    let first = format!("{text:?} is not the id of a job");
                    Error::invalid(first).help("an id has 27 characters; `jobs` lists them")
                });
                wrong = Some(all.validation(error.report(), ["ids", text]));
            }
        }
    }
    wrong.map_or(Ok(ids), Err)
}
