//! Actions as a whole: how they stand, and orders for them.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::body;
use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::flow::Pattern;
use crate::operate::{Operator, Standing};
use crate::server::{Router, data, fault};

/// Which actions are to be paused or resumed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    /// `destination/action`; `*` stands for any text.
    actions: Vec<String>,
    reason: Option<String>,
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Told {
    command: &'static str,
    dry_run: bool,
    actions: Vec<String>,
}

pub(super) fn routes(operator: &Operator) -> Router {
    let operator = Arc::new(operator.clone());
    let own = Arc::clone(&operator);
    let list = get(async move || answer(list(&own).await));
    let mut router = Router::new().route("/admin/api/actions", list);
    for command in ["pause", "resume"] {
        let own = Arc::clone(&operator);
        let set = post(async move |headers: HeaderMap, body: Bytes| {
            answer(set(&own, command, &headers, &body).await)
        });
        router = router.route(&format!("/admin/api/actions/{command}"), set);
    }
    router
}

fn answer<T: Serialize>(told: Result<T>) -> Response<Body> {
    match told {
        Ok(told) => data(&told),
        Err(error) => fault(&Fault::of(&error)),
    }
}

async fn list(operator: &Operator) -> Result<Vec<Value>> {
    Ok(operator.standings().await?.iter().map(object).collect())
}

async fn set(
    operator: &Operator,
    command: &'static str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Told> {
    let wanted: Wanted = body::read(headers, body)?;
    if wanted.actions.is_empty() {
        return Err(Error::invalid("no action is named")
            .help("name destination/action, where * stands for any text"));
    }
    let patterns: Vec<Pattern> = wanted.actions.iter().map(Pattern::new).collect();
    // Whatever is not there is known before anything is done.
    let called = operator
        .called(&patterns)
        .map_err(|error| error.status(404))?;
    let done = match (wanted.dry_run, command) {
        (true, _) => called,
        (false, "pause") => operator.pause(&patterns, wanted.reason.as_deref()).await?,
        (false, _) => operator.resume(&patterns).await?,
    };
    Ok(Told {
        command,
        dry_run: wanted.dry_run,
        actions: done.iter().map(ToString::to_string).collect(),
    })
}

fn object(standing: &Standing) -> Value {
    let schedule = standing.plan.as_ref().map(|plan| &plan.schedule);
    let paused = standing.paused.as_ref();
    let error = standing.last_error.as_ref();
    json!({
        "action": *standing.action,
        "state": standing.state,
        "schedule": schedule.map(|own| json!({
            "realtime": own.realtime,
            "interval": own.interval.to_string(),
            "max_retries": own.max_retries,
        })),
        "pending": standing.pending,
        "executing": standing.executing,
        "failed": standing.failed,
        "held": standing.held,
        "discarded": standing.discarded,
        "paused": paused.map(|own| json!({
            "since": own.since().map(|at| at.to_string()),
            "reason": own.reason,
        })),
        "oldest": standing.oldest.map(|at| at.to_string()),
        "last_error": error.map(|(at, text)| json!({"at": at.to_string(), "message": **text})),
    })
}
