//! What can be set for an endpoint.

use std::path::PathBuf;
use std::time::Duration;

use blacksmith_core::secret::Secret;
use blacksmith_core::settings::Section;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Uri};

use super::verdict::Statuses;
use crate::line::Content;

/// How an endpoint is called. [`HttpOptions::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// The destination's name in the configuration.
    pub name: String,
    /// Where requests go: `http://` or `https://`, without a user or password. May hold a secret in its query.
    pub url: Secret,
    /// `POST`, `PUT` or `PATCH`. Default: POST.
    pub method: Method,
    /// How jobs are put into requests. Default: one in each.
    pub body: Body,
    /// What is sent of a job. Default: everything.
    pub content: Content,
    /// Headers of every request.
    pub headers: Vec<(String, Secret)>,
    /// Jobs in a request, at most, unless each is sent alone. Default: 100.
    pub jobs_max: usize,
    /// Bytes of a request before compression, at most, unless one job has more. Default: 1 MiB.
    pub bytes_max: usize,
    /// Whether bodies are compressed with gzip. Default: false.
    pub gzip: bool,
    /// How long a request may take, from connecting to the end of the response. Default: 30 s.
    pub timeout: Duration,
    /// How long connecting may take. Default: 10 s.
    pub connect_timeout: Duration,
    /// Requests under way at a time. Default: 4; 1 when ordered.
    pub in_flight_max: usize,
    /// Whether a job that failed holds back those behind it. Default: false.
    pub ordered: bool,
    /// What each status means.
    pub statuses: Statuses,
    /// How long a `Retry-After` is obeyed, at most. Default: 1 hour.
    pub retry_after_max: Duration,
    /// Certificates to trust in place of the system's, as PEM.
    pub ca_file: Option<PathBuf>,
}

/// How jobs are put into requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// One job in each, as an object.
    Job,
    /// Many, as an array.
    Array,
    /// Many, a line each.
    Ndjson,
}

impl HttpOptions {
    /// The defaults, for the destination called `name` that calls `url`.
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> HttpOptions {
        HttpOptions {
            name: name.into(),
            url: Secret::new(url),
            method: Method::POST,
            body: Body::Job,
            content: Content::default(),
            headers: Vec::new(),
            jobs_max: 100,
            bytes_max: 1 << 20,
            gzip: false,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            in_flight_max: 4,
            ordered: false,
            statuses: Statuses::default(),
            retry_after_max: Duration::from_secs(3_600),
            ca_file: None,
        }
    }

    /// Reads the destination `name` from its section. What is wrong goes into the section's problems;
    /// none then, when not even the URL is known.
    #[must_use]
    pub fn read(name: &str, mut section: Section) -> Option<HttpOptions> {
        let url = section.take_secret("url").required();
        let mut options = HttpOptions::new(name, url.as_ref().map_or("", Secret::expose));
        if let Some(url) = &url
            && let Err((what, fix)) = check_url(url.expose())
        {
            section.report("url", what, fix);
        }
        let methods = [
            ("POST", Method::POST),
            ("PUT", Method::PUT),
            ("PATCH", Method::PATCH),
        ];
        options.method = section.take_enum("method", &methods).or(Method::POST);
        let bodies = [
            ("job", Body::Job),
            ("array", Body::Array),
            ("ndjson", Body::Ndjson),
        ];
        options.body = section.take_enum("body", &bodies).or(Body::Job);
        options.content = Content::read(&mut section);
        options.headers = read_headers(section.take_section("headers"));
        options.read_limits(&mut section);
        options.read_treatment(&mut section);
        section.finish();
        url.map(|_| options)
    }

    fn read_limits(&mut self, section: &mut Section) {
        let mut request = section.take_section("request");
        let jobs = request.take_u64("max_jobs").within(1, 100_000);
        let jobs = jobs.optional();
        let bytes = request
            .take_size("max_bytes")
            .checked(|bytes| *bytes <= 64 << 20, "too large", "at most 64MiB")
            .optional();
        request.finish();
        let number = |set: Option<u64>, default: usize| {
            set.and_then(|set| usize::try_from(set).ok())
                .unwrap_or(default)
        };
        self.jobs_max = number(jobs, self.jobs_max);
        self.bytes_max = number(bytes, self.bytes_max);
        let encodings = [("none", false), ("gzip", true)];
        self.gzip = section.take_enum("compression", &encodings).or(false);
        self.timeout = section.take_duration("timeout").or(self.timeout);
        let connect = section.take_duration("connect_timeout");
        self.connect_timeout = connect.or(self.connect_timeout);
        let in_flight = section.take_u64("max_in_flight").within(1, 1_024);
        self.in_flight_max = number(in_flight.optional(), self.in_flight_max);
    }

