//! Events: listed, and shown with their rows and jobs.

use blacksmith_core::error::{Error, Result};
use blacksmith_core::id::Id;
use blacksmith_core::position::Span;
use serde_json::{Value, json};

use super::filter::Filter;
use super::scan::Event;
use super::{Address, Look, time};
use crate::table::Table;

impl Look {
    pub(super) fn list_events(&self, filter: &Filter) -> Result<Table> {
        let mut table = Table::new(&[
            "id",
            "position",
            "received at",
            "source",
            "trigger",
            "operation",
        ]);
        let Some(span) = filter.span else {
            return Ok(table);
        };
        let keep =
            |event: &Event| !filter.is_about_jobs() || !self.jobs_of(event, filter).is_empty();
        for event in self.newest(span, filter, &keep)? {
            table.row([
                json!(self.event_id(&event).to_string()),
                json!(event.position.0),
                time(event.received_at),
                json!(*event.source),
                json!(*event.trigger),
                json!(event.operation),
            ]);
        }
        Ok(table)
    }

    pub(super) fn show_event(&self, address: &Address) -> Result<Value> {
        let event = self.event(address)?;
        let mut jobs = self.jobs_of(&event, &Filter::everything());
        self.recall(&mut jobs)?;
        Ok(json!({
            "id": self.event_id(&event).to_string(),
            "position": event.position.0,
            "received_at": time(event.received_at),
            "source": *event.source,
            "trigger": *event.trigger,
            "operation": event.operation,
            "rows": event.rows,
            "parked": event.parked,
            "jobs": jobs.iter().map(|job| job.json(self)).collect::<Vec<_>>(),
        }))
    }

    /// The event at `address`, with its rows.
    pub(super) fn event(&self, address: &Address) -> Result<Event> {
        let span = Span {
            first: address.position,
            last: address.position,
        };
        let events = self.events(span, &Filter::everything(), true)?;
        let found = events
            .into_iter()
            .find(|event| event.position == address.position);
        found.ok_or_else(|| {
            Error::invalid(format!(
                "nothing can be read at position {}",
                address.position
            ))
        })
    }

    pub(super) fn event_id(&self, event: &Event) -> Id {
        Id::of_event(self.store.id(), event.position, event.received_at)
    }
}
