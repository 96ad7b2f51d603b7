//! The action `post`: jobs by requests, several under way at a time.

use std::sync::Arc;

use async_trait::async_trait;
use blacksmith_core::clock::Clock;
use blacksmith_core::destination::{Action, Jobs, Ordering, Queue, Then, Thens, Toolkit};
use blacksmith_core::error::{Error, Result};
use blacksmith_core::position::Span;
use blacksmith_core::secret::Secret;
use tokio::task::JoinSet;

use super::chunk::{Chunk, Chunks, Form};
use super::client::Client;
use super::options::HttpOptions;
use super::template::Template;
use super::verdict::{Judge, Verdict};

/// Sends jobs to an endpoint.
#[derive(Debug)]
pub(super) struct Post {
    client: Client,
    judge: Arc<Judge>,
    form: Form,
    in_flight_max: usize,
    ordering: Ordering,
}

impl Post {
    /// # Errors
    /// As [`Form::new`].
    pub(super) fn new(options: &HttpOptions, client: Client) -> Result<Post> {
        let (in_flight_max, ordering) = match options.ordered {
            true => (1, Ordering::Ordered),
            false => (options.in_flight_max.max(1), Ordering::Unordered),
        };
        Ok(Post {
            judge: Arc::new(Judge {
                statuses: options.statuses.clone(),
                pause_max: options.retry_after_max,
                secrets: secrets(options),
                place: client.place().to_owned(),
            }),
            client,
            form: Form::new(options)?,
            in_flight_max,
            ordering,
        })
    }

    fn send(
        &self,
        chunk: Chunk,
        attempt: u32,
        clock: &Arc<dyn Clock>,
    ) -> impl Future<Output = (Chunk, Verdict)> + Send + use<> {
        let (client, judge) = (self.client.clone(), Arc::clone(&self.judge));
        let clock = Arc::clone(clock);
        let outgoing = self.form.request(&chunk, attempt);
        async move {
            let outgoing = match outgoing {
                Ok(outgoing) => outgoing,
                Err(error) => return (chunk, Verdict::Discarded(error)),
            };
            let verdict = match client.send(outgoing).await {
                Ok(reply) => judge.judge(&reply, clock.now()),
                Err(error) => Verdict::Failed {
                    error,
                    is_general: true,
                    pause: None,
                },
            };
            (chunk, verdict)
        }
    }
}

/// What must not be in an error: values of headers, without their scheme too, and of the query.
fn secrets(options: &HttpOptions) -> Vec<String> {
    /// Shorter texts are no secrets, and would be found everywhere.
    const BYTES_MIN: usize = 4;
    let headers = options.headers.iter().chain(&options.basic);
    let basic = options.basic.as_ref();
    let basic = basic.map(|(user, password)| password.basic(user));
    // Of headers that jobs fill, what stands between the places.
    let filled = options.job_headers.iter();
    let filled: Vec<Secret> = filled
        .filter_map(|(_, value)| Template::parse(value.expose()).ok())
        .map(|template| Secret::new(template.plain(" ")))
        .collect();
    let values = headers
        .map(|(_, value)| value)
        .chain(&basic)
        .chain(&filled)
        .map(Secret::expose);
    let words = values.flat_map(|value| std::iter::once(value).chain(value.split_whitespace()));
    let query = options
        .url
        .expose()
        .split_once('?')
        .map_or("", |(_, query)| query);
    let pairs = query
        .split('&')
        .filter_map(|pair| Some(pair.split_once('=')?.1));
    let all = words.chain(pairs).filter(|text| text.len() >= BYTES_MIN);
    let mut secrets: Vec<String> = all.map(str::to_owned).collect();
    // A secret that contains another goes first.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

/// What of a load is accepted. Said also when the load is cut short, so that nothing of it is sent again.
struct Accepted<'a> {
    then: &'a Thens,
    spans: Vec<Span>,
}

impl Accepted<'_> {
    fn add(&mut self, span: Span) {
        match self.spans.last_mut() {
            Some(before) if before.last.next() == span.first => before.last = span.last,
            _ => self.spans.push(span),
        }
    }
}

impl Drop for Accepted<'_> {
    fn drop(&mut self) {
        if !self.spans.is_empty() {
            let spans = std::mem::take(&mut self.spans);
            self.then.send(Then::succeeded(Jobs::Spans(spans)));
        }
    }
}

#[async_trait]
impl Action for Post {
    fn name(&self) -> &str {
        "post"
    }

    fn ordering(&self) -> Ordering {
        self.ordering
    }

    async fn load(&self, toolkit: &Toolkit, queue: &mut Queue, then: &Thens) -> Result<()> {
        let attempt = queue.attempt();
        let mut chunks = Chunks::new(queue, &self.form);
        let mut accepted = Accepted {
            then,
            spans: Vec::new(),
        };
        let mut sent = JoinSet::new();
        let mut halted = None;
        loop {
            while halted.is_none() && sent.len() < self.in_flight_max {
                let Some(chunk) = chunks.next().await? else {
                    break;
                };
                sent.spawn(self.send(chunk, attempt, &toolkit.clock));
            }
            let Some(done) = sent.join_next().await else {
                break;
            };
            let (chunk, verdict) =
                done.map_err(|error| Error::stopped("a request was cut short").because(error))?;
            match verdict {
                Verdict::Accepted => accepted.add(chunk.span),
                // One of them may be at fault for all.
                Verdict::Discarded(_) if !chunk.is_single() => chunks.send_apart(chunk),
                Verdict::Discarded(error) => then.send(Then::discarded(spans(chunk.span), error)),
                Verdict::Failed {
                    error,
                    is_general,
                    pause,
                } => {
                    let held = self.ordering == Ordering::Ordered;
                    if is_general || held {
                        halted.get_or_insert((error, pause));
                    } else {
                        then.send(Then::failed(spans(chunk.span), error));
                    }
                }
            }
        }
        drop(accepted);
        then.send(match halted {
            None => Then::succeeded(Jobs::All),
            Some((error, None)) => Then::failed(Jobs::All, error),
            Some((error, Some(pause))) => Then::failed(Jobs::All, error).retry_after(pause),
        });
        Ok(())
    }
}

fn spans(span: Span) -> Jobs {
    Jobs::Spans(vec![span])
}
