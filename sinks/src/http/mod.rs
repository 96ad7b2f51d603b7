//! Jobs by requests to an endpoint.
//!
//! ```toml
//! [destinations.crm]
//! driver = "http"
//! url = "https://crm.example.com/hooks"
//! headers = { Authorization = "Bearer ${CRM_TOKEN}" }
//! body = "array"                 # job: one in each request | array: many, as an array | ndjson: many, a line each
//!
//! [destinations.users]
//! driver = "http"
//! method = "PUT"
//! url = "https://crm.example.com/users/{/user/id}"
//! ```
//!
//! # What is promised
//! - At least once: a request whose answer did not come, or came too late, is sent again. It carries the same
//!   `Idempotency-Key` then, the job's id (of several jobs, the first's and the last's), by which the other side may know it.
//! - What a status means is set; see [`Statuses`]. Jobs that are refused together are sent again each alone, so that only
//!   those at fault are given up.
//! - `Retry-After` is obeyed. While the endpoint cannot be reached, or asks for a pause, nothing else of the batch is sent.
//! - TLS is verified, redirects are not followed, and neither headers nor the query of the URL are ever in an error.

mod template;
mod options;
mod chunk;
mod client;
mod post;
#[cfg(test)]
mod tests;
mod verdict;

use std::sync::Arc;

use async_trait::async_trait;
use blacksmith_core::destination::{Action, Destination};
use blacksmith_core::error::Result;
use blacksmith_core::finding::{Finding, Severity};

pub use options::{Body, HttpOptions};
pub use verdict::{StatusPattern, Statuses};

use client::Client;
use post::Post;

/// Sends jobs to an endpoint. Its action is `post`.
#[derive(Debug)]
pub struct Http {
    name: String,
    client: Client,
    post: Arc<Post>,
}

impl Http {
    /// The destination that `options` describe. Nothing is connected before the first load.
    ///
    /// # Errors
    /// When the URL, a header or the certificates make no sense.
    pub fn new(options: &HttpOptions) -> Result<Http> {
        let client = Client::new(options)?;
        Ok(Http {
            name: options.name.clone(),
            post: Arc::new(Post::new(options, client.clone())?),
            client,
        })
    }
}

#[async_trait]
impl Destination for Http {
    fn name(&self) -> &str {
        &self.name
    }

    fn actions(&self) -> Vec<Arc<dyn Action>> {
        vec![Arc::clone(&self.post) as Arc<dyn Action>]
    }

    /// Connects, and sends nothing: an endpoint may count every request.
    async fn check(&self) -> Vec<Finding> {
        let place = self.client.place();
        vec![match self.client.reach().await {
            Ok(()) => Finding {
                severity: Severity::Good,
                what: format!("{place} can be reached"),
                fix: None,
            },
            Err(error) => Finding {
                severity: Severity::Problem,
                what: error.report(),
                fix: Some("look at url, the network and, for https, the certificate".into()),
            },
        }]
    }
}
