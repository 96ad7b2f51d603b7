//! What a request is answered when its event is durable.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response};
use serde::Serialize;
use serde_json::value::RawValue;

use super::keys::Kept;
use crate::document::Rejection;
use crate::event::LaneId;
use crate::gateway::Taken;
use crate::id::Id;
use crate::json::Json;
use crate::server;
use crate::source::{Event, Route};
use crate::store::Store;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted<'a> {
    status_code: u16,
    message: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    event: EventReply<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sub_events: Vec<EventReply<'a>>,
}

#[derive(Serialize)]
struct EventReply<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs: Option<Vec<JobReply>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejections: Vec<RejectionReply>,
}

#[derive(Serialize)]
struct JobReply {
    id: String,
    destination: String,
    action: String,
}

#[derive(Serialize)]
struct RejectionReply {
    action: String,
    message: String,
}

/// What is shown of an event besides its ids.
#[derive(Debug, Default)]
pub(super) struct Shown {
    context: Option<Json>,
    data: Option<Json>,
}

impl Shown {
    /// What `route` shows of `event` and its sub-events, in order. Shares their bytes.
    pub(super) fn of(route: &Route, event: &Event) -> Vec<Shown> {
        if !route.show_meta && !route.show_data {
            return Vec::new();
        }
        let shown = |context: &Json, data: &Json| Shown {
            context: route.show_meta.then(|| context.clone()),
            data: route.show_data.then(|| data.clone()),
        };
        let sub_events = event.sub_events.iter();
        std::iter::once(shown(&event.context, &event.data))
            .chain(sub_events.map(|own| shown(&own.context, &own.data)))
            .collect()
    }
}

/// 202 with the ids of what was taken, and what the route shows besides.
pub(super) fn accepted(
    route: &Route,
    store: &dyn Store,
    taken: &Taken,
    shown: &[Shown],
) -> Response<Body> {
    let names = lane_names(
        store,
        taken.events.iter().any(|own| !own.rejections.is_empty()),
    );
    let nothing = Shown::default();
    let events = taken.events.iter().enumerate().map(|(index, event)| {
        let shown = shown.get(index).unwrap_or(&nothing);
        let jobs = event.jobs.iter();
        let rejections = event.rejections.iter().filter(|_| route.show_meta);
        EventReply {
            id: event.id.to_string(),
            context: raw(shown.context.as_ref()),
            data: raw(shown.data.as_ref()),
            jobs: route
                .show_meta
                .then(|| jobs.map(|job| job_reply(job.id, &job.name)).collect()),
            rejections: rejections.map(|own| rejection(own, &names)).collect(),
        }
    });
    reply(events.collect())
}

/// The same for a request whose event was there already: the ids of the first reply. What the first one showed besides ids and
/// jobs is not told again.
pub(super) fn repeated(route: &Route, store: &dyn Store, kept: &Kept) -> Response<Body> {
    let names = lane_names(store, route.show_meta);
    let Some(first) = kept.first else {
        // The event was dropped from the store since: the id under which it was extracted is all there is.
        let id = Id::ticket(store.id(), kept.ticket, kept.received_at).to_string();
        return stamped(reply(vec![only(id)]));
    };
    let mut events = Vec::new();
    let mut at = first;
    for run in &kept.runs {
        for _ in 0..run.events {
            let jobs = run.jobs.iter().map(|(lane, behind)| {
                let position = at.plus(u64::from(*behind));
                let id = Id::of_job(store.id(), *lane, position, kept.received_at);
                job_reply(id, name_of(&names, *lane))
            });
            events.push(EventReply {
                jobs: route.show_meta.then(|| jobs.collect()),
                ..only(Id::of_event(store.id(), at, kept.received_at).to_string())
            });
            at = at.plus(u64::from(run.stride));
        }
    }
    stamped(reply(events))
}

fn only<'a>(id: String) -> EventReply<'a> {
    EventReply {
        id,
        context: None,
        data: None,
        jobs: None,
        rejections: Vec::new(),
    }
}

fn stamped(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    response
}

fn reply(mut events: Vec<EventReply<'_>>) -> Response<Body> {
    let sub_events = events.split_off(1.min(events.len()));
    let Some(event) = events.pop() else {
        return server::success("Successful");
    };
    let accepted = Accepted {
        status_code: 202,
        message: "Accepted",
        data: Data { event, sub_events },
    };
    server::json(202, &accepted)
}

fn lane_names(store: &dyn Store, wanted: bool) -> Vec<(LaneId, Arc<str>)> {
    if !wanted {
        return Vec::new();
    }
    let lanes = store.lanes().into_iter();
    lanes.map(|lane| (lane.id, lane.name)).collect()
}

fn name_of(names: &[(LaneId, Arc<str>)], lane: LaneId) -> &str {
    let name = names.iter().find(|(own, _)| *own == lane);
    name.map_or("", |(_, name)| name)
}

fn rejection(rejection: &Rejection, names: &[(LaneId, Arc<str>)]) -> RejectionReply {
    RejectionReply {
        action: name_of(names, rejection.lane).to_owned(),
        message: rejection.reason.clone(),
    }
}

fn job_reply(id: Id, name: &str) -> JobReply {
    let (destination, action) = name.split_once('/').unwrap_or((name, ""));
    JobReply {
        id: id.to_string(),
        destination: destination.to_owned(),
        action: action.to_owned(),
    }
}

fn raw(json: Option<&Json>) -> Option<&RawValue> {
    serde_json::from_str(json?.as_str()).ok()
}
