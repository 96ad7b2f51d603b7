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
    let told = carry_out(operator, command, &wanted).await?;
    let named = told.outcome.unknown.len();
    match named > 0 && named == wanted.ids.len() {
        true => Err(unknown(&told.outcome)),
        false => Ok(told),
    }
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
    if !told.outcome.unknown.is_empty() {
        return Err(unknown(&told.outcome));
    }
    let refusals = told.outcome.actions.iter().flat_map(|own| &own.refused);
    let refused = refusals.map(|own| own.reason.clone()).next();
    refused.map_or(Ok(told), |why| Err(Error::refused(why).status(409)))
}

async fn carry_out(operator: &Operator, command: Command, wanted: &Wanted) -> Result<Told> {
    let (asking, own) = (operator.clone(), wanted.clone());
    let reading = move || own.order(command, asking.query(), asking.clock().now());
    // To look up the event of a filter reads the store.
    let read = tokio::task::spawn_blocking(reading).await;
    let order =
        read.map_err(|error| Error::stopped("reading an order panicked").because(error))??;
    let outcome = match wanted.dry_run {
        true => operator.rehearse(&order).await?,
        false => operator.order(&order).await?,
    };
    Ok(Told {
        command: command.name(),
        dry_run: wanted.dry_run,
        outcome,
    })
}

fn unknown(outcome: &Outcome) -> Error {
    let what = Error::invalid("the store has no such job").status(404);
    let named = outcome.unknown.iter();
    named.fold(what, |error, own| {
        error.validation(own.reason.clone(), ["ids", &own.id])
    })
}
