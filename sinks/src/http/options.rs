//! What can be set for an endpoint.

use std::path::PathBuf;
use std::time::Duration;

use blacksmith_core::secret::Secret;
use blacksmith_core::settings::Section;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Uri};

use super::template::Template;
use super::verdict::Statuses;
use crate::line::Content;

/// How an endpoint is called. [`HttpOptions::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// The destination's name in the configuration.
    pub name: String,
    /// Where requests go: `http://` or `https://`, without a user or password. May hold a secret in its query, and behind the host places that
    /// each job fills: `{/user/id}` from its data, `{source}` and the like.
    pub url: Secret,
    /// `POST`, `PUT` or `PATCH`. Default: POST.
    pub method: Method,
    /// How jobs are put into requests. Default: one in each.
    pub body: Body,
    /// What is sent of a job. Default: everything.
    pub content: Content,
    /// Headers of every request.
    pub headers: Vec<(String, Secret)>,
    /// Headers that each job fills, as it does the URL.
    pub job_headers: Vec<(String, Secret)>,
    /// User and password of basic authentication. Default: none.
    pub basic: Option<(String, Secret)>,
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
    /// Certificate chain and private key to show to the other side, as PEM. Default: none.
    pub client_files: Option<(PathBuf, PathBuf)>,
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
            job_headers: Vec::new(),
            basic: None,
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
            client_files: None,
        }
    }

    /// Reads the destination `name` from its section. What is wrong goes into the section's problems;
    /// none then, when not even the URL is known.
    #[must_use]
    pub fn read(name: &str, mut section: Section) -> Option<HttpOptions> {
        let url = section.take_secret("url").required();
        let mut options = HttpOptions::new(name, url.as_ref().map_or("", Secret::expose));
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
        if let Some(url) = &url
            && let Err((what, fix)) = check_url(url.expose(), options.body)
        {
            section.report("url", what, fix);
        }
        options.content = Content::read(&mut section);
        options.headers = read_headers(section.take_section("headers"), is_value);
        options.job_headers = read_headers(section.take_section("job_headers"), is_template);
        if !options.job_headers.is_empty() && options.body != Body::Job {
            section.report("job_headers", ONE_EACH.0, ONE_EACH.1);
        }
        options.basic = read_basic(&mut section, &options.headers);
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
        self.timeout = request.take_duration("timeout").or(self.timeout);
        request.finish();
        let number = |set: Option<u64>, default: usize| {
            set.and_then(|set| usize::try_from(set).ok())
                .unwrap_or(default)
        };
        self.jobs_max = number(jobs, self.jobs_max);
        self.bytes_max = number(bytes, self.bytes_max);
        let encodings = [("none", false), ("gzip", true)];
        self.gzip = section.take_enum("compression", &encodings).or(false);
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
        let certificate = section.take_str("certificate_file").optional();
        let key = section.take_str("key_file").optional();
        if certificate.is_some() != key.is_some() {
            section.report(
                "certificate_file",
                "a certificate and its key go together",
                "set certificate_file and key_file",
            );
        }
        self.client_files = certificate
            .zip(key)
            .map(|(certificate, key)| (certificate.into(), key.into()));
    }
}

/// What is wrong, and what to do about it.
type Wrong = (String, String);

/// Places are filled by one job.
const ONE_EACH: (&str, &str) = (
    "a request for many jobs has nothing that one of them could fill",
    "set body = \"job\", or take the {places} out",
);

/// What is wrong with a URL, without a word of it, and how to mend it.
pub(super) fn check_url(url: &str, body: Body) -> Result<(), Wrong> {
    let template = Template::parse(url)?;
    let fix = "write https://host/path";
    let wrong = |what: &str, fix: &str| Err((what.to_owned(), fix.to_owned()));
    if template.has_places() && body != Body::Job {
        return wrong(ONE_EACH.0, ONE_EACH.1);
    }
    let Ok(uri) = template.plain("0").parse::<Uri>() else {
        return wrong("not a URL", fix);
    };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return wrong("neither http nor https", fix);
    }
    // Jobs must not choose whom we talk to.
    let other = template.plain("1").parse::<Uri>().ok();
    if other.is_none_or(|other| other.authority() != uri.authority()) {
        return wrong("a {place} before the path", "write the host out");
    }
    match uri.authority() {
        None => wrong("a URL without a host", fix),
        Some(authority) if authority.as_str().contains('@') => {
            wrong("a user or password in the URL", "set user and password")
        }
        Some(_) => Ok(()),
    }
}

