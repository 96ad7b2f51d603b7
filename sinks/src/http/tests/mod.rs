//! The action against a server that answers as the test says.

mod server;

use std::time::Duration;

use blacksmith_core::destination::{Jobs, Outcome, Then};

use super::*;
use crate::by_hand::{Loaded, job, jobs, load};
use server::{Answer, Server, Shown};

const SECOND: Duration = Duration::from_secs(1);

fn options(server: &Server) -> HttpOptions {
    HttpOptions::new("crm", server.url("/hook?key=hunter2"))
}

fn action(options: &HttpOptions) -> Arc<dyn Action> {
    Http::new(options).unwrap().actions().remove(0)
}

/// Which positions came out how: `+` loaded, `!` to be tried again, `x` given up; `*` for all the rest.
fn said(loaded: &Loaded) -> Vec<String> {
    loaded.result.as_ref().unwrap();
    loaded.thens.iter().map(said_by).collect()
}

fn said_by(then: &Then) -> String {
    let sign = match then.outcome {
        Outcome::Succeeded => '+',
        Outcome::Failed(_) => '!',
        Outcome::Discarded(_) => 'x',
    };
    match &then.jobs {
        Jobs::Spans(spans) => {
            let spans: Vec<_> = spans
                .iter()
                .map(|span| format!("{}-{}", span.first, span.last))
                .collect();
            format!("{sign}{}", spans.join(","))
        }
        _ => format!("{sign}*"),
    }
}

fn error(then: &Then) -> String {
    match &then.outcome {
        Outcome::Failed(error) | Outcome::Discarded(error) => error.report(),
        Outcome::Succeeded => String::new(),
    }
}

#[tokio::test]
async fn each_job_is_a_request_with_its_id_as_key() {
    let server = Server::start(vec![]).await;
    let sent = jobs(1, 3);
    let loaded = load(&*action(&options(&server)), sent.clone(), 2).await;
    assert_eq!(said(&loaded).last().unwrap(), "+*");
    let mut seen = server.seen();
    seen.sort_by_key(|request| request.body.clone());
    assert_eq!(seen.len(), 3);
    for (request, job) in seen.iter().zip(&sent) {
        assert_eq!(request.line, "POST /hook?key=hunter2 HTTP/1.1");
        assert_eq!(request.header("idempotency-key"), Some(job.id.to_string()));
        assert_eq!(request.header("blacksmith-attempt").as_deref(), Some("2"));
        let kind = request.header("content-type");
        assert_eq!(kind.as_deref(), Some("application/json"));
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["id"], job.id.to_string());
        assert!(
            body.get("attempt").is_none(),
            "the same job is the same body"
        );
    }
}

/// ACT-08
#[tokio::test]
async fn many_jobs_go_together_as_an_array_or_as_lines_within_the_limits() {
    for (body, expected) in [
        (Body::Array, vec!["[1,2]", "[3,4]", "[5]"]),
        (Body::Ndjson, vec!["1\n2\n", "3\n4\n", "5\n"]),
    ] {
        let server = Server::start(vec![]).await;
        let mut options = options(&server);
        (options.body, options.jobs_max, options.in_flight_max) = (body, 2, 1);
        options.content = crate::Content::Data;
        let sent = jobs(1, 5);
        load(&*action(&options), sent.clone(), 1).await;
        let seen = server.seen();
        let bodies: Vec<_> = seen
            .iter()
            .map(|request| String::from_utf8(request.body.clone()).unwrap())
            .collect();
        assert_eq!(bodies, expected);
        let key = format!("{}-{}", sent[0].id, sent[1].id);
        assert_eq!(seen[0].header("idempotency-key"), Some(key));
    }
    let server = Server::start(vec![]).await;
    let mut options = options(&server);
    (options.body, options.bytes_max) = (Body::Array, 10);
    options.content = crate::Content::Data;
    let long = vec![job(1, "\"123456\""), job(2, "\"123456\""), job(3, "1")];
    load(&*action(&options), long, 1).await;
    assert_eq!(server.seen().len(), 2, "a request closes by bytes");
}

#[tokio::test]
async fn a_body_is_compressed_when_that_is_wanted() {
    let server = Server::start(vec![]).await;
    let mut options = options(&server);
    (options.gzip, options.content) = (true, crate::Content::Data);
    load(&*action(&options), vec![job(1, "\"hello\"")], 1).await;
    let request = server.seen().remove(0);
    assert_eq!(request.header("content-encoding").as_deref(), Some("gzip"));
    let mut text = String::new();
    let mut body = flate2::read::GzDecoder::new(&request.body[..]);
    std::io::Read::read_to_string(&mut body, &mut text).unwrap();
    assert_eq!(text, "\"hello\"");
}

