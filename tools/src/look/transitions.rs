//! Transitions: changes of state of ranges of jobs, as the log has them.

use blacksmith_core::error::Result;
use blacksmith_core::job::Transition;
use blacksmith_core::position::Span;
use blacksmith_core::query::{Address, Filter, Page};
use serde_json::{Value, json};

use super::{Look, lane_names, time};
use crate::table::Table;

impl Look {
    pub(super) fn list_transitions(&self, filter: &Filter, page: &Page) -> Result<Table> {
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
        for row in self.query.transitions(filter, page)? {
            let (destination, action) = lane_names(&row.action);
            let transition = row.transition;
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

    /// Oldest first.
    pub(super) fn show_transitions(&self, address: Address) -> Result<Vec<Value>> {
        let span = Span::new(address.position, address.position);
        let transitions = self.store.transitions(address.lane, span, usize::MAX)?;
        let shown = transitions.iter().map(|transition| {
            let mut shown = json(transition);
            let lane = self.store.lane(transition.lane);
            let name = lane.map(|lane| lane.name).unwrap_or_default();
            let (destination, action) = lane_names(&name);
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
