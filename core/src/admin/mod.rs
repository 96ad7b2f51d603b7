//! The admin API: what operators ask of a running process, and have it do.
//!
//! | route | does |
//! |---|---|
//! | `POST /admin/api/store/jobs/COMMAND` | `retry`, `discard`, `cancel`, `pause` or `resume` on jobs: [`Wanted`](crate::operate::Wanted) says which |
//! | `POST /admin/api/store/jobs/ID/COMMAND` | the same on one job |
//! | `GET /admin/api/actions` | how every action stands |
//! | `POST /admin/api/actions/pause`, `…/resume` | pauses and resumes whole actions, by name or pattern |
//!
//! Replies are `{statusCode, message, data}`, or the error object. [`Access`] says who is let in.

mod access;
mod body;
mod jobs;
mod actions;
#[cfg(test)]
mod tests;

pub use access::Access;

use axum::middleware::from_fn;

use crate::operate::Operator;
use crate::server::Router;

/// The routes of the admin API, which orders `operator` about.
pub fn router(operator: &Operator, access: Access) -> Router {
    let routes = jobs::routes(operator).merge(actions::routes(operator));
    routes.layer(from_fn(move |request, next| {
        access.clone().admit(request, next)
    }))
}
