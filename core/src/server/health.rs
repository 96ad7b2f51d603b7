//! Whether a service can do its work, and if not, why.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::http::Response;

use super::reply;
use crate::error::Validation;
use crate::fault::Fault;

/// One reason why a service is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What it is about, from the outside in: `["sources", "shop"]`, `["actions", "lake/append"]`, `["store"]`.
    pub path: Vec<String>,
    /// Why.
    pub message: String,
}

impl Reason {
    /// A reason about what `path` leads to.
    pub fn new<P: Into<String>>(
        path: impl IntoIterator<Item = P>,
        message: impl Into<String>,
    ) -> Reason {
        Reason {
            path: path.into_iter().map(Into::into).collect(),
            message: message.into(),
        }
    }
}

type Check = Box<dyn Fn(&mut Vec<Reason>) + Send + Sync>;

/// The checks of one process, asked whenever somebody wants to know.
#[derive(Default)]
pub struct Health {
    checks: Mutex<Vec<Check>>,
}

impl Health {
    /// Adds a check: it pushes what stands in the way, and must not wait.
    pub fn add(&self, check: impl Fn(&mut Vec<Reason>) + Send + Sync + 'static) {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.push(Box::new(check));
    }

    /// Everything that stands in the way now.
    #[must_use]
    pub fn reasons(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        checks.iter().for_each(|check| check(&mut reasons));
        reasons
    }

    /// 200 when nothing stands in the way; else 503 with the reasons as validations.
    pub(super) fn answer(&self) -> Response<Body> {
        let reasons = self.reasons();
        if reasons.is_empty() {
            return reply::success("Successful");
        }
        let validations = reasons.into_iter().map(|reason| Validation {
            message: reason.message,
            path: reason.path,
        });
        reply::fault(&Fault {
            validations: validations.collect(),
            ..Fault::of_status(503)
        })
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}
