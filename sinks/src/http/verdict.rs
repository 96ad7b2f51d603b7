//! What a response means for the jobs of its request.

use std::time::Duration;

use blacksmith_core::clock::Timestamp;
use blacksmith_core::error::{Error, Kind};
use blacksmith_core::settings::Section;
use hyper::StatusCode;

/// Characters of a response that are told in an error.
const EXCERPT_MAX: usize = 300;

/// What each status means; what is in neither list is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses {
    /// The jobs are loaded. Default: 2xx.
    pub accept: Vec<StatusPattern>,
    /// The jobs are given up. Default: 400, 413, 415 and 422.
    pub discard: Vec<StatusPattern>,
}

/// A status such as `409`, or a class of them such as `2xx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusPattern {
    /// This one.
    One(u16),
    /// All with this first digit.
    Class(u16),
}

impl StatusPattern {
    fn parse(text: &str) -> Option<StatusPattern> {
        match text.strip_suffix("xx") {
            Some(class) => Some(class.parse().ok()?)
                .filter(|class| (1..=5).contains(class))
                .map(StatusPattern::Class),
            None => Some(text.parse().ok()?)
                .filter(|status| (100..=599).contains(status))
                .map(StatusPattern::One),
        }
    }

    fn matches(self, status: u16) -> bool {
        match self {
            StatusPattern::One(one) => one == status,
            StatusPattern::Class(class) => class == status / 100,
        }
    }
}

impl Default for Statuses {
    fn default() -> Statuses {
        Statuses {
            accept: vec![StatusPattern::Class(2)],
            discard: [400, 413, 415, 422].map(StatusPattern::One).into(),
        }
    }
}

impl Statuses {
    pub(super) fn read(section: &mut Section) -> Statuses {
        let defaults = Statuses::default();
        Statuses {
            accept: read_list(section, "accept").unwrap_or(defaults.accept),
            discard: read_list(section, "discard").unwrap_or(defaults.discard),
        }
    }

    fn meaning(&self, status: StatusCode) -> Meaning {
        let is_in = |list: &[StatusPattern]| list.iter().any(|one| one.matches(status.as_u16()));
        match () {
            () if is_in(&self.accept) => Meaning::Accept,
            () if is_in(&self.discard) => Meaning::Discard,
            () => Meaning::Retry,
        }
    }
}

fn read_list(section: &mut Section, key: &str) -> Option<Vec<StatusPattern>> {
    let texts = section.take_list(key).optional()?;
    let parsed: Option<Vec<_>> = texts
        .iter()
        .map(|text| StatusPattern::parse(text))
        .collect();
    if parsed.is_none() {
        section.report(key, "not a list of statuses", "write [\"2xx\", \"409\"]");
    }
    parsed
}

enum Meaning {
    Accept,
    Discard,
    Retry,
}

/// What becomes of the jobs of a request.
#[derive(Debug)]
pub(super) enum Verdict {
    /// They are loaded.
    Accepted,
    /// They are given up.
    Discarded(Error),
    /// They are tried again.
    Failed {
        error: Error,
        /// Whether others would fail as well: the endpoint cannot be reached, or wants a pause.
        is_general: bool,
        /// How long the endpoint wants to be left alone.
        pause: Option<Duration>,
    },
}

/// A response, as far as it matters.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// `Retry-After`, as it was sent.
    pub(super) retry_after: Option<String>,
    /// The beginning of the body.
    pub(super) body: Vec<u8>,
}

/// Judges replies of one endpoint.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) statuses: Statuses,
    pub(super) pause_max: Duration,
    /// What must not be in an error.
    pub(super) secrets: Vec<String>,
    /// The endpoint, as it may be shown.
    pub(super) place: String,
}

