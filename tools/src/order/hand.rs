//! Who carries an order out: the process that owns the store, or this one.

use std::sync::Arc;

use blacksmith_core::clock::SystemClock;
use blacksmith_core::error::{Error, Kind, Result};
use blacksmith_core::flow::Pattern;
use blacksmith_core::job::Command;
use blacksmith_core::operate::{Operator, Outcome, Wanted};
use blacksmith_core::query::Query;
use blacksmith_core::store::Store;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::socket::Socket;
use crate::assemble::{ADMIN_SOCKET, Known};
use crate::cli::{ActionArgs, Global};
use crate::program::Program;
use crate::run::runtime;
use crate::store::{folder, own};

/// Who carries orders out.
#[derive(Debug)]
pub(crate) enum Hand {
    /// The process that owns the store.
    Running(Socket),
    /// Nobody owned it: this process does now.
    Own(Box<Own>),
}

/// The store, open for this process alone.
#[derive(Debug)]
pub(crate) struct Own {
    operator: Operator,
    store: Arc<dyn Store>,
    runtime: Runtime,
}

impl Hand {
    /// Whoever carries out orders for the store of the configuration.
    ///
    /// # Errors
    /// When the configuration is wrong, or a process owns the store and cannot be reached.
    pub(crate) fn find(program: &Program, global: &Global) -> Result<Hand> {
        let settings = program.settings(&global.config)?;
        settings.problems.check()?;
        let socket = folder(&settings.store)?.join(ADMIN_SOCKET);
        if let Some(socket) = Socket::of(&socket) {
            return Ok(Hand::Running(socket));
        }
        let store: Arc<dyn Store> = Arc::new(own(&settings).map_err(unreachable)?);
        let known = Known::of(program, &settings);
        let query = Query::new(Arc::clone(&store), known.formats, known.actions);
        Ok(Hand::Own(Box::new(Own {
            operator: Operator::new(query, known.plans, SystemClock::shared()),
            store,
            runtime: runtime()?,
        })))
    }

    /// Has an order for jobs carried out, or rehearsed.
    ///
    /// # Errors
    /// As [`Wanted::carry_out`]; when the process does not answer.
    pub(crate) fn order(&self, command: Command, wanted: &Wanted) -> Result<Outcome> {
        match self {
            Hand::Own(own) => {
                let carrying = wanted.carry_out(command, &own.operator);
                own.runtime.block_on(Box::pin(carrying))
            }
            Hand::Running(socket) => {
                let path = format!("/admin/api/store/jobs/{command}");
                let data = socket.post(&path, &json!(wanted))?;
                serde_json::from_value(data).map_err(misunderstood)
            }
        }
    }

    /// Has actions paused or resumed, or only named. Returns their names.
    ///
    /// # Errors
    /// `Invalid` when no action is called so; when the process does not answer.
    pub(crate) fn set_paused(&self, paused: bool, typed: &ActionArgs) -> Result<Vec<String>> {
        match self {
            Hand::Own(own) => own.set_paused(paused, typed),
            Hand::Running(socket) => {
                let command = if paused { "pause" } else { "resume" };
                let body = json!({
                    "actions": typed.actions,
                    "reason": typed.reason,
                    "dry_run": typed.dry_run,
                });
                let mut data = socket.post(&format!("/admin/api/actions/{command}"), &body)?;
                let actions = data.get_mut("actions").map(Value::take);
                serde_json::from_value(actions.unwrap_or_default()).map_err(misunderstood)
            }
        }
    }

    /// Lets go of the store, if it was opened.
    ///
    /// # Errors
    /// When the last writes fail.
    pub(crate) fn close(self) -> Result<()> {
        match self {
            Hand::Own(own) => own.store.close(),
            Hand::Running(_) => Ok(()),
        }
    }
}

impl Own {
    fn set_paused(&self, paused: bool, typed: &ActionArgs) -> Result<Vec<String>> {
        let patterns: Vec<Pattern> = typed.actions.iter().map(Pattern::new).collect();
        let names = match (typed.dry_run, paused) {
            (true, _) => self.operator.called(&patterns)?,
            (false, true) => {
                let pausing = self.operator.pause(&patterns, typed.reason.as_deref());
                self.runtime.block_on(pausing)?
            }
            (false, false) => self.runtime.block_on(self.operator.resume(&patterns))?,
        };
        Ok(names.iter().map(ToString::to_string).collect())
    }
}

/// Somebody owns the store, and does not listen.
fn unreachable(error: Error) -> Error {
    match error.kind() {
        Kind::Refused => error.help(
            "it does not answer on its admin socket: it starts or stops right now, or it is a command like this one; try again",
        ),
        _ => error,
    }
}

fn misunderstood(error: serde_json::Error) -> Error {
    Error::invalid("the running process answers in words that this program does not know")
        .help("use the program's own version for its command line")
        .because(error)
}