    fn read_treatment(&mut self, section: &mut Section) {
        self.ordered = section.take_bool("ordered").or(false);
        self.statuses = Statuses::read(section);
        let retry_after = section.take_duration("retry_after_max");
        self.retry_after_max = retry_after.or(self.retry_after_max);
        self.ca_file = section.take_str("ca_file").optional().map(PathBuf::from);
    }
}

/// What is wrong with a URL, without a word of it, and how to mend it.
fn check_url(url: &str) -> Result<(), (&'static str, &'static str)> {
    let fix = "write https://host/path";
    let uri: Uri = url.parse().map_err(|_| ("not a URL", fix))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(("neither http nor https", fix));
    }
    match uri.authority() {
        None => Err(("a URL without a host", fix)),
        Some(authority) if authority.as_str().contains('@') => Err((
            "a user or password in the URL",
            "put them into headers: Authorization = \"Basic …\"",
        )),
        Some(_) => Ok(()),
    }
}

fn read_headers(mut section: Section) -> Vec<(String, Secret)> {
    let mut headers = Vec::new();
    for key in section.keys() {
        let Some(value) = section.take_secret(&key).optional() else {
            continue;
        };
        if HeaderName::try_from(key.as_str()).is_err() {
            section.report(&key, "not a name of a header", "use letters, digits and -");
        } else if HeaderValue::try_from(value.expose()).is_err() {
            section.report(&key, "not a value of a header", "use visible ASCII");
        } else {
            headers.push((key, value));
        }
    }
    section.finish();
    headers
}

#[cfg(test)]
mod tests {
    use blacksmith_core::settings::{Environment, Problems};

    use super::*;

    fn read(text: &str) -> (Option<HttpOptions>, Problems) {
        let (section, problems) = Section::parse("b.toml", text, &Environment::default()).unwrap();
        (HttpOptions::read("crm", section), problems)
    }

    #[test]
    fn every_key_is_read() {
        let (options, problems) = read(
            "url = 'https://crm.example.com/hook?key=k'
             method = 'PUT'
             body = 'ndjson'
             content = 'data'
             headers = { Authorization = 'Bearer t', X-Shop = '7' }
             request = { max_jobs = 7, max_bytes = '2KiB' }
             compression = 'gzip'
             timeout = '5s'
             connect_timeout = '2s'
             max_in_flight = 9
             ordered = true
             accept = ['2xx', '409']
             discard = ['410']
             retry_after_max = '10m'
             ca_file = 'ca.pem'",
        );
        problems.check().unwrap();
        let options = options.unwrap();
        assert_eq!((options.method, options.body), (Method::PUT, Body::Ndjson));
        assert_eq!((options.jobs_max, options.bytes_max), (7, 2048));
        assert_eq!((options.gzip, options.ordered), (true, true));
        assert_eq!(options.in_flight_max, 9);
        let seconds = [
            options.timeout,
            options.connect_timeout,
            options.retry_after_max,
        ];
        assert_eq!(seconds.map(|duration| duration.as_secs()), [5, 2, 600]);
        assert_eq!(options.headers.len(), 2);
        assert_eq!(options.content, Content::Data);
    }

    #[test]
    fn every_mistake_is_reported_at_once_and_no_secret_with_it() {
        let (_, problems) = read(
            "url = 'https://me:hunter2@host/x'
             metod = 'POST'
             headers = { 'a b' = 'hunter2' }
             discard = ['teapot']
             max_in_flight = 0",
        );
        let report = problems.into_error().unwrap().to_string();
        for expected in [
            "url",
            "metod",
            "headers.\"a b\"",
            "discard",
            "max_in_flight",
        ] {
            assert!(report.contains(expected), "{expected} in {report}");
        }
        assert!(!report.contains("hunter2"), "{report}");
        assert!(read("").0.is_none());
        for wrong in ["ftp://host", "/only/a/path", "nonsense"] {
            assert!(check_url(wrong).is_err(), "{wrong}");
        }
    }
}