fn is_value(text: &str) -> Result<(), Wrong> {
    match HeaderValue::try_from(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(("not a value of a header".into(), "use visible ASCII".into())),
    }
}

fn is_template(text: &str) -> Result<(), Wrong> {
    is_value(&Template::parse(text)?.plain("0"))
}

fn read_headers(
    mut section: Section,
    check: fn(&str) -> Result<(), Wrong>,
) -> Vec<(String, Secret)> {
    let mut headers = Vec::new();
    for key in section.keys() {
        let Some(value) = section.take_secret(&key).optional() else {
            continue;
        };
        if HeaderName::try_from(key.as_str()).is_err() {
            section.report(&key, "not a name of a header", "use letters, digits and -");
        } else if let Err((what, fix)) = check(value.expose()) {
            section.report(&key, what, fix);
        } else {
            headers.push((key, value));
        }
    }
    section.finish();
    headers
}

fn read_basic(section: &mut Section, headers: &[(String, Secret)]) -> Option<(String, Secret)> {
    let user = section.take_str("user").optional();
    let password = section.take_secret("password").optional();
    let has_header = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    match (user, password) {
        (None, None) => None,
        (Some(user), Some(password)) if !has_header && !user.contains(':') => {
            Some((user, password))
        }
        (Some(_), Some(_)) => {
            section.report(
                "user",
                "a colon in it, or an Authorization header beside it",
                "say once who asks",
            );
            None
        }
        _ => {
            section.report("user", "user and password go together", "set both");
            None
        }
    }
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
             body = 'job'
             content = 'data'
             headers = { X-Key = 'Bearer t', X-Shop = '7' }
             job_headers = { X-Tenant = '{source}' }
             user = 'ada'
             password = 'l'
             certificate_file = 'own.pem'
             key_file = 'own.key'
             request = { max_jobs = 7, max_bytes = '2KiB', timeout = '5s' }
             compression = 'gzip'
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
        assert_eq!((options.method, options.body), (Method::PUT, Body::Job));
        assert_eq!((options.jobs_max, options.bytes_max), (7, 2048));
        assert_eq!((options.gzip, options.ordered), (true, true));
        assert_eq!(options.in_flight_max, 9);
        let seconds = [
            options.timeout,
            options.connect_timeout,
            options.retry_after_max,
        ];
        assert_eq!(seconds.map(|duration| duration.as_secs()), [5, 2, 600]);
        assert_eq!((options.headers.len(), options.job_headers.len()), (2, 1));
        assert_eq!(options.basic, Some(("ada".into(), Secret::new("l"))));
        let files = options.client_files.unwrap();
        assert_eq!(files, ("own.pem".into(), "own.key".into()));
        assert_eq!(options.content, Content::Data);
    }

    #[test]
    fn every_mistake_is_reported_at_once_and_no_secret_with_it() {
        let (_, problems) = read(
            "url = 'https://me:hunter2@host/x'
             metod = 'POST'
             headers = { 'a b' = 'hunter2' }
             job_headers = { X-Id = '{idd}', X-Y = '{' }
             user = 'ada'
             key_file = 'hunter2.key'
             discard = ['teapot']
             max_in_flight = 0",
        );
        let report = problems.into_error().unwrap().to_string();
        for expected in [
            "url",
            "metod",
            "headers.\"a b\"",
            "job_headers.X-Id: there is no such placeholder (did you mean \"id\"?",
            "job_headers.X-Y: a brace",
            "user: user and password go together",
            "certificate_file: a certificate and its key",
            "discard",
            "max_in_flight",
        ] {
            assert!(report.contains(expected), "{expected} in {report}");
        }
        assert!(!report.contains("hunter2"), "{report}");
        assert!(read("").0.is_none());
        for wrong in [
            "ftp://host",
            "/only/a/path",
            "nonsense",
            "https://{/host}/",
            "https://a.{source}",
            "{/url}",
        ] {
            assert!(check_url(wrong, Body::Job).is_err(), "{wrong}");
        }
        let one = "https://host/users/{/id}?by={source}";
        assert!(check_url(one, Body::Job).is_ok() && check_url(one, Body::Array).is_err());
        let (_, problems) =
            read("url = 'https://h/{id}'\nbody = 'array'\njob_headers = { A = '{id}' }");
        assert_eq!(problems.list().len(), 2, "{problems:?}");
    }
}