impl Judge {
    pub(super) fn judge(&self, reply: &Reply, now: Timestamp) -> Verdict {
        let status = reply.status;
        match self.statuses.meaning(status) {
            Meaning::Accept => Verdict::Accepted,
            Meaning::Discard => Verdict::Discarded(
                self.error(Kind::Invalid, reply)
                    .help("the endpoint will not take this job; mend its data, or the endpoint, and retry the job"),
            ),
            Meaning::Retry => {
                let asked = reply.retry_after.as_deref();
                let pause = asked.and_then(|asked| pause(asked, now));
                let pause = pause.map(|pause| pause.min(self.pause_max));
                let busy = matches!(status.as_u16(), 429 | 503);
                Verdict::Failed {
                    error: self.retried(reply),
                    is_general: busy || pause.is_some(),
                    pause,
                }
            }
        }
    }

    fn retried(&self, reply: &Reply) -> Error {
        match reply.status.as_u16() {
            300..=399 => self
                .error(Kind::Refused, reply)
                .help("redirects are not followed: set url to where it moved"),
            401 | 403 => self
                .error(Kind::Refused, reply)
                .help("look at the headers that are configured; the jobs are tried again"),
            404 | 405 => self
                .error(Kind::Refused, reply)
                .help("look at url and method; the jobs are tried again"),
            _ => self.error(Kind::Unavailable, reply),
        }
    }

    fn error(&self, kind: Kind, reply: &Reply) -> Error {
        let (place, status, excerpt) = (&self.place, reply.status, self.excerpt(&reply.body));
        match excerpt.is_empty() {
            true => Error::new(kind, format!("{place} answered {status}")),
            false => Error::new(kind, format!("{place} answered {status}: {excerpt}")),
        }
    }

    /// The beginning of a body on one line, without secrets.
    fn excerpt(&self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(body);
        let mut text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "***");
        }
        text.retain(|letter| !letter.is_control());
        text.chars().take(EXCERPT_MAX).collect()
    }
}

/// How long `Retry-After` says to wait: seconds, or a date.
fn pause(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp(until.timestamp().as_microsecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(status: u16, retry_after: Option<&str>, body: &str) -> Verdict {
        let judge = Judge {
            statuses: Statuses::default(),
            pause_max: Duration::from_secs(3_600),
            secrets: vec!["hunter2".into()],
            place: "POST https://crm.example.com/hook".into(),
        };
        let reply = Reply {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: retry_after.map(str::to_owned),
            body: body.into(),
        };
        judge.judge(&reply, Timestamp(1_445_412_420_000_000))
    }

    #[test]
    fn each_status_has_its_meaning() {
        for status in [200, 201, 202, 204] {
            assert!(matches!(judge(status, None, ""), Verdict::Accepted));
        }
        for status in [400, 413, 415, 422] {
            assert!(matches!(judge(status, None, ""), Verdict::Discarded(_)));
        }
        let general = |status| match judge(status, None, "") {
            Verdict::Failed { is_general, .. } => is_general,
            other => panic!("{status}: {other:?}"),
        };
        for status in [301, 308, 401, 403, 404, 408, 409, 425, 500, 502, 504] {
            assert!(!general(status), "{status}");
        }
        assert!(general(429) && general(503));
    }

    #[test]
    fn a_pause_is_read_as_seconds_or_as_a_date_and_never_longer_than_allowed() {
        let pause = |text| match judge(503, Some(text), "") {
            Verdict::Failed { pause, .. } => pause.map(|pause| pause.as_secs()),
            other => panic!("{other:?}"),
        };
        assert_eq!(pause("120"), Some(120));
        assert_eq!(pause("Wed, 21 Oct 2015 07:28:00 GMT"), Some(60));
        assert_eq!(pause("Wed, 21 Oct 2015 07:00:00 GMT"), Some(0));
        assert_eq!(pause("999999999"), Some(3_600));
        assert_eq!(pause("soon"), None);
    }

    #[test]
    fn an_error_tells_the_beginning_of_the_answer_and_no_secret() {
        let body = format!("no\n\n  such   token: hunter2 \u{7} {}", "x".repeat(1_000));
        let Verdict::Failed { error, .. } = judge(401, None, &body) else {
            panic!("a 401 is tried again");
        };
        let report = error.report();
        assert!(
            report.contains("answered 401 Unauthorized: no such token: ***"),
            "{report}"
        );
        assert!(
            report.len() < 600 && !report.contains(['\n', '\u{7}']),
            "{report}"
        );
    }
}