#[tokio::test]
async fn a_status_decides_about_its_own_job_only() {
    let answers = vec![
        Answer::status(200),
        Answer::status(422).body("no such customer; key=hunter2"),
        Answer::status(500),
        Answer::status(301),
    ];
    let server = Server::start(answers).await;
    let mut options = options(&server);
    options.in_flight_max = 1;
    let loaded = load(&*action(&options), jobs(1, 5), 1).await;
    let said = said(&loaded);
    assert_eq!(said, ["x2-2", "!3-3", "!4-4", "+1-1,5-5", "+*"]);
    let discarded = error(&loaded.thens[0]);
    assert!(discarded.contains("422") && discarded.contains("no such customer"));
    assert!(!discarded.contains("hunter2"), "{discarded}");
    assert!(error(&loaded.thens[2]).contains("redirects are not followed"));
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn jobs_that_are_refused_together_are_sent_again_each_alone() {
    let answers = vec![
        Answer::status(400),
        Answer::status(200),
        Answer::status(400),
        Answer::status(200),
    ];
    let server = Server::start(answers).await;
    let mut options = options(&server);
    (options.body, options.jobs_max, options.in_flight_max) = (Body::Array, 3, 1);
    options.content = crate::Content::Data;
    let loaded = load(&*action(&options), jobs(1, 4), 1).await;
    assert_eq!(said(&loaded), ["x2-2", "+1-1,3-4", "+*"]);
    let bodies = server.seen().into_iter().map(|request| request.body);
    let bodies: Vec<_> = bodies
        .map(|body| String::from_utf8(body).unwrap())
        .collect();
    assert_eq!(bodies, ["[1,2,3]", "[1]", "[2]", "[3]", "[4]"]);
}

#[tokio::test]
async fn a_pause_that_is_asked_for_stops_the_batch_and_is_handed_on() {
    let answers = vec![
        Answer::status(200),
        Answer::status(429).header("Retry-After: 120"),
    ];
    let server = Server::start(answers).await;
    let mut options = options(&server);
    options.in_flight_max = 1;
    let loaded = load(&*action(&options), jobs(1, 100), 1).await;
    assert_eq!(said(&loaded), ["+1-1", "!*"]);
    assert_eq!(loaded.thens[1].retry_after, Some(120 * SECOND));
    assert_eq!(server.seen().len(), 2);
}

/// Scenario 48
#[tokio::test]
async fn an_answer_that_comes_too_late_or_breaks_off_is_asked_for_again_with_the_same_key() {
    for misbehaved in [Answer::late(), Answer::broken_off(), Answer::hung_up()] {
        let server = Server::start(vec![misbehaved]).await;
        let mut options = options(&server);
        options.timeout = SECOND / 5;
        let action = action(&options);
        let first = load(&*action, jobs(1, 1), 1).await;
        assert_eq!(said(&first), ["!*"]);
        let second = load(&*action, jobs(1, 1), 2).await;
        assert_eq!(said(&second), ["+1-1", "+*"]);
        let seen = server.seen();
        let keys: Vec<_> = seen.iter().map(|r| r.header("idempotency-key")).collect();
        assert!(
            keys.len() >= 2 && keys.iter().all(|key| *key == keys[0]),
            "{keys:?}"
        );
        let bodies: Vec<_> = seen.iter().map(|request| &request.body).collect();
        assert!(bodies.iter().all(|body| *body == bodies[0]));
    }
}

#[tokio::test]
async fn what_cannot_be_reached_fails_the_batch_at_once() {
    let server = Server::start(vec![]).await;
    let options = options(&server);
    server.stop().await;
    let http = Http::new(&options).unwrap();
    let loaded = load(&*http.actions()[0], jobs(1, 1_000), 1).await;
    assert_eq!(said(&loaded), ["!*"]);
    let error = error(&loaded.thens[0]);
    assert!(
        error.contains("cannot be reached") && !error.contains("hunter2"),
        "{error}"
    );
    let findings = http.check().await;
    assert_eq!(findings[0].severity, Severity::Problem);
}

#[tokio::test]
async fn an_ordered_action_sends_nothing_behind_a_job_that_failed() {
    let answers = vec![Answer::status(200), Answer::status(500)];
    let server = Server::start(answers).await;
    let mut options = options(&server);
    options.ordered = true;
    let loaded = load(&*action(&options), jobs(1, 10), 1).await;
    assert_eq!(said(&loaded), ["+1-1", "!*"]);
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (server, ca_file) = Server::start_tls().await;
    let mut options = HttpOptions::new("crm", server.url("/hook"));
    options.ca_file = Some(ca_file.path().to_owned());
    let trusting = Http::new(&options).unwrap();
    assert_eq!(trusting.check().await[0].severity, Severity::Good);
    let loaded = load(&*trusting.actions()[0], jobs(1, 1), 1).await;
    assert_eq!(said(&loaded), ["+1-1", "+*"]);
    options.ca_file = None;
    let loaded = load(&*action(&options), jobs(1, 1), 1).await;
    assert_eq!(said(&loaded), ["!*"]);
    assert!(
        error(&loaded.thens[0]).contains("certificate"),
        "{}",
        error(&loaded.thens[0])
    );
    assert_eq!(server.seen().len(), 1, "nothing was sent");
}

#[tokio::test]
async fn a_job_says_where_its_request_goes_and_what_is_in_its_headers() {
    let server = Server::start(vec![]).await;
    let mut options = HttpOptions::new(
        "crm",
        server.url("/users/{/user/id}/{trigger}?key=hunter2&n={/n}"),
    );
    options.in_flight_max = 1;
    options.content = crate::Content::Data;
    options.job_headers = vec![("X-Tenant".into(), "t-{/tenant}".to_owned().into())];
    let good = r#"{"user":{"id":"a/../b"},"n":7,"tenant":"x"}"#;
    let sent = vec![
        job(1, good),
        job(2, r#"{"user":{"id":".."},"n":7,"tenant":"x"}"#),
        job(3, r#"{"user":{"id":"a"},"n":7,"tenant":"x\r\nHost: evil"}"#),
        job(4, r#"{"user":"hunter2","n":7,"tenant":"x"}"#),
        job(5, good),
    ];
    let loaded = load(&*action(&options), sent, 1).await;
    assert_eq!(said(&loaded), ["x2-2", "x3-3", "x4-4", "+1-1,5-5", "+*"]);
    let told = error(&loaded.thens[2]);
    assert!(
        told.contains("/user/id") && !told.contains("hunter2"),
        "{told}"
    );
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    let line = "POST /users/a%2F..%2Fb/signup?key=hunter2&n=7 HTTP/1.1";
    assert_eq!(seen[0].line, line);
    assert_eq!(seen[0].header("x-tenant").as_deref(), Some("t-x"));
    options.body = Body::Array;
    let refused = Http::new(&options).unwrap_err().report();
    assert!(refused.contains("set body"), "{refused}");
}

#[tokio::test]
async fn who_asks_is_said_by_password_and_configured_headers_go_before_our_own() {
    let answers =
        vec![Answer::status(401).body("you sent l0ngpassword, YWRhOmwwbmdwYXNzd29yZA== or s1gn")];
    let server = Server::start(answers).await;
    let mut options = options(&server);
    options.basic = Some(("ada".into(), "l0ngpassword".to_owned().into()));
    options.headers = vec![(
        "Content-Type".into(),
        "application/vnd.api+json".to_owned().into(),
    )];
    options.job_headers = vec![("X-Signed".into(), "s1gn {id}".to_owned().into())];
    let loaded = load(&*action(&options), jobs(1, 1), 1).await;
    let told = error(&loaded.thens[0]);
    for secret in ["l0ng", "YWRh", "s1gn"] {
        assert!(!told.contains(secret), "{told}");
    }
    let seen = server.seen().remove(0);
    let authorization = seen.header("authorization");
    assert_eq!(
        authorization.as_deref(),
        Some("Basic YWRhOmwwbmdwYXNzd29yZA==")
    );
    assert_eq!(
        seen.header("content-type").as_deref(),
        Some("application/vnd.api+json")
    );
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_is_shown_one() {
    let own = Shown::new("blacksmith");
    let (server, ca_file) = Server::start_tls_for(Some(&own)).await;
    let mut options = HttpOptions::new("crm", server.url("/hook"));
    options.ca_file = Some(ca_file.path().to_owned());
    let loaded = load(&*action(&options), jobs(1, 1), 1).await;
    assert_eq!(said(&loaded), ["!*"]);
    let file = |file: &tempfile::NamedTempFile| file.path().to_owned();
    options.client_files = Some((file(&own.certificate), file(&own.key)));
    let loaded = load(&*action(&options), jobs(1, 1), 1).await;
    assert_eq!(said(&loaded), ["+1-1", "+*"]);
    options.client_files = Some((file(&own.key), file(&own.certificate)));
    let swapped = Http::new(&options).unwrap_err().report();
    assert!(
        swapped.contains("cannot be used") && swapped.contains("key_file"),
        "{swapped}"
    );
}
