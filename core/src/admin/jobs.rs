//! Orders for jobs.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::{HeaderMap, Response};
use axum::routing::post;
use serde::{Deserialize, Serialize};

use super::body;
use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::job::Command;
use crate::operate::{Operator, Outcome, Wanted};
use crate::server::{Router, data, fault};

/// What an order came to, as it is answered.
#[derive(Debug, Serialize)]
struct Told {
    command: &'static str,
    dry_run: bool,
    #[serde(flatten)]
    outcome: Outcome,
}

/// What is said of an order for one job.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OfOne {
    reason: Option<String>,
    dry_run: bool,
}

/// Each command on any jobs, and on one.
pub(super) fn routes(operator: &Operator) -> Router {
    let operator = Arc::new(operator.clone());
    let mut router = Router::new();
    for command in Command::ALL {
        let own = Arc::clone(&operator);
        let any = post(async move |headers: HeaderMap, body: Bytes| {
            answer(of_any(&own, command, &headers, &body).await)
        });
        let own = Arc::clone(&operator);
        let one = post(
            async move |Path(id): Path<String>, headers: HeaderMap, body: Bytes| {
                answer(of_one(&own, command, id, &headers, &body).await)
            },
        );
        router = router
            .route(&format!("/admin/api/store/jobs/{command}"), any)
            .route(&format!("/admin/api/store/jobs/{{job_id}}/{command}"), one);
    }
    router
}

fn answer(told: Result<Told>) -> Response<Body> {
    match told {
        Ok(told) => data(&told),
        Err(error) => fault(&Fault::of(&error)),
    }
}

async fn of_any(
    operator: &Operator,
    command: Command,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Told> {
    let wanted: Wanted = body::read(headers, body)?;
    carry_out(operator, command, &wanted).await
}

/// Who names one job hears of what stands in the way as an error.
async fn of_one(
    operator: &Operator,
    command: Command,
    id: String,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Told> {
    let OfOne { reason, dry_run } = body::read(headers, body)?;
    let wanted = Wanted {
        ids: vec![id],
        reason,
        dry_run,
        ..Wanted::default()
    };
    let told = carry_out(operator, command, &wanted).await?;
    let refusals = told.outcome.actions.iter().flat_map(|own| &own.refused);
    let refused = refusals.map(|own| own.reason.clone()).next();
    refused.map_or(Ok(told), |why| Err(Error::refused(why).status(409)))
}

async fn carry_out(operator: &Operator, command: Command, wanted: &Wanted) -> Result<Told> {
    Ok(Told {
        command: command.name(),
        dry_run: wanted.dry_run,
        outcome: wanted.carry_out(command, operator).await?,
    })
}
