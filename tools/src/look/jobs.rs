//! Jobs: one per event and action that it is routed to, and those that follow them up.

use blacksmith_core::error::Result;
use blacksmith_core::query::{Address, Filter, JobRow, Page};
use serde_json::{Value, json};

use super::{Look, lane_names, rows, time};
use crate::table::Table;

impl Look {
    pub(super) fn list_jobs(&self, filter: &Filter, page: &Page) -> Result<Table> {
        let columns = [
            "id",
            "position",
            "source",
            "trigger",
            "destination",
            "action",
            "status",
            "attempts",
            "since",
            "error",
        ];
        let mut table = Table::new(&columns);
        for job in self.query.jobs(filter, page)?.rows {
            let (destination, action) = lane_names(&job.action);
            table.row([
                json!(job.id.to_string()),
                json!(job.position.0),
                json!(*job.source),
                json!(*job.trigger),
                json!(destination),
                json!(action),
                json!(job.status.name()),
                json!(job.attempts),
                json!(job.since.map(time)),
                json!(job.error.as_deref()),
            ]);
        }
        Ok(table)
    }

    pub(super) fn show_jobs(&self, address: Address) -> Result<Vec<Value>> {
        let jobs = self.query.jobs_at(address)?;
        let shown = jobs.iter().map(|job| {
            let mut shown = json(&job.row);
            shown["source"] = json!(*job.row.source);
            shown["trigger"] = json!(*job.row.trigger);
            shown["event_id"] = json!(job.row.event.to_string());
            shown["parent_job_id"] = json!(job.row.parent.map(|id| id.to_string()));
            shown["rows"] = json!(rows(&job.rows, job.context.as_ref(), job.data.as_ref()));
            shown["transitions"] = job
                .transitions
                .iter()
                .map(super::transitions::json)
                .collect();
            shown
        });
        Ok(shown.collect())
    }
}

/// One job as JSON.
pub(super) fn json(job: &JobRow) -> Value {
    let (destination, action) = lane_names(&job.action);
    json!({
        "id": job.id.to_string(),
        "position": job.position.0,
        "destination": destination,
        "action": action,
        "version": job.version.as_deref(),
        "created_at": time(job.created_at),
        "status": job.status.name(),
        "attempts": job.attempts,
        "since": job.since.map(time),
        "error": job.error.as_deref(),
    })
}
