//! Transitions: changes of state of ranges of jobs, as the log has them.

use std::collections::HashMap;

use blacksmith_core::error::Result;
use blacksmith_core::job::Transition;
use blacksmith_core::position::Span;
use serde_json::{Value, json};

use super::filter::Filter;
use super::{Address, Look, time};
use crate::table::Table;

impl Look {
    pub(super) fn list_transitions(&self, filter: &Filter) -> Result<Table> {
        let columns = [
            "at",
            "destination",
            "action",
            "first",
            "last",
            "jobs",
            "status",
            "attempt",
            "error",
            "command",
        ];
        let mut table = Table::new(&columns);
        let Some(span) = filter.span else {
            return Ok(table);
        };
        let names: HashMap<_, _> = self
            .store
            .lanes()
            .into_iter()
            .map(|lane| (lane.id, lane.name))
            .collect();
        let mut shown = 0;
        for transition in self.store.transitions(None, span, usize::MAX)?.iter().rev() {
            let name = names.get(&transition.lane).cloned().unwrap_or_default();
            let (destination, action) = Look::lane_names(&name);
            let wanted = filter.wants_action(destination, action)
                && filter.wants_status(transition.status)
                && filter.wants_time(transition.at);
            if !wanted || shown == filter.limit {
                continue;
            }
            shown += 1;
            table.row([
                time(transition.at),
                json!(destination),
                json!(action),
                json!(transition.span.first.0),
                json!(transition.span.last.0),
                json!(transition.span.len()),
                json!(transition.status.name()),
                json!(transition.attempt),
                json!(transition.error),
                json!(transition.command.map(|command| command.name())),
            ]);
        }
        Ok(table)
    }

    pub(super) fn show_transitions(&self, address: &Address) -> Result<Vec<Value>> {
        let span = Span {
            first: address.position,
            last: address.position,
        };
        let transitions = self.store.transitions(address.lane, span, usize::MAX)?;
        let names: HashMap<_, _> = self
            .store
            .lanes()
            .into_iter()
            .map(|lane| (lane.id, lane.name))
            .collect();
        let shown = transitions.iter().map(|transition| {
            let mut shown = json(transition);
            let name = names.get(&transition.lane).cloned().unwrap_or_default();
            let (destination, action) = Look::lane_names(&name);
            shown["destination"] = json!(destination);
            shown["action"] = json!(action);
            shown
        });
        Ok(shown.collect())
    }
}

/// One transition as JSON.
pub(super) fn json(transition: &Transition) -> Value {
    json!({
        "at": time(transition.at),
        "first": transition.span.first.0,
        "last": transition.span.last.0,
        "status": transition.status.name(),
        "attempt": transition.attempt,
        "error": transition.error,
        "command": transition.command.map(|command| command.name()),
    })
}
