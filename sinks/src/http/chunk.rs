//! Jobs as requests: which jobs go together, and what is sent of them.

use std::collections::VecDeque;
use std::io::Write;

use blacksmith_core::destination::Queue;
use blacksmith_core::error::Result;
use blacksmith_core::job::QueuedJob;
use blacksmith_core::position::{Position, Span};
use bytes::Bytes;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};

use super::options::{Body, HttpOptions};
use crate::line::Content;

/// The header by which the other side knows a request that it has seen before.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header that says how often it was sent; it is not in the body, which is the same each time.
const ATTEMPT: HeaderName = HeaderName::from_static("blacksmith-attempt");
const AGENT: &str = concat!("blacksmith-stream/", env!("CARGO_PKG_VERSION"));

/// How requests are made.
#[derive(Debug, Clone)]
pub(super) struct Form {
    body: Body,
    content: Content,
    jobs_max: usize,
    bytes_max: usize,
    gzip: bool,
}

/// Jobs of one request.
#[derive(Debug)]
pub(super) struct Chunk {
    /// At least one, each with what is sent of it.
    jobs: Vec<(QueuedJob, Bytes)>,
    /// Their positions, and those of no job right before them.
    pub(super) span: Span,
}

impl Chunk {
    /// Whether it holds one job only.
    pub(super) fn is_single(&self) -> bool {
        self.jobs.len() == 1
    }

    /// The same jobs, each alone.
    pub(super) fn apart(self) -> Vec<Chunk> {
        let mut first = self.span.first;
        let mut apart = Vec::with_capacity(self.jobs.len());
        for job in self.jobs {
            let span = Span::new(first, job.0.position);
            first = span.last.next();
            apart.push(Chunk {
                jobs: vec![job],
                span,
            });
        }
        apart
    }

    /// The same for the same jobs, however often they are sent.
    fn key(&self) -> String {
        let id = |job: Option<&(QueuedJob, Bytes)>| job.map(|(job, _)| job.id.to_string());
        let first = id(self.jobs.first()).unwrap_or_default();
        match self.is_single() {
            true => first,
            false => format!("{first}-{}", id(self.jobs.last()).unwrap_or_default()),
        }
    }
}

impl Form {
    pub(super) fn new(options: &HttpOptions) -> Form {
        Form {
            body: options.body,
            content: options.content,
            jobs_max: if options.body == Body::Job {
                1
            } else {
                options.jobs_max.max(1)
            },
            bytes_max: options.bytes_max,
            gzip: options.gzip,
        }
    }

    /// The headers of a request, and its body.
    pub(super) fn request(&self, chunk: &Chunk, attempt: u32) -> (HeaderMap, Bytes) {
        let mut headers = HeaderMap::new();
        let kind = match self.body {
            Body::Job | Body::Array => "application/json",
            Body::Ndjson => "application/x-ndjson",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(ATTEMPT, HeaderValue::from(attempt));
        if let Ok(key) = HeaderValue::try_from(chunk.key()) {
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        let body = self.body(chunk);
        if !self.gzip {
            return (headers, body);
        }
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        (headers, compress(&body))
    }

    fn body(&self, chunk: &Chunk) -> Bytes {
        let texts = || chunk.jobs.iter().map(|(_, text)| &text[..]);
        match self.body {
            Body::Job => chunk
                .jobs
                .first()
                .map(|(_, text)| text.clone())
                .unwrap_or_default(),
            Body::Array => {
                let mut body = vec![b'['];
                for (at, text) in texts().enumerate() {
                    if at > 0 {
                        body.push(b',');
                    }
                    body.extend_from_slice(text);
                }
                body.push(b']');
                body.into()
            }
            Body::Ndjson => {
                let mut body = Vec::new();
                for text in texts() {
                    body.extend_from_slice(text);
                    body.push(b'\n');
                }
                body.into()
            }
        }
    }
}

/// Memory takes whatever is written, so that nothing fails.
fn compress(body: &[u8]) -> Bytes {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(body).ok();
    out.finish().unwrap_or_default().into()
}

/// Cuts a queue into chunks, in order of position.
pub(super) struct Chunks<'a> {
    queue: &'a mut Queue,
    form: &'a Form,
    waiting: VecDeque<QueuedJob>,
    /// What is sent before anything else of the queue.
    again: VecDeque<Chunk>,
    next: Position,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(queue: &'a mut Queue, form: &'a Form) -> Chunks<'a> {
        Chunks {
            next: queue.span().first,
            queue,
            form,
            waiting: VecDeque::new(),
            again: VecDeque::new(),
        }
    }

    /// Puts the jobs of `chunk` first, each alone.
    pub(super) fn send_apart(&mut self, chunk: Chunk) {
        for single in chunk.apart().into_iter().rev() {
            self.again.push_front(single);
        }
    }

    /// The next chunk; none at the end of the queue.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn next(&mut self) -> Result<Option<Chunk>> {
        if let Some(chunk) = self.again.pop_front() {
            return Ok(Some(chunk));
        }
        let (mut jobs, mut bytes) = (Vec::new(), 0);
        while jobs.len() < self.form.jobs_max {
            let Some(job) = self.job().await? else { break };
            let mut text = Vec::new();
            self.form.content.write(&job, None, &mut text);
            bytes += text.len();
            if bytes > self.form.bytes_max && !jobs.is_empty() {
                self.waiting.push_front(job);
                break;
            }
            jobs.push((job, Bytes::from(text)));
        }
        let Some((last, _)) = jobs.last() else {
            return Ok(None);
        };
        let span = Span::new(self.next, last.position);
        self.next = last.position.next();
        Ok(Some(Chunk { jobs, span }))
    }

    async fn job(&mut self) -> Result<Option<QueuedJob>> {
        while self.waiting.is_empty() {
            match self.queue.next_jobs().await? {
                Some(jobs) => self.waiting.extend(jobs),
                None => return Ok(None),
            }
        }
        Ok(self.waiting.pop_front())
    }
}
