//! Jobs as requests: which jobs go together, and what is sent of them.

use std::collections::VecDeque;
use std::io::Write;

use blacksmith_core::destination::Queue;
use blacksmith_core::error::{Error, Result};
use blacksmith_core::job::QueuedJob;
use blacksmith_core::position::{Position, Span};
use bytes::Bytes;
use hyper::Uri;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};

use super::options::{Body, HttpOptions, check_url};
use super::template::{Template, in_header, in_url};
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
    /// Where there are places that each job fills.
    url: Option<Template>,
    job_headers: Vec<(HeaderName, Template)>,
}

/// What is sent of a chunk.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Where to, if that is the job's to say.
    pub(super) uri: Option<Uri>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
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
    /// # Errors
    /// `Config` when the URL or a header is none, or has places that many jobs would fill.
    pub(super) fn new(options: &HttpOptions) -> Result<Form> {
        let wrong = |(what, fix): (String, String)| Error::config(what).help(fix);
        check_url(options.url.expose(), options.body).map_err(wrong)?;
        let url = Template::parse(options.url.expose()).map_err(wrong)?;
        let own = options.job_headers.iter();
        let job_headers = own.map(|(name, value)| {
            let unfit = |_| Error::config(format!("the header {name} is not one that can be sent"));
            let template = Template::parse(value.expose()).map_err(wrong)?;
            Ok((
                HeaderName::try_from(name.as_str()).map_err(unfit)?,
                template,
            ))
        });
        Ok(Form {
            url: Some(url).filter(Template::has_places),
            job_headers: job_headers.collect::<Result<_>>()?,
            body: options.body,
            content: options.content,
            jobs_max: if options.body == Body::Job {
                1
            } else {
                options.jobs_max.max(1)
            },
            bytes_max: options.bytes_max,
            gzip: options.gzip,
        })
    }

    /// What is sent of `chunk`.
    ///
    /// # Errors
    /// `Invalid` when its job does not fill the places of URL and headers.
    pub(super) fn request(&self, chunk: &Chunk, attempt: u32) -> Result<Outgoing> {
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
        let uri = self.fill(chunk, &mut headers)?;
        let mut body = self.body(chunk);
        if self.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            body = compress(&body);
        }
        Ok(Outgoing { uri, headers, body })
    }

    /// The URL and the headers that are the job's to say.
    fn fill(&self, chunk: &Chunk, headers: &mut HeaderMap) -> Result<Option<Uri>> {
        let Some((job, _)) = chunk.jobs.first() else {
            return Ok(None);
        };
        for (name, template) in &self.job_headers {
            let value = HeaderValue::try_from(template.fill(job, in_header)?);
            headers.insert(name.clone(), value.map_err(|_| unfit(name))?);
        }
        let url = self
            .url
            .as_ref()
            .map(|url| url.fill(job, in_url))
            .transpose()?;
        let uri = url.map(|url| url.parse().map_err(|_| unfit("the URL")));
        uri.transpose()
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

fn unfit(place: impl std::fmt::Display) -> Error {
    Error::invalid(format!("what the job says makes no {place}"))
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
