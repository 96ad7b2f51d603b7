//! Events: listed, and shown with their rows and jobs.

use blacksmith_core::error::Result;
use blacksmith_core::query::{Address, Filter, Page};
use serde_json::{Value, json};

use super::{Look, jobs, rows, time};
use crate::table::Table;

impl Look {
    pub(super) fn list_events(&self, filter: &Filter, page: &Page) -> Result<Table> {
        let mut table = Table::new(&[
            "id",
            "position",
            "received at",
            "source",
            "trigger",
            "operation",
        ]);
        for event in self.query.events(filter, page)?.rows {
            table.row([
                json!(event.id.to_string()),
                json!(event.position.0),
                time(event.received_at),
                json!(*event.source),
                json!(*event.trigger),
                json!(event.operation),
            ]);
        }
        Ok(table)
    }

    pub(super) fn show_event(&self, address: Address) -> Result<Value> {
        let event = self.query.event(address.position)?;
        let rejections = event.rejections.iter();
        Ok(json!({
            "id": event.row.id.to_string(),
            "position": event.row.position.0,
            "received_at": time(event.row.received_at),
            "source": *event.row.source,
            "trigger": *event.row.trigger,
            "version": event.row.version.as_deref(),
            "operation": event.row.operation,
            "ticket": event.ticket.map(|id| id.to_string()),
            "parent_event_id": event.parent.map(|id| id.to_string()),
            "sent_at": event.sent_at.map(time),
            "rows": rows(&event.rows, event.context.as_ref(), event.data.as_ref()),
            "parked": event.row.parked,
            "rejections": rejections
                .map(|(action, reason)| json!({"action": **action, "reason": reason}))
                .collect::<Vec<_>>(),
            "jobs": event.jobs.iter().map(jobs::json).collect::<Vec<_>>(),
        }))
    }
}
